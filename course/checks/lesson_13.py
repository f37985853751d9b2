"""Checks of lesson 13, The same model elsewhere."""

from typing import Any

from course.checks import exercise, is_number, near, near_share


@exercise(1, "you can say how large a model is before you download it.",
          "Weights times bits: at 16 bits, a model of 7 billion weights needs 14 GB before it has read a word.")
def megabytes(function: Any) -> str | None:
    if not callable(function):
        return "`megabytes` should be a function of weights and bits."
    for weights, bits, truth in ((1_000_000, 8, 1.0), (14_000_000, 32, 56.0), (3_000_000, 4, 1.5)):
        found = function(weights, bits)
        if not is_number(found):
            return f"it should return one number and gives a {type(found).__name__}."
        if near(found, truth):
            continue
        if near(float(found) / 8, truth):
            return f"{weights:,} weights of {bits} bits are not {float(found):g} MB. How many bits has a byte?"
        if near(float(found) / 1e6, truth):
            return "this is how many bytes. How many are a megabyte?"
        return f"{weights:,} weights of {bits} bits are {truth:g} MB, and not {float(found):g}. Are both numbers used?"
    return None


@exercise(2, "half a step. Rounding has a bound, and the largest weight of the row sets it.",
          "One outlier makes a whole row coarse: that is why rows have factors of their own, and why models with outliers are "
          "harder to round.")
def worst(function: Any) -> str | None:
    import torch
    if not callable(function):
        return "`worst` should be a function of row and bits."
    for row, bits, truth in ((torch.tensor([0.3, -1.0, 0.9]), 2, 0.5), (torch.tensor([1.4, 0.2]), 4, 0.1),
                             (torch.tensor([-254.0, 3.0]), 8, 1.0)):
        found = function(row, bits)
        if not is_number(found):
            return f"it should return one number and gives a {type(found).__name__}."
        if near(found, truth):
            continue
        if near(float(found) / 2, truth):
            return "this is a whole step. Where between two steps is a number moved most, and how far?"
        if near(found, row.max().item() / (2 ** (bits - 1) - 1) / 2):
            return "is the largest number of a row always a positive one?"
        return (f"for the row {[round(x, 1) for x in row.tolist()]} and {bits} bits it is {truth:g}, and not {float(found):g}. "
                f"The largest stored number is {2 ** (bits - 1) - 1}.")
    return None


@exercise(3, "the labels that change are those the model was unsure of.",
          "So an error of rounding is not spread evenly: it falls on ambivalent texts, and on whoever writes them.")
def changed(changed: Any, sure: Any, unsure: Any, exact: Any, rough: Any) -> str | None:
    flipped, margin = rough.argmax(1) != exact.argmax(1), (exact[:, 0] - exact[:, 1]).abs()
    share, kept, lost = flipped.double().mean().item(), margin[~flipped].mean().item(), margin[flipped].mean().item()
    for name, value in (("changed", changed), ("sure", sure), ("unsure", unsure)):
        if not is_number(value):
            return f"`{name}` should be one number and is a {type(value).__name__}."
    if near(changed, flipped.sum().item()) and not near(changed, share):
        return "`changed` is how many. Which share of all answers is that?"
    if near_share(changed, 1 - share) and not near_share(changed, share):
        return "is `changed` the share of answers that keep their label?"
    if not near_share(changed, share):
        return f"`changed` is {float(changed):.3f}. Is it 3 bits against the full model, and labels, not logits?"
    if near(sure, lost) and near(unsure, kept) and not near(sure, kept):
        return "`sure` and `unsure` are in each other's place: `sure` belongs to the labels that stay."
    for name, value, truth in (("sure", sure, kept), ("unsure", unsure, lost)):
        if not (near(value, truth) or (flipped.sum() == 0 and name == "unsure")):
            return f"`{name}` is {float(value):.3f}. Is it the mean margin of the full model, over those answers alone?"
    return None


@exercise(4, "a guarantee that needs no look at the other program: only d, and your own margins.",
          "It is cautious: most labels that could change do not. But what it promises holds for every text.")
def safe(function: Any, margin: Any) -> str | None:
    import torch
    if not callable(function):
        return "`safe` should be a function of margin and d."
    toy = torch.tensor([0.1, 0.5, 0.9, 3.0])
    for values, d, truth in ((toy, 0.2, 0.75), (toy, 0.4, 0.5), (toy, 2.0, 0.0),
                             (margin, 0.3, (margin > 0.6).double().mean().item())):
        found = function(values, d)
        if not is_number(found):
            return f"it should return one share and gives a {type(found).__name__}."
        if near_share(found, truth):
            continue
        if near_share(found, (values > d).double().mean().item()):
            return "one logit can fall by d, and what can the other one do at the same time?"
        if near_share(found, 1 - truth):
            return "is this the share of labels that may have changed?"
        if near(found, truth * len(values)):
            return "this is how many. Which share of all answers?"
        shown = f"the margins {[round(x, 1) for x in toy.tolist()]}" if values is toy else "the margins of the lesson"
        return f"for {shown} and d = {d:g} it is {truth:.2f}, and not {float(found):.2f}."
    return None


@exercise(5, "what left has arrived. Numbers and labels are compared, on texts, not on file names.",
          "After a good trip the sixth digit differs. 0.1 means another number format, and much more means a mistake.")
def arrived(function: Any) -> str | None:
    import torch
    if not callable(function):
        return "`arrived` should be a function of two tables of logits."
    ours = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 0.3], [-1.0, 4.0]])
    for change, gap, share in (([[0.0, 0.0]] * 4, 0.0, 1.0), ([[0.0, 0.0], [0.0, 0.0], [-0.4, 0.0], [0.2, 0.0]], 0.4, 0.75),
                               ([[-3.0, 0.0], [0.0, 0.0], [0.0, 0.5], [0.0, 0.0]], 3.0, 0.5)):
        found = function(ours, ours + torch.tensor(change))
        found = found.tolist() if hasattr(found, "tolist") else found
        if not isinstance(found, (tuple, list)) or len(found) != 2 or not all(map(is_number, found)):
            return "it should return two numbers: the largest difference, and the share of labels that agree."
        if near(found[0], gap) and near_share(found[1], share):
            continue
        if near(found[0], torch.tensor(change).max().item()) and near_share(found[1], share):
            return "a difference below zero is one as well. Which sign has the largest of these?"
        if near_share(found[1], 1 - share) and near(found[0], gap):
            return "is this the share of labels that differ?"
        if near(found[1], 4 * share) and near(found[0], gap):
            return "this is how many labels agree. Which share of all texts?"
        return (f"for two tables that differ by {gap:g} at most, with {share:.0%} of labels alike, it gives "
                f"{float(found[0]):.2f} and {float(found[1]):.2f}.")
    return None
