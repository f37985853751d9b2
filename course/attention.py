"""Where a model looks: `show_attention` draws the attention of each layer and head, `ablate_heads` tells what a head is for.

    show_attention(model, tokenizer, "The bank refused my loan.")                   # bertviz: every layer and head, to explore
    show_attention(model, tokenizer, text, view="model")                            # all heads at a glance
    show_attention(model, tokenizer, text, view="arcs", layers=2, heads=8)          # a picture that needs no JavaScript
    ablate_heads(classifier, tokenizer, text)                                       # the answer without each head

Layers and heads are counted from 0, as in model.layers[0]. From a model comes one `Part` (attention to itself), or three where
an encoder reads and a decoder writes. What draws is in attention_views.py and plots.py.
"""

from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course import plots
from course.attention_views import MOST_TOKENS, View, bertviz, strongest
from course.notes import progress
from course.tokenizers.byte_bpe import ByteBPETokenizer

VIEWS = ("head", "model", "neuron", "grid", "arcs", "rollout", "word")
# What bertviz's own functions take, and what does it here.
OF_BERTVIZ = {"layer": "layers=2", "include_layers": "layers=[0, 5]", "include_heads": "heads=[0, 5]",
              "display_mode": "nothing: a view takes the light or dark of its page", "sentence_b_start": "sentence_b='…'",
              "prettify_tokens": "nothing: tokens are shown without Ġ and ▁", "html_action": "show_attention(…)._repr_html_()",
              "attention": "a model and a text: show_attention computes it", "tokens": "a tokenizer and a text",
              "encoder_attention": "part='encoder'", "decoder_attention": "part='decoder'", "cross_attention": "part='cross'",
              "encoder_tokens": "text='…'", "decoder_tokens": "target='…'"}
MASKS = {"self": "head_mask", "encoder": "head_mask", "decoder": "decoder_head_mask", "cross": "cross_attn_head_mask"}


class Part(NamedTuple):
    """The maps of one kind of attention."""

    name: str                       # "self", "encoder", "decoder" or "cross"; XLNet's "content" and "query"
    weights: Tensor                 # (layers, H, T, S): each row sums to 1
    looks: list[str]                # T tokens
    seen: list[str]                 # S tokens
    b: int | None = None            # where the second sentence begins

    def cut(self, rows: list[int], columns: list[int], b: int | None) -> "Part":
        return Part(self.name, self.weights[:, :, rows][..., columns], [self.looks[i] for i in rows],
                    [self.seen[i] for i in columns], b)


