"""Pictures for the lessons: drawn by matplotlib, readable without colour, each with a text that says what it shows.

Every function returns a `Picture`. As the last line of a cell it shows itself. What answers to a touch is in course.widgets.
"""

import base64
import html
import io
import re
import textwrap
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Arc, FancyBboxPatch, Rectangle
from matplotlib.text import Text
from PIL import Image

MOST_TOKENS = 40        # more labels than this cannot be read


class Picture:
    """A figure with its text: `alt` is read aloud by a screen reader and printed where pictures cannot be shown.

    A page shows it as SVG (sharp at every size, letters in the reader's own fonts), in <img>, where nothing can run. What
    prints through LaTeX takes the PNG: an output image/svg+xml would stop `nbconvert --to pdf` where there is no Inkscape.
    For a paper: picture.figure.savefig("name.svg"), .pdf or .png.
    """

    def __init__(self, figure: Figure, alt: str):
        self.figure, self.alt = figure, alt
        for text in figure.findobj(Text):
            text.set_parse_math(False)                      # $ is a currency

    @cached_property
    def html(self) -> str:
        svg = as_svg(self.figure)
        width = round(float(svg.partition('width="')[2].partition("pt")[0]))
        return (f'<img alt="{html.escape(self.alt)}" width="{width}" style="max-width: 100%" '
                f'src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}">')

    def _repr_html_(self) -> str:
        return self.html

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return as_png(image_of(self.figure)), {"alt": self.alt}

    def __repr__(self) -> str:
        return self.alt


def saved(figure: Figure, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), rc_context({"svg.fonttype": "none", "svg.hashsalt": "course"}):
        warnings.filterwarnings("ignore", "Glyph")          # a token in a script that the font lacks: readers' fonts have it
        figure.savefig(file, format=kind, bbox_inches="tight", **options)
    return file.getvalue()


