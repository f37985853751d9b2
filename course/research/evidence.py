"""What may be claimed: a sample with known probabilities, validation, planning, and estimates that use machine labels.

A machine label is wrong in some texts, and seldom equally often in all groups, so a share or a difference counted from
machine labels is biased by an unknown amount. Hand codes of a random sample measure that bias; the estimator takes it out.

Sources: Egami et al. 2023, "Using imperfect surrogates for downstream inference" (design-based supervised learning, DSL);
Angelopoulos et al. 2023, "PPI++" (the tuned weight of the machine); Wilson 1927 (intervals of shares).
"""

import re
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from course.research.agreement import Report, resampled

TARGETS = ("corpus", "beyond")


# -- the sample ------------------------------------------------------------------------------------------------------------

def with_id(frame: pd.DataFrame, what: str = "the table", make: bool = True) -> pd.DataFrame:
    """The frame with a column `id` that names each text once. Without one it is made of the index, which must be unique."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{what} must be a data frame, got {type(frame).__name__}")
    if "id" not in frame:
        if not make:
            raise ValueError(f"{what} has no column 'id', so its rows cannot be matched: sample() and annotate() write one; "
                             "keep it when you save a table. Rows are never matched by their order")
        frame = frame.assign(id=frame.index)
    if frame["id"].isna().any():
        raise ValueError(f"{what} has {int(frame['id'].isna().sum())} rows without an id")
    if (twice := frame["id"][frame["id"].duplicated()].unique()).size:
        raise ValueError(f"{what} has ids that stand there more than once: {', '.join(map(str, twice[:5]))}. "
                         "Give each text one of its own: frame['id'] = range(len(frame))")
    return frame


def sample(frame: pd.DataFrame, n: int, by: str | Sequence[str] | None = None, *, seed: int = 0, equal: bool = False,
           part: str = "test") -> pd.DataFrame:
    """n rows drawn at random, with the columns id, pi (the probability that this row was drawn), stratum and part.

    by: strata, each with its share of n, or with equal=True the same number of each (then pi differs). part: what the rows
    are for: only "test" rows may validate or correct; a row that trained a model or shaped a prompt is "train".
    """
    frame = with_id(frame)
    if isinstance(n, bool) or not 0 < n <= len(frame):
        raise ValueError(f"n must be from 1 to the {len(frame)} rows that there are, got {n}")
    columns = [by] if isinstance(by, str) else list(by or [])
    if missing := [c for c in columns if c not in frame]:
        raise KeyError(f"there is no column {missing[0]!r} to divide by; there are: {', '.join(map(str, frame.columns))}")
    strata = (frame[columns].astype(object).fillna("missing").astype(str).agg(" · ".join, axis=1) if columns
              else pd.Series("all", frame.index))
    sizes = strata.value_counts().sort_index()
    wanted = pd.Series(n / len(sizes), sizes.index) if equal else n * sizes / len(frame)
    wanted = wanted.clip(upper=sizes)
    take = np.floor(wanted).astype(int)
    take = take.clip(lower=1) if n >= len(sizes) else take            # a stratum without any row could not be corrected
    for name in (wanted - take).sort_values(ascending=False, kind="stable").index:
        if take.sum() < n and take[name] < sizes[name]:
            take[name] += 1
    while take.sum() != n:                                            # full strata left room, or small ones were given one
        step = 1 if take.sum() < n else -1
        free = take[(take < sizes) if step > 0 else (take > 1)]
        take[free.idxmin() if step > 0 else free.idxmax()] += step
    random = np.random.default_rng(seed)
    rows = np.concatenate([random.permutation(np.flatnonzero(strata == name))[:take[name]] for name in sizes.index])
    rows = np.sort(rows)
    drawn = strata.iloc[rows]
    return frame.iloc[rows].assign(pi=(take / sizes)[drawn].to_numpy(), stratum=drawn.to_numpy(), part=part)


def matched(machine: pd.DataFrame, gold: pd.DataFrame, gold_label: str, label: str) -> tuple[pd.DataFrame, list[str]]:
    """The machine's rows with the columns gold, pi, stratum of those that were coded by hand; and what was left out."""
    machine = with_id(machine, "the machine's table", make=False)
    gold = with_id(gold, "the table of hand codes", make=False)
    for frame, column, what in ((machine, label, "machine's table"), (gold, gold_label, "table of hand codes")):
        if column not in frame:
            raise KeyError(f"the {what} has no column {column!r}; it has: {', '.join(map(str, frame.columns))}")
    if "pi" not in gold:
        raise ValueError("the hand codes have no column 'pi': how were these texts chosen? Draw them with sample(), which "
                         "writes the probability of each. Texts that were picked by hand, or because the model was unsure "
                         "about them, tell nothing about the others")
    pi = pd.to_numeric(gold["pi"], errors="coerce")
    if not ((pi > 0) & (pi <= 1)).all():
        raise ValueError("pi must be a probability above 0 and at most 1, in every row. A text that could not be drawn "
                         "(pi = 0) stands for nothing")
    trained = set(map(str, (machine.attrs.get("record") or {}).get("train_ids", [])))
    used = (gold["part"].astype(str) == "train") if "part" in gold else pd.Series(False, gold.index)
    used |= gold["id"].astype(str).isin(trained)
    if used.any():
        raise ValueError(f"{int(used.sum())} of the hand codes trained the model or shaped the prompt (ids "
                         f"{', '.join(map(str, gold['id'][used][:5]))}); on them it looks better than it "
                         "is. Leave them out: gold[gold['part'] == 'test'], and draw those first")
    if unknown := sorted(set(gold["id"]) - set(machine["id"]), key=str):
        raise ValueError(f"{len(unknown)} coded texts are not in the machine's table: {', '.join(map(str, unknown[:5]))}")
    notes = []
    if trained:
        mine = machine["id"].astype(str).isin(trained)
        notes.append(f"{int(mine.sum())} texts trained the model or shaped the prompt and are left out")
        machine = machine[~mine]
    stands_for = float((1 / pi).sum())
    if not 0.9 < stands_for / max(1, len(machine)) < 1.1:
        raise ValueError(f"the hand codes stand for {stands_for:.0f} texts (the sum of 1 / pi), the machine's table has "
                         f"{len(machine)}: draw from the table that the estimate is about, or pass the part you drew from")
    coded = gold.loc[gold[gold_label].notna(), ["id", gold_label, "pi", *(["stratum"] if "stratum" in gold else [])]]
    if coded.empty:
        raise ValueError("not one text has a hand code: is it the right column (gold_label=)?")
    if len(coded) < len(gold):                          # within a stratum those that are coded stand for those that are not
        stratum = gold["stratum"] if "stratum" in gold else pd.Series("all", gold.index)
        coded = coded.assign(pi=coded["pi"] * gold[gold_label].notna().groupby(stratum).transform("mean"))
        notes.append(f"{len(gold) - len(coded)} of the {len(gold)} texts drawn have no hand code: missing, taken as at random")
    joined = machine.drop(columns=[c for c in ("gold", "pi", "stratum") if c in machine]).merge(
        coded.rename(columns={gold_label: "gold"}), on="id", how="left", validate="1:1")
    if "stratum" not in joined:
        joined["stratum"] = "all"
    empty = joined[label].isna()
    if empty.any():
        notes.append(f"{int(empty.sum())} texts have no machine label (empty or unreadable) and are left out")
    joined = joined[~empty].reset_index(drop=True)
    if not joined["gold"].notna().any():
        raise ValueError("not one text has both a hand code and a machine label")
    return joined, notes


