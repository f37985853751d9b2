"""Legal answers only: which of a few given answers a language model finds most probable.

Nothing is written freely. Every legal answer is scored in full, as the product of the probabilities of its tokens, and the
scores are divided by their sum: a probability for each legal answer, and never an answer that is none. Their tokens form a
tree, so what two answers begin with is computed once; so is what all prompts begin with (instructions, a codebook).

The length of an answer counts: each further token multiplies by a probability below 1, and a longer answer needs more of them.
Letters or numbers as answers, explained in the prompt, avoid that. In `log_probs` the scores stand as they are, to divide them
by lengths of your own choice. An answer is taken literally: after "Answer:" it begins with a blank, " yes".

Numbers and dates are lists as well: [f" {number}\n" for number in range(101)], with an end, because 1 is how 10 begins.
"""

from collections.abc import Iterator, Sequence
from os.path import commonprefix
from typing import Any

import torch
from torch import Tensor

from course.decoding import read, refuse_nan
from course.outputs import AllowedOutput

SHARED = 8                                          # a shorter common beginning is not worth a call of its own
# at most so many prompts, and tokens, are computed together
BATCH = (32, 2048)


class AnswerTree:
    """The tokens of all answers; what several begin with is there once. Node 0 is the end of the prompt, every other one a
    token that some answer goes on from."""

    def __init__(self, answers: Sequence[Sequence[int]]):
        self.tokens, self.parents, self.depths = [-1], [-1], [0]
        self.steps: list[tuple[int, int, int]] = []               # (answer, node, the token that comes there)
        found: dict[tuple[int, ...], int] = {(): 0}
        for number, answer in enumerate(answers):
            for place, token in enumerate(answer):
                begin = tuple(answer[:place])
                if begin not in found:
                    found[begin] = len(self.tokens)
                    self.tokens.append(begin[-1])
                    self.parents.append(found[begin[:-1]])
                    self.depths.append(place)
                self.steps.append((number, found[begin], token))
        self.count = len(answers)

    def ancestors(self) -> Tensor:
        """(N, N) for the nodes from 1 on: True where the column stands before the row in an answer, and for the row itself."""
        size = len(self.tokens)
        found = torch.eye(size, dtype=torch.bool)
        for node in range(1, size):
            found[node] |= found[self.parents[node]]
        return found[1:, 1:]

    def path(self, node: int) -> list[int]:
        """The tokens from the prompt's end to a node."""
        return [] if node == 0 else [*self.path(self.parents[node]), self.tokens[node]]

    def log_probs(self, logits: Tensor) -> Tensor:
        """The scores of the next token at every node (B, 1 + N, V) -> the log-probability of every answer (B, A)."""
        answer, node, token = torch.tensor(self.steps, device=logits.device).T
        logs = logits[:, node, token] - logits.logsumexp(-1)[:, node]                     # (B, steps)
        return logs.new_zeros(len(logs), self.count).index_add(1, answer, logs)


def choose(model: Any, inputs: Any, answers: Sequence[Any], tokenizer: Any = None, **settings: Any) -> AllowedOutput:
    """What generate(allowed_outputs=answers) returns. answers: texts (with a tokenizer) or lists of ids.

    Raises ValueError for answers that the model could not tell apart.
    """
    functions = {name: settings.pop(name, None) for name in ("logits_processor", "stopping_criteria", "streamer")}
    for name in ("do_sample", "num_beams", "num_return_sequences", "stop_strings", "prompt_lookup_num_tokens", *functions):
        if (functions | settings).get(name) not in (None, False, 1, [], ()):
            raise ValueError(f"allowed_outputs scores every legal answer and writes nothing: leave {name} out")
    if settings.get("inputs_embeds") is not None:
        raise ValueError("allowed_outputs stand behind a prompt of tokens: give generate input_ids instead of inputs_embeds")
    given, chosen = model.sort_out(inputs, None, settings)
    with torch.inference_mode():
        ids, mask = model.prompt(given, chosen)
        ends = chosen.ends[:1] if "encoder_outputs" in given else []
        tokens = [[*ids_of(answer, tokenizer), *ends] for answer in answers] if not isinstance(answers, str) else []
        check(answers, tokens)
        tree = AnswerTree(tokens)
        most = model.config.max_tokens
        if most is not None and ids.shape[1] + max(map(len, tokens)) > most:
            raise ValueError(f"a prompt has {ids.shape[1]} tokens, the longest answer {max(map(len, tokens))}, and this model "
                             f"has room for {most} together: shorten the prompt")
        writing = model.prepare(ids, mask, given, chosen.with_settings({"max_new_tokens": 1, "max_length": None}), True)
        crowded = most is not None and ids.shape[1] + len(tree.tokens) > most
        if model.reads_padding or crowded or "encoder_outputs" in given:
            logs = torch.cat(list(one_by_one(model, writing, tree)))
        else:
            logs = together(model, writing, tree)
    refuse_nan(logs)
    logs = logs.clone()
    best = logs.argmax(1)
    return AllowedOutput([answers[number] for number in best.tolist()], best, logs.softmax(1), logs, list(answers))