def as_svg(figure: Figure) -> str:
    """The same every time, and without any address but the name of the format."""
    text = saved(figure, "svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}).decode()
    text = re.sub(r"\n\s*", "\n", text[text.index("<svg"):])
    return re.sub("[\x00-\x08\x0b-\x1f\ufffe\uffff]", "\ufffd", text)      # what XML has no place for


def image_of(figure: Figure) -> Image.Image:
    return Image.open(io.BytesIO(saved(figure, "png", dpi=144))).convert("RGB")


def as_png(image: Image.Image) -> bytes:
    """128 colours are enough for a figure, and a quarter of the size."""
    file = io.BytesIO()
    image.quantize(128, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return file.getvalue()


def bars(labels: Sequence[str], values: Sequence[float], title: str = "", xlabel: str = "", decimals: int = 2,
         most: float | None = None) -> Picture:
    """One bar for each label, the first on top; `most` is the right end of the axis."""
    values = [float(value) for value in values]
    if len(labels) != len(values) or not values:
        raise ValueError(f"{len(labels)} labels and {len(values)} values: each bar needs one of both")
    figure = Figure(figsize=(6, 0.8 + 0.3 * len(labels)))
    axes = figure.subplots()
    axes.bar_label(axes.barh(range(len(values)), values, color="#0072b2"), fmt=f"%.{decimals}f", padding=4)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlim=(0, most), xlabel=xlabel)
    axes.set_title(title, loc="left")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    alt = ", ".join(f"{label} {value:.{decimals}f}" for label, value in zip(labels, values, strict=True))
    return Picture(figure, f"Bar chart. {title} {alt}.")


def probabilities(labels: Sequence[str], scores: Sequence[float], title: str = "") -> Picture:
    """One bar for each label, the first on top; scores lie between 0 and 1."""
    return bars(labels, scores, title, "probability", most=1)


def attention(weights: Any, tokens: Sequence[str], title: str = "", looked_at: Sequence[str] | None = None) -> Picture:
    """Heat map of the attention of one head, or of a mean of heads: weights (T, S), each row sums to 1.

    Row: the token that looks; column: the token that is looked at. looked_at: the tokens of the columns where they
    are others, those of the text that a decoder reads (cross-attention).
    """
    columns = tokens if looked_at is None else looked_at
    table = np.asarray(weights.detach().float().cpu() if hasattr(weights, "detach") else weights, dtype=float)
    if table.ndim != 2:
        raise ValueError(f"attention of the shape {table.shape} is not one map: choose a layer, a text and a head, "
                         "like outputs.attentions[-1][0, 0], or take the mean over heads, attentions[-1][0].mean(0)")
    if table.shape != (len(tokens), len(columns)):
        others = f" that look at {len(columns)} others" if looked_at is not None else ""
        raise ValueError(f"the map has the shape {table.shape} and there are {len(tokens)} tokens{others}. "
                         "Were [CLS], [SEP] and padding counted? tokenizer.convert_ids_to_tokens(ids) names them all")
    if (most := max(table.shape)) > MOST_TOKENS:
        raise ValueError(f"{most} tokens make a map nobody can read: choose a text of {MOST_TOKENS} or fewer")
    rows = "; ".join(f"{token} looks most at {columns[row.argmax()]} ({row.max():.2f})"
                     for token, row in zip(tokens, table, strict=True))
    return heatmap(table, tokens, columns, title, "is looked at", "looks", "attention",
                   alt=f"Heat map of attention. {title} {rows}.")


def heatmap(table: Any, rows: Sequence[str], columns: Sequence[str], title: str = "", xlabel: str = "", ylabel: str = "",
            label: str = "", signed: bool = False, alt: str = "") -> Picture:
    """A table of numbers (rows, columns) as colours. signed: around 0, down in orange, up in violet; else from 0 up."""
    table = np.asarray(table, dtype=float)
    figure = Figure(figsize=(2.6 + 0.28 * len(columns), 1.6 + 0.28 * len(rows)))
    axes = figure.subplots()
    most = max(float(abs(table).max()), 1e-6)
    image = axes.imshow(table, cmap="PuOr" if signed else "cividis", vmin=-most if signed else 0, vmax=most,
                        interpolation="none")
    axes.set_xticks(range(len(columns)), columns, rotation=90 if max(map(len, columns)) > 2 else 0)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(textwrap.fill(title, 60), loc="left")
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    far = np.unravel_index(np.argsort(-abs(table), axis=None)[:3], table.shape)
    told = "; ".join(f"{ylabel} {rows[i]}, {xlabel} {columns[j]}: {table[i, j]:+.3f}" for i, j in zip(*far, strict=True))
    return Picture(figure, alt or f"Heat map. {title}. The largest: {told}.")


def attention_grid(weights: Any, layers: Sequence[int], heads: Sequence[int], title: str = "") -> Picture:
    """Every head of every layer as a small heat map: weights (layers, H, T, S); rows look, columns are looked at."""
    table = np.asarray(weights, dtype=float)
    high, wide = table.shape[2:]
    gap = -(-max(high, wide) // 10)
    whole = np.full((len(layers) * (high + gap) - gap, len(heads) * (wide + gap) - gap), np.nan)       # one image is drawn fast
    for row, column in np.ndindex(table.shape[:2]):
        top, left = row * (high + gap), column * (wide + gap)
        whole[top:top + high, left:left + wide] = table[row, column]
    small = 0.8 / max(high, wide)                                                                     # inches of a token
    figure = Figure(figsize=(1.8 + max(2, small * whole.shape[1]), 0.9 + small * whole.shape[0]))
    axes = figure.subplots()
    image = axes.imshow(whole, cmap="cividis", vmin=0, vmax=1, interpolation="none")
    axes.set_xticks([(wide + gap) * number + (wide - 1) / 2 for number in range(len(heads))], [str(head) for head in heads])
    axes.set_yticks([(high + gap) * number + (high - 1) / 2 for number in range(len(layers))], [str(layer) for layer in layers])
    axes.set(xlabel="head", ylabel="layer")
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    axes.xaxis.set_label_position("top")
    axes.spines[:].set_visible(False)
    axes.set_title(textwrap.shorten(title, 80), fontsize=10, loc="left")
    figure.colorbar(image, ax=axes, label="attention", shrink=min(1, 1.6 / figure.get_figheight()), pad=0.02)
    told = []
    for what, mean in (("itself", table.diagonal(axis1=2, axis2=3).mean(-1)), ("the first token", table[..., 0].mean(-1))):
        layer, head = np.unravel_index(mean.argmax(), mean.shape)
        told.append(f"A token looks most at {what} in layer {layers[layer]}, head {heads[head]}: {mean.max():.2f} on average.")
    return Picture(figure, f"Grid of {len(layers)} layers and {len(heads)} heads, each a map of attention. {title}. "
                           + " ".join(told if table.shape[2] == table.shape[3] else told[1:]))


def attention_arcs(weights: Any, tokens: Sequence[str], title: str = "") -> Picture:
    """A text with arcs between its tokens: above, looks back at an earlier token; below, ahead at a later one. weights (T, T).
    The stronger the link, the wider and darker its arc; links below a tenth of the strongest are left out."""
    table = np.asarray(weights, dtype=float)
    between = table * (1 - np.eye(len(table)))
    most = max(between.max(), 1e-6)
    shown = np.argwhere(between > most / 10)
    flat = min(1, 12 / max(2, len(tokens)))                                 # of a long text no circles but ellipses
    up, down = (max([flat * abs(i - j) / 2 + 1 for i, j in shown if (j < i) == back], default=0.6) for back in (True, False))
    figure = Figure(figsize=(max(4, 0.55 * len(tokens) + 0.5), 0.3 + 0.38 * (up + down)))
    axes = figure.add_axes((0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    for row, column in shown:
        strength, middle, radius = between[row, column] / most, (row + column) / 2, abs(row - column) / 2
        back = column < row
        axes.add_patch(Arc((middle, 0.5 if back else -0.5), 2 * radius, 2 * radius * flat,
                           theta1=0 if back else 180, theta2=180 if back else 360, linewidth=0.4 + 3 * strength,
                           color="#0072b2" if back else "#d55e00", linestyle="-" if back else "--",
                           alpha=0.15 + 0.85 * strength))
    for place, token in enumerate(tokens):
        axes.text(place, 0, token.strip(), ha="center", va="center", fontsize=9,
                  rotation=30 if max(map(len, tokens)) > 6 else 0)
    ahead, told = any(j > i for i, j in shown), "back (above, blue)" if len(shown) else "no token looks at another"
    axes.set(xlim=(-0.8, len(tokens) - 0.2), ylim=(-down, up))
    axes.axis("off")
    axes.set_title(f"{title}: {told}" + " and ahead (below, orange, dashed)" * ahead, loc="left", fontsize=10)
    links = sorted(((between[i, j], i, j) for i, j in shown), reverse=True)[:8]
    told = "; ".join(f"{tokens[i].strip()} looks at {tokens[j].strip()} ({weight:.2f})" for weight, i, j in links)
    return Picture(figure, f"Arcs of attention between tokens. {title}. {told}.")


def attention_of_a_word(weights: Any, place: int, looks: Sequence[str], seen: Sequence[str], layers: Sequence[int],
                        title: str = "") -> "Row":
    """Where one token looks, layer by layer, and, where a text looks at itself, who looks at it: weights (layers, T, S)."""
    table, names = np.asarray(weights, dtype=float), [str(layer) for layer in layers]
    word = looks[place].strip()
    pictures = [heatmap(table[:, place], names, seen, f"{title}: where it looks", f"{word} looks at", "layer", "attention")]
    if looks == seen:
        pictures.append(heatmap(table[:, :, place], names, looks, f"{title}: who looks at it", f"looks at {word}:", "layer",
                                "attention"))
    return Row(*pictures)


def before_and_after(labels: Sequence[str], before: Sequence[float], after: Sequence[float], title: str = "") -> Picture:
    """Two bars for each label: as it was (full), and as it is now (hatched)."""
    figure = Figure(figsize=(6, 1 + 0.5 * len(labels)))
    axes = figure.subplots()
    for shift, values, color, hatch, name in ((-0.2, before, "#0072b2", None, "with all heads"),
                                              (0.2, after, "#e69f00", "///", "without")):
        made = axes.barh(np.arange(len(labels)) + shift, values, 0.38, color=color, hatch=hatch, edgecolor="white", label=name)
        axes.bar_label(made, fmt="%.2f", padding=3, fontsize=9)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="probability")
    axes.set_title(textwrap.fill(title, 60), loc="left")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.02, 0.5))
    told = "; ".join(f"{label} {x:.2f} before, {y:.2f} after" for label, x, y in zip(labels, before, after, strict=True))
    return Picture(figure, f"Bar chart. {title}. {told}.")


class Row:
    """Pictures beside each other, below each other where the window is narrow."""

    def __init__(self, *pictures: Picture):
        self.pictures = pictures
        self.alt = "\n".join(picture.alt for picture in pictures)

    @property
    def html(self) -> str:
        inside = "".join(picture.html for picture in self.pictures)
        return f'<div style="display: flex; flex-wrap: wrap; align-items: start">{inside}</div>'

    def _repr_html_(self) -> str:
        return self.html

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        parts = [image_of(picture.figure) for picture in self.pictures]
        whole = Image.new("RGB", (sum(part.width for part in parts), max(part.height for part in parts)), "white")
        for number, part in enumerate(parts):
            whole.paste(part, (sum(before.width for before in parts[:number]), 0))
        return as_png(whole), {"alt": self.alt}

    def __repr__(self) -> str:
        return self.alt


# -- diagrams ----------------------------------------------------------------------------------------------------------


def flow(steps: Sequence[tuple[str, str]], title: str = "", jumps: Sequence[tuple[int, int, str]] = ()) -> Picture:
    """Boxes from left to right with arrows between them: (name, what is in it). jumps: (from, to, name) over the boxes."""
    lines = [[name, *textwrap.wrap(content, 18, break_long_words=True)] for name, content in steps]
    widths = [max(0.9, 0.085 * max(map(len, part)) + 0.25) for part in lines]
    height, gap = 0.45 + 0.2 * max(map(len, lines)), 0.4
    total = sum(widths) + gap * (len(steps) - 1)
    figure = Figure(figsize=(total, height + 0.5 + 0.45 * bool(jumps)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, total), ylim=(0, height + 0.5 + 0.45 * bool(jumps)))
    axes.axis("off")
    axes.text(0, height + 0.25 + 0.45 * bool(jumps), title, fontsize=11)
    left, middles = 0.0, []
    for part, width in zip(lines, widths, strict=True):
        axes.add_patch(FancyBboxPatch((left + 0.05, 0.08), width - 0.1, height - 0.16, facecolor="#eaf2f8", edgecolor="#0072b2",
                                      boxstyle="round,pad=0,rounding_size=0.08"))
        for row, text in enumerate(part):
            axes.text(left + width / 2, height - 0.32 - 0.2 * row, text, ha="center", va="center",
                      fontsize=10 if row == 0 else 8.5, weight="bold" if row == 0 else "normal", color="black")
        middles.append(left + width / 2)
        left += width + gap
        if len(middles) < len(steps):
            axes.annotate("", (left, height / 2), (left - gap, height / 2), arrowprops={"arrowstyle": "->", "color": "#444444"})
    for start, end, name in jumps:
        down, up = (middles[end] - 0.1, height - 0.06), height + 0.2
        axes.plot([middles[start] + 0.1] * 2 + [down[0]], [height - 0.06, up, up], color="#d55e00", linewidth=1)
        axes.annotate("", down, (down[0], up), arrowprops={"arrowstyle": "->", "color": "#d55e00", "shrinkA": 0, "shrinkB": 0})
        axes.text((middles[start] + middles[end]) / 2, up + 0.05, name, ha="center", fontsize=8.5, color="#b04a00")
    told = "; ".join(f"{name}: {content}" if content else name for name, content in steps)
    over = "".join(f" An arrow called {name} leads from {steps[start][0]} to {steps[end][0]}." for start, end, name in jumps)
    return Picture(figure, f"Diagram. {title} {told}.{over}")


def grid(rows: Sequence[Sequence[str]], names: Sequence[str], title: str = "", quiet: Sequence[str] = ()) -> Picture:
    """Rows of cells, each with a text, and the names of the rows; cells whose text is in `quiet` are hatched."""
    columns = max(map(len, rows))
    if len(rows) != len(names):
        raise ValueError(f"{len(rows)} rows and {len(names)} names: each row needs one")
    width = max(0.5, 0.09 * max(len(cell) for row in rows for cell in row) + 0.15)
    before = 0.085 * max(map(len, names)) + 0.2
    figure = Figure(figsize=(before + width * columns, 0.34 * len(rows) + 0.35))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, before + width * columns), ylim=(0, 0.34 * len(rows) + 0.35))
    axes.axis("off")
    axes.text(0, 0.34 * len(rows) + 0.12, title, fontsize=11)
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        bottom = 0.34 * (len(rows) - 1 - number)
        axes.text(before - 0.1, bottom + 0.16, name, ha="right", va="center", fontsize=9)
        for place, cell in enumerate(row):
            faint = cell in quiet
            axes.add_patch(Rectangle((before + width * place, bottom + 0.02), width, 0.3, hatch="///" if faint else None,
                                     facecolor="#eeeeee" if faint else "#cfe4f3", edgecolor="#bbbbbb" if faint else "white"))
            axes.text(before + width * (place + 0.5), bottom + 0.16, cell, ha="center", va="center", fontsize=8.5,
                      color="#555555" if faint else "black")
    told = "; ".join(f"{name}: {' '.join(row)}" for row, name in zip(rows, names, strict=True))
    return Picture(figure, f"Diagram. {title} {told}.")


