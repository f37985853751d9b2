"""Cases for the checks of lesson 13: see test_checks.py."""

import torch

from course.checks import lesson_13

EXACT = torch.tensor([[2.0, 0.0], [0.2, 0.0], [0.0, 0.7], [0.0, 3.0], [1.0, 0.0]])
ROUGH = torch.tensor([[1.8, 0.0], [0.0, 0.1], [0.3, 0.0], [0.0, 2.0], [1.1, 0.0]])
KEPT, LOST, MARGIN = 2.0, 0.45, (EXACT[:, 0] - EXACT[:, 1]).abs()

ELSEWHERE = {
    lesson_13.megabytes: (
        (), (lambda weights, bits: weights * bits / 8 / 1e6,),
        [((lambda weights, bits: weights * bits / 1e6,), "bits has a byte"), ((lambda weights, bits: weights * bits / 8,), "a megabyte"),
         ((lambda weights, bits: 1.0,), "Are both numbers used"), ((lambda weights, bits: "56 MB",), "one number"), ((56.0,), "a function")]),
    lesson_13.worst: (
        (), (lambda row, bits: row.abs().max() / (2 ** (bits - 1) - 1) / 2,),
        [((lambda row, bits: row.abs().max() / (2 ** (bits - 1) - 1),), "a whole step"),
         ((lambda row, bits: row.max() / (2 ** (bits - 1) - 1) / 2,), "always a positive one"),
         ((lambda row, bits: row.abs().max() / 2 ** bits,), "largest stored number"), ((lambda row, bits: row,), "one number"),
         ((0.5,), "a function")]),
    lesson_13.changed: (
        (EXACT, ROUGH), (0.4, KEPT, LOST),
        [((2, KEPT, LOST), "how many"), ((0.6, KEPT, LOST), "keep their label"), ((0.1, KEPT, LOST), "3 bits"),
         ((0.4, LOST, KEPT), "each other's place"), ((0.4, 1.0, LOST), "`sure` is 1.000"), ((0.4, KEPT, 1.0), "`unsure` is 1.000"),
         (("40 %", KEPT, LOST), "one number")]),
    lesson_13.safe: (
        (MARGIN,), (lambda margin, d: (margin > 2 * d).double().mean(),),
        [((lambda margin, d: (margin > d).double().mean(),), "at the same time"),
         ((lambda margin, d: (margin <= 2 * d).double().mean(),), "may have changed"),
         ((lambda margin, d: (margin > 2 * d).sum(),), "how many"), ((lambda margin, d: 0.9,), "and not 0.90"),
         ((lambda margin, d: margin > d,), "one share"), ((0.5,), "a function")]),
    lesson_13.arrived: (
        (), (lambda ours, theirs: ((ours - theirs).abs().max(), (ours.argmax(1) == theirs.argmax(1)).double().mean()),),
        [((lambda ours, theirs: ((theirs - ours).max(), (ours.argmax(1) == theirs.argmax(1)).double().mean()),), "below zero"),
         ((lambda ours, theirs: ((ours - theirs).abs().max(), (ours.argmax(1) != theirs.argmax(1)).double().mean()),), "that differ"),
         ((lambda ours, theirs: ((ours - theirs).abs().max(), (ours.argmax(1) == theirs.argmax(1)).sum()),), "how many labels"),
         ((lambda ours, theirs: ((ours - theirs).abs().mean(), 1.0),), "0.4 at most"), ((lambda ours, theirs: 0.0,), "two numbers"),
         ((0.0,), "a function")]),
}

ELSEWHERE_OTHERS = {
    lesson_13.megabytes: [(lambda weights, bits: round(weights / 1_000_000 * bits / 8, 2),), (lambda weights, bits: torch.tensor(weights * bits / 8e6),)],
    lesson_13.worst: [(lambda row, bits: max(abs(x) for x in row.tolist()) / (2 ** bits - 2),),
                      (lambda row, bits: round((row.abs().max() / (2 ** (bits - 1) - 1) / 2).item(), 2),)],
    lesson_13.changed: [(40.0, torch.tensor(KEPT), LOST), (0.4, round(KEPT, 2), torch.tensor(LOST))],
    lesson_13.safe: [(lambda margin, d: sum(m > 2 * d for m in margin.tolist()) / len(margin),),
                     (lambda margin, d: 100 * (margin / 2 > d).double().mean(),)],
    lesson_13.arrived: [(lambda ours, theirs: [round((ours - theirs).abs().max().item(), 2), 100 * sum(
                            a.argmax() == b.argmax() for a, b in zip(ours, theirs, strict=True)) / len(ours)],),
                        (lambda ours, theirs: torch.stack([(theirs - ours).abs().max(), (
                            (ours[:, 0] > ours[:, 1]) == (theirs[:, 0] > theirs[:, 1])).float().mean()]),)],
}