def ids_of(answer: Any, tokenizer: Any) -> list[int]:
    if not isinstance(answer, str):
        return [int(token) for token in answer]
    if tokenizer is None:
        raise ValueError("allowed_outputs as texts need the tokenizer: generate(…, tokenizer=tokenizer)")
    return tokenizer(answer, add_special_tokens=False, split_special_tokens=True)["input_ids"]


def check(answers: Sequence[Any], tokens: list[list[int]]) -> None:
    """Raises TypeError or ValueError for answers that cannot be told apart."""
    if isinstance(answers, str) or not tokens:
        raise TypeError(f"allowed_outputs must be a list of legal answers, like ['yes', 'no'], got {answers!r}")
    for number, one in enumerate(tokens):
        if not one:
            raise ValueError(f"the legal answer {answers[number]!r} has no tokens: write at least one character")
        for other, more in enumerate(tokens):
            if other == number or more[:len(one)] != one:
                continue
            if len(more) == len(one):
                raise ValueError(f"the legal answers {answers[number]!r} and {answers[other]!r} are the same tokens for this "
                                 "model, so it cannot choose between them: leave one out, or word it differently")
            raise ValueError(f"the legal answer {answers[number]!r} is how {answers[other]!r} begins, so its probability would "
                             "contain the other's: give all answers the same ending, like a full stop or a line break, or use "
                             "numbers as answers")


def together(model: Any, writing: Any, tree: AnswerTree) -> Tensor:
    """For models that remember keys and values: the tree stands behind each prompt, and a mask says who stands before whom, so
    that one call scores all answers to many prompts. Returns (B, A)."""
    ids, device = writing.ids, writing.ids.device
    texts = list(ids) if writing.mask is None else [row[keep == 1] for row, keep in zip(ids, writing.mask, strict=True)]
    shared = min(len(commonprefix([text.tolist() for text in texts])), min(map(len, texts)) - 1) if len(texts) > 1 else 0
    shared = shared if shared >= SHARED else 0
    prefix, memory = ids.new_zeros(1, 0), None
    if shared:
        prefix = texts[0][None, :shared]
        _, memory = read(model, writing, prefix, None, None)
    nodes = torch.tensor(tree.tokens[1:], dtype=torch.long, device=device)
    depths = torch.tensor(tree.depths[1:], dtype=torch.long, device=device)
    before = tree.ancestors().to(device)
    found = writing.ids.new_zeros(len(texts), tree.count, dtype=torch.float32)
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    while order:
        size = max(1, min(BATCH[0], BATCH[1] // (len(texts[order[0]]) - shared + len(nodes))))
        rows, order = order[:size], order[size:]
        longest = len(texts[rows[0]]) - shared                                            # T
        batch = ids.new_zeros(len(rows), longest)
        keep = ids.new_zeros(len(rows), longest)
        for place, row in enumerate(rows):
            own = len(texts[row]) - shared
            batch[place, longest - own:], keep[place, longest - own:] = texts[row][shared:], 1
        positions = shared - 1 + torch.cat([keep.cumsum(1).clamp(min=1), keep.sum(1, keepdim=True) + depths], 1)
        batch = torch.cat([prefix.expand(len(rows), -1), batch, nodes.expand(len(rows), -1)], 1)
        # (B, T + N, P + T + N): the prompt without its padding is seen by all, an answer's token by those behind it
        seen = torch.cat([keep.new_ones(len(rows), shared), keep, keep.new_ones(len(rows), len(nodes))], 1)
        seen = seen[:, None].repeat(1, longest + len(nodes), 1)
        seen[:, longest:, shared + longest:] = before
        copy = None if memory is None else memory.prefix(shared, ids.new_zeros(len(rows)))
        inputs = model.next_inputs(batch, None, copy) | {"attention_mask": seen, "position_ids": positions}
        logits = model(**inputs, logits_to_keep=1 + len(nodes), return_dict=True).logits.float()
        found[rows] = tree.log_probs(logits)
    return found


def one_by_one(model: Any, writing: Any, tree: AnswerTree) -> Iterator[Tensor]:
    """For all other models, a prompt at a time: the nodes of the tree that have the same depth are computed together. Yields
    (1, A) for each prompt."""
    for row in range(len(writing.ids)):
        text, logits = writing.ids[row] if writing.mask is None else writing.ids[row, writing.mask[row] == 1], []
        for depth in range(max(tree.depths) + 1):
            paths = [tree.path(node) for node, d in enumerate(tree.depths) if d == depth]
            batch = torch.cat([text.expand(len(paths), -1), text.new_tensor(paths).view(len(paths), depth)], 1)
            given = {name: rows_of(value, row, len(writing.ids), len(paths)) for name, value in writing.given.items()}
            outputs = model(**given, **model.next_inputs(batch, None), logits_to_keep=1, return_dict=True)
            logits.append(outputs.logits[:, -1].float())
        order = torch.tensor(sorted(range(len(tree.depths)), key=lambda node: tree.depths[node])).argsort()
        yield tree.log_probs(torch.cat(logits)[order][None])


def rows_of(value: Any, row: int, batch: int, times: int) -> Any:
    """One row of an input, `times` times."""
    if hasattr(value, "last_hidden_state"):
        return type(value)(value.last_hidden_state[row:row + 1].expand(times, -1, -1))
    if isinstance(value, Tensor) and value.dim() > 1 and len(value) == batch:
        return value[row:row + 1].expand(times, *value.shape[1:])
    return value
