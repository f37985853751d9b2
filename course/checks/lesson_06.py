"""Checks of lesson 6, Tokenizers from scratch."""

from collections.abc import Callable, Sequence
from typing import Any

from course.checks import exercise, is_number, near, near_share


@exercise(1, "a list of words is never complete, and it misses the rare voices first.",
          "These are not just any words: what one person alone says is often the reason to read the answer.")
def unknown_words(unknown: Any, texts: Sequence[str], words_of: Callable[[str], list[str]]) -> str | None:
    known = {word for text in texts[::2] for word in words_of(text)}
    others = [word for text in texts[1::2] for word in words_of(text)]
    truth = sum(word not in known for word in others) / len(others)
    if not is_number(unknown):
        return f"`unknown` should be one number and is a {type(unknown).__name__}. What is the mean of True and False?"
    if near_share(unknown, truth):
        return None
    if not 0 <= unknown <= 100:
        return "a share lies between 0 and 1. Did you count words without dividing?"
    if near_share(unknown, 1 - truth):
        return "is this the share that is known?"
    if near_share(unknown, sum(word not in known for word in set(others)) / len(set(others))):
        return "here every word counts once, however often it stands in the text. What does a reader of the text meet?"
    return f"{float(unknown):.4f} is not it. Which answers built the list, and which are tested?"


@exercise(2, "you have written the tokenizer of BERT. Which word of yours does it cut in the strangest way?")
def wordpiece(wordpiece: Any, vocabulary: set[str], tokenizer: Any, texts: Sequence[str]) -> str | None:
    if not callable(wordpiece):
        return "`wordpiece` should be a function of a word and a vocabulary."
    small = {"un", "##a", "##able", "##abl", "##block", "##ford", "##afford", "a", "afford", "b", "##b"}
    for word, wanted, question in (
            ("un", ["un"], "What is the longest piece of a word that is in the vocabulary as a whole?"),
            ("unaffordable", ["un", "##afford", "##able"], "Does the second piece carry ##, and is it the longest that fits?"),
            ("bab", ["b", "##a", "##b"], "Does your search go on until the end of the word?"),
            ("bob", ["[UNK]"], "One part cannot be spelled. What should become of the whole word?"),
            ("unablock", ["[UNK]"], "BERT takes ##abl, the longest, and then cannot spell ock. Does your function go back and "
                                    "try a shorter piece?")):
        if list(found := wordpiece(word, small)) != wanted:
            return f"for {word!r} and the pieces {sorted(small)} it gives {found}. {question}"
    for word in dict.fromkeys(word for text in texts for word in text.lower().split() if word.isascii() and word.isalpha()):
        if list(found := wordpiece(word, vocabulary)) != tokenizer.tokenize(word):
            return f"{word!r} becomes {found} here and {tokenizer.tokenize(word)} in the library. Which piece differs first?"
    return None


@exercise(3, "that is all that BPE learns: one pair after the other. The next cell does it 200 times.")
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
        if isinstance(found, list) and len(found) == 2:
            found = tuple(found)
        if not isinstance(found, tuple) or len(found) != 2:
            return f"it should return a pair, like ('t', 'h'), and gave {found!r}. most_common(1) is a list: what stands in it?"
        if found != wanted:
            return f"it gives {found} where {wanted} is more frequent. {question}"
    return None


@exercise(4, "nothing was lost on the way there and back.")
def glue(glue: Any, tokenizer: Any, texts: Sequence[str]) -> str | None:
    if not callable(glue):
        return "`glue` should be a function of a list of pieces."
    if (found := glue(["The", "Ġrent", "Ġis", "Ġhigh", "er"])) != "The rent is higher":
        return f"from The Ġrent Ġis Ġhigh er it makes {found!r}. Where was a blank, and where was none?"
    for text in (text for text in texts if text.isascii() and "\n" not in text):
        if (found := glue(tokenizer.tokenize(text))) != text:
            return f"{text!r} comes back as {found!r}. Did you strip or add a blank?"
    return None


@exercise(5, "a difference in price that no price list shows.",
          "A survey in two languages, coded by the same model, is not read with the same care. Report tokens per word for each "
          "group, as you would report response rates.")
def premium(premium: Any, dearest: Any, sentences: Any, tokenizer: Any) -> str | None:
    tokens: dict[str, int] = {}
    for language, text in zip(sentences["language"], sentences["text"], strict=True):
        tokens[language] = tokens.get(language, 0) + len(tokenizer(text, add_special_tokens=False)["input_ids"])
    if not hasattr(premium, "items"):
        return f"`premium` should have a number for each language and is a {type(premium).__name__}. Divide a column by one."
    found = dict(premium.items())
    if set(found) != set(tokens):
        return f"`premium` should have the rows {', '.join(tokens)}. Did you divide a whole column?"
    if not near(found["English"], 1):
        return f"English has {found['English']:.2f}. What is a number divided by itself?"
    for language, count in tokens.items():
        if not near(found[language], count / tokens["English"]):
            return f"{language} has {found[language]:.2f}. From which of the two columns is it made, and divided by what?"
    most = max(tokens, key=tokens.__getitem__)
    if dearest != most:
        return f"`dearest` should name a language; {dearest!r} is not the dearest. Which row holds the highest number?"
    return None
