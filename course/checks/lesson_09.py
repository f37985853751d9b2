"""Checks of lesson 9, Fine-tuning for research."""

from typing import Any

from course.checks import exercise, is_number, near, near_share


@exercise(1, "a text that is in both halves is no test, whatever its number, its capitals or its spaces are.",
          "Ask it of every table before you train, and of people, households and dates, too.")
def leaked(function: Any) -> str | None:
    if not callable(function):
        return "`leaked` should be a function of two lists of texts. Did you call it, and keep what it returned?"
    train = ["The bus is late.", "Rent!", "Too  much noise", "Rent!", "No doctor here", "Fine"]
    for test, truth, doubt in (
            (["Rent!", "Parks", "Fine", "A school"], 0.5, "two of four test texts stand in train, as they are"),
            (["the BUS is late.", "Parks"], 0.5, "do capital letters count in yours"),
            ([" too much noise ", "Parks", "Trees", "A pool"], 0.25, "do spaces count in yours"),
            (["Rent!", "Rent!", "Parks"], 2 / 3, "the same text twice in the test is two texts"),
            (["Parks", "Trees"], 0.0, "nothing of this test stands in train")):
        found = function(list(train), list(test))
        if not is_number(found):
            return f"the function should return one number, a share, and gave a {type(found).__name__}."
        if not near_share(found, truth):
            if near_share(found, truth * len(test) / len(train)):
                return "is this a share of the training texts? How many of the TEST texts were seen before?"
            return f"for one pair of lists the share is {truth:.2f}, and the function gave {float(found):.2f}: {doubt}?"
    return None


@exercise(2, "the cosine of two vectors of length 1 is their product, and 0 or 1 is what we want it to be.",
          "Every pair of a batch teaches something: that is why few labels go a long way here.")
def pair_loss(function: Any) -> str | None:
    import torch

    if not callable(function):
        return "`pair_loss` should be a function of vectors and labels. Did you call it, and keep what it returned?"
    vectors = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.8, 0.6]]), dim=-1)
    for labels in (torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 2, 0]), torch.tensor([3, 3, 3, 3])):
        cosine, together = vectors @ vectors.T, (labels[:, None] == labels).float()
        truth, found = float(((cosine - together) ** 2).mean()), function(vectors.clone(), labels.clone())
        if not is_number(found):
            return f"the loss should be one number and has the shape {list(getattr(found, 'shape', []))}. The mean of what?"
        if near(found, truth):
            continue
        if near(found, float(((cosine - together) ** 2).sum())):
            return "this is the sum over all pairs; a loss that grows with the batch wants another learning rate. The mean?"
        if near(found, float((cosine - together).abs().mean())) or near(found, float((cosine - together).mean())):
            return "is what is missing squared? Otherwise two errors can cancel out, or large ones count too little."
        if near(found, float(((cosine + together - 1) ** 2).mean())):
            return "here texts of DIFFERENT labels are pulled together. For which pairs should the cosine be 1?"
        return (f"for one batch the loss is {truth:.3f}, and the function gave {float(found):.3f}. Is it every pair, "
                "and 1 for those with the same label?")
    return None


@exercise(3, "on the same draws, what both methods owe to luck cancels out in each difference.",
          "Draw by draw, three differences can say more than two means with their spreads.")
def gain(function: Any) -> str | None:
    if not callable(function):
        return "`gain` should be a function of two lists of scores. Did you call it, and keep what it returned?"
    import numpy as np
    for a, b in (([0.70, 0.60, 0.80], [0.62, 0.50, 0.72]), ([0.5, 0.9, 0.4, 0.7], [0.6, 0.5, 0.6, 0.2])):
        found = function(list(a), list(b))
        if isinstance(found, (tuple, list)) and any(part is ... for part in found):
            from course.checks import NotDone
            raise NotDone
        if not isinstance(found, (tuple, list)) or len(found) != 2 or not all(map(is_number, found)):
            return "the function should return two numbers: the mean of the differences, and its standard error."
        differences = np.array(a) - np.array(b)
        mean, spread, count = float(differences.mean()), float(differences.std(ddof=1)), len(a)
        if near(found[0], -mean) and not near(found[0], mean):
            return "is it a - b, or b - a? A gain of the first method is above 0."
        if not near(found[0], mean):
            return (f"the mean of the differences is {mean:.2f} for one pair of lists, and the function gave "
                    f"{float(found[0]):.2f}.")
        if abs(float(found[1]) - spread / count**0.5) <= 0.0051:
            continue
        if near(found[1], spread):
            return "this is the spread of single differences. How much surer is the mean of several, by which root?"
        if near(found[1], differences.std() / count**0.5):
            return "was the standard deviation divided by n? With three draws n - 1 makes a difference (ddof=1, or .sem())."
        if near(found[1], float(np.sqrt(np.var(a, ddof=1) / count + np.var(b, ddof=1) / count))):
            return "this takes the two lists for different draws. What is the spread of the DIFFERENCES, draw by draw?"
        return (f"the standard error is {spread / count**0.5:.3f} for one pair of lists, and the function gave "
                f"{float(found[1]):.3f}. The standard deviation of what, divided by what?")
    return None