class Spans:
    """A text with parts of it marked: spans are {"start": …, "end": …, "entity_group": …}, as `ner` gives them. The label
    stands behind the marked part, in words: colour alone would leave readers out."""

    def __init__(self, text: str, spans: Sequence[dict[str, Any]]):
        self.text, self.spans = text, sorted(spans, key=lambda span: span["start"])

    def pieces(self) -> list[tuple[str, str]]:
        """(part of the text, its label or '')."""
        done, parts = 0, []
        for span in self.spans:
            start = max(done, int(span["start"]))     # of what two spans share the first one has it
            end = max(start, int(span["end"]))
            parts += [(self.text[done:start], ""), (self.text[start:end], str(span.get("entity_group") or span.get("entity")))]
            done = end
        return [*parts, (self.text[done:], "")]

    def _repr_html_(self) -> str:
        mark = ('<mark style="background: #cfe4f3; color: black; padding: 1px 4px; border-radius: 4px">{} '
                '<small><b>{}</b></small></mark>')
        inside = "".join(mark.format(html.escape(part), html.escape(label)) if label else html.escape(part)
                         for part, label in self.pieces())
        return f'<p style="max-width: 46em; line-height: 2">{inside}</p>'

    def __repr__(self) -> str:
        return "".join(f"[{part} {label}]" if label else part for part, label in self.pieces())


