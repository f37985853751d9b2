"""tokenizer.json: the one file in which the Rust library describes a whole tokenizer, part by part.

    normalizer: how a text is prepared · pre_tokenizer: cut into words · model: the words into pieces, with their numbers
    post_processor: framed by special tokens · decoder: pieces become a text again · added_tokens: found before all this

A class here knows which parts are its own. Where a file has others, the Rust engine takes the whole file in place of what the
class would build; the Python engine, which is written for the class alone, refuses the part by name. No part is ignored.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from course import hub
from course.tokenizers.special import as_token

PLAIN_MODEL = {"dropout": (None, 0), "continuing_subword_prefix": (None, ""), "end_of_word_suffix": (None, "")}


def read(path: Path) -> dict[str, Any]:
    """The contents of a tokenizer.json; ValueError when there is no model in it."""
    content = hub.read_json(path)
    model = content.get("model")
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(model, dict) and "type" not in model:       # files of 2020
        model["type"] = "BPE" if "merges" in model else "Unigram" if isinstance(vocab, list) else "WordPiece"
    pairs = isinstance(vocab, list) and all(isinstance(one, list) and len(one) == 2 for one in vocab)
    table = isinstance(vocab, dict) and all(type(number) is int for number in vocab.values())
    if not table and not (pairs and model["type"] == "Unigram"):
        raise ValueError(f"{path} has no vocabulary (model.vocab: pieces with their numbers); is it damaged?")
    if model["type"] == "BPE" and not isinstance(model.get("merges"), list):
        raise ValueError(f"{path} holds a BPE tokenizer without merges; is it damaged?")
    return content


def vocab_of(content: dict[str, Any]) -> dict[str, int]:
    """The vocabulary, of whatever model."""
    vocab = content["model"]["vocab"]
    return vocab if isinstance(vocab, dict) else {piece: number for number, (piece, _) in enumerate(vocab)}


def added_tokens(content: dict[str, Any]) -> dict[int, AddedToken]:
    """The added tokens by id."""
    try:
        return {int(token["id"]): as_token(token) for token in content.get("added_tokens") or []}  # type: ignore[misc]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError("the added_tokens of tokenizer.json are damaged: each needs its content and an id") from None


def read_frame(step: dict[str, Any] | None) -> dict[str, Any]:
    """The post_processor -> templates such as {"single": "<s>:0 A:0", "pair": …}, where it has some, and trims_offsets.
    ValueError for a kind that is not known."""
    match step:
        case None:
            return {}
        case {"type": "Sequence", "processors": steps}:
            return {key: frame for inner in steps for key, frame in read_frame(inner).items()}
        case {"type": "TemplateProcessing"}:
            return {key: " ".join(f"{item['id']}:{item['type_id']}" for place in step[key] for item in place.values())
                    for key in ("single", "pair")}
        case {"type": "BertProcessing", "cls": [cls, _], "sep": [sep, _]}:
            return {"single": f"{cls}:0 A:0 {sep}:0", "pair": f"{cls}:0 A:0 {sep}:0 B:1 {sep}:1"}
        case {"type": "RobertaProcessing", "cls": [cls, _], "sep": [sep, _]}:
            return {"single": f"{cls}:0 A:0 {sep}:0", "pair": f"{cls}:0 A:0 {sep}:0 {sep}:0 B:0 {sep}:0",
                    "trims_offsets": step.get("trim_offsets", True)}
        case {"type": "ByteLevel"}:
            return {"trims_offsets": step.get("trim_offsets", True)}
    raise ValueError(f"course does not know how tokenizer.json frames texts (post_processor: {str(step)[:120]})")


def fits(value: Any, pattern: Any) -> bool:
    """Whether a part is as expected: a dict has these entries (others do not count, missing ones are the usual), a list these
    items (or, after ..., any number of such items), a tuple names alternatives."""
    if isinstance(pattern, tuple):
        return any(fits(value, one) for one in pattern)
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(fits(value[key], one) for key, one in pattern.items() if key in value) and \
            ("type" not in pattern or "type" in value)
    if isinstance(pattern, list) and pattern[0] is ...:
        return isinstance(value, list) and all(fits(one, pattern[1]) for one in value)
    if isinstance(pattern, list):
        return isinstance(value, list) and len(value) == len(pattern) and all(map(fits, value, pattern))
    return value == pattern


def unexpected(content: dict[str, Any], expected: dict[str, Any]) -> str:
    """The first part that does not fit, like 'normalizer: {"type": "NFC"}'; "" when all fit."""
    for part, pattern in expected.items():
        if not fits(content.get(part), pattern):
            shown = {k: v for k, v in content["model"].items() if k not in ("vocab", "merges")} if part == "model" else \
                content.get(part)
            return f"{part}: {json.dumps(shown, ensure_ascii=False)[:160]}"
    return ""


def skeleton(**parts: dict[str, Any] | None) -> Tokenizer:
    """A Rust tokenizer with these parts of a tokenizer.json; an empty BPE model where none is among them."""
    empty = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}, "merges": []}}
    try:
        return Tokenizer.from_str(json.dumps(empty | parts))
    except Exception as error:                            # the Rust library raises nothing more particular
        raise ValueError(f"the {' or '.join(parts)} of tokenizer.json cannot be read ({error}). Is the file damaged, or newer "
                         "than the installed library? pip install -U tokenizers") from None