@exercise(4, "a rare label counts as much as a frequent one, and the loss as a whole keeps its size.",
          "Weights do not make a model better; they choose which errors it makes.")
def weights(function: Any) -> str | None:
    if not callable(function):
        return "`weights` should be a function of a list of labels. Did you call it, and keep what it returned?"
    for labels in (["no"] * 8 + ["yes"] * 2, ["a", "b", "b", "c", "c", "c"], ["x"] * 3 + ["y"] * 3):
        found = function(list(labels))
        if hasattr(found, "to_dict"):
            found = found.to_dict()
        if not isinstance(found, dict) or set(found) != set(labels):
            return "the function should return a dict with a weight for each label, {'yes': …, 'no': …}."
        names = sorted(set(labels))
        truth = {name: len(labels) / (len(names) * labels.count(name)) for name in names}
        if all(near(found[name], truth[name]) for name in names):
            continue
        ratio = [float(found[name]) / truth[name] for name in names]
        if max(ratio) - min(ratio) < 0.02 * max(ratio):
            return (f"the labels weigh the same, but the mean weight of a text is {ratio[0]:.2f} and not 1. What does the "
                    "number of labels do there?")
        if all(near(found[name], labels.count(name) / len(labels)) for name in names):
            return "these are the shares: the frequent label counts more still. Which way round?"
        name = names[-1]
        return (f"for {len(labels)} texts, {labels.count(name)} of them {name!r}, this label weighs {truth[name]:.2f}, and the "
                f"function gave {float(found[name]):.2f}. Do all labels together weigh the same?")
    return None


@exercise(5, "the first question about two numbers that differ has a list as its answer.",
          "Keep the record beside every table and figure; it costs nothing and answers everything.")
def changed(function: Any) -> str | None:
    if not callable(function):
        return "`changed` should be a function of two records. Did you call it, and keep what it returned?"
    a: dict[str, Any] = {"model": "small", "arguments": {"seed": 1, "rate": 0.1, "adam": {"eps": 1e-8}},
                         "versions": {"torch": "2.6"}, "date": "1"}
    for b, truth, doubt in (
            (a, set(), "these two records are equal"),
            (a | {"model": "large"}, {"model"}, "an entry that is no dict"),
            (a | {"arguments": a["arguments"] | {"rate": 0.2}}, {"arguments.rate"}, "an entry inside `arguments`"),
            (a | {"arguments": {"seed": 1, "rate": 0.1, "adam": {"eps": 1e-6}}}, {"arguments.adam.eps"}, "dicts inside dicts"),
            ({k: v for k, v in a.items() if k != "date"}, {"date"}, "what only the first record has"),
            (a | {"threads": 2}, {"threads"}, "what only the second record has"),
            (a | {"versions": {"torch": "2.6", "numpy": "2"}}, {"versions.numpy"}, "what only one has, inside a dict")):
        found = function(a, b)
        if isinstance(found, str) or not hasattr(found, "__iter__"):
            return f"the function should return a list of names, and gave a {type(found).__name__}."
        names = list(found)
        if set(names) != truth:
            if truth and {name.split(".")[0] for name in truth} == set(names):
                return f"{sorted(names)[0]!r} differs, but where inside it? Its entries have names, too ({doubt})."
            return f"{doubt}: the answer is {sorted(truth)}, and the function gave {sorted(map(str, names))}."
        if len(names) != len(set(names)):
            return "one entry is named twice. Which names do both records have?"
    return None
