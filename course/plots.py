"""Pictures for the lessons: drawn by matplotlib, readable without colour, each with a text that says what it shows.

Every function returns a `Picture`. As the last line of a cell it shows itself; `picture.html` goes into a widget.
"""

import base64
import html
import io
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from course.notebook import live

MOST_TOKENS = 40        # more labels than this cannot be read


class Picture:
    """A figure with its text: `alt` is read aloud by a screen reader and printed where pictures cannot be shown."""

    def __init__(self, figure: Figure, alt: str):
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")      # a token in a script that the font lacks; alt has it
            figure.savefig(file, format="png", dpi=144, bbox_inches="tight", metadata={"Software": None})
        width = int.from_bytes(file.getvalue()[16:20], "big") // 2      # two pixels a point: sharp on every screen
        self.figure, self.alt = figure, alt
        self.html = (f'<img alt="{html.escape(alt)}" width="{width}" style="max-width: 100%" '
                     f'src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">')

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.alt


def bars(labels: Sequence[str], values: Sequence[float], title: str = "", xlabel: str = "", decimals: int = 2,
         most: float | None = None) -> Picture:
    """One bar for each label, the first on top; `most` is the right end of the axis."""
    values = [float(value) for value in values]
    if len(labels) != len(values) or not values:
        raise ValueError(f"{len(labels)} labels and {len(values)} values: each bar needs one of both")
    figure = Figure(figsize=(6, 0.8 + 0.3 * len(labels)))
    axes = figure.subplots()
    axes.bar_label(axes.barh(range(len(values)), values, color="#0072b2"), fmt=f"%.{decimals}f", padding=4)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set(xlim=(0, most), xlabel=xlabel)
    axes.set_title(title, parse_math=False, loc="left")
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
    figure = Figure(figsize=(2.6 + 0.28 * len(columns), 1.6 + 0.28 * len(tokens)))
    axes = figure.subplots()
    image = axes.imshow(table, cmap="cividis", vmin=0)
    axes.set_xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    axes.set_yticks(range(len(tokens)), tokens, parse_math=False)
    axes.set(xlabel="is looked at", ylabel="looks")
    axes.set_title(title, parse_math=False, loc="left")
    figure.colorbar(image, ax=axes, label="attention", shrink=0.8)
    rows = "; ".join(f"{token} looks most at {columns[row.argmax()]} ({row.max():.2f})"
                     for token, row in zip(tokens, table, strict=True))
    return Picture(figure, f"Heat map of attention. {title} {rows}.")


class Row:
    """Pictures beside each other, below each other where the window is narrow."""

    def __init__(self, *pictures: Picture):
        self.pictures = pictures

    def _repr_html_(self) -> str:
        inside = "".join(picture.html for picture in self.pictures)
        return f'<div style="display: flex; flex-wrap: wrap; align-items: start">{inside}</div>'

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.pictures))


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
    axes.text(0, height + 0.25 + 0.45 * bool(jumps), title, fontsize=11, parse_math=False)
    left, middles = 0.0, []
    for part, width in zip(lines, widths, strict=True):
        axes.add_patch(FancyBboxPatch((left + 0.05, 0.08), width - 0.1, height - 0.16, facecolor="#eaf2f8", edgecolor="#0072b2",
                                      boxstyle="round,pad=0,rounding_size=0.08"))
        for row, text in enumerate(part):
            axes.text(left + width / 2, height - 0.32 - 0.2 * row, text, ha="center", va="center", parse_math=False,
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
    axes.text(0, 0.34 * len(rows) + 0.12, title, fontsize=11, parse_math=False)
    for number, (row, name) in enumerate(zip(rows, names, strict=True)):
        bottom = 0.34 * (len(rows) - 1 - number)
        axes.text(before - 0.1, bottom + 0.16, name, ha="right", va="center", fontsize=9, parse_math=False)
        for place, cell in enumerate(row):
            faint = cell in quiet
            axes.add_patch(Rectangle((before + width * place, bottom + 0.02), width, 0.3, hatch="///" if faint else None,
                                     facecolor="#eeeeee" if faint else "#cfe4f3", edgecolor="#bbbbbb" if faint else "white"))
            axes.text(before + width * (place + 0.5), bottom + 0.16, cell, ha="center", va="center", fontsize=8.5,
                      color="#555555" if faint else "black", parse_math=False)
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


class Panel:
    """A box to type in and the picture that `draw` makes of its text, anew with every letter.

    On paper and in a page without Python it shows the first picture. draw may return a sentence instead of a Picture.
    """

    def __init__(self, draw: Callable[[str], Any], text: str):
        import ipywidgets

        self.box, self.shown = ipywidgets.Text(text, layout={"width": "90%"}), ipywidgets.HTML()

        def show(change: Any = None) -> None:
            made = draw(self.box.value)
            self.shown.value = getattr(made, "html", html.escape(str(made)))
        self.box.observe(show, "value")
        show()
        self.widget = ipywidgets.VBox([self.box, self.shown])

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        still = f"<div>In a running notebook, a box to type in: <b>{html.escape(self.box.value)}</b></div>{self.shown.value}"
        return live(self.widget, still, f"A panel: {self.box.value}")


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
            axes.text(len(start), y, start[-1].strip() or repr(start[-1]), ha="center", va="center", parse_math=False,
                      bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "#0072b2"}, zorder=2)
    for place, row in enumerate(order):
        axes.text(len(branches[row]) + 0.6, place, f"{scores[row]:.2f}", va="center")
    axes.set(xlim=(-0.1, longest + 1.2), ylim=(len(branches) - 0.5, -0.5))
    axes.set_title(title, parse_math=False, loc="left")
    axes.axis("off")
    best = sorted(zip(scores, branches, strict=True), key=lambda pair: -pair[0])
    said = "; ".join(f"{''.join(branch).strip()} {score:.2f}" for score, branch in best)
    return Picture(figure, f"Tree. {title} {said}.")
