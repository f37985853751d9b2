"""Checks of lesson 1, Quick tour."""

from collections.abc import Sequence
from typing import Any

from course.checks import exercise, is_number, near, near_share


@exercise(1, "you have read the model as one more coder. Where the two differ, the texts deserve a second look.",
          "Six answers show how to compare, not how good the model is: that takes a few hundred coded texts, two coders, and "
          "a measure that allows for agreement by chance. Lesson 4 begins with it.")
def agreement(share: Any, disputed: Any, results: Any, coder: Sequence[str]) -> str | None:
    rows = list(zip(results.index, results["label"], coder, strict=True))
    differ = [answer for answer, model, human in rows if model != human]
    truth = 1 - len(differ) / len(rows)
    if not is_number(share):
        return f"`share` should be one number and is a {type(share).__name__}. What is the mean of True and False?"
    if not near_share(share, truth):
        return ("is this the share on which they disagree?" if near_share(share, 1 - truth) else
                f"{float(share):g} answers? A share is their number divided by that of all." if share == len(rows) - len(differ)
                else f"{float(share):.3g} is not the share of equal labels. Did you compare labels of the same row?")
    if isinstance(disputed, str) or not hasattr(disputed, "__len__"):
        return f"`disputed` should be a list of answers, even if it holds only one; it is a {type(disputed).__name__}."
    if any(not isinstance(text, str) or text not in results.index for text in disputed):
        return ("`disputed` should hold answers, word for word. Did you keep row numbers, labels, True and False, or whole "
                "rows of the table? The answers are its index.")
    if sorted(disputed) != sorted(differ):
        return f"they differ on {len(differ)} of the answers and `disputed` has {len(disputed)}. Which rows did you keep?"
    return None


@exercise(2, "now try other pairs of words and professions. What would you need to call a difference a bias?",
          "The sentence says nothing about the person. What differs between words comes from the training texts, and travels "
          "into every measurement made with the model.")
def word_probability(probability: Any, unmask: Any) -> str | None:
    if not callable(probability):
        return "`probability` should be a function of a text and a word. Did you call it, and keep what it returned?"
    for text in ("She poured herself a cup of [MASK].", "They moved to [MASK] last year."):
        encoded = unmask.tokenizer(text, return_tensors="pt").to(unmask.device)     # another way than unmask() itself
        place = encoded["input_ids"][0].tolist().index(unmask.tokenizer.mask_token_id)
        scores, ids = unmask.model(**encoded).logits[0, place].softmax(-1).sort(descending=True)
        ranked = list(zip(unmask.tokenizer.convert_ids_to_tokens(ids[:50].tolist()), scores.tolist(), strict=False))
        whole = [(word, score) for word, score in ranked[1:] if word.isalpha()]     # no pieces of words, no signs
        (second, high), (late, low) = whole[0], whole[4]
        found = probability(text, second)
        if not is_number(found):
            return ("the function gave nothing back. Does it end with return?" if found is None else
                    f"the function should return one number and gave a {type(found).__name__}. Which part of a guess is it?")
        if near(found, ranked[0][1]):
            return "is this the score of the first guess, whatever the word is? Where do you use `word`?"
        if not near(found, high):
            return (f"for {text!r} and {second!r} it gives {found:.4f}. To which of the guesses does that score belong, and "
                    "to which text?")
        if not is_number(found := probability(text, late)) or not near(found, low):
            return f"{late!r} is a guess far down the list, with {low:.3f}. How do you find words behind the first few?"
    return None


@exercise(3, "you have rebuilt the pipeline. An unsure answer is a good candidate for a human reader.")
def least_sure(answer: Any, answers: Sequence[str], model: Any, tokenizer: Any) -> str | None:
    # one by one, so without any padding
    alone = [tokenizer(text, return_tensors="pt").to(model.device) for text in answers]
    certainty = [model(**encoded).logits[0].softmax(-1).max().item() for encoded in alone]
    if is_number(answer) and answer in range(len(answers)):
        return f"{int(answer)} is a place in the list. Which answer stands there?"
    if not isinstance(answer, str) or answer not in answers:
        return "`least_sure` should be one of the answers, word for word."
    if answer == answers[certainty.index(max(certainty))]:
        return "this is the answer that the model is most sure about. Which end of the scale is unsure?"
    if answer != answers[certainty.index(min(certainty))]:
        return ("there is an answer it is less sure about. Did you take the higher of the two probabilities of each "
                "answer, and was the attention mask given to the model?")
    return None


@exercise(4, "you can read a map. Try another head: the favourite changes, and so would the story you tell about it.",
          "A token that looks at its neighbour is a story that is easy to believe. In layer 1, head 8, most tokens look at "
          "their right neighbour, whatever the sentence says. One map proves little.")
def favourite_token(favourite: Any, token: str, heatmap: Any, tokens: Sequence[str]) -> str | None:
    rows, place = heatmap.tolist(), tokens.index(token)
    looks, is_looked_at = rows[place], [row[place] for row in rows]
    if is_number(favourite) and favourite in range(len(tokens)):
        return f"{int(favourite)} is a place in the text. Which token stands there?"
    if not isinstance(favourite, str) or favourite not in tokens:
        return f"`favourite` should be one of {', '.join(tokens)}."
    if favourite == tokens[looks.index(max(looks))]:
        return None
    if favourite == tokens[is_looked_at.index(max(is_looked_at))]:
        return f"this token looks most at {token!r}. Rows look, columns are looked at: did you follow the row?"
    return f"is this the brightest cell in the row of {token!r}?"


@exercise(5, "so small is the part that decides about labels.",
          "The message names a second new part, the pooler, with 384 x 384 + 384 = 147,840 weights. Together that is one "
          "hundredth of the model: few enough for some hundred coded texts to teach them.")
def head_weights(head: Any, model: Any) -> str | None:
    (labels, width), body = model.classifier.weight.shape, sum(p.numel() for p in model.parameters())
    if not is_number(head):
        return f"`head` should be one whole number and is a {type(head).__name__}."
    if head == labels * width:
        return "almost: every label also has a number of its own, whatever the text says. What is it called?"
    if head == body:
        return "these are the weights of the whole model. Which part of it is the head?"
    if head != labels * width + labels:
        return f"{head:,} is not it. How many numbers describe a text, and how many labels use each of them?"
    return None
