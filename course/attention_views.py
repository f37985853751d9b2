"""What a view of attention is on a page: bertviz's drawing in a frame of its own; a still picture in its place where no script
runs (GitHub, a notebook that is not trusted, a PDF); beside both a table of the strongest links, for screen readers.

bertviz (Vig 2019, https://arxiv.org/abs/1906.05714) draws. course/assets/ holds its scripts with all they need, made by
recipes/bertviz/build.py, so that nothing is loaded: an <iframe srcdoc> works in JupyterLab, Notebook 7, slides, static pages.
"""

import html
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from course.plots import Picture, Row

ASSETS = Path(__file__).parent / "assets"
MOST_TOKENS = 25                # more cannot be read
MOST_NUMBERS = 150_000          # in one view: about half a megabyte in the notebook
SCALE = 1000                    # three decimals, sent as whole numbers
CAUTION = ("Attention is not explanation: a head that looks at a word need not use it. "
           "ablate_heads shows what a head does to the answer.")
STYLE = """.attention-view { color: #202020; font-family: 'Helvetica Neue', Helvetica, Arial, sans-serif }
.attention-view.dark { color: #e0e0e0 }
.attention-view text { fill: currentColor }
.attention-view rect.background { fill: #8886 }
.attention-view select { color: inherit; background: transparent; border: 1px solid #888 }
.attention-view option { color: black; background: white }
.attention-view rect[role=button]:focus { outline: 2px solid currentColor; outline-offset: 1px }"""
# Where a page is cleaned of frames and scripts it loses this line as well, and the still picture is seen.
LIVE = "<style>.attention-still { display: none }</style>"
# The page may run what stands in it, and ask nobody for anything.
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"><title>{title}</title><style>
body {{ margin: 2px }}
{style}</style></head><body>{body}</body></html>"""


class View:
    """A picture of attention. As the last line of a cell it shows itself. `table`: what it says as rows of numbers; `picture`:
    the still one; `live`: HTML of what moves, if anything does."""

    def __init__(self, picture: Picture | Row, what: str, told: Sequence[str], table: list[dict[str, Any]]):
        self.picture, self.what, self.told, self.table, self.alt, self.live = picture, what, list(told), table, picture.alt, ""

    def _repr_html_(self) -> str:
        told = "".join(f"<div>{html.escape(line)}</div>" for line in self.told)
        shown = self.picture.html
        if self.live:
            shown = f'{LIVE}{self.live}<div class="attention-still">{shown}</div>'
        return (f'<div>{shown}<div style="font-size: 90%; max-width: 60em">{told}{CAUTION}'
                f"<details><summary>The same as a table</summary>{as_html(self.table[:12])}</details></div></div>")

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return self.picture._repr_png_()

    def __repr__(self) -> str:
        return "\n".join([self.alt, *self.told, CAUTION])


def sentence(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())


def as_html(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>no rows</p>"
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row.values()) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def strongest(parts: Sequence[Any], layers: Sequence[int], heads: Sequence[int], most: int = 12) -> list[dict[str, Any]]:
    """The strongest links between different tokens, one for each layer, head and token that looks."""
    found = []
    for part in parts:
        weights = part.weights[list(layers)][:, list(heads)].clone()
        if part.looks == part.seen:
            weights.diagonal(dim1=2, dim2=3).zero_()
        best = weights.max(-1)
        for place in best.values.flatten().topk(min(most, best.values.numel())).indices.tolist():
            layer, rest = divmod(place, weights.shape[1] * weights.shape[2])
            head, row = divmod(rest, weights.shape[2])
            column = int(best.indices[layer, head, row])
            found.append({**({"part": part.name} if part.name != "self" else {}), "layer": layers[layer], "head": heads[head],
                          "token": part.looks[row].strip(), "looks at": part.seen[column].strip(),
                          "attention": round(best.values[layer, head, row].item(), 3)})
    return sorted(found, key=lambda row: -row["attention"])[:most]


# -- bertviz -------------------------------------------------------------------------------------------------------------------


def bertviz(view: str, parts: Sequence[Any], layers: list[int], heads: list[int], some_heads: bool,
            vectors: tuple[Tensor, Tensor] | None, still: Picture, what: str, told: list[str], inline: bool) -> View:
    """The head view, the model view or the neuron view of bertviz."""
    shown = [layer for layer in layers if layer < min(len(part.weights) for part in parts)]
    sizes = [part.weights[0].numel() + (4 * vectors[0][0].numel() if vectors else 0) for part in parts]
    fits = max(1, MOST_NUMBERS // sum(size * (2 if part.b else 1) for size, part in zip(sizes, parts, strict=True)))
    if len(shown) > fits:                                                           # 2: of a pair, all and each sentence alone
        told = [*told, f"Of {len(parts[0].weights)} layers {', '.join(map(str, shown[:fits]))} are shown: layers=[…] chooses."]
        shown = shown[:fits]
    count = len(parts[0].looks) if len(parts) == 1 else max(len(side) for part in parts for side in (part.looks, part.seen))
    if view == "neuron":
        params, body, height = neuron_view(parts[0], shown, heads, vectors)
    elif view == "model":
        params, body, height = model_view(parts, shown, heads, count)
    else:
        params, body, height = head_view(parts, shown, heads, some_heads, count)
    links = View(still, what, told, strongest(parts, shown, heads))
    links.alt = f"Attention. {what}. " + "; ".join(map(sentence, links.table[:3]))
    name = "attention-" + (uuid.uuid4().hex if inline else "view")
    page = (f'<div id="{name}"></div><script>{(ASSETS / f"{view}.js").read_text(encoding="utf-8")}\n'
            f"attentionView.show({as_script(name)}, {as_script(body)}, {as_script(params)});</script>")
    if inline:
        links.live = f"<style>{STYLE}</style>{page}"
    else:                                             # a frame of another color-scheme than its page gets a white ground
        document = PAGE.format(title=html.escape(what), style=STYLE, body=page)
        style = f"width: 100%; height: {height}px; border: 0; color-scheme: light"
        links.live = (f'<iframe title="{html.escape(links.alt)}" style="{style}" '
                      f'srcdoc="{html.escape(document)}"></iframe>')
    return links


def as_script(value: Any) -> str:
    """JSON that is also safe inside <script>."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def rounded(weights: Tensor) -> list:
    return (weights.double() * SCALE).round().int().tolist()