def show_attention(model: Any, tokenizer: Any, text: str, sentence_b: str | None = None, view: str = "head", *,
                   layers: int | Sequence[int] | None = None, heads: int | Sequence[int] | None = None, part: str | None = None,
                   word: str | int | None = None, target: str | None = None, start: int = 0, inline: bool = False,
                   **inputs: Any) -> View:
    """Where the tokens of a text look.

    view: "head" (layers to choose, heads to switch on and off), "model" (all at once), "neuron" (queries times keys) are
    bertviz, drawn in a frame of their own (inline=True: in the page); "grid" (all heads, small), "arcs" (one map, or a mean),
    "rollout" (through all layers, Abnar and Zuidema 2020), "word" (from and to `word`) are pictures. layers, heads: numbers
    from 0, None for all. part: "encoder", "decoder" or "cross" of models with both; target: what the decoder has written, None
    for what it writes itself. start: the first token that is shown of a long text. inputs: more for the model, like mems.
    Raises TypeError, ValueError or IndexError, with the cure.
    """
    for name in sorted(OF_BERTVIZ.keys() & inputs):
        raise TypeError(f"{name}= is bertviz's own: here write {OF_BERTVIZ[name]}")
    if view not in VIEWS:
        raise ValueError(f"there is no view {view!r}: choose {', '.join(VIEWS)}")
    encoding, options = encode(model, tokenizer, text, sentence_b, target, inputs)
    output = run(model, encoding, output_attentions=True, **options)
    parts = read(model, tokenizer, encoding, options, output)
    names = [one.name for one in parts]
    if part is None and view not in ("head", "model"):
        part = names[-1] if view in ("grid", "word") else names[0]
    if part is not None and part not in names:
        raise ValueError(f"this model has no part {part!r}, it has {', '.join(names)}")
    parts = [one for one in parts if part in (None, one.name)]
    first = parts[0].weights
    chosen_layers = numbers("layer", layers, min(len(one.weights) for one in parts))
    chosen_heads = numbers("head", heads, first.shape[1])
    told = [f"The model reads at most {encoding['input_ids'].shape[1]} tokens: the rest of the text was cut."] \
        if encoding.cut and max(encoding.cut) else []
    if (most := max(len(one.weights) for one in parts)) > min(len(one.weights) for one in parts):
        deep = next(one.name for one in parts if len(one.weights) == most)
        told.append(f"Shown are the layers that all parts have; part={deep!r} shows its {most} layers.")
    full = parts
    parts = [window(one, start, told) for one in parts]
    what = f"{type(model).__name__}: {text}" + (f" | {sentence_b}" if sentence_b else "")
    if view in ("head", "model", "neuron"):
        vectors = neurons(model, encoding, options, full[0], parts[0], start) if view == "neuron" else None
        one = parts[-1]
        chosen = one.weights[chosen_layers][:, chosen_heads]
        still = plots.attention_grid(chosen, chosen_layers, chosen_heads, what) if view == "model" else plots.attention(
            chosen[0].mean(0), one.looks, said(chosen_layers[:1], chosen_heads, first, one.name), one.seen)
        return bertviz(view, parts, chosen_layers, chosen_heads, heads is not None, vectors, still, what, told, inline)
    weights = parts[0].weights[chosen_layers][:, chosen_heads]
    looks, seen = parts[0].looks, parts[0].seen
    picture: plots.Picture | plots.Row
    which = said(chosen_layers, chosen_heads, first, parts[0].name)
    if view == "grid":
        picture = plots.attention_grid(weights, chosen_layers, chosen_heads, what)
    elif view == "word":
        found = place(encoding, word, parts[0], text, start)
        title = f"{looks[found].strip()!r}, {which.replace(f'{len(chosen_layers)} layers and ', '')}"
        picture = plots.attention_of_a_word(weights.mean(1), found, looks, seen, chosen_layers, title)
    elif parts[0].name == "cross" or first.shape[2] != first.shape[3]:
        raise ValueError(f"view={view!r} joins the tokens of one text, and here the tokens of one look at those of another"
                         + (": choose part='encoder' or 'decoder'" if len(names) == 3 else ": choose view='grid' or 'word'"))
    elif view == "arcs":
        picture = plots.attention_arcs(weights.mean((0, 1)), looks, which)
    else:
        whole = rollout(full[0].weights[chosen_layers][:, chosen_heads])
        rows = kept(full[0], start)
        picture = plots.attention(whole[rows][:, rows], looks, f"Attention rolled out over {which.removeprefix('mean of ')}")
    return View(picture, what, told, strongest(parts, chosen_layers, chosen_heads))


def rollout(weights: Tensor) -> Tensor:
    """Attention through all layers, (layers, H, T, T) -> (T, T): how much of each input token may have reached each place.

    Half of a layer is the mean of its heads, half is what the residual connection carries on (Abnar and Zuidema 2020,
    https://arxiv.org/abs/2005.00928, section 3). Rows sum to 1.
    """
    result = torch.eye(weights.shape[-1], dtype=weights.dtype)
    for layer in weights.mean(1):
        result = (layer + torch.eye(len(layer), dtype=layer.dtype)) / 2 @ result
    return result


# -- what a head does ----------------------------------------------------------------------------------------------------------