# -- how good is the machine? ----------------------------------------------------------------------------------------------

def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share of n independent cases (Wilson 1927); n may be an effective number."""
    if not n > 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def validate(machine: pd.DataFrame, gold: pd.DataFrame, by: Sequence[str] = (), *, gold_label: str = "gold",
             label: str = "label", labels: Sequence[str] | None = None, cluster: str | None = None, resamples: int = 1000,
             confidence: float = 0.95, seed: int = 0) -> Report:
    """Precision, recall and F1 of each label with intervals, weighted by 1/pi: what holds for the corpus, not the sample.

    Intervals: Wilson with the effective number of cases for precision, recall and accuracy; resampling of texts (or of
    clusters, then for all) for F1. `.confusion` (hand by machine, estimated texts of the corpus), `.calibration`
    (the machine's probability against how often it was right), `.by_group` (accuracy for each value of the columns `by`),
    `.errors` (the texts behind the wrong cells, the machine surest first), `.notes`.
    """
    joined, notes = matched(machine, gold, gold_label, label)
    test = joined[joined["gold"].notna()].reset_index(drop=True)
    truth, said = test["gold"].astype(str).to_numpy(), test[label].astype(str).to_numpy()
    names = [str(n) for n in labels] if labels is not None else sorted(set(truth) | set(said))
    if unknown := sorted((set(truth) | set(said)) - set(names)):
        raise ValueError(f"{unknown[0]!r} is not among the labels {', '.join(names)}")
    weight = 1 / test["pi"].to_numpy(float)
    draws = resampled(test[cluster] if cluster else None, len(test), resamples, seed) * weight
    place = {name: number for number, name in enumerate(names)}
    row, column = np.array([place[t] for t in truth]), np.array([place[s] for s in said])
    cells = np.zeros((len(test), len(names) ** 2))
    cells[np.arange(len(test)), row * len(names) + column] = 1
    tables = (draws @ cells).reshape(-1, len(names), len(names))                      # (resamples + 1, K, K)
    hits, true, predicted = tables.diagonal(axis1=1, axis2=2), tables.sum(2), tables.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = {"precision": hits / predicted, "recall": hits / true, "f1": 2 * hits / (true + predicted)}
        accuracy = hits.sum(1) / tables.sum((1, 2))
        macro = np.nanmean(np.where(true > 0, np.nan_to_num(scores["f1"]), np.nan), 1)

    def interval(values: np.ndarray, mask: np.ndarray | None = None) -> tuple[float, float]:
        if mask is None or cluster:
            rest = values[1:][~np.isnan(values[1:])]
            return tuple(np.quantile(rest, [(1 - confidence) / 2, (1 + confidence) / 2])) if len(rest) else (np.nan, np.nan)
        if not mask.any():
            return np.nan, np.nan
        return wilson(float(values[0]), weight[mask].sum() ** 2 / (weight[mask] ** 2).sum(), confidence)

    rows = []
    for number, name in enumerate(names):
        entry: dict[str, Any] = {"label": name, "coded": int((row == number).sum()), "share": true[0, number] / true[0].sum(),
                                 "machine_share": float((joined[label].astype(str) == name).mean())}
        for score, mask in (("precision", column == number), ("recall", row == number), ("f1", None)):
            low, high = interval(scores[score][:, number], mask)
            entry |= {score: scores[score][0, number], f"{score}_low": low, f"{score}_high": high}
        if entry["coded"] < 30:
            notes.append(f"{name}: only {entry['coded']} hand codes; read the interval, not the score")
        rows.append(entry)
    for name, values, mask in (("accuracy", accuracy, np.ones(len(test), bool)), ("macro F1", macro, None)):
        low, high = interval(values, mask)
        rows.append({"label": name, "coded": len(test), "f1": values[0], "f1_low": low, "f1_high": high})
    report = Report(rows)
    report.confusion = pd.DataFrame(tables[0], pd.Index(names, name="hand"), pd.Index(names, name="machine"))
    right = pd.Series(truth == said)
    if f"p_{names[0]}" in test:
        sure = test.reindex(columns=[f"p_{n}" for n in names]).max(axis=1)
        bins = pd.cut(sure, np.linspace(0, 1, 11), include_lowest=True)
        report.calibration = pd.DataFrame({"machine_says": sure, "right": right * 1.0, "w": weight}).groupby(
            bins, observed=True).apply(lambda g: pd.Series({"machine_says": np.average(g.machine_says, weights=g.w),
                                                            "right": np.average(g.right, weights=g.w), "texts": len(g)}))
        test["sure"] = sure
    groups = []
    for name in [by] if isinstance(by, str) else by:
        for value, inside in test.groupby(name, observed=True).groups.items():
            w = weight[inside]
            share = float(np.average(right[inside], weights=w))
            low, high = wilson(share, w.sum() ** 2 / (w**2).sum(), confidence)
            groups.append({"column": name, "value": value, "coded": len(inside), "accuracy": share, "low": low, "high": high})
    report.by_group = pd.DataFrame(groups)
    wrong = test[~right]
    report.errors = wrong.sort_values("sure", ascending=False) if "sure" in wrong else wrong
    report.notes, report.record = notes, machine.attrs.get("record") or {}
    report.record = report.record | {"n_test": len(test), "n_corpus": len(joined), "labels": names}
    return report


def plan(report: Report | None = None, label: str | None = None, *, width: float = 0.05, share: float = 0.5,
         total: int | None = None, machine_correlation: float = 0.0, confidence: float = 0.95) -> dict[str, int]:
    """How many hand codes make a share known to ± width: {"by hand": n, "with the machine": n}.

    Before a pilot: from the share that you expect (0.5 is the worst case), the size of the corpus (total; None: texts
    without end), and how well the machine's 0/1 follows the hand's (machine_correlation, 0 without a machine). After one:
    plan(report, label) takes all three from the validation. With a machine the variance of a share falls by the
    square of that correlation.
    """
    if not 0 < width < 1:
        raise ValueError(f"width is half the interval, between 0 and 1, got {width!r}")
    if report is not None:
        table = report.confusion
        label = label or table.sum(axis=1).sub(table.to_numpy().sum() / 2).abs().idxmin()
        if label not in table.index:
            raise ValueError(f"the report has no label {label!r}; it has {', '.join(table.index)}")
        p = table / table.to_numpy().sum()
        share, said, both = p.loc[label].sum(), p[label].sum(), p.loc[label, label]
        spread = np.sqrt(share * (1 - share) * said * (1 - said))
        machine_correlation = float((both - share * said) / spread) if spread > 0 else 0.0
        total = total or report.record["n_corpus"]
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def needed(unexplained: float) -> int:
        n = z * z * share * (1 - share) * unexplained / width**2
        return int(np.ceil(n if total is None else n / (1 + n / total) - 1e-9))

    return {"by hand": needed(1.0), "with the machine": needed(1 - machine_correlation**2)}


# -- estimates -------------------------------------------------------------------------------------------------------------

def corrected(x: np.ndarray, y: np.ndarray, x_hat: np.ndarray, y_hat: np.ndarray, coded: np.ndarray, pi: np.ndarray, *,
              logit: bool = False, weight: float | None = None, groups: np.ndarray | None = None,
              strata: np.ndarray | None = None, target: str = "beyond", separate: bool = False
              ) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients (k,), their covariance (k, k), and the weight λ of the machine's labels, by the moments

        ψ_i = λ m̂_i + (R_i / π_i) (m_i - λ m̂_i),    m = X (Y - μ), with hats from the machine,   solved for Σ ψ = 0.

    x, x_hat (N, k), y, y_hat (N,); coded R and pi (N,); values of y and x count only where R. weight λ: 0 is hand codes
    only, 1 is DSL, None the one with the least variance (as PPI++). groups: cluster numbers. strata: how R was drawn, for
    target="corpus". separate: the texts with hand codes are another sample than those of the machine (PPI).
    """
    n = len(y)
    w = np.where(coded, 1 / np.where(coded, pi, 1), 0.0)
    v = np.where(coded, 0.0, n / max(1, n - coded.sum())) if separate else np.ones(n)
    x, y = np.where(coded[:, None], x, 0.0), np.where(coded, y, 0.0)

    def solve(lam: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        beta = np.zeros(x.shape[1])
        for _ in range(100):
            mu, mu_hat = ((1 / (1 + np.exp(-x @ beta)), 1 / (1 + np.exp(-x_hat @ beta))) if logit else (x @ beta, x_hat @ beta))
            slope, slope_hat = (mu * (1 - mu), mu_hat * (1 - mu_hat)) if logit else (np.ones(n), np.ones(n))
            m, m_hat = x * (y - mu)[:, None], x_hat * (y_hat - mu_hat)[:, None]
            bread = (x.T * (w * slope)) @ x + lam * (x_hat.T * ((v - w) * slope_hat)) @ x_hat
            try:
                step = np.linalg.solve(bread, (lam * v[:, None] * m_hat + w[:, None] * (m - lam * m_hat)).sum(0))
            except np.linalg.LinAlgError:
                step = np.array([np.nan])
            if not np.isfinite(step).all() or np.abs(beta + step).max() > 1e6:
                raise ValueError("the coefficients cannot be told apart: a group has no hand codes, or all of one kind. Code "
                                 "more texts of each group, or leave a variable out")
            beta = beta + step
            if np.abs(step).max() < 1e-12:
                return beta, m, m_hat, np.linalg.inv((x_hat.T * slope_hat) @ x_hat if separate else bread)
        raise ValueError("the logit does not settle: a group has no hand codes of one kind. Code more, or compare shares")

    def errors(m: np.ndarray, m_hat: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(a, b), so that the error of the coefficients is the sum over rows of a + λ b."""
        if target == "corpus":                          # these texts are all there are: only the drawing is random
            scale = np.sqrt(np.where(coded, 1 - pi, 0.0)) * w
            a, b = np.zeros_like(m), np.zeros_like(m)
            for s in np.unique(strata[coded]):
                inside = coded & (strata == s)
                a[inside] = scale[inside, None] * (m[inside] - m[inside].mean(0))
                b[inside] = -scale[inside, None] * (m_hat[inside] - m_hat[inside].mean(0))
        else:
            a, b = w[:, None] * m, (v - w)[:, None] * m_hat
            if separate:
                for inside in (coded, ~coded):
                    a[inside] -= a[inside].mean(0)
                    b[inside] -= b[inside].mean(0)
            if groups is not None:
                a, b = (np.stack([np.bincount(groups, column) for column in part.T], 1) for part in (a, b))
        return a @ inverse, b @ inverse

    if weight is None:
        _, m, m_hat, inverse = solve(1.0)
        a, b = errors(m, m_hat, inverse)
        a, b = a - a.mean(0), b - b.mean(0)
        weight = float(np.clip(-(a * b).sum() / (b * b).sum(), 0, 1)) if (b * b).sum() > 0 else 0.0
    beta, m, m_hat, inverse = solve(weight)
    a, b = errors(m, m_hat, inverse)
    total = a + weight * b
    return beta, total.T @ total, weight


def estimate(formula: str, machine: pd.DataFrame, gold: pd.DataFrame, *, gold_label: str = "gold", label: str = "label",
             cluster: str | None = None, target: str = "beyond", logit: bool = False, weight: float | None = None,
             confidence: float = 0.95) -> Report:
    """A share or a regression from machine labels, beside the same from hand codes and corrected by them.

    formula: "transport ~ 1" (the share of a label), "transport ~ area + age" (linear: differences of shares; logit=True:
    log odds), "income ~ transport" (the label as a predictor). Words are labels or columns of `machine`; a column of texts
    becomes 0/1 columns against its first value. target: "corpus" (these texts: only the drawing of hand codes is
    random) or "beyond" (texts like these; cluster: respondents). weight: λ, see corrected(); None: tuned.
    Rows: method (naive, hand codes only, corrected) and term; estimate, se, low, high, lambda, n. The naive row is wrong by
    an amount that its interval does not know. `.notes` says what was left out.
    """
    if target not in TARGETS:
        raise ValueError(f"target must be 'corpus' (these texts) or 'beyond' (texts like these), got {target!r}")
    joined, notes = matched(machine, gold, gold_label, label)
    left, _, right = formula.partition("~")
    words = [word.strip() for word in right.split("+") if word.strip() not in ("", "1")]
    if not left.strip() or not right.strip():
        raise ValueError(f"a formula has the form 'transport ~ area' or 'transport ~ 1', got {formula!r}")
    known = set(joined[label].astype(str)) | set(joined["gold"].dropna().astype(str))
    known |= {c.removeprefix("p_") for c in joined if str(c).startswith("p_")}
    predicted = [word for word in [left.strip(), *words] if word in known and word not in joined]
    if not predicted:
        raise ValueError(f"no word of {formula!r} is a label: there is nothing to correct. Labels: {', '.join(sorted(known))}")
    keep = joined[[w for w in [left.strip(), *words, *([cluster] if cluster else [])] if w in joined]].notna().all(axis=1)
    if not keep.all():
        notes.append(f"{int((~keep).sum())} texts miss a variable of the formula and are left out")
        joined = joined[keep].reset_index(drop=True)

    def columns(word: str, source: str) -> dict[str, np.ndarray]:
        if word in predicted:
            return {word: (joined[source].astype(str) == word).to_numpy(float)}
        if word not in joined:
            raise ValueError(f"{word!r} is neither a label nor a column. Labels: {', '.join(sorted(known))}; columns: "
                             f"{', '.join(map(str, joined.columns[:20]))}")
        values = joined[word]
        if pd.api.types.is_numeric_dtype(values):
            return {word: values.to_numpy(float)}
        names = list(pd.unique(values)) if isinstance(values.dtype, pd.CategoricalDtype) else sorted(pd.unique(values), key=str)
        if len(names) > 30:
            raise ValueError(f"{word!r} has {len(names)} values: name a column of groups or of numbers")
        return {f"{word}: {name}": (values == name).to_numpy(float) for name in names[1:]}

    def design(source: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
        terms = {"(intercept)": np.ones(len(joined))}
        for word in words:
            terms |= columns(word, source)
        outcome = columns(left.strip(), source)
        if len(outcome) != 1:
            raise ValueError(f"{left.strip()!r}, the left side, must be a label or a column of numbers")
        return np.column_stack(list(terms.values())), next(iter(outcome.values())), list(terms)

    x, y, terms = design("gold")
    x_hat, y_hat, _ = design(label)
    coded = joined["gold"].notna().to_numpy()
    if coded.sum() <= len(terms) + 1:
        raise ValueError(f"{int(coded.sum())} hand codes cannot hold {len(terms)} coefficients: code more texts")
    pi, strata = joined["pi"].to_numpy(float), joined["stratum"].to_numpy()
    groups = pd.factorize(joined[cluster])[0] if cluster else None
    free = (coded.sum() if groups is None else len(np.unique(groups[coded]))) - len(terms)
    factor = 1.0 if target == "corpus" else np.sqrt((free + len(terms)) / free)
    quantile = NormalDist().inv_cdf((1 + confidence) / 2)
    if target == "beyond":                              # Student's t, expanded in 1/df (Abramowitz & Stegun 26.7.5)
        z = quantile
        quantile += ((z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
                     + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3))
    options: dict[str, Any] = {"logit": logit, "groups": groups, "strata": strata, "target": target}
    everyone = np.ones(len(joined), bool)
    found = {
        "naive": (corrected(x_hat, y_hat, x_hat, y_hat, everyone, np.ones(len(joined)), logit=logit, groups=groups, weight=0.0),
                  len(joined)),
        "hand codes only": (corrected(x, y, x_hat, y_hat, coded, pi, **options, weight=0.0), int(coded.sum())),
        "corrected": (corrected(x, y, x_hat, y_hat, coded, pi, **options, weight=weight), int(coded.sum()))}
    rows = []
    for method, ((beta, covariance, lam), n) in found.items():
        for term, value, variance in zip(terms, beta, covariance.diagonal(), strict=True):
            error = np.sqrt(variance) * (1 if method == "naive" else factor)
            rows.append({"method": method, "term": term, "estimate": value, "se": error, "low": value - quantile * error,
                         "high": value + quantile * error, "lambda": np.nan if method == "naive" else lam, "n": n})
    result = Report(rows)
    if coded.sum() < 60:
        notes.append(f"only {int(coded.sum())} hand codes: the interval is itself uncertain")
    if cluster and free + len(terms) < 40:
        notes.append(f"only {free + len(terms)} clusters were coded: intervals from fewer than about 40 are too narrow")
    result.notes = notes
    result.record = (machine.attrs.get("record") or {}) | {"formula": formula, "target": target, "n_hand": int(coded.sum()),
                                                           "n_corpus": len(joined), "lambda": found["corrected"][0][2],
                                                           "design": design_words(joined), "cluster": cluster}
    return result


def design_words(joined: pd.DataFrame) -> str:
    """How the coded texts were drawn, in words."""
    drawn = joined[joined["gold"].notna()]
    kinds = drawn.groupby("stratum")["pi"].agg(["size", "min"])
    if len(kinds) == 1:
        return f"simple random sample, {len(drawn)} of {len(joined)} texts"
    same = np.ptp(kinds["min"]) < 0.02
    return (f"stratified random sample, {len(kinds)} strata, " +
            ("in proportion to their size" if same else
             "inclusion probabilities from " + re.sub(r"0\.", ".", f"{kinds['min'].min():.2f} to {kinds['min'].max():.2f}")))
