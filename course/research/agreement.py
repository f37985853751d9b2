"""How far coders agree, and how sure that is.

All coefficients start from one table of counts: how many coders gave unit i the label k (n_ik). Codes that are missing are
left out, not the units that miss one. Intervals come from resampling what was drawn: the units, or clusters of them
(respondents who gave several answers).

Sources: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"; Cohen 1960; Fleiss 1971 and Fleiss, Cohen & Everitt
1969 (standard error of kappa); Gwet 2008 (AC1).
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

LEVELS = ("nominal", "ordinal", "interval", "ratio")


class Report(pd.DataFrame):
    """A table with further tables as attributes, which survive slicing."""

    _metadata = ["pairs", "by_label", "advice", "confusion", "calibration", "by_group", "errors", "record", "notes"]

    @property
    def _constructor(self) -> type:
        return Report


def coefficient(frame: pd.DataFrame, coders: Sequence[str], level: str = "nominal",
                labels: Sequence[Any] | None = None) -> dict[str, float]:
    """percent, Cohen's kappa (two coders), Fleiss' kappa, Krippendorff's alpha and Gwet's AC1 of these columns, without
    intervals. level: how labels are compared: nominal, ordinal (in the order of `labels`), interval or ratio (numbers)."""
    labels, codes = numbered(frame, coders, level, labels)
    return {name: float(value[0]) for name, value in
            all_coefficients(codes, labels, level, np.ones((1, len(codes)))).items()}


def alpha(frame: pd.DataFrame, coders: Sequence[str], level: str = "nominal", labels: Sequence[Any] | None = None) -> float:
    """Krippendorff's alpha: 1 - observed / expected disagreement; 0 is what chance gives, and below 0 is worse than that."""
    return coefficient(frame, coders, level, labels)["alpha"]