def ablate_heads(model: Any, tokenizer: Any, text: str, sentence_b: str | None = None, *,
                 heads: Sequence[tuple[int, int]] | None = None, part: str = "self", target: str | None = None,
                 **inputs: Any) -> View:
    """What the answer would be without a head: its attention is set to 0, and the model predicts again.

    heads: [(layer, head), …], counted from 0, switched off together, which gives the answers before and after; None: each head
    alone, which gives a map of what changes. The answer is a label, the token in the gap or the next one, with its probability.
    part: "encoder", "decoder" or "cross" of models with both. view.table has the numbers.
    """
    encoding, options = encode(model, tokenizer, text, sentence_b, target, inputs)
    if "decoder_input_ids" in options:
        part = "encoder" if part == "self" else part
        if target is None and "decoder_input_ids" not in inputs and hasattr(model, "lm_head"):
            options["decoder_input_ids"] = options["decoder_input_ids"][:, :1]                # the answer is its first token
    mask_name = MASKS.get(part)
    count, width = shape_of(model, encoding, options, part, mask_name)
    names, before = answers(model, tokenizer, encoding, run(model, encoding, **options))
    best = int(before.argmax())
    what = f"{type(model).__name__}: {text}" + (f" | {sentence_b}" if sentence_b else "")

    def without(off: Sequence[tuple[int, int]]) -> Tensor:
        mask = torch.ones(count, width, device=encoding["input_ids"].device)
        for layer, head in off:
            mask[layer, head] = 0
        return answers(model, tokenizer, encoding, run(model, encoding, **options, **{mask_name: mask}))[1]

    if heads is not None:
        pairs = [(numbers("layer", layer, count)[0], numbers("head", head, width)[0]) for layer, head in as_pairs(heads)]
        after = without(pairs)
        top = (before + after).topk(min(5, len(before))).indices.tolist()
        off = ", ".join(f"layer {layer} head {head}" for layer, head in pairs)
        picture = plots.before_and_after([names(i) for i in top], before[top].tolist(), after[top].tolist(), f"Without {off}")
        table = [{"answer": names(i), "with all heads": round(before[i].item(), 4), "without": round(after[i].item(), 4)}
                 for i in top]
    else:
        every = [(layer, head) for layer in range(count) for head in range(width)]
        change = torch.tensor([float(without([one])[best] - before[best]) for one in
                               progress(every, desc="heads", unit="head", delay=2, leave=False)]).view(count, width)
        picture = plots.heatmap(
            change, [str(i) for i in range(count)], [str(i) for i in range(width)], xlabel="head", ylabel="layer", signed=True,
            label="change of its probability", title=f"{names(best)!r} ({before[best]:.2f}) without one head")
        table = [{"layer": layer, "head": head, "change": round(change[layer, head].item(), 4)} for layer, head in
                 sorted(every, key=lambda one: -abs(change[one].item()))]
    return View(picture, what, [], table)


def answers(model: Any, tokenizer: Any, encoding: Any, output: Any) -> tuple[Any, Tensor]:
    """The probabilities (N,) of what the model can say, and a function that gives the name of number i."""
    logits = output["start_logits"] if "start_logits" in output else output["logits"] if "logits" in output else None
    if logits is None:
        raise TypeError(f"{type(model).__name__} predicts nothing: ablate_heads needs a model with a head, "
                        "AutoModelForSequenceClassification, AutoModelForMaskedLM or AutoModelForCausalLM")
    labels = getattr(model.config, "id2label", {})
    tokens = encoding.tokens()
    if "start_logits" in output:
        return (lambda i: f"the answer begins at {tokens[i]}"), logits[0].float().softmax(-1).cpu()
    if logits.dim() == 2:
        if logits.shape[1] == 1:
            return (lambda i: "the score"), logits[0].float().cpu()
        several = model.config.problem_type == "multi_label_classification"
        return labels.__getitem__, (logits[0].float().sigmoid() if several else logits[0].float().softmax(-1)).cpu()
    if logits.shape[-1] != model.config.vocab_size:
        sure = logits[0].float().softmax(-1)                                                  # (T, L)
        return (lambda i: f"{labels[i % sure.shape[1]]} at {tokens[i // sure.shape[1]]}"), sure.flatten().cpu()
    ids = encoding["input_ids"][0].tolist()
    gap = ids.index(tokenizer.mask_token_id) if tokenizer.mask_token_id in ids and logits.shape[1] == len(ids) else -1
    chances = logits[0, gap].float().softmax(-1).cpu()
    return (lambda i: tokenizer.decode([i]).strip() or tokenizer.convert_ids_to_tokens(i)), chances


def shape_of(model: Any, encoding: Any, options: dict[str, Any], part: str, mask_name: str | None) -> tuple[int, int]:
    """(layers, heads) of a part, for a mask."""
    config = model.config
    both = "decoder_input_ids" in options
    if mask_name is None or both == (part == "self"):
        raise ValueError(f"part={part!r}: choose 'encoder', 'decoder' or 'cross' for a model with both, else 'self'")
    if mask_name not in signature(model.base_model.forward).parameters:
        raise TypeError(f"{type(model).__name__} does not take {mask_name}: its heads cannot be switched off")
    output = run(model, encoding, output_attentions=True, **options)
    maps = output["attentions" if part == "self" else f"{part}_attentions"]
    return len(maps), getattr(config, "num_attention_heads", None) or maps[0].shape[1]


