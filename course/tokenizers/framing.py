"""Framing: how pieces become the rows of a batch, the same for every tokenizer and both engines.

    pieces  --template-->  [CLS] pieces [SEP]  --truncation-->  at most as many as the model reads  --padding-->  a rectangle
"""

import logging
from typing import Any

import numpy as np

from course.notes import note
from course.tokenizers.encoding import Pieces, Row, whole

log = logging.getLogger(__name__)
NO_LIMIT = int(1e30)                                # model_max_length when nobody said how much the model reads
Template = list[tuple[int | str, int]]              # (id of a special token or "A" or "B", token type), …


def truncation_of(truncation: bool | str | None, max_length: int | None, padding: bool | str, reads: int,
                  verbose: bool) -> tuple[str | None, int]:
    """(strategy or None, limit); reads: how many tokens the model takes. A max_length without truncation and padding means
    truncation, as it always did."""
    max_length = None if max_length is None else whole("max_length", max_length)
    if truncation is None:
        truncation = max_length is not None and padding is False
        if truncation and verbose:
            note("max_length=%d without truncation: texts are cut as with truncation=True; say so to be clear",
                 max_length)
    strategies = ("longest_first", "only_first", "only_second")
    strategy = {True: "longest_first", False: None, "do_not_truncate": None}.get(truncation, truncation)
    if strategy is not None and strategy not in strategies:
        raise ValueError(f"truncation must be True, False or one of {', '.join(strategies)}, got {truncation!r}")
    limit = reads if max_length is None else max_length
    if strategy is not None and limit >= NO_LIMIT:
        if verbose:
            log.warning("nothing is cut: this tokenizer does not know the maximum length of its model; pass max_length=…")
        strategy = None
    return strategy, limit  # type: ignore[return-value]


def windows(a: Pieces, b: Pieces | None, template: Template, strategy: str | None, limit: int, stride: int | None, side: str,
            source: int) -> list[Row]:
    """The row, or with a stride the overlapping windows, that a text (pair) becomes under a limit of tokens;
    side: where it is cut."""
    n, m = len(a.ids), len(b.ids) if b else 0
    room = limit - (len(template) - (2 if b else 1))
    whole = {"A": (a, 0, n)} | ({"B": (b, 0, m)} if b else {})
    if strategy is None or n + m <= room:
        return [Row(template, whole, source, 0)]
    if room < (1 if b is None else 2):
        raise ValueError(f"max_length={limit} leaves no room for the text beside the "
                         f"{limit - room} special tokens: choose at least {limit - room + 1}")
    if b is None or strategy == "only_first":
        keep, name, size = room - m, "A", n
    elif strategy == "only_second":
        keep, name, size = room - n, "B", m
    elif stride is None:
        return [both_cut(a, b, template, room, side, source)]
    else:
        raise ValueError("which of the two texts shall move through the windows? With return_overflowing_tokens=True a "
                         "pair needs truncation='only_second' (or 'only_first')")
    if keep < 1:
        raise ValueError(f"truncation={strategy!r} cannot make this pair fit into max_length={limit}: the other text "
                         f"alone has {n if name == 'B' else m} tokens. Use truncation='longest_first'")
    if stride is not None and stride >= keep:
        raise ValueError(f"stride={stride} must be smaller than the {keep} tokens that fit into one window")
    rows = []
    for offset in [0] if stride is None else range(0, max(size - stride, 1), keep - stride):
        start, end = offset, min(offset + keep, size)
        if side == "left":                        # counted from the end
            start, end = size - end, size - start
        parts = whole | {name: (whole[name][0], start, end)}
        rows.append(Row(template, parts, source, 0 if stride is not None else size - keep))  # type: ignore[arg-type]
    return rows