def agreement(frame: pd.DataFrame, coders: Sequence[str], level: str = "nominal", labels: Sequence[Any] | None = None, *,
              cluster: str | None = None, resamples: int = 2000, confidence: float = 0.95, seed: int = 0) -> Report:
    """A row for each coefficient: value, low, high, units, coders, pairs.

    frame: a row a unit, a column a coder. cluster: the column of what was drawn when that is not the unit (respondents).
    labels: the legal ones, in their order; a code that is not among them raises ValueError.
    `.pairs`: every two coders; `.by_label`: agreement on one label against all others; `.advice`: what to know about these
    figures, as sentences.
    """
    labels, codes = numbered(frame, coders, level, labels)
    weights = resampled(frame[cluster] if cluster else None, len(codes), resamples, seed)
    table = intervals(codes, labels, level, weights, confidence)
    usable = (codes >= 0).sum(1)
    table["units"], table["coders"] = int((usable > 1).sum()), len(coders)
    table["pairs"] = int((usable * (usable - 1) // 2).sum())
    table.loc[table["coefficient"] == "percent", "level"] = "nominal"
    report = Report(table.fillna({"level": level}))
    pairs = []
    for first, second in combinations(range(len(coders)), 2):
        two = codes[:, [first, second]]
        if (both := int((two >= 0).all(1).sum())):
            row = {"coder": coders[first], "other": coders[second], "units": both}
            for entry in intervals(two, labels, level, weights, confidence).itertuples():
                if entry.coefficient in ("percent", "kappa", "alpha"):
                    row |= {entry.coefficient: entry.value, f"{entry.coefficient}_low": entry.low,
                            f"{entry.coefficient}_high": entry.high}
            pairs.append(row)
    report.pairs = pd.DataFrame(pairs)
    rows = []
    for number, label in enumerate(labels):
        binary = np.where(codes < 0, -1, codes == number)
        alone = intervals(binary, [0, 1], "nominal", weights, confidence).set_index("coefficient")
        rows.append({"label": label, "share": float((codes[codes >= 0] == number).mean()),
                     "alpha": alone.value["alpha"], "low": alone.low["alpha"], "high": alone.high["alpha"]})
    report.by_label = pd.DataFrame(rows)
    report.advice = advice(report, codes, labels, frame[cluster].nunique() if cluster else None)
    return report


def numbered(frame: pd.DataFrame, coders: Sequence[str], level: str, labels: Sequence[Any] | None
             ) -> tuple[list[Any], np.ndarray]:
    """The labels in their order, and each code as the number of its label, -1 where there is none: (units, coders)."""
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    if isinstance(coders, str) or len(coders) < 2:
        raise ValueError("agreement needs the columns of at least two coders, agreement(table, ['anna', 'ben'])")
    if missing := [c for c in coders if c not in frame]:
        raise KeyError(f"there is no column {missing[0]!r}; the table has: {', '.join(map(str, frame.columns))}")
    if len(set(coders)) < len(coders):
        raise ValueError(f"a coder is named twice: {', '.join(coders)}. A column agrees with itself perfectly")
    values = frame[list(coders)]
    found = pd.unique(values.to_numpy(dtype=object).ravel())
    found = [value for value in found if not pd.isna(value)]
    if labels is None:
        if level == "ordinal" and any(isinstance(v, str) for v in found):
            raise ValueError("ordinal labels need their order: labels=['negative', 'mixed', 'positive'] (a codebook has it)")
        labels = sorted(found, key=lambda v: (isinstance(v, str), v))
    labels = list(labels)
    if unknown := [value for value in found if value not in labels]:
        raise ValueError(f"{unknown[0]!r} is not in the codebook, whose labels are {', '.join(map(str, labels))}. "
                         "Mend the code, add the label, or make it missing")
    if level in ("interval", "ratio"):
        try:
            labels = [float(value) for value in labels]
        except (TypeError, ValueError):
            raise ValueError(f"level={level!r} needs numbers as labels, got {labels[0]!r}") from None
        values = values.apply(pd.to_numeric)
    place = {label: number for number, label in enumerate(labels)}
    codes = np.array([[place[v] if not pd.isna(v) else -1 for v in row] for row in values.to_numpy(dtype=object)], int)
    codes = codes.reshape(len(frame), len(coders))
    if not ((codes >= 0).sum(1) > 1).any():
        raise ValueError(f"no unit was coded by two of {', '.join(coders)}: there is nothing to compare")
    return labels, codes


def resampled(clusters: pd.Series | None, units: int, resamples: int, seed: int) -> np.ndarray:
    """How often each unit is in each resample: (resamples + 1, units); the first row is the data itself."""
    random = np.random.default_rng(seed)
    if clusters is None:
        inside, number = np.arange(units), units
    else:
        if clusters.isna().any():
            raise ValueError(f"the cluster {clusters.name!r} is missing in {int(clusters.isna().sum())} rows")
        inside, names = pd.factorize(clusters)
        number = len(names)
    draws = random.multinomial(number, np.full(number, 1 / number), resamples)
    return np.vstack([np.ones(units), draws[:, inside]])


def all_coefficients(codes: np.ndarray, labels: Sequence[Any], level: str, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Each coefficient for each row of weights: codes (units, coders), weights (B, units) -> (B,)."""
    size = len(labels)
    counts = (codes[:, :, None] == np.arange(size)).sum(1).astype(float)                       # (units, K): n_ik
    coded = counts.sum(1)
    several = coded > 1
    with np.errstate(invalid="ignore", divide="ignore"):
        agreeing = np.where(several, (counts * (counts - 1)).sum(1) / (coded * (coded - 1)), 0.0)
        percent = weights @ agreeing / (weights @ several)
        shares = np.nan_to_num(counts / coded[:, None])
        shares = weights @ shares / (weights @ (coded > 0))[:, None]                           # (B, K)
        chance = (shares**2).sum(1)
        by_chance = (shares * (1 - shares)).sum(1) / max(1, size - 1)
        found = {"percent": percent}
        if codes.shape[1] == 2:
            both = (codes >= 0).all(1)
            cells = np.zeros((len(codes), size * size))
            cells[np.flatnonzero(both), codes[both, 0] * size + codes[both, 1]] = 1
            table = (weights @ cells).reshape(-1, size, size)
            table = table / table.sum((1, 2), keepdims=True)
            cost = kappa_costs(size, {"nominal": None}.get(level, "quadratic"),
                               labels if level in ("interval", "ratio") else None)
            expected = table.sum(2)[:, :, None] * table.sum(1)[:, None]
            found["kappa"] = 1 - (table * cost).sum((1, 2)) / (expected * cost).sum((1, 2))
        found["fleiss"] = (percent - chance) / (1 - chance)
        pairable = counts * several[:, None]
        together = pairable[:, :, None] * pairable[:, None]                                    # (units, K, K)
        together = together / np.maximum(coded - 1, 1)[:, None, None]
        observed = (weights @ together.reshape(len(counts), -1)).reshape(-1, size, size)
        totals = weights @ pairable                                                            # (B, K): n_k
        cost = alpha_costs(totals, labels, level)
        expected = (totals[:, :, None] * totals[:, None] * cost).sum((1, 2)) / (totals.sum(1) - 1)
        found["alpha"] = 1 - (observed * cost).sum((1, 2)) / expected
        found["ac1"] = (percent - by_chance) / (1 - by_chance)
    for name in ("kappa", "fleiss", "alpha"):           # one label everywhere: no disagreement is possible, none is there
        if name in found:
            found[name] = np.where(np.isnan(found[name]) & (percent == 1), 1.0, found[name])
    return found


def alpha_costs(totals: np.ndarray, labels: Sequence[Any], level: str) -> np.ndarray:
    """How far two labels are from each other, squared: (1 or B, K, K). Ordinal: the codes that lie between them."""
    size = totals.shape[1]
    if level == "nominal":
        return 1.0 - np.eye(size)[None]
    if level == "ordinal":
        middle = totals.cumsum(1) - totals / 2
        return (middle[:, :, None] - middle[:, None]) ** 2
    values = np.asarray(labels, float)
    apart = values[:, None] - values
    if level == "ratio":
        both = np.abs(values[:, None] + values)
        apart = np.divide(apart, both, out=np.zeros_like(apart), where=both > 0)
    return apart[None] ** 2


def kappa_costs(size: int, weights: str | None, values: Sequence[float] | None = None) -> np.ndarray:
    """The cost of each disagreement in Cohen's kappa, (K, K): all alike, or growing with the distance of the labels."""
    steps = np.arange(size, dtype=float) if values is None else np.asarray(values, float)
    apart = np.abs(steps[:, None] - steps)
    return (apart > 0).astype(float) if weights is None else apart if weights == "linear" else apart**2


def kappa(table: Any, weights: str | None = None) -> tuple[float, float]:
    """Cohen's kappa of a table of counts, first coder by second (K, K), and its large-sample standard error.
    weights: None, "linear" or "quadratic" for ordered labels."""
    p = np.asarray(table, float)
    if p.ndim != 2 or p.shape[0] != p.shape[1] or not p.sum() > 0 or (p < 0).any():
        raise ValueError(f"kappa needs a square table of counts, got the shape {p.shape}")
    total = p.sum()
    p = p / total
    cost = kappa_costs(len(p), weights)
    w = 1 - cost / max(cost.max(), 1)
    rows, columns = p.sum(1), p.sum(0)
    by_chance = (w * np.outer(rows, columns)).sum()
    if by_chance == 1:
        return 1.0, 0.0
    value = ((w * p).sum() - by_chance) / (1 - by_chance)
    marginal = (w @ columns)[:, None] + rows @ w
    variance = (p * (w - marginal * (1 - value)) ** 2).sum() - (value - by_chance * (1 - value)) ** 2
    return float(value), float(np.sqrt(max(variance, 0) / total) / (1 - by_chance))


def intervals(codes: np.ndarray, labels: Sequence[Any], level: str, weights: np.ndarray, confidence: float) -> pd.DataFrame:
    """A row a coefficient: its value (from the first row of weights) and the percentile interval of all others."""
    blocks = np.array_split(weights, max(1, int(weights.size // 4_000_000)))                   # some MB at a time
    parts = [all_coefficients(codes, labels, level, block) for block in blocks]
    rows = []
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts])
        rest = values[1:][~np.isnan(values[1:])]
        low, high = np.quantile(rest, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(rest) else (np.nan, np.nan)
        rows.append({"coefficient": name, "value": values[0], "low": low, "high": high})
    return pd.DataFrame(rows)


def advice(report: Report, codes: np.ndarray, labels: Sequence[Any], clusters: int | None) -> list[str]:
    """What to know about these figures before they are printed."""
    value = dict(zip(report["coefficient"], report["value"], strict=True))
    units = int(report["units"].iloc[0])
    several = codes[(codes >= 0).sum(1) > 1]
    differ = sum(len(set(row[row >= 0])) > 1 for row in several)
    used = len(set(several[several >= 0]))
    said: list[str] = []
    if used == 1:
        said.append("All codes are the same label. No coefficient can tell agreement from a codebook that divides nothing; "
                    "kappa and alpha are set to 1.")
    elif differ == 0:
        said.append("The coders never differ. Were these units easy, or did the coders see each other's codes?")
    elif differ < 10:
        said.append(f"There are only {differ} disagreements; the interval leans on them. Code more units.")
    if used > 1 and value["percent"] >= 0.8 and value["alpha"] < 0.4 and value["ac1"] > 0.6:
        said.append(f"Percent agreement is {value['percent']:.2f} and alpha {value['alpha']:.2f}: nearly all codes are one "
                    "label, so chance alone would agree as often (the kappa paradox). Look at .by_label, and code more units "
                    "of the rare labels; a high percentage is no evidence that they are told apart.")
    drawn = units if clusters is None else min(units, clusters)
    if drawn < 50:
        said.append(f"Only {drawn} {'units' if clusters is None else 'clusters'} were drawn: with fewer than 50, and one label "
                    "dominating, a 95 % interval covers the truth in about 80 % of samples.")
    left_out = int(((codes >= 0).sum(1) < 2).sum())
    if left_out:
        said.append(f"{left_out} units were coded by fewer than two coders and say nothing about agreement.")
    return said


def counts(first: Iterable[Any], second: Iterable[Any], labels: Sequence[Any] | None = None) -> pd.DataFrame:
    """How often each label of the first met each of the second, where both are there: a table with labels on both sides."""
    pair = pd.DataFrame({"first": list(first), "second": list(second)}, dtype=object).dropna()
    labels = list(labels) if labels is not None else sorted(set(pair["first"]) | set(pair["second"]), key=str)
    return pd.crosstab(pair["first"], pair["second"]).reindex(index=labels, columns=labels, fill_value=0)