def as_pairs(heads: Any) -> list[tuple[int, int]]:
    pairs = [heads] if isinstance(heads, tuple) and len(heads) == 2 and all(isinstance(n, int) for n in heads) else list(heads)
    if not pairs or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise TypeError(f"heads is a list of pairs (layer, head), like [(0, 3), (2, 8)]; got {heads!r}")
    return [(pair[0], pair[1]) for pair in pairs]


# -- from a text to maps -------------------------------------------------------------------------------------------------------


def encode(model: Any, tokenizer: Any, text: Any, sentence_b: Any, target: Any, inputs: dict[str, Any]) -> tuple[Any, dict]:
    """What the model reads, and the rest of its inputs; for a decoder beside an encoder the tokens that it has written."""
    if not hasattr(model, "config") or not callable(tokenizer):
        raise TypeError(f"give a model and its tokenizer, not {type(model).__name__} and {type(tokenizer).__name__}; of a "
                        "pipeline they are pipe.model and pipe.tokenizer")
    for name, value in (("text", text), ("sentence_b", sentence_b), ("target", target)):
        if not isinstance(value, str) and not (value is None and name != "text"):
            raise TypeError(f"{name} must be one text, got {type(value).__name__}" + (
                ": choose one of them, texts[0]" if isinstance(value, (list, tuple)) else ""))
    most = getattr(model.config, "max_tokens", None)
    device = next(model.parameters()).device
    encoding = tokenizer(text, sentence_b, return_tensors="pt", truncation=True,
                         max_length=min(most or 10**6, tokenizer.model_max_length)).to(device)
    if not encoding["input_ids"].shape[1]:
        raise ValueError("the text has no tokens: there is nothing to look at")
    options = dict(inputs)
    if getattr(model.config, "is_encoder_decoder", False) and "decoder_input_ids" not in options:
        first = torch.tensor([[model.config.decoder_start_token_id]], device=device)
        if target is not None:
            wanted = tokenizer(target, return_tensors="pt")["input_ids"].to(device)
            options["decoder_input_ids"] = torch.cat([first, wanted[:, :-1]], 1)
        elif hasattr(model, "lm_head") and hasattr(model, "generate"):
            written = model.generate(**encoding, max_new_tokens=MOST_TOKENS, num_beams=1, do_sample=False)
            options["decoder_input_ids"] = written[:, :-1] if written.shape[1] > 2 else written
        else:                                                     # a body, or a classifier: it reads its own text once more
            options["decoder_input_ids"] = torch.cat([first, encoding["input_ids"][:, :-1]], 1)
    elif target is not None and "decoder_input_ids" not in options:
        raise ValueError(f"target is what a decoder writes beside an encoder, and {type(model).__name__} has no such pair")
    return encoding, options


def run(model: Any, encoding: Any, **options: Any) -> Any:
    """The model's output, without dropout."""
    known = signature(model.base_model.forward if hasattr(model, "base_model") else model.forward).parameters
    given = {name: value for name, value in encoding.items() if name in known}
    training = model.training
    try:
        with torch.inference_mode():
            return model.eval()(**given, **options)
    finally:
        model.train(training)


def read(model: Any, tokenizer: Any, encoding: Any, options: dict[str, Any], output: Any) -> list[Part]:
    """The maps of an output, with the tokens that belong to them."""
    tokens = [readable(tokenizer, token) for token in encoding.tokens()]
    sides = encoding.sequence_ids()
    b = sides.index(1) if 1 in sides else None
    missing = ValueError(f"{type(model).__name__} returned no attentions" + (
        ": load it with attn_implementation='eager'" if not type(model).__module__.startswith("course.") else ""))
    if "decoder_input_ids" in options:
        ids = options["decoder_input_ids"][0].tolist()
        written = [readable(tokenizer, token) for token in tokenizer.convert_ids_to_tokens(ids)]
        names = (("encoder", tokens, tokens), ("decoder", written, written), ("cross", written, tokens))
        if not all(output.get(f"{name}_attentions") for name, _, _ in names):
            raise missing
        return [Part(name, stack(output[f"{name}_attentions"], looks, seen), looks, seen, b if name == "encoder" else None)
                for name, looks, seen in names]
    maps = output.get("attentions") if hasattr(output, "get") else None
    if not maps:
        raise missing
    if isinstance(maps[0], (tuple, list)):                        # XLNet: what is there, and the places to be guessed
        places = options["target_mapping"][0].sum(0).nonzero().flatten().tolist()
        guessed = [f"guess: {tokens[i].strip()}" for i in places]
        memory = maps[0][0].shape[3] - len(tokens)
        seen = [f"memory {i - memory}" for i in range(memory)] + tokens
        return [Part("content", stack([m[0] for m in maps], tokens, seen), tokens, seen, b if not memory else None),
                Part("query", stack([m[1][:, :, places] for m in maps], guessed, seen), guessed, seen)]
    if model.config.model_type == "reformer":
        maps = [unchunked(model, number, one, len(tokens)) for number, one in enumerate(maps)]
    memory = maps[0].shape[3] - len(tokens)                       # Transformer-XL and XLNet: tokens of the segment before
    seen = [f"memory {i - memory}" for i in range(memory)] + tokens
    return [Part("self", stack(maps, tokens, seen), tokens, seen, b if not memory else None)]