def both_cut(a: Pieces, b: Pieces, template: Template, room: int, side: str, source: int) -> Row:
    """longest_first: the longer text gives way until both are equal, then each gets half."""
    n, m = len(a.ids), len(b.ids)
    short, long = min(n, m), max(n, m)
    if 2 * short > room:
        short, long = room // 2, room - room // 2
    else:
        long = room - short
    keep_a, keep_b = (short, long) if n <= m else (long, short)
    right = side == "right"
    parts = {"A": (a, 0 if right else n - keep_a, keep_a if right else n),
             "B": (b, 0 if right else m - keep_b, keep_b if right else m)}
    return Row(template, parts, source, n + m - room)


def padded_width(lengths: list[int], padding: bool | str, limit: int, multiple: int | None, has_pad: bool,
                 verbose: bool = True, cut: bool = False) -> int | None:
    """The length to which shorter rows are padded; None when nothing is padded. cut: no row may be longer than the limit."""
    strategy = {True: "longest", False: None, "do_not_pad": None}.get(padding, padding)
    if strategy not in (None, "longest", "max_length"):
        raise ValueError(f"padding must be True, False, 'longest' or 'max_length', got {padding!r}")
    if strategy is None:
        return None
    if not has_pad:
        raise ValueError("this tokenizer has no padding token, so texts of different length cannot share a batch. "
                         "Set one: tokenizer.pad_token = tokenizer.eos_token")
    multiple = None if multiple is None else whole("pad_to_multiple_of", multiple)
    width = max(lengths, default=0)
    if strategy == "max_length":
        width = limit
        if width >= NO_LIMIT:
            if verbose:
                log.warning("nothing is padded: this tokenizer does not know the maximum length of its model; "
                            "pass max_length=…")
            return None
    if multiple and cut and limit % multiple:
        raise ValueError(f"max_length={limit} is no multiple of pad_to_multiple_of={multiple}: rows cut to {limit} tokens "
                         f"would grow beyond that again. Choose max_length={limit - limit % multiple or multiple}")
    return width + -width % multiple if multiple else width


def columns(rows: list[Row], names: list[str], width: int | None, side: str, tensors: str | None, pad_id: int,
            pad_type: int) -> dict[str, Any]:
    """Lists per row, or padded arrays where tensors are asked for; pad_id and pad_type fill them up."""
    if side not in ("left", "right"):
        raise ValueError(f"padding_side must be 'left' or 'right', got {side!r}")
    for row in rows:
        pad = max(0, (width or 0) - len(row.ids))
        row.left, row.right = (pad, 0) if side == "left" else (0, pad)
        row.pad_type = pad_type
    full = max((row.left + len(row.ids) + row.right for row in rows), default=0)
    if tensors is not None and any(row.left + len(row.ids) + row.right < full for row in rows):
        raise ValueError(f"the texts have different lengths ({min(len(r.ids) for r in rows)} to "
                         f"{max(len(r.ids) for r in rows)} tokens), so they do not fit into one tensor: pass padding=True, "
                         "and truncation=True for long ones")
    data: dict[str, Any] = {}
    if tensors is None:
        for name in names:
            data[name] = [
                [pad_id] * row.left + row.ids + [pad_id] * row.right if name == "input_ids" else
                [0] * row.left + [1] * len(row.ids) + [0] * row.right if name == "attention_mask" else
                row.types if name == "token_type_ids" else
                row.special if name == "special_tokens_mask" else row.offsets for row in rows]
        return data
    for name in names:
        if name == "input_ids":
            array = np.full((len(rows), full), pad_id, dtype=np.int64)
            for line, row in zip(array, rows, strict=True):
                line[row.left:full - row.right] = row.ids
        elif name == "attention_mask":
            left, right = (np.array([getattr(row, side) for row in rows], dtype=np.int64)[:, None]
                           for side in ("left", "right"))
            place = np.arange(full)[None]
            array = ((place >= left) & (place < full - right)).astype(np.int64)
        elif name == "token_type_ids" and not pad_type and \
                not any(kind for row in rows[:1] for _, kind in row.layout):
            array = np.zeros((len(rows), full), dtype=np.int64)
        else:
            attribute = {"token_type_ids": "types", "special_tokens_mask": "special"}.get(name, "offsets")
            array = np.array([getattr(row, attribute) for row in rows], dtype=np.int64)
        data[name] = array
    return data
