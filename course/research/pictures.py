"""Pictures of agreement, validation and estimates: matplotlib alone, each with a text that says the same in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from course.plots import Picture
from course.research.agreement import Report

MARKS = {"naive": ("s", "#d55e00"), "hand codes only": ("o", "#0072b2"), "corrected": ("D", "#009e73")}   # Okabe & Ito 2008


def intervals(labels: Sequence[str], values: Sequence[float], low: Sequence[float], high: Sequence[float], title: str = "",
              line: float | None = None, marks: Sequence[tuple[str, str]] | None = None) -> Picture:
    """A point and its interval for each label, the first on top; `line` is a value to compare with."""
    figure = Figure(figsize=(6, 0.9 + 0.32 * len(labels)))
    axes = figure.subplots()
    for place, (value, start, end) in enumerate(zip(values, low, high, strict=True)):
        shape, colour = marks[place] if marks else ("o", "#0072b2")
        axes.plot([start, end], [place, place], color=colour, linewidth=2)
        axes.plot([value], [place], shape, color=colour, markersize=7)
    if line is not None:
        axes.axvline(line, color="#666666", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(labels)), [str(label) for label in labels])
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    said = "; ".join(f"{label} {value:.2f} from {start:.2f} to {end:.2f}"
                     for label, value, start, end in zip(labels, values, low, high, strict=True))
    return Picture(figure, f"Points with intervals. {title} {said}.")


def agreement_plot(report: Report, by_label: bool = False) -> Picture:
    """The coefficients of agreement(), or alpha of each label against the rest."""
    table = report.by_label.dropna(subset="alpha") if by_label else report
    names, values = (table["label"], table["alpha"]) if by_label else (table["coefficient"], table["value"])
    return intervals(list(names), list(values), list(table["low"]), list(table["high"]),
                     "Alpha of each label against all others" if by_label else "Agreement", 0.0)


def confusion_plot(report: Report) -> Picture:
    """Hand codes (rows) by machine labels (columns), in shares of each row; the numbers are estimated texts of the corpus."""
    table = report.confusion
    share = table.div(table.sum(axis=1).replace(0, np.nan), axis=0).fillna(0).to_numpy()
    figure = Figure(figsize=(1.6 + 0.55 * len(table), 1.2 + 0.45 * len(table)))
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(share.shape):
        if table.iloc[row, column] > 0:
            axes.text(column, row, f"{table.iloc[row, column]:.0f}", ha="center", va="center", fontsize=8,
                      color="white" if share[row, column] > 0.5 else "black")
    axes.set_xticks(range(len(table)), table.columns, rotation=45, ha="right")
    axes.set_yticks(range(len(table)), table.index)
    axes.set(xlabel="machine", ylabel="hand")
    wrong = [(share[r, c], table.index[r], table.columns[c]) for r, c in np.ndindex(share.shape) if r != c]
    most = [f"{part:.0%} of {hand} is called {machine}" for part, hand, machine in sorted(wrong, reverse=True)[:3] if part]
    right = ", ".join(f"{name} {share[i, i]:.0%}" for i, name in enumerate(table.index))
    return Picture(figure, f"Table of hand codes by machine labels. Found again by the machine: {right}. Most frequent errors: "
                           f"{'; '.join(most) or 'none'}.")


def behind(report: Report, hand: str, machine: str, text: str = "answer") -> pd.DataFrame:
    """The texts behind one wrong cell of the confusion, those first of which the machine was surest."""
    cell = report.errors[(report.errors["gold"].astype(str) == hand) & (report.errors["label"].astype(str) == machine)]
    return cell[[c for c in ("id", text, "sure") if c in cell]].reset_index(drop=True)


def calibration_plot(report: Report) -> Picture:
    """How often the machine is right against how sure it says it is; on the diagonal a probability means what it says."""
    if getattr(report, "calibration", None) is None:
        raise ValueError("this validation has no probabilities: the machine's table needs the columns p_LABEL of annotate()")
    table = report.calibration
    figure = Figure(figsize=(4.2, 4.2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#666666", linestyle="--", linewidth=1)
    axes.plot(table["machine_says"], table["right"], "o-", color="#0072b2")
    for x, y, n in zip(table["machine_says"], table["right"], table["texts"], strict=True):
        axes.annotate(f"{n:.0f}", (x, y), textcoords="offset points", xytext=(6, -10), fontsize=8)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability that the machine gives", ylabel="share that is right")
    axes.spines[["top", "right"]].set_visible(False)
    said = "; ".join(f"{row.machine_says:.2f} is right in {row.right:.2f} of {row.texts:.0f} texts"
                     for row in table.itertuples())
    return Picture(figure, f"Calibration. A probability of {said}.")


def estimate_plot(result: Report, term: str | None = None, truth: float | None = None) -> Picture:
    """Naive, hand codes only and corrected for one term (by default the last), with their intervals."""
    rows = result[result["term"] == (term or result["term"].iloc[-1])]
    if rows.empty:
        raise ValueError(f"there is no term {term!r}; there are: {', '.join(result['term'].unique())}")
    return intervals(list(rows["method"]), list(rows["estimate"]), list(rows["low"]), list(rows["high"]), rows["term"].iloc[0],
                     truth if truth is not None else 0.0, [MARKS[m] for m in rows["method"]])


def curve_plot(paths: Report, truth: float | None = None) -> Picture:
    """A specification curve: each choice of model and words, sorted by its naive estimate, naive beside corrected."""
    keys = ["method_of_coding", "model", "style", "seed"]
    order = paths[paths["method"] == "naive"].sort_values("estimate")[keys].apply(tuple, axis=1).tolist()
    place = {key: number for number, key in enumerate(order)}
    figure = Figure(figsize=(6.5, 3.6))
    axes = figure.subplots()
    said: list[str] = []
    for shift, method in ((-0.15, "naive"), (0.15, "corrected")):
        rows = paths[paths["method"] == method]
        x = np.array([place[key] for key in rows[keys].apply(tuple, axis=1)]) + shift
        shape, colour = MARKS[method]
        axes.errorbar(x, rows["estimate"], [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]], fmt=shape,
                      color=colour, capsize=2, label=method)
        said.append(f"{method} from {rows['estimate'].min():.2f} to {rows['estimate'].max():.2f}")
    axes.axhline(0, color="#666666", linewidth=1)
    if truth is not None:
        axes.axhline(truth, color="#000000", linestyle="--", linewidth=1, label="all texts by hand")
    axes.set_xticks(range(len(order)), [short(key) for key in order], rotation=30, ha="right", fontsize=8)
    axes.set_ylabel(paths["term"].iloc[0])
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return Picture(figure, f"Estimates of {paths['term'].iloc[0]} under {len(order)} choices: {', '.join(said)}.")


def short(key: tuple[Any, ...]) -> str:
    method, _, style, seed = key
    return f"{method}, {style}" + (f", seed {seed}" if seed else "")
