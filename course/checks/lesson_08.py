"""Checks of lesson 8, Decoding and large language models."""

from collections.abc import Callable, Sequence
from typing import Any

from course.checks import exercise, is_number, near, near_share


@exercise(1, "you have written top-p. Where a model is sure, few tokens survive; where it is not, hundreds.",
          "top-p follows the model's doubt, top-k does not: it keeps k tokens also where only one makes sense.")
def survivors(function: Any, logits: Any) -> str | None:
    import torch
    if not callable(function):
        return "`survivors` should be a function of logits, temperature and top_p."
    toy = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()        # sorted already
    mixed = toy[[2, 0, 3, 1]]
    for scores, temperature, top_p, truth, question in (
            (toy, 1.0, 0.45, 1, "Is the most probable one always kept?"),
            (toy, 1.0, 0.7, 2, "Does the token that crosses the line still belong to those that are kept?"),
            (mixed, 1.0, 0.9, 3, "Must they be sorted, the most probable first?"),
            (toy, 1.0, 1.0, 4, "With top_p = 1 nothing is dropped."),
            (toy, 0.25, 0.85, 1, "Is the temperature in it? Logits are divided by it, before the softmax."),
            (toy, 4.0, 0.75, 3, "Is the temperature in it? Logits are divided by it, before the softmax.")):
        found = function(scores, temperature, top_p)
        if not is_number(found):
            return f"it should return how many, one number, and gives a {type(found).__name__}."
        if int(found) != truth:
            return (f"of the probabilities {[round(p, 2) for p in scores.softmax(-1).tolist()]}, with temperature "
                    f"{temperature:g} and top_p {top_p:g}, {truth} survive and not {int(found)}. {question}")
    ordered = (logits / 0.7).softmax(-1).sort(descending=True).values
    if int(function(logits, 0.7, 0.8)) != int((ordered.cumsum(-1) - ordered < 0.8).sum()):
        return "small examples are right, the model's own logits are not. Does it use the logits that it is given?"
    return None


@exercise(2, "heat makes variety. A study that draws once at a high temperature reports one of many texts.",
          "Temperature is a setting of the study, like the wording of a question, and belongs into its report, with the "
          "seed.")
def different(cold: Any, hot: Any, write: Callable[..., str]) -> str | None:
    truths = [len({write(do_sample=True, temperature=t, seed=seed) for seed in range(10)}) for t in (0.02, 1.5)]
    for name, value in (("cold", cold), ("hot", hot)):
        if not is_number(value):
            return f"`{name}` should be one number and is a {type(value).__name__}. How long is the set?"
        if not 1 <= value <= 10:
            return f"of ten texts, {value} cannot be different."
    if cold == truths[1] and hot == truths[0] and cold != hot:
        return "the two numbers are in each other's place."
    for name, value, truth in (("cold", cold, truths[0]), ("hot", hot, truths[1])):
        if value != truth:
            return f"`{name}` is {value}. Are the seeds 0 to 9, and is the temperature the one asked for?"
    return None


@exercise(3, "small numbers multiply to tiny ones, which is why everybody adds logarithms.",
          "A long text is never probable. Compare texts of different length by their mean log-probability, and say that you "
          "did: it is another question than which text is more probable.")
def whole_text(whole: Any, per_token: Any, story: Any) -> str | None:
    import math
    total, count = story.log_probs.sum().item(), story.log_probs.numel()
    for name, value in (("whole", whole), ("per_token", per_token)):
        if not is_number(value):
            return f"`{name}` should be one number and is a {type(value).__name__}."
    if near(whole, total):
        return "this is the logarithm of the probability. What undoes a logarithm?"
    if near(whole, story.log_probs.exp().sum().item()):
        return "probabilities of steps that all have to happen are multiplied. Did you add them?"
    if not 0 < float(whole) < 1 or abs(math.log(float(whole)) - total) > 0.05:
        return f"{float(whole):.2g} is not it. Add the logarithms of all tokens; then?"
    if near(per_token, total):
        return "this is the sum. How many tokens share it?"
    if not near(per_token, total / count):
        return (f"per_token is {float(per_token):.3f}. Is it a mean of logarithms, not the logarithm of a mean?")
    return None


@exercise(4, "you have measured prompt sensitivity. What would you have reported after only the first call?",
          "A label that moves with the order of the list is partly made by the list. Averaging over orders helps a little, "
          "validation against hand codes is what tells.")
def order_matters(changed: Any, code: Callable[..., Any], texts: Sequence[str], labels: list[str]) -> str | None:
    first, second = code(texts, labels), code(texts, labels[::-1])
    truth = sum(a != b for a, b in zip(first.answers, second.answers, strict=True)) / len(texts)
    numbers = (first.indices != second.indices).float().mean().item()
    if not is_number(changed):
        return f"`changed` should be one number and is a {type(changed).__name__}."
    if near_share(changed, truth):
        return None
    if near_share(changed, 1 - truth):
        return "is this the share of answers that kept their label?"
    if near_share(changed, numbers):
        return "number 0 of one list is not number 0 of the other. Did you compare the labels themselves?"
    if changed == truth * len(texts):
        return "this is how many. Which share of all answers?"
    return f"{float(changed):.3f} is not it. Are both calls about the same answers, with the same question?"
