"""Token explorer: type a text and see the pieces that tokenizers cut it into."""

import html
import re
from typing import Any

from course.widgets.base import CHIP, CHIPS, HATCHED, Explorer, line, typed

MOST = 2_000                                          # letters of a text that are shown


def token_explorer(*tokenizers: Any, text: str = "Unhappiness is rarely caused by the weather.", **named: Any) -> "Tokens":
    """Pieces and ids of a text for one tokenizer or several: names ("pocket/sentiment") or tokenizers, ours=tokenizer to call
    one by another name."""
    from course import AutoTokenizer
    if not tokenizers and not named:
        tokenizers = ("pocket/sentiment", "pocket/generator", "pocket/translator")
    loaded: dict[str, Any] = {}
    for given in tokenizers:
        found = AutoTokenizer.from_pretrained(given) if isinstance(given, str) else given
        name = given if isinstance(given, str) else type(found).__name__
        loaded[name if name not in loaded else f"{name} ({len(loaded) + 1})"] = found
    return Tokens(loaded | named, text)


class Tokens(Explorer):
    """values: text."""

    def __init__(self, tokenizers: dict[str, Any], text: str):
        self.tokenizers = tokenizers
        super().__init__(text=text)

    def controls(self, w: Any) -> dict[str, Any]:
        return {"text": typed(w, self.values["text"])}

    def draw(self) -> str:
        text = self.values["text"][:MOST]
        parts = []
        for name, tokenizer in self.tokenizers.items():
            words = pieces(tokenizer, text)
            shown = "".join(f'<span style="display: inline-block; margin: 2px 6px 2px 0; padding-bottom: 2px; '
                            f'border-bottom: 3px solid {"transparent" if special else "#888888"}">'
                            f'{"".join(map(chip, group))}</span>' for special, group in words)
            parts.append(f'<div style="margin-top: 8px"><b>{html.escape(name)}</b> · {html.escape(counted(words, text))}'
                         f'</div><div style="line-height: 1.3">{shown}</div>')
        more = " Only the beginning of the text is shown." if len(self.values["text"]) > MOST else ""
        return "".join(parts) + line("A line runs under each word of the text, a box is a token, its id stands below. ␣ and ↵ "
                                     "are blanks and line breaks that are tokens; grey boxes stand for no letters." + more)

    def say(self) -> str:
        text = self.values["text"][:MOST]
        return "\n".join(f"{name}: " + " ".join("|".join(shown for shown, *_ in group) for _, group in words)
                         + f"  ({counted(words, text)})"
                         for name, words in ((name, pieces(t, text)) for name, t in self.tokenizers.items()))


Piece = tuple[str, int, str, bool, int]               # what is shown, id, token of the vocabulary, grey, colour


def pieces(tokenizer: Any, text: str) -> list[tuple[bool, list[Piece]]]:
    """The tokens of a text in groups, one for each word between blanks: (whether it is a special token, pieces)."""
    encoding = tokenizer(text, split_special_tokens=True, truncation=False, verbose=False)
    row = encoding[0] if text else None
    if row is None:
        return []
    groups: list[tuple[bool, list[Piece]]] = []
    last = -1
    for number, (i, token, (start, end), special) in enumerate(
            zip(row.ids, row.tokens, row.offsets, row.special_tokens_mask, strict=True)):
        if special:
            groups.append((True, [(token, i, token, True, 0)]))
            continue
        source, shown = text[start:end], tokenizer.convert_tokens_to_string([token])
        if token == tokenizer.unk_token:
            shown = f"{token} = {source.strip()}"
        elif "\N{REPLACEMENT CHARACTER}" in shown:    # a part of a letter that is several bytes long
            shown = f"{source.strip()} (byte)"
        elif shown.strip():
            shown = shown.strip().removeprefix("##").removesuffix("@@")
        else:
            shown = (shown or " ").replace("\n", "↵").replace(" ", "␣")
        word = len(re.findall(r"\s+", text[:end - len(source.lstrip())].lstrip()))
        new = not groups or groups[-1][0] or word != last
        piece = (shown, i, token, token == tokenizer.unk_token, number)
        if new:
            groups.append((False, [piece]))
        else:
            groups[-1][1].append(piece)
        last = word
    return groups


def chip(piece: Piece) -> str:
    shown, i, token, grey, number = piece
    background = HATCHED if grey else CHIPS[number % len(CHIPS)]
    return (f'<span title="{html.escape(token)}, id {i}" style="{CHIP}; background: {background}; text-align: center">'
            f'{html.escape(shown)}<br><small style="color: #444">{i}</small></span>')


def counted(words: list[tuple[bool, list[Piece]]], text: str) -> str:
    tokens, special = (sum(len(group) for is_special, group in words if is_special == wanted) for wanted in (False, True))
    many = len(text.split())
    return (f"{tokens} tokens for {many} words" + (f", {tokens / many:.2f} a word" if many else "")
            + (f", and {special} special" if special else ""))