def pieces(parts: Sequence[Any]) -> list[tuple[str | None, Any, slice, slice]]:
    """(name, part, rows, columns) of what a reader can choose among."""
    every = slice(None)
    if len(parts) > 1:
        return [(part.name.capitalize(), part, every, every) for part in parts]
    part = parts[0]
    if part.b is None:
        return [(None, part, every, every)]
    a, b = slice(0, part.b), slice(part.b, None)
    return [("All", part, every, every), *((f"Sentence {x} -> Sentence {y}", part, rows, columns) for x, y, rows, columns in (
        ("A", "A", a, a), ("B", "B", b, b), ("A", "B", a, b), ("B", "A", b, a)))]


def choice(names: Sequence[str | None], keys: Sequence[Any] = range(5)) -> str:
    options = "".join(f'<option value="{key}">{name}</option>' for key, name in zip(keys, names, strict=False))
    return f' Attention: <select id="filter" data-name="Attention">{options}</select>' if len(names) > 1 else ""


def data(parts: Sequence[Any], layers: list[int], heads: list[int] | None) -> list[dict[str, Any]]:
    return [{"name": name, "left_text": part.looks[rows], "right_text": part.seen[columns],
             "attn": rounded((part.weights[layers] if heads is None else part.weights[layers][:, heads])[:, :, rows, columns])}
            for name, part, rows, columns in pieces(parts)]


def head_view(parts: Sequence[Any], layers: list[int], heads: list[int], some: bool, count: int) -> tuple[dict, str, int]:
    params = {"attention": data(parts, layers, None), "scale": SCALE, "default_filter": "0", "layer": layers[0],
              "heads": heads if some else None, "include_layers": layers}
    body = (f'<span>Layer: <select id="layer" data-name="Layer"></select>{choice([one[0] for one in pieces(parts)])}</span>'
            '<div id="vis"></div>')
    return params, body, round(count * 22.5 + 70)


def model_view(parts: Sequence[Any], layers: list[int], heads: list[int], count: int) -> tuple[dict, str, int]:
    total = parts[0].weights.shape[1]
    params = {"attention": data(parts, layers, heads), "scale": SCALE, "default_filter": "0", "include_layers": layers,
              "include_heads": heads, "total_heads": total, "width": 970}
    body = f'<span>{choice([one[0] for one in pieces(parts)])}</span><div id="vis"></div>'
    return params, body, round(max(len(layers) * (count * 84 / total + 10), count * 18 + 60) + 80)


def neuron_view(part: Any, layers: list[int], heads: list[int], vectors: tuple[Tensor, Tensor]) -> tuple[dict, str, int]:
    names, every = ["all", "aa", "bb", "ab", "ba"], pieces([part])
    q, k = (rounded_part[layers][:, heads] for rounded_part in vectors)
    attention = {key: one | {"queries": rounded(q[:, :, rows]), "keys": rounded(k[:, :, columns])}
                 for key, one, (_, _, rows, columns) in zip(names, data([part], layers, heads), every, strict=False)}
    causal = bool((part.weights[0].triu(1) == 0).all())
    params = {"attention": attention, "scale": SCALE, "default_filter": "all", "bidirectional": not causal, "layer": 0,
              "head": 0, "names": {"layer": layers, "att_head": heads}, "width": 980}
    chosen = choice([one[0] for one in every], names)
    body = ('<span>Layer: <select id="layer" data-name="Layer"></select> Head: <select id="att_head" data-name="Head"></select>'
            f'{chosen}</span><div id="vis"></div>')
    return params, body, len(part.looks) * 26 + 150