def stack(maps: Sequence[Tensor], looks: list[str], seen: list[str]) -> Tensor:
    """One (1, H, T, S) per layer -> (layers, H, T, S)."""
    for number, one in enumerate(maps):
        if one.dim() != 4 or one.shape[2:] != (len(looks), len(seen)):
            raise ValueError(f"layer {number} returned attention of the shape {tuple(one.shape)}, and {len(looks)} tokens look "
                             f"at {len(seen)}: do model and tokenizer belong together?")
    return torch.cat(list(maps)).float().cpu()


def unchunked(model: Any, number: int, weights: Tensor, length: int) -> Tensor:
    """A map of Reformer -> (1, H, T, T): what chunks (1, H, C, c, S) see of themselves and their neighbours, in its place."""
    if weights.dim() == 4:
        return weights[:, :, :length, :length]
    config = model.config
    if config.attn_layers[number] == "lsh":
        raise ValueError(f"layer {number} of this Reformer sorts {length} tokens into buckets, and its map does not say which "
                         f"is which: a text of at most {config.lsh_attn_chunk_length} tokens is not sorted")
    _, heads, chunks, chunk, _ = weights.shape
    whole = torch.zeros(1, heads, chunks * chunk, chunks * chunk, dtype=weights.dtype, device=weights.device)
    neighbours = range(-config.local_num_chunks_before, config.local_num_chunks_after + 1)
    for here in range(chunks):
        for turn, step in enumerate(neighbours):
            there = (here + step) % chunks
            whole[:, :, here * chunk:(here + 1) * chunk, there * chunk:(there + 1) * chunk] += \
                weights[:, :, here, :, turn * chunk:(turn + 1) * chunk]
    return whole[:, :, :length, :length]


def readable(tokenizer: Any, token: str) -> str:
    """A token as text: spaces for Ġ and ▁, letters for bytes."""
    if isinstance(tokenizer, ByteBPETokenizer) and token not in tokenizer.all_special_tokens:
        token = tokenizer.convert_tokens_to_string([token]) or token
    return token.replace("▁", " ").replace("</w>", "")


# -- choices ------------------------------------------------------------------------------------------------------------


def numbers(what: str, chosen: Any, count: int) -> list[int]:
    """Numbers from 0, or from the end where negative. Raises IndexError for one that is not there."""
    if chosen is None:
        return list(range(count))
    found = list(chosen) if isinstance(chosen, (list, tuple, range)) else [chosen]
    if not found:
        raise ValueError(f"{what}s=[] chooses nothing: leave it out for all {count}")
    for one in found:
        if isinstance(one, bool) or not isinstance(one, int):
            raise TypeError(f"{what}s are whole numbers from 0 to {count - 1}, got {one!r}")
        if not -count <= one < count:
            raise IndexError(f"there is no {what} {one}: this model has {count}, numbered from 0 to {count - 1}")
    return [one % count for one in found]