def tree(branches: Sequence[Sequence[str]], scores: Sequence[float], title: str = "") -> Picture:
    """Texts that share their beginnings, as beam search keeps them: a branch is a list of tokens, its score is behind it."""
    if not branches or len(branches) != len(scores):
        raise ValueError(f"{len(branches)} branches and {len(scores)} scores: each branch needs one of both")
    order = sorted(range(len(branches)), key=lambda row: tuple(branches[row]))
    rows: dict[tuple[str, ...], list[int]] = {}                     # each beginning -> the branches that go through it
    for place, row in enumerate(order):
        for length in range(len(branches[row]) + 1):
            rows.setdefault(tuple(branches[row][:length]), []).append(place)
    height = {start: sum(places) / len(places) for start, places in rows.items()}
    longest = max(map(len, branches))
    figure = Figure(figsize=(1.3 + 1.15 * longest, 0.8 + 0.45 * len(branches)))
    axes = figure.subplots()
    for start, y in height.items():
        if start:
            axes.plot([len(start) - 1, len(start)], [height[start[:-1]], y], color="#999999", linewidth=1, zorder=1)
            axes.text(len(start), y, start[-1].strip() or repr(start[-1]), ha="center", va="center",
                      bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "#0072b2"}, zorder=2)
    for place, row in enumerate(order):
        axes.text(len(branches[row]) + 0.6, place, f"{scores[row]:.2f}", va="center")
    axes.set(xlim=(-0.1, longest + 1.2), ylim=(len(branches) - 0.5, -0.5))
    axes.set_title(title, loc="left")
    axes.axis("off")
    best = sorted(zip(scores, branches, strict=True), key=lambda pair: -pair[0])
    said = "; ".join(f"{''.join(branch).strip()} {score:.2f}" for score, branch in best)
    return Picture(figure, f"Tree. {title} {said}.")
