"""Pictures for the lessons: drawn by matplotlib, readable without colour, each with a text that says what it shows.

Every function returns a `Picture`. As the last line of a cell it shows itself; `picture.html` goes into a widget.
"""

import base64
import html
import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

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
