"""Embedding map: texts as points, close to each other where their vectors are (PCA); hover or choose to read them."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from course.widgets.base import Explorer, line, short, slider

MOST = 500
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#f0e442")   # Okabe & Ito 2008
WIDTH, HEIGHT, EDGE = 560, 360, 14


def embedding_map(vectors: Any, texts: Sequence[str], labels: Sequence[Any] | None = None) -> "EmbeddingMap":
    """Points in the plane of the two main directions of the vectors (texts, D); labels give colours and shapes."""
    table = np.asarray(vectors.detach().float().cpu() if hasattr(vectors, "detach") else vectors, dtype=float)
    texts = [str(text) for text in texts]
    if table.ndim != 2 or len(table) != len(texts):
        raise ValueError(f"vectors of the shape {table.shape} and {len(texts)} texts: each text needs one vector, as "
                         "pipeline('feature-extraction', pooling='mean')(texts) gives them")
    if not 3 <= len(texts) <= MOST:
        raise ValueError(f"a map needs 3 to {MOST} texts, got {len(texts)}")
    if labels is not None and len(labels) != len(texts):
        raise ValueError(f"{len(texts)} texts and {len(labels)} labels: each text needs one of both")
    if not np.isfinite(table).all():
        raise ValueError("the vectors hold numbers that are none (NaN or infinity)")
    return EmbeddingMap(table, texts, [""] * len(texts) if labels is None else [str(label) for label in labels])


def plane(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) -> places (N, 2) along the two main directions, and the share of the variance of each (PCA).

    Nothing is drawn by chance; the sign of a direction, which is free, is that of its largest weight.
    """
    centred = table - table.mean(0)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    many = min(2, len(sizes))
    signs = np.sign(right[np.arange(many), np.abs(right[:many]).argmax(1)])
    places = np.zeros((len(table), 2))
    places[:, :many] = left[:, :many] * sizes[:many] * np.where(signs == 0, 1, signs)
    shares = np.zeros(2)
    shares[:many] = sizes[:many]**2 / max((sizes**2).sum(), 1e-12)
    return places, shares


class EmbeddingMap(Explorer):
    """values: text, the number of the chosen one."""

    def __init__(self, table: np.ndarray, texts: list[str], labels: list[str]):
        self.texts, self.labels, self.kinds = texts, labels, sorted(set(labels))
        self.places, self.shares = plane(table)
        lengths = np.linalg.norm(table, axis=1, keepdims=True)
        self.unit = table / np.where(lengths == 0, 1, lengths)
        low, span = self.places.min(0), np.ptp(self.places, axis=0)
        self.spots = (self.places - low) / np.where(span == 0, 1, span) * [WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE] + EDGE
        self.points = "".join(self.point(number) for number in range(len(texts)))      # the same whatever is chosen
        super().__init__(text=0)

    def controls(self, w: Any) -> dict[str, Any]:
        return {"text": slider(w, "text", 0, 0, len(self.texts) - 1)}

    def point(self, number: int) -> str:
        x, y = self.spots[number]
        kind = self.kinds.index(self.labels[number])
        colour = COLOURS[kind % len(COLOURS)]
        said = html.escape(f"{self.labels[number]}: {self.texts[number]}".removeprefix(": "))
        return (f'<path d="{mark(kind, x, y)}" fill="{colour}" stroke="white" stroke-width="0.7"><title>{said}</title></path>')

    def nearest(self) -> list[tuple[float, int]]:
        """(cosine, number) of the three texts whose vectors are closest, in all directions and not only the two shown."""
        close = self.unit @ self.unit[self.values["text"]]
        return [(float(close[n]), int(n)) for n in np.argsort(-close, kind="stable") if n != self.values["text"]][:3]

    def draw(self) -> str:
        chosen, near = self.values["text"], self.nearest()
        x, y = self.spots[chosen]
        lines = "".join(f'<line x1="{x:.0f}" y1="{y:.0f}" x2="{self.spots[n][0]:.0f}" y2="{self.spots[n][1]:.0f}" '
                        'stroke="#888888"/>' for _, n in near)
        ring = f'<circle cx="{x:.0f}" cy="{y:.0f}" r="9" fill="none" stroke="black" stroke-width="2"/>'
        legend = "".join(
            f'<span style="margin-right: 14px"><svg width="14" height="14" aria-hidden="true"><path d="{mark(i, 7, 7)}" '
            f'fill="{COLOURS[i % len(COLOURS)]}"/></svg> {html.escape(kind)}</span>'
            for i, kind in enumerate(self.kinds) if kind)
        items = "".join(f"<li>{html.escape(short(self.texts[n], 200))} ({close:.2f})</li>" for close, n in near)
        return (f"<div>{legend}</div>"
                f'<svg role="img" aria-label="{html.escape(self.summary())}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                f'style="max-width: 100%; background: white; border: 1px solid #8888">{lines}{self.points}{ring}</svg>'
                f"<div><b>{html.escape(short(self.texts[chosen], 300))}</b></div><div>Nearest, by cosine:</div><ol>{items}</ol>"
                + line(f"The two directions hold {self.shares.sum():.0%} of the variance; the lines lead to the nearest texts "
                       "in all directions, which need not be the nearest here. A point shows its text under the mouse."))

    def summary(self) -> str:
        counted = ", ".join(f"{self.labels.count(kind)} {kind}".strip() for kind in self.kinds)
        return f"Map of {len(self.texts)} texts ({counted}) along the two main directions of their vectors."

    def say(self) -> str:
        near = "; ".join(f"{self.texts[n]} ({close:.2f})" for close, n in self.nearest())
        return f"{self.summary()} Nearest to {self.texts[self.values['text']]}: {near}."


def mark(kind: int, x: float, y: float) -> str:
    """A circle, a square, a triangle or a diamond: who sees no colours sees shapes."""
    return (f"M{x - 5:.1f},{y:.1f}a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z", f"M{x - 4.5:.1f},{y - 4.5:.1f}h9v9h-9z",
            f"M{x:.1f},{y - 5.5:.1f}l5.5,10h-11z", f"M{x:.1f},{y - 6:.1f}l6,6l-6,6l-6,-6z")[(kind + kind // len(COLOURS)) % 4]
