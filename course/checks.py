"""Checks for the exercises. They ask the question that fixes the mistake, and never show the answer.

A check takes what the learner made and whatever it needs to find the answer in its own way. It returns a `Result`
that prints a sentence: not done yet (the answer is still `...`), a question, or a ✓. It raises nothing: an unfinished
or wrong exercise never stops a lesson.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """True when the exercise is solved."""

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return self.message


def exercise(number: int, right: str) -> Callable:
    """Makes a check of a function that returns a question about what is wrong, or None when nothing is."""
    def wrap(question: Callable[..., str | None]) -> Callable[..., Result]:
        @functools.wraps(question)
        def check(*answers: Any) -> Result:
            try:
                doubt = "not done yet." if any(answer is ... for answer in answers) else question(*answers)
            except Exception as error:      # an answer of a kind that nobody thought of, or a function that fails
                said = f"{type(error).__name__}: {error}".rstrip(".: ")
                doubt = f"checking this stopped with {said}. Does it have the form asked for?"
            return Result(doubt is None, f"✓ Exercise {number}: {right}" if doubt is None else
                          f"Exercise {number}: {doubt}")
        return check
    return wrap


def is_number(value: Any) -> bool:
    """One number, NaN included: so the checks ask `not abs(…) <= …`, which is true of NaN, and not `abs(…) > …`."""
    return not isinstance(value, (str, bool)) and getattr(value, "ndim", 0) == 0 and hasattr(value, "__float__")


# -- Lesson 1, Quick tour ----------------------------------------------------------------------------------------------

@exercise(1, "you have read the model as one more coder. Where the two differ, the texts deserve a second look.")
def agreement(share: Any, disputed: Any, results: Any, coder: Sequence[str]) -> str | None:
    rows = list(zip(results.index, results["label"], coder, strict=True))
    differ = [answer for answer, model, human in rows if model != human]
    truth = 1 - len(differ) / len(rows)
    if not is_number(share):
        return f"`share` should be one number and is a {type(share).__name__}. What is the mean of True and False?"
    if not 0 <= share <= 1:
        return "a share lies between 0 and 1. Did you count answers without dividing, or use percent?"
    if abs(share - truth) > 0.006:              # rounding to 0.83 is no mistake
        return ("is this the share on which they disagree?" if abs(share - (1 - truth)) < 0.006 else
                f"{float(share):.3f} is not the share of equal labels. Did you compare labels of the same row?")
    if isinstance(disputed, str) or not hasattr(disputed, "__len__"):
        return f"`disputed` should be a list of answers, even if it holds only one; it is a {type(disputed).__name__}."
    if any(not isinstance(text, str) or text not in results.index for text in disputed):
        return ("`disputed` should hold answers, word for word. Did you keep row numbers, labels, True and False, or whole "
                "rows of the table? The answers are its index.")
    if sorted(disputed) != sorted(differ):
        return f"they differ on {len(differ)} of the answers and `disputed` has {len(disputed)}. Which rows did you keep?"
    return None


@exercise(2, "now try other pairs of words and professions. What would you need to call a difference a bias?")
def word_probability(probability: Any, unmask: Any) -> str | None:
    if not callable(probability):
        return "`probability` should be a function of a text and a word. Did you call it, and keep what it returned?"
    text = "She poured herself a cup of [MASK]."
    encoded = unmask.tokenizer(text, return_tensors="pt").to(unmask.device)     # another way than unmask() itself
    place = encoded["input_ids"][0].tolist().index(unmask.tokenizer.mask_token_id)
    scores, ids = unmask.model(**encoded).logits[0, place].softmax(-1).sort(descending=True)
    ranked = list(zip(unmask.tokenizer.convert_ids_to_tokens(ids[:50].tolist()), scores.tolist(), strict=False))
    whole = [(word, score) for word, score in ranked[1:] if word.isalpha()]     # no pieces of words, no signs
    (second, high), (late, low) = whole[0], whole[-1]
    if (found := probability(text, second)) is ...:
        return "not done yet."
    if not is_number(found):
        return ("the function gave nothing back. Does it end with return?" if found is None else
                f"the function should return one number and gave a {type(found).__name__}. Which part of a guess is it?")
    if abs(found - ranked[0][1]) < 1e-4:
        return "is this the score of the first guess, whatever the word is? Where do you use `word`?"
    if not abs(found - high) <= 1e-4:
        return f"for {text!r} and {second!r} it gives {found:.4f}. To which of the guesses does that score belong?"
    if not is_number(found := probability(text, late)) or not abs(found - low) <= low / 10:
        return f"{late!r} is a guess far down the list, with {low:.5f}. How do you find words behind the first few?"
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


@exercise(4, "you can read a map. Try another head: the favourite changes, and so would the story you tell about it.")
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


@exercise(5, "so few weights are new that a few hundred coded texts can teach them.")
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


# -- Lesson 2, Glossary and model inputs -------------------------------------------------------------------------------

@exercise(1, "rare words cost more tokens. Whose words are rare in the texts that a vocabulary was made from?")
def words_in_pieces(pieces: Any, answer: str, tokenizer: Any) -> str | None:
    parts = tokenizer(answer).word_ids()                            # another way than tokenizing word by word
    cut = [word for place, word in enumerate(answer.split()) if parts.count(place) > 1]
    if isinstance(pieces, str) or not all(isinstance(word, str) for word in pieces):
        return "`pieces` should be a list of words. Did you keep their pieces, or numbers, instead of the words?"
    if any(word.startswith("##") for word in pieces):
        return "a piece that begins with ## is only a part. To which word of the answer does it belong?"
    if sorted(pieces) == sorted(set(answer.split()) - set(cut)):
        return "are these the words that stayed whole?"
    if extra := [word for word in pieces if word not in cut]:
        return f"{extra[0]!r} should not be in the list. How many pieces does the tokenizer make of it?"
    if len(pieces) < len(cut):
        return f"{len(cut)} words are cut and `pieces` has {len(pieces)}. Did you go through the whole answer?"
    return None


@exercise(2, "a mask can be rebuilt from the ids. A model's results without one cannot be repaired.")
def mask_by_hand(mask: Any, batch: Any) -> str | None:
    truth = batch["attention_mask"].tolist()
    if not hasattr(mask, "shape") or tuple(mask.shape) != tuple(batch["input_ids"].shape):
        return (f"`mask` needs one number for each token, so the shape {tuple(batch['input_ids'].shape)}, and has "
                f"{tuple(mask.shape) if hasattr(mask, 'shape') else type(mask).__name__}.")
    if str(mask.dtype).endswith("bool"):
        return "the places are marked with True and False. What makes 1 and 0 of them?"
    found = mask.tolist()
    if found == [[1 - number for number in row] for row in truth]:
        return "1 means read it, 0 means look past it. Is it the other way round here?"
    if found != truth:
        return "some places are marked wrongly. Which number stands in a place that is only padding?"
    return None


@exercise(3, "for the model both sentences are now one bag of words. Somebody was sued by somebody.")
def bag_of_words(position_ids: Any, both: Any, model: Any) -> str | None:
    if tuple(getattr(position_ids, "shape", ())) != (shape := tuple(both["input_ids"].shape)):
        return f"`position_ids` should be a tensor of the shape {shape}: one place for each token of both sentences."
    first, second = model.base_model(**both, position_ids=position_ids).last_hidden_state[:, 0]
    if (distance := (first - second).norm().item()) > 1e-3:
        if position_ids[0].tolist() == list(range(shape[1])):
            return "these are the places that the model counts by itself. What do they tell it that it should not know?"
        return f"the two are still {distance:.3f} apart. Which token has a place that the other sentence gives to another?"
    return None


@exercise(4, "each place now sees what was written before it, and never the token it has to guess.")
def moved_right(decoder_input_ids: Any, labels: Any) -> str | None:
    truth = [[0, *(max(number, 0) for number in row[:-1])] for row in labels.tolist()]
    if tuple(getattr(decoder_input_ids, "shape", ())) != tuple(labels.shape):
        return (f"`decoder_input_ids` should be a tensor of the shape {tuple(labels.shape)}. One column comes in front: "
                "which one has to go?")
    found = decoder_input_ids.tolist()
    if found == truth:
        return None
    if any(row[0] != 0 for row in found):
        left = [row[:-1] for row in found] == [[max(number, 0) for number in row[1:]] for row in labels.tolist()]
        return ("did the labels move to the left? Then each place sees what comes next." if left else
                "what does the decoder see before anything is written? Each row should begin with it.")
    if any(number < 0 for row in found for number in row):
        return "a negative number is still there. It means something in labels; which token would it be as an input?"
    return f"the first row is {found[0]} and should say what stands before each place of {labels[0].tolist()}."


@exercise(5, "time was exchanged for memory, and nothing was lost on the way.")
def chunks(chunked: Any, differ: Any, body: Any) -> str | None:
    if not hasattr(chunked, "config"):
        return f"`chunked` should be a model and is a {type(chunked).__name__}."
    if (size := chunked.config.chunk_size_feed_forward) != 8:
        return f"the chunks of this model have the size {size} (0: all at once). Where does from_pretrained learn of 8?"
    if len(chunked.layers) != len(body.layers):
        return "the two models differ in their layers. Do both come from the same name?"
    if not is_number(differ):
        return f"`differ` should be one number and is a {type(differ).__name__}. What is the largest of the differences?"
    if not -1e-4 < differ < 1e-4:
        return f"{float(differ):.4f} is too much. Did both models get the same inputs, with the mask, outside of training?"
    return None if differ >= 0 else "can the size of a difference be negative? abs() comes before max()."


# -- Lesson 4, Preprocessing -------------------------------------------------------------------------------------------

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


# -- Lesson 6, Tokenizers from scratch ---------------------------------------------------------------------------------

@exercise(1, "a list of words is never complete, and it misses the rare voices first.")
def unknown_words(unknown: Any, texts: Sequence[str], words_of: Callable[[str], list[str]]) -> str | None:
    known = {word for text in texts[::2] for word in words_of(text)}
    others = [word for text in texts[1::2] for word in words_of(text)]
    truth = sum(word not in known for word in others) / len(others)
    if not is_number(unknown):
        return f"`unknown` should be one number and is a {type(unknown).__name__}. What is the mean of True and False?"
    if not 0 <= unknown <= 1:
        return "a share lies between 0 and 1. Did you count words without dividing?"
    if abs(unknown - (1 - truth)) < 1e-6:
        return "is this the share that is known?"
    if abs(unknown - sum(word not in known for word in set(others)) / len(set(others))) < 1e-6:
        return "here every word counts once, however often it stands in the text. What does a reader of the text meet?"
    if abs(unknown - truth) > 1e-6:
        return f"{float(unknown):.4f} is not it. Which answers built the list, and which are tested?"
    return None


@exercise(2, "you have written the tokenizer of BERT. Which word of yours does it cut in the strangest way?")
def wordpiece(wordpiece: Any, vocabulary: set[str], tokenizer: Any, texts: Sequence[str]) -> str | None:
    if not callable(wordpiece):
        return "`wordpiece` should be a function of a word and a vocabulary."
    if (found := wordpiece("un", {"un"})) is ...:
        return "not done yet."
    small = {"un", "##a", "##able", "##ford", "##afford", "a", "afford", "b", "##b"}
    for word, wanted, question in (
            ("un", ["un"], "What is the longest piece of a word that is in the vocabulary as a whole?"),
            ("unaffordable", ["un", "##afford", "##able"], "Does the second piece carry ##, and is it the longest that fits?"),
            ("bab", ["b", "##a", "##b"], "Does your search go on until the end of the word?"),
            ("bob", ["[UNK]"], "One part cannot be spelled. What should become of the whole word?")):
        if list(found := wordpiece(word, small)) != wanted:
            return f"for {word!r} and the pieces {sorted(small)} it gives {found}. {question}"
    for word in dict.fromkeys(word for text in texts for word in text.lower().split() if word.isascii() and word.isalpha()):
        if list(found := wordpiece(word, vocabulary)) != tokenizer.tokenize(word):
            return f"{word!r} becomes {found} here and {tokenizer.tokenize(word)} in the library. Which piece differs first?"
    return None


@exercise(3, "that is all that BPE learns: one pair after the other.")
def best_pair(best_pair: Any, counts: dict[str, int]) -> str | None:
    if not callable(best_pair):
        return "`best_pair` should be a function of the spelled words."
    tests = [({("a", "b"): 3, ("c", "d", "a"): 1, ("c", "d"): 1}, ("a", "b"), "Does a word that occurs twice count twice?"),
             ({("b", "c"): 1, ("a", "a", "a"): 1}, ("a", "a"), "Do you count every place in a word?"),
             ({("th", "e"): 5, ("t", "h"): 4}, ("th", "e"), "Pieces can be longer than one letter. Do you take them whole?")]
    pairs: dict[tuple[str, str], int] = {}
    for word, count in counts.items():
        for i in range(len(word) - 1):
            pairs[word[i], word[i + 1]] = pairs.get((word[i], word[i + 1]), 0) + count
    tests.append(({tuple(word): count for word, count in counts.items()}, max(pairs, key=pairs.__getitem__),
                  "Are all words of the survey counted?"))
    for spelled, wanted, question in tests:
        found = best_pair(spelled)
        if found is ...:
            return "not done yet."
        if not isinstance(found, tuple) or len(found) != 2:
            return f"it should return a pair, like ('t', 'h'), and gave {found!r}. most_common(1) is a list: what stands in it?"
        if found != wanted:
            return f"it gives {found} where {wanted} is more frequent. {question}"
    return None


@exercise(4, "nothing was lost on the way there and back.")
def glue(glue: Any, tokenizer: Any, texts: Sequence[str]) -> str | None:
    if not callable(glue):
        return "`glue` should be a function of a list of pieces."
    if (found := glue(["The", "Ġrent", "Ġis", "Ġhigh", "er"])) is ...:
        return "not done yet."
    if found != "The rent is higher":
        return f"from The Ġrent Ġis Ġhigh er it makes {found!r}. Where was a blank, and where was none?"
    for text in (text for text in texts if text.isascii() and "\n" not in text):
        if (found := glue(tokenizer.tokenize(text))) != text:
            return f"{text!r} comes back as {found!r}. Did you strip or add a blank?"
    return None


@exercise(5, "a difference in price that no price list shows.")
def premium(premium: Any, dearest: Any, sentences: Any, tokenizer: Any) -> str | None:
    tokens: dict[str, int] = {}
    for language, text in zip(sentences["language"], sentences["text"], strict=True):
        tokens[language] = tokens.get(language, 0) + len(tokenizer(text, add_special_tokens=False)["input_ids"])
    if not hasattr(premium, "items"):
        return f"`premium` should have a number for each language and is a {type(premium).__name__}. Divide a column by one."
    found = dict(premium.items())
    if set(found) != set(tokens):
        return f"`premium` should have the rows {', '.join(tokens)}. Did you divide a whole column?"
    if not abs(found["English"] - 1) <= 1e-6:
        return f"English has {found['English']:.2f}. What is a number divided by itself?"
    for language, count in tokens.items():
        if not abs(found[language] - count / tokens["English"]) <= 1e-3:
            return f"{language} has {found[language]:.2f}. From which of the two columns is it made, and divided by what?"
    most = max(tokens, key=tokens.__getitem__)
    if dearest != most:
        return f"`dearest` should name a language; {dearest!r} is not the dearest. Which row holds the highest number?"
    return None


# -- Lesson 7, Inside a Transformer ------------------------------------------------------------------------------------

@exercise(1, "1 is the same direction, 0 a right angle, -1 the opposite. Length does not count.")
def cosine(function: Any) -> str | None:
    import torch

    if not callable(function):
        return "`cosine` should be a function of two vectors. Did you call it, and keep what it returned?"
    a, b = torch.tensor([3.0, 4.0, 0.0]), torch.tensor([0.0, 6.0, 8.0])             # lengths 5 and 10, product 24
    if (found := function(a, b)) is ...:
        return "not done yet."
    if not is_number(found):
        return "the function should return one number. Which product of two vectors is one number?"
    for value, question in ((24.0, "this is the product of the two vectors. How long are they?"),
                            (24 / 5, "the product is divided by the length of the first vector alone. What about the second?"),
                            (24 / 10, "the product is divided by the length of the second vector alone. What about the first?"),
                            (24 / 15, "are the two lengths added? They should be multiplied."),
                            (24 / 2500, "are the lengths squared? Their root is missing.")):
        if abs(found - value) < 1e-5:
            return question
    if not abs(found - 0.48) <= 1e-5:
        return f"for (3, 4, 0) and (0, 6, 8) it gives {float(found):.3f}. Work it out on paper: the lengths are 5 and 10."
    return None


@exercise(2, "this line is in every Transformer that you have used.")
def attend(function: Any) -> str | None:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if not callable(function):
        return "`attend` should be a function of q, k, v and mask. Did you call it, and keep what it returned?"
    random = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, length, width, generator=random) for length, width in ((3, 4), (5, 4), (5, 6)))
    mask = torch.zeros(3, 5)
    mask[:, 4] = float("-inf")
    if (found := function(q, k, v, mask)) is ...:
        return "not done yet."
    if tuple(getattr(found, "shape", ())) != (2, 3, 6):
        return ("three queries look at five values of width 6, so the result has the shape (2, 3, 6); this one has "
                f"{tuple(getattr(found, 'shape', ()))}. What is multiplied by the values?")

    def same(*inputs: Any, **options: Any) -> bool:
        return torch.allclose(found, scaled_dot_product_attention(*inputs, **options), atol=1e-5)

    if same(q, k, v):
        return "where does the mask come in? Here it should have hidden the last value."
    if same(q, k, v, mask, scale=1.0):
        return "the scores are not divided by anything. By what does their size grow with the width?"
    if same(q, k, v, mask, scale=1 / 4):
        return "the scores are divided by the width. Which part of it keeps their spread at 1?"
    if torch.allclose(found, ((q @ k.mT / 2 + mask).softmax(-2) @ v), atol=1e-5, equal_nan=True):
        return "each row of the weights should sum to 1. Over which dimension goes the softmax?"
    if not same(q, k, v, mask):
        return "the numbers differ from the library's. In which order come dividing, mask, softmax and values?"
    return None


@exercise(3, "a triangle of zeros: all that it takes to make a writer of a reader.")
def causal(mask: Any) -> str | None:
    import torch

    if tuple(getattr(mask, "shape", ())) != (5, 5):
        return f"`causal` should be a tensor of the shape (5, 5) and has {tuple(getattr(mask, 'shape', ()))}."
    may = torch.ones(5, 5).tril().bool()
    if mask.isnan().any():
        return "some cells are not a number: 0 times infinity has no value. How can cells be chosen without multiplying?"
    if set(mask.flatten().tolist()) <= {0.0, 1.0}:
        return "this marks cells with 0 and 1. Added to scores, 1 forbids nothing: which number does?"
    free = mask == 0
    if torch.equal(free, may.mT):
        return "here the first token sees all and the last only itself. Is the triangle on the right side?"
    if torch.equal(free, may & ~torch.eye(5).bool()):
        return "no token may look at itself, so the first has nowhere to look. Where does the triangle begin?"
    if torch.equal(free, ~may):
        return "a token sees only what comes later. Which cells should be 0?"
    if not torch.equal(free, may):
        return "in row 2 the first three columns should be free and the last two forbidden. Which are, here?"
    if mask[~may].max() > -1e4:
        return f"{mask[~may].max().item():g} lowers a score, but does not forbid it. What is lower than any score?"
    return None


@exercise(4, "a layer, as the authors of BERT drew it.")
def one_layer(function: Any, model: Any) -> str | None:
    import torch

    if not callable(function):
        return "`one_layer` should be a function of x and a block. Did you call it, and keep what it returned?"
    block, width = model.layers[-1], model.config.hidden_size
    x = torch.randn(2, 4, width, generator=torch.Generator().manual_seed(0)).to(model.device)
    with torch.inference_mode():
        if (found := function(x, block)) is ...:
            return "not done yet."
        if isinstance(found, tuple):
            return "the function returns two things. Of what `block.attention` returns, only the first goes on."
        half = block.attention_norm(x + block.attention(x)[0])
        forgotten = block.attention_norm(block.attention(x)[0])
        before = x + block.attention(block.attention_norm(x))[0]
        for wrong, question in (
                (half, "this is the first half. What works on each token alone?"),
                (block.norm(block.feed_forward(half)), "the feed-forward network replaces what was there. What is added?"),
                (block.norm(forgotten + block.feed_forward(forgotten)), "attention replaces what was there. What is added?"),
                (block.norm(block.feed_forward(forgotten)), "both halves forget what they were given. What is added?"),
                (before + block.feed_forward(block.norm(before)), "this is the order of GPT-2, norm first. BERT adds first."),
                (block.norm(x + block.feed_forward(half)), "the second half adds the x of the beginning. What is x by then?"),
                (block.attention_norm(half + block.feed_forward(half)), "the same norm twice? The second half has its own.")):
            if torch.allclose(found, wrong, atol=1e-4):
                return question
        if tuple(found.shape) != tuple(x.shape) or not torch.allclose(found, block(x)[0], atol=1e-4):
            return "the result differs from the library's. Attention, add, norm; feed-forward, add, norm: in this order?"
    return None


@exercise(5, "the model does without it here. One sentence is no proof: which sentences would you try next?")
def spare_layer(spare: Any, model: Any, outputs: Any) -> str | None:
    import torch

    changes = []
    with torch.inference_mode():
        for left_out in range(len(model.layers)):
            x = outputs.hidden_states[0]
            for layer in [*model.layers[:left_out], *model.layers[left_out + 1:]]:
                x = layer(x)[0]
            changes.append((x - outputs.last_hidden_state).abs().mean().item())
    if not is_number(spare) or spare != int(spare):
        return f"`spare` should be the number of a layer and is {spare!r}."
    if spare == len(changes):
        return f"the layers are counted from 0, so the last is {len(changes) - 1}."
    if not 0 <= spare < len(changes):
        return f"this model has {len(changes)} layers, numbered from 0. Is {spare} the amount of change?"
    if (found := changes[int(spare)]) == max(changes):
        return "without this one the result changes most. Which end of the list is it?"
    if found > min(changes) * 1.001:
        return ("another one is missed less. Did every run begin with the entrance, real.hidden_states[0], and leave out "
                "one layer only?")
    return None
