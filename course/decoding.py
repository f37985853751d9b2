"""The two loops that write: search() follows one text and takes the best next token or draws one, beam_search() follows
several beginnings side by side. They know no model, only what a language model says that it is fed next (next_inputs)."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from course.generation_config import GenerationConfig
from course.nn import KeyValueCache, select_rows
from course.outputs import GenerateOutput

LOW = -1e9                                          # the score of a beam that does not count
RESERVE = 512                                       # new tokens whose room in the cache is made at once


@dataclass
class Writing:
    """What one call of generate() works with. Rows N: every prompt as often as it has texts or beams."""

    settings: GenerationConfig
    ids: Tensor                                     # (N, S)
    mask: Tensor | None                             # (N, S): 0 where there is padding; None: there is none
    given: dict[str, Any]                           # further inputs of the model, the same in each call
    functions: list[Callable[[Tensor, Tensor], Tensor]]
    room: Tensor                                    # (N,): how many tokens each text may get
    ends: Tensor                                    # the tokens that end a text
    pad: int
    times: int = 1                                  # how many rows each prompt has
    tokenizer: Any = None
    generators: list[torch.Generator] = field(default_factory=list)
    criteria: list[Callable[[Tensor, Tensor], Any]] = field(default_factory=list)        # of the caller: does a text end here?
    embeds: Tensor | None = None                    # (N, S, D): what is read in the place of the prompt's tokens
    started: float = field(default_factory=time.monotonic)

    def change(self, ids: Tensor, mask: Tensor | None, scores: Tensor) -> Tensor:
        """The scores (N, V) after all functions."""
        ids = ids if mask is None else ids.masked_fill(mask == 0, -1)
        for function in self.functions:
            changed = function(ids, scores)
            if not isinstance(changed, Tensor) or changed.shape != scores.shape:
                gave = tuple(changed.shape) if isinstance(changed, Tensor) else changed
                raise TypeError(f"the function {name_of(function)} should return scores of the shape {tuple(scores.shape)} "
                                f"and gave {gave}: does it end with return?")
            scores = changed
        return scores

    def ended(self, ids: Tensor, written: int, room: Tensor, scores: Tensor) -> Tensor:
        """(N,): which of the texts ids (N, S), whose last tokens are `written` new ones, end here. scores (N, V): by which the
        last token was chosen."""
        found = torch.isin(ids[:, -1], self.ends) | (written >= room)
        if strings := self.settings.stop_strings:
            strings = [strings] if isinstance(strings, str) else strings
            texts = self.tokenizer.batch_decode(ids[:, ids.shape[1] - written:])
            found |= ids.new_tensor([any(string in text for string in strings) for text in texts], dtype=torch.bool)
        for criterion in self.criteria:
            says = criterion(ids, scores)
            if says is None or (says := torch.as_tensor(says, device=ids.device).bool()).shape not in ((), (len(ids),)):
                raise TypeError(f"the stopping criterion {name_of(criterion)} should return True or False, or one for each of "
                                f"{len(ids)} texts, and gave {says}: does it end with return?")
            found = found | says
        if self.settings.max_time is not None and time.monotonic() - self.started > self.settings.max_time:
            found = torch.ones_like(found)
        return found


def name_of(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def read(model: Any, writing: Writing, ids: Tensor, mask: Tensor | None, memory: Any, keep: int = 1) -> tuple[Tensor, Any]:
    """One step of the model: the scores at the last `keep` places (N, keep, V), and what it remembers."""
    first = ids.shape[1] == writing.ids.shape[1]
    # every prompt stands there once for each of its texts or beams, and is read once
    times = writing.times if first and not writing.given else 1
    inputs = model.next_inputs(ids[::times], mask if mask is None else mask[::times], memory)
    if writing.embeds is not None and memory is None:
        new = model.get_input_embeddings()(ids[::times, writing.embeds.shape[1]:])
        inputs = inputs | {"input_ids": None, "inputs_embeds": torch.cat([writing.embeds[::times].to(new.dtype), new], 1)}
    outputs = model(**writing.given, **inputs, logits_to_keep=keep, return_dict=True)
    logits = outputs.logits.float()
    if not writing.settings.remove_invalid_values:
        refuse_nan(logits)
    memory = outputs.mems if hasattr(outputs, "mems") else getattr(outputs, "past_key_values", None)
    if first and isinstance(memory, KeyValueCache):
        memory.reserve(ids.shape[1] + min(int(writing.room.max()), RESERVE))
    if times > 1:
        rows = torch.arange(len(logits), device=ids.device).repeat_interleave(times)
        logits, memory = logits[rows], select_rows(memory, rows)
    return logits, memory if writing.settings.use_cache else None


def refuse_nan(scores: Tensor) -> None:
    if scores.amax().isnan():                         # NaN is larger than any number
        raise ValueError("the model's scores are not numbers (NaN), so no token can be chosen. Is the checkpoint damaged, or "
                         "the number format too narrow? float16 overflows where bfloat16 and float32 do not")


def draw(scores: Tensor, writing: Writing) -> Tensor:
    """scores (N, V) -> tokens (N,), the best ones, or drawn by chance."""
    if (scores.amax(-1) == float("-inf")).any():
        raise ValueError("the settings leave no token that could come next: bad_words_ids, suppress_tokens, "
                         "no_repeat_ngram_size or a function of your own exclude all of them")
    if not writing.settings.do_sample:
        return scores.argmax(-1)
    shares = scores.softmax(-1)
    if writing.generators:
        pairs = zip(shares, writing.generators, strict=True)
        return torch.cat([torch.multinomial(share, 1, generator=generator) for share, generator in pairs])
    return torch.multinomial(shares, 1)[:, 0]


@torch.inference_mode()
def search(model: Any, writing: Writing, found: GenerateOutput) -> Iterator[Tensor]:
    """One text for each row: yields all ids (N, S) after each token, and puts what is asked for into `found`.

    With prompt_lookup_num_tokens the model reads guesses together with the last token; as long as they are what it would have
    chosen itself, one call writes several tokens (Saxena 2023, "Prompt lookup decoding").
    """
    ids, mask, memory, written, settings = writing.ids, writing.mask, None, 0, writing.settings
    over = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    rows, logs = torch.arange(len(ids), device=ids.device), []
    while not over.all():
        guess = look_up(ids, settings) if settings.prompt_lookup_num_tokens and memory is not None else ids[:, :0]
        both = torch.cat([ids, guess], 1)
        logits, memory = read(model, writing, both, extended(mask, guess.shape[1]), memory, guess.shape[1] + 1)
        for place, step in enumerate(logits.unbind(1)):
            scores = writing.change(ids, mask, step)
            tokens = draw(scores, writing).masked_fill(over, writing.pad)
            if settings.return_dict_in_generate:
                logs.append(step.log_softmax(-1)[rows, tokens].masked_fill(over, 0.0))
                found.scores = (found.scores or ()) + (scores,) if settings.output_scores else None
                found.logits = (found.logits or ()) + (step,) if settings.output_logits else None
            ids, mask, written = torch.cat([ids, tokens[:, None]], 1), extended(mask, 1), written + 1
            over = over | writing.ended(ids, written, writing.room, scores)
            yield ids
            if over.all() or place < guess.shape[1] and tokens[0] != guess[0, place]:
                break
        if guess.shape[1]:
            memory.crop(ids.shape[1] - 1)
    found.sequences, found.log_probs = ids, torch.stack(logs, 1) if logs else None


def look_up(ids: Tensor, settings: GenerationConfig) -> Tensor:
    """What followed when the last tokens of ids (1, S) stood in the text before, (1, up to prompt_lookup_num_tokens)."""
    text, many = ids[0].tolist(), settings.prompt_lookup_num_tokens or 0
    for size in range(min(settings.max_matching_ngram_size or 2, len(text) - 1), 0, -1):
        last = text[-size:]
        for place in range(len(text) - size - 1, -1, -1):
            if text[place:place + size] == last:
                return ids[:, place + size:place + size + many]
    return ids[:, :0]


@dataclass
class Beams:
    """The beginnings that one group follows, and the best texts that have ended; K each for each of B prompts.

    A text is three tensors side by side: tokens, the row of scores that each was chosen from, its log-probability.
    """

    texts: list[Tensor]                             # (B, K, S), (B, K, W), (B, K, W)
    scores: Tensor                                  # (B, K): sums of the scores of their tokens, the best first
    ended: list[Tensor]
    ended_scores: Tensor                            # (B, K): divided by length ** length_penalty
    has_ended: Tensor                               # (B, K): whether there is such a text
    hopeful: Tensor                                 # (B, 1): whether a beginning could still become better than those
    over: Tensor                                    # (B, 1)
    origin: Tensor                                  # (B, K): the beam that each beginning goes on from

    def advance(self, scores: Tensor, logs: Tensor, rows: Tensor, room: Tensor, written: int, writing: Writing) -> None:
        """One token more. scores, logs (B, K, V): of the next token, and as the model itself sees it; rows (B, K): where they
        come from; room (B, 1)."""
        settings, (batch, beams, width) = writing.settings, scores.shape
        many = min(max(2, 1 + len(writing.ends)) * beams, beams * width)                  # enough, should the best ones end
        total = (scores + self.scores[..., None]).flatten(1)                              # (B, K * V)
        if settings.do_sample:                        # the order of drawing without putting back (Kool et al. 2019)
            places = (total - torch.empty_like(total).exponential_().log()).topk(many).indices
            best = total.gather(1, places)
        else:
            best, places = total.topk(many)                                               # (B, many)
        beam, token = places // width, places % width
        news = token, rows.gather(1, beam), logs.flatten(1).gather(1, places)
        texts = [torch.cat([take(text, beam), new[..., None]], 2) for text, new in zip(self.texts, news, strict=True)]
        hits = writing.ended(texts[0].flatten(0, 1), written, room.expand(-1, many).flatten(),
                             scores[torch.arange(batch, device=beam.device)[:, None], beam].flatten(0, 1)
                             if writing.criteria else scores).view(batch, many)
        ended_scores = best / written**settings.length_penalty
        first = torch.arange(many, device=best.device) < beams                            # the others are only a reserve
        full = self.has_ended.all(1, keepdim=True) & (settings.early_stopping is True)
        ended_scores = ended_scores + LOW * (full | ~self.hopeful | self.over | ~(hits & first))
        # beginnings to go on with
        self.scores, chosen = (best + LOW * hits).topk(beams)
        self.texts, self.origin = [take(text, chosen) for text in texts], beam.gather(1, chosen)
        # the best texts that have ended
        fill = (writing.pad, -1, 0.0)
        self.ended = [torch.cat([torch.cat([old, old.new_full((batch, beams, 1), f)], 2), new], 1)
                      for old, new, f in zip(self.ended, texts, fill, strict=True)]
        everything = torch.cat([self.ended_scores, ended_scores], 1)
        self.ended_scores, chosen = everything.topk(beams)
        self.ended = [take(text, chosen) for text in self.ended]
        self.has_ended = torch.cat([self.has_ended, hits & first], 1).gather(1, chosen)
        # can anything become better?
        length = room if settings.early_stopping == "never" and settings.length_penalty > 0 else written
        worst = torch.where(self.has_ended, self.ended_scores.amin(1, keepdim=True), LOW)
        self.hopeful = self.hopeful & (self.scores[:, :1] / length**settings.length_penalty > worst).any(1, keepdim=True)
        full = self.has_ended.all(1, keepdim=True) & (settings.early_stopping is True)
        self.over = self.over | ~self.hopeful | full | hits.all(1, keepdim=True)


@torch.inference_mode()
def beam_search(model: Any, writing: Writing) -> GenerateOutput:
    """Several beginnings of each text side by side: a token that looks poor may lead to a text that is more probable as a
    whole. Groups of beams go one after the other and avoid the tokens of those before (Vijayakumar et al. 2016)."""
    settings, ids, mask, memory, written = writing.settings, writing.ids, writing.mask, None, 0
    groups, size = settings.num_beam_groups, settings.num_beams // settings.num_beam_groups
    shape = (len(ids) // settings.num_beams, groups, size)                                # B, G, K
    number = torch.arange(len(ids), device=ids.device).view(shape)
    room, every = writing.room.view(shape)[:, 0, :1], []
    for _ in range(groups):
        running = torch.full((shape[0], size), LOW, device=ids.device)
        running[:, 0] = 0.0                           # all are equal now: the others would find the same
        text = ids.view(*shape, -1)[:, 0]
        none = torch.zeros(shape[0], 1, dtype=torch.bool, device=ids.device)
        empty = [text, text[..., :0], running[..., None][..., :0]]
        every.append(Beams(empty, running, empty, torch.full_like(running, LOW), none.expand(-1, size), ~none, none,
                           number[:, 0]))
    kept_scores: list[Tensor] = []
    kept_logits: list[Tensor] = []
    while not all(beams.over.all() for beams in every):
        logits, memory = read(model, writing, ids, mask, memory)
        logs = logits[:, -1].log_softmax(-1)
        scores, written = writing.change(ids, mask, logs), written + 1
        kept_scores += [scores] if settings.output_scores else []
        kept_logits += [logits[:, -1]] if settings.output_logits else []
        scores, logs = scores.view(*shape, -1), logs.view(*shape, -1)                     # (B, G, K, V)
        taken = torch.zeros_like(scores[:, 0, 0])                                         # (B, V): how often by earlier groups
        for group, beams in enumerate(every):
            beams.advance(scores[:, group] - settings.diversity_penalty * taken[:, None] if group else scores[:, group],
                          logs[:, group], number[:, group], room, written, writing)
            token = beams.texts[0][..., -1]
            taken = taken.scatter_add(1, token, torch.ones_like(token, dtype=taken.dtype))
        rows = torch.stack([number[:, group].gather(1, beams.origin) for group, beams in enumerate(every)], 1).flatten()
        ids, mask = torch.stack([beams.texts[0] for beams in every], 1).flatten(0, 2), extended(mask, 1)
        if not torch.equal(rows, number.flatten()):
            memory = select_rows(memory, rows, same_texts=True)
    scores, best = torch.cat([beams.ended_scores for beams in every], 1).topk(settings.num_return_sequences)
    texts, origins, logs = (take(torch.cat(parts, 1), best).flatten(0, 1)
                            for parts in zip(*(beams.ended for beams in every), strict=True))
    length = int((origins >= 0).sum(1).max())
    found = GenerateOutput(texts[:, :writing.ids.shape[1] + length])
    if settings.return_dict_in_generate:
        found.sequences_scores, found.log_probs, found.beam_indices = scores.flatten(), logs[:, :length], origins[:, :length]
        found.scores, found.logits = tuple(kept_scores) or None, tuple(kept_logits) or None
    return found


def take(x: Tensor, places: Tensor) -> Tensor:
    """x (B, K, S), places (B, N) -> (B, N, S)."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[2]))


def extended(mask: Tensor | None, places: int) -> Tensor | None:
    """mask (B, S) -> (B, S + places): what is new counts as text."""
    return mask if mask is None or places == 0 else torch.cat([mask, mask.new_ones(len(mask), places)], 1)
