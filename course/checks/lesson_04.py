"""Checks of lesson 4, Preprocessing."""

from collections.abc import Sequence
from typing import Any

from course.checks import exercise, is_number, near, near_share


@exercise(1, "you know what the vocabulary costs. Look at the split words: are they spread evenly over your respondents?",
          "Split words are the price of a small vocabulary. Names of places, dialect and mistakes pay it first: ask whose "
          "words a vocabulary holds whole.")
def split_share(share: Any, texts: Sequence[str], tokenizer: Any) -> str | None:
    def split(text: str) -> bool:
        words = [word for word in tokenizer(text).word_ids() if word is not None]
        return len(words) > len(set(words))
    truth = sum(map(split, texts)) / len(texts)
    if not is_number(share):
        return f"`split_share` should be one number and is a {type(share).__name__}. What is the mean of True and False?"
    if near_share(share, truth):
        return None
    if near_share(share, 1 - truth):
        return "is this the share of answers in which every word stayed whole?"
    if not 0 <= share <= 100:
        return "a share lies between 0 and 1. Did you count texts, or pieces, without dividing?"
    if not near_share(share, truth):
        return f"{float(share):.3g} is not it. Did you count each answer once, however many of its words were split?"
    return None


@exercise(2, "the whole document has a voice. Which other way to pool would suit your question?",
          "A mean is one way to pool windows; the most negative window, or the share of negative ones, answer other questions. "
          "Say in your paper which one you took.")
def window_mean(positive: Any, windows: Any, document: str, model: Any) -> str | None:
    if not callable(positive):
        return "`positive` should be a function of a text. Did you call it, and keep what it returned?"
    import torch  # here, because checks of other lessons do without it

    for text in (document, document[:len(document) // 3], document[-200:]):
        rows = windows(text)
        with torch.inference_mode():
            chances = [model(ids[mask == 1][None]).logits.softmax(-1)[0].tolist()      # one by one, so without any padding
                       for ids, mask in zip(rows["input_ids"], rows["attention_mask"], strict=True)]
        truth = sum(row[1] for row in chances) / len(chances)
        try:
            found = positive(text)
        except TypeError as error:
            if "unexpected keyword" in str(error):
                return ("windows() also says where each window stood in the text, and the model cannot read that. Which two "
                        "of its columns does the model take?")
            raise
        if not is_number(found):
            return f"the function should return one number and gave a {type(found).__name__}. Did you take the mean?"
        if near(found, truth):
            continue
        if near(found, 1 - truth):
            return "is this the mean of NEGATIVE? The labels stand in model.config.id2label."
        if near(found, chances[0][1]):
            return "this is the first window alone. Where do the others go?"
        if text is not document:
            return f"it was right for `document`, and gives {float(found):.4f} for a part of it too. Where do you use `text`?"
        return (f"{float(found):.4f} is not the mean over {len(chances)} windows. Does the model get the attention mask, "
                "and is it the mean of probabilities, not of logits?")
    return None


@exercise(3, "this is what a model that finds names is trained on.")
def piece_labels(found: Any, words: Sequence[str], labels: Sequence[int], tokenizer: Any) -> str | None:
    pieces = [tokenizer.tokenize(word) for word in words]      # another way than word_ids()
    truth = [-100, *(number for label, parts in zip(labels, pieces, strict=True)
                     for number in [label, *[-100] * (len(parts) - 1)]), -100]
    found = [int(number) for number in found]
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


@exercise(4, "the machine's traces are gone, and what people wrote is still there.")
def clean(clean: Any) -> str | None:
    if not callable(clean):
        return "`clean` should be a function of a text. Did you call it, and keep what it returned?"
    for raw, wanted, question in (
            ("Rent", "Rent", "What should happen to an answer that is clean already?"),
            ("parks &amp; trees", "parks & trees", "What does html.unescape do?"),
            ("too\n\n  loud\t!", "too loud !", "Are line breaks and tabs blanks, too?"),
            ("", None, "Did anybody say something here?"), (" ... ", None, "Did anybody say something here?"),
            *((sign, None, "Did anybody say something here?") for sign in ("-", "--", "…", "?", "?!", "–", "/", ".")),
            (" &nbsp; ", None, "Is a blank of the web form an answer?"),
            ("NOT safe at night!!", "NOT safe at night!!", "Capitals and signs are how people stress. Do they stay?"),
            ("👍", "👍", "Is a thumb up no answer?"), ("我不知道", "我不知道", "Does every language survive?"),
            ("no", "no", "Is a short answer no answer?")):
        if (found := clean(raw)) != wanted:
            return f"from {raw!r} it makes {found!r}. {question}"
    return None


@exercise(5, "every label stands beside its own answer, and nobody who was silent got an opinion.",
          "dropna() keeps the numbers of its rows, a new table counts 0, 1, 2 …, and pandas puts side by side what has the "
          "same number. No error, no warning: look at a few rows after every merge.")
def labels_in_table(labelled: Any, survey: Any, classifier: Any) -> str | None:
    if not hasattr(labelled, "columns"):
        return f"`labelled` should be the table with a column more and is a {type(labelled).__name__}."
    if "label" not in labelled:
        return f"`labelled` has no column `label`; it has {', '.join(map(str, labelled.columns))}."
    silent = survey["answer"].isna()
    if len(labelled) < len(survey):
        return (f"{len(survey) - len(labelled)} rows are gone: who left the field empty is still a respondent. Can the labels "
                "go into the table that has them all?")
    theirs, ours = (table["answer"].astype(object).fillna("") for table in (labelled, survey))
    if list(theirs) != list(ours):
        return "the answers are no longer those of the survey, row by row. Did a merge add or move rows?"
    said = labelled["label"].astype(object).where(labelled["label"].notna(), None)
    if wrong := [place for place, label in enumerate(said) if silent.iloc[place] and label is not None]:
        return (f"row {survey.index[wrong[0]]} has the label {said.iloc[wrong[0]]}, and nobody said anything there. Where does "
                "it come from? Compare the numbers in front of the rows: those of the survey, and those of your new table.")
    places = [place for place in range(len(survey)) if not silent.iloc[place]]
    if empty := [place for place in places if said.iloc[place] is None]:
        first = survey["answer"].iloc[empty[0]]
        return (f"{len(empty)} answers have no label, the first in row {survey.index[empty[0]]}: {first!r}. Compare "
                "the numbers in front of the rows: those of the survey, and those of your new table.")
    some = [*places[:3], *places[3::max(1, len(places) // 60)], *places[-3:]]          # enough to see a shift
    truth = [answer["label"] for answer in classifier([survey["answer"].iloc[place] for place in some])]
    for place, label in zip(some, truth, strict=True):
        if str(said.iloc[place]).upper() != label.upper():
            return (f"row {survey.index[place]}, {survey['answer'].iloc[place][:60]!r}, has the label {said.iloc[place]}; the "
                    f"model says {label}. Is it the label of another row? Look at the numbers in front of the rows.")
    return None