def kept(part: Part, start: int) -> list[int]:
    """The tokens of a readable window."""
    count, b = len(part.looks), part.b
    if count <= MOST_TOKENS:
        return list(range(count))
    if b is not None:                                             # something of both sentences
        of_a = min(b, max(MOST_TOKENS - (count - b), MOST_TOKENS // 2))
        return [*range(of_a), *range(b, min(count, b + MOST_TOKENS - of_a))]
    if not 0 <= start < count:
        raise IndexError(f"start={start}: the text has the tokens 0 to {count - 1}")
    return list(range(min(start, count - MOST_TOKENS), min(start, count - MOST_TOKENS) + MOST_TOKENS))


def window(part: Part, start: int, told: list[str]) -> Part:
    """A part cut to what can be read; adds to `told` what was left out."""
    rows = kept(part, start)
    if part.looks == part.seen:
        columns = rows
    else:                                                         # memory: its end; another text: its beginning
        memory = len(part.seen) - len(part.looks) if part.name in ("self", "content") else 0
        columns = list(range(max(0, memory - 8), memory)) + [memory + i for i in rows] if memory else \
            list(range(min(len(part.seen), MOST_TOKENS)))
    small = part.cut(rows, columns, sum(i < part.b for i in rows) if part.b is not None else None)
    if len(rows) < len(part.looks) or len(columns) < len(part.seen):
        share = 1 - small.weights.sum(-1).mean().item()
        told.append(f"{part.name if part.name != 'self' else 'text'}: {len(rows)} of {len(part.looks)} tokens are shown"
                    + (f" (from number {rows[0]})" if rows[0] else "") + f"; {share:.0%} of their attention goes to tokens "
                    "that are not. start=… moves the window.")
    return small


def said(layers: list[int], heads: list[int], weights: Tensor, name: str) -> str:
    """'layer 2, head 8', 'layer 2, mean of 12 heads', 'mean of 6 layers and 12 heads'."""
    one_layer, one_head = len(layers) == 1, len(heads) == 1
    where = f"layer {layers[0]}, " if one_layer else f"mean of {len(layers)} layers and "
    who = f"head {heads[0]}" if one_head else f"{'mean of ' * one_layer}{len(heads)} heads"
    return ("" if name == "self" else f"{name}, ") + where + who


def place(encoding: Any, word: Any, part: Part, text: str, start: int) -> int:
    """The row of a word in what is shown."""
    shown = [token.strip() for token in part.looks]
    if isinstance(word, int) and not isinstance(word, bool):
        if not 0 <= word < len(shown):
            raise IndexError(f"word={word}: the tokens shown have the numbers 0 to {len(shown) - 1}")
        return word
    if not isinstance(word, str):
        raise TypeError(f"view='word' needs word=…, one of {', '.join(shown)}, or its number")
    lower = [token.lower() for token in shown]
    if word.strip().lower() in lower:
        return lower.index(word.strip().lower())
    if part.name in ("self", "encoder", "content"):               # a word of several tokens: its first
        at = text.lower().find(word.strip().lower())
        token = encoding.char_to_token(at) if at >= 0 else None
        rows = kept(Part(part.name, part.weights, encoding.tokens(), encoding.tokens(), part.b), start)
        if token in rows:
            return rows.index(token)
        if token is not None and part.b is None:
            raise ValueError(f"{word!r} is token {token}, and {len(rows)} tokens are shown: "
                             f"start={max(0, token - 10)} shows it")
    raise ValueError(f"{word!r} is not among the tokens shown: {', '.join(shown)}")


def neurons(model: Any, encoding: Any, options: dict[str, Any], full: Part, small: Part, start: int) -> tuple[Tensor, Tensor]:
    """Queries and keys (layers, H, T, d) each, if their products are what the attention is made of."""
    caught: list[tuple[Tensor, Tensor]] = []
    parts = [layer.attention for layer in getattr(model.base_model, "layers", ())
             if hasattr(getattr(layer, "attention", None), "q")]
    refusal = ValueError(f"view='neuron' shows queries times keys, and the attention of {type(model).__name__} is made of more "
                         "(positions, or two texts): choose view='head'")
    if len(parts) != len(full.weights) or full.looks != full.seen:
        raise refusal
    pairs: list[dict[str, Tensor]] = [{} for _ in parts]
    hooks = [getattr(attention, name).register_forward_hook(lambda _, given, result, n=n, name=name:
                                                            pairs[n].update({name: result}))
             for n, attention in enumerate(parts) for name in ("q", "k")]
    try:
        run(model, encoding, output_attentions=True, **options)
    finally:
        for hook in hooks:
            hook.remove()
    rows = kept(full, start)
    for attention, pair, weights in zip(parts, pairs, full.weights, strict=True):
        if len(pair) < 2:
            raise refusal
        q, k = (attention.split(pair[name])[0].float().cpu() for name in ("q", "k"))          # (H, T, d)
        hidden = weights == 0
        if q.shape != k.shape or not torch.allclose((q @ k.mT * attention.scale).masked_fill(hidden, float("-inf")).softmax(-1),
                                                    weights, atol=1e-3):
            raise refusal
        caught.append((q[:, rows], k[:, rows]))
    return torch.stack([q for q, _ in caught]), torch.stack([k for _, k in caught])
