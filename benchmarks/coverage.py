"""Are corrected estimates unbiased, and do their 95 % intervals cover the truth in 95 % of studies? Simulated studies.

    .venv/bin/python benchmarks/coverage.py [--runs 1500]

A study has 1,000 texts in two groups that differ by 0.2 in a share; the machine's errors differ between the groups, so the
naive difference has the wrong sign. 200 texts (or --hand) are coded by hand.
"""

import argparse

import numpy as np
import pandas as pd

from course.research.evidence import estimate, sample

TRUTH = 0.2
UNEQUAL = {"false positives": (0.25, 0.10), "false negatives": (0.10, 0.30)}      # of group 0, of group 1
SMALL = {"false positives": (0.05, 0.05), "false negatives": (0.05, 0.05)}
POOR = {"false positives": (0.35, 0.30), "false negatives": (0.35, 0.38)}


def study(runs: int, hand: int = 200, errors: dict[str, tuple[float, float]] = UNEQUAL, by: str | None = None,
          seed: int = 0) -> pd.DataFrame:
    """A row a method: bias, sd, coverage. by: strata for the hand codes; "label" takes as many machine-positives as others."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        x = random.permutation(np.repeat([0, 1], 500))
        y = random.random(1000) < 0.3 + TRUTH * x
        false = np.where(y, np.array(errors["false negatives"])[x], np.array(errors["false positives"])[x])
        machine = pd.DataFrame({"id": range(1000), "label": np.where(y ^ (random.random(1000) < false), "yes", "no"), "x": x,
                                "true": np.where(y, "yes", "no")})
        gold = sample(machine, hand, by=by, equal=by is not None, seed=int(random.integers(2**31)))
        tables = [estimate("yes ~ x", machine, gold, gold_label="true"),
                  estimate("yes ~ x", machine, gold, gold_label="true", weight=1.0).replace("corrected", "corrected, λ = 1")]
        rows = pd.concat(tables).query("term == 'x'").drop_duplicates("method").set_index("method")
        found.append(rows[["estimate", "low", "high"]].assign(covers=rows.low.le(TRUTH) & rows.high.ge(TRUTH)))
    rows = pd.concat(found).groupby(level=0, sort=False)
    return pd.DataFrame({"bias": rows["estimate"].mean() - TRUTH, "sd": rows["estimate"].std(),
                         "coverage": rows["covers"].mean()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1500)
    arguments = parser.parse_args()
    for title, options in (("errors differ by group", {}), ("the same, 60 hand codes", {"hand": 60}),
                           ("the same, machine-positives drawn as often as others", {"by": "label"}),
                           ("few errors, equal in both groups", {"errors": SMALL}), ("a poor machine", {"errors": POOR})):
        print(f"\n{title} ({arguments.runs} studies)\n{study(arguments.runs, **options).round(3).to_string()}", flush=True)


if __name__ == "__main__":
    main()
