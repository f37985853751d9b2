"""Checks of lesson 4, Preprocessing."""

from collections.abc import Sequence
from typing import Any

from course.checks import exercise, is_number


@exercise(1, "you know what the vocabulary costs. Look at the split words: are they spread evenly over your respondents?")
def split_share(share: Any, texts: Sequence[str], tokenizer: Any) -> str | None:
    def split(text: str) -> bool:
        words = [word for word in tokenizer(text).word_ids() if word is not None]
        return len(words) > len(set(words))
    truth = sum(map(split, texts)) / len(texts)
    if not is_number(share):
        return f"`split_share` should be one number and is a {type(share).__name__}. What is the mean of True and False?"
    if not 0 <= share <= 1:
        return "a share lies between 0 and 1. Did you count texts, or pieces, without dividing?"
    if abs(share - (1 - truth)) < 1e-6 and abs(truth - 0.5) > 1e-6:
        return "is this the share of answers in which every word stayed whole?"
    if abs(share - truth) > 1e-6:
        return f"{float(share):.3f} is not it. Did you count each answer once, however many of its words were split?"
    return None


@exercise(2, "sorting costs nothing, and most of the filling is gone.")
def filling(one: Any, groups: Any, texts: Sequence[str], tokenizer: Any) -> str | None:
    sizes = sorted(len(ids) for ids in tokenizer(list(texts))["input_ids"])
    parts = [sizes[i: i + 32] for i in range(0, len(sizes), 32)]
    whole, grouped = (1 - sum(sizes) / positions for positions in (
        len(sizes) * sizes[-1], sum(len(part) * part[-1] for part in parts)))
    for name, value in (("one_batch", one), ("sorted_groups", groups)):
        if not is_number(value) or not 0 <= value <= 1:
            return f"`{name}` should be a number between 0 and 1. Zeros of the mask, divided by what?"
    if abs(one - (1 - whole)) < 1e-6:
        return "is this the share of text? Filling is where the mask is 0."
    if abs(one - whole) > 1e-6:
        return f"`one_batch` is {one:.3f}. Are all answers in one call, with padding, and do special tokens count as text?"
    if abs(groups - grouped) > 1e-3:
        return ("`sorted_groups` is not smaller. Did you sort by the number of tokens first?" if groups >= one else
                f"`sorted_groups` is {groups:.3f}. Groups differ in size: did you add up zeros and positions over all "
                "groups, or take the mean of their shares? And were they sorted by tokens, 32 in each?")
    return None


@exercise(3, "the whole document has a voice. Which other way to pool would suit your question?")
def window_mean(positive: Any, windows: Any, document: str, model: Any) -> str | None:
    if not callable(positive):
        return "`positive` should be a function of a text. Did you call it, and keep what it returned?"
    import torch  # here, because checks of other lessons do without it

    rows = windows(document)
    with torch.inference_mode():
        chances = [model(ids[mask == 1][None]).logits.softmax(-1)[0].tolist()      # one by one, so without any padding
                   for ids, mask in zip(rows["input_ids"], rows["attention_mask"], strict=True)]
    truth = sum(row[1] for row in chances) / len(chances)
    if (found := positive(document)) is ...:
        return "not done yet."
    if not is_number(found):
        return f"the function should return one number and gave a {type(found).__name__}. Did you take the mean?"
    if abs(found - (1 - truth)) < 1e-3 and abs(truth - 0.5) > 1e-3:
        return "is this the mean of NEGATIVE? The labels stand in model.config.id2label."
    if abs(found - chances[0][1]) < 1e-3:
        return "this is the first window alone. Where do the others go?"
    if not abs(found - truth) <= 1e-3:
        return (f"{float(found):.4f} is not the mean over {len(chances)} windows. Does the model get the attention mask, "
                "and is it the mean of probabilities, not of logits?")
    return None


@exercise(4, "this is what a model that finds names is trained on.")
def piece_labels(found: Any, words: Sequence[str], labels: Sequence[int], tokenizer: Any) -> str | None:
    pieces = [tokenizer.tokenize(word) for word in words]      # another way than word_ids()
    truth = [-100, *(number for label, parts in zip(labels, pieces, strict=True)
                     for number in [label, *[-100] * (len(parts) - 1)]), -100]
    found = list(found)
    if len(found) == len(labels):
        return "there is one label a word. How many tokens did the words become?"
    if len(found) != len(truth):
        return f"there are {len(truth)} tokens and {len(found)} labels. Do the special tokens have one?"
    if found[0] != -100 or found[-1] != -100:
        return "[CLS] and [SEP] are nobody's words. Which number does a loss ignore?"
    if found == [-100, *(label for label, parts in zip(labels, pieces, strict=True) for _ in parts), -100]:
        return "every piece has the label of its word: a long name would count more often than a short one. Which piece stays?"
    if found != truth:
        place = next(i for i, (a, b) in enumerate(zip(found, truth, strict=True)) if a != b)
        return f"token {place} has the label {found[place]}. To which word does it belong, and is it its first piece?"
    return None


@exercise(5, "the machine's traces are gone, and what people wrote is still there.")
def clean(clean: Any) -> str | None:
    if not callable(clean):
        return "`clean` should be a function of a text. Did you call it, and keep what it returned?"
    if clean("Rent") is ...:
        return "not done yet."
    for raw, wanted, question in (
            ("Rent", "Rent", "What should happen to an answer that is clean already?"),
            ("parks &amp; trees", "parks & trees", "What does html.unescape do?"),
            ("too\n\n  loud\t!", "too loud !", "Are line breaks and tabs blanks, too?"),
            ("", None, "Did anybody say something here?"), (" ... ", None, "Did anybody say something here?"),
            ("-", None, "Did anybody say something here?"), (" &nbsp; ", None, "Is a blank of the web form an answer?"),
            ("NOT safe at night!!", "NOT safe at night!!", "Capitals and signs are how people stress. Do they stay?"),
            ("👍", "👍", "Is a thumb up no answer?"), ("我不知道", "我不知道", "Does every language survive?"),
            ("no", "no", "Is a short answer no answer?")):
        if (found := clean(raw)) != wanted:
            return f"from {raw!r} it makes {found!r}. {question}"
    return None
