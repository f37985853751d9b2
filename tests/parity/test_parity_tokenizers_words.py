"""XLM's and Transformer-XL's tokenizers, which cut words by the rules of Moses, against transformers' slow ones (it has no
fast ones). There is no vocabulary of theirs at hand, so small ones are made of the texts: with every letter, so that no word
can be cut differently unseen."""

import json
from collections import Counter
from itertools import pairwise

import pytest
from test_parity_tokenizers import first_difference, strings
from test_parity_tokenizers_ladder import NASTY, SHARED

import course

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")
pytest.importorskip("sacremoses", reason="both libraries cut words with sacremoses, which is not installed here")

SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{number}>" for number in range(10))]
MARKS = ['"So," he said. "No." (a), [b]; x: y', "„Nein“, sagte »sie« …", "« Oui », dit-elle ; non !", "5 000 m² à 3,5 %", "e.g. Mr. Smith, Jan. 5th.",
         "well-known, and/or... it's I'd 'twas O'Neill's", "a..b...c....", "，。、！？（）【】％１２３", "İstanbul ΣΑΣ straße ŞșŢț", "<s>x</s> <special1>y<special9>",
         "<eos><unk> <EOS>", "2,500.75 and 1.2.3 or 7,", "http://a.b/c-d?e=f a@b.org", "``x'' `y' ´z´ ‚w‘"]


@pytest.fixture(scope="module")
def texts():
    """Every sixth of the texts that the other tokenizers are compared with: Moses takes its time."""
    if not (SHARED / "data/text/udhr").is_dir():
        pytest.skip("the texts of ../shared/data/text/udhr are not here")
    found = MARKS + NASTY + strings()[::6]
    assert len(found) > 400
    return found


@pytest.fixture(scope="module", params=["XLM", "XLM, capitals and accents", "TransfoXL", "TransfoXL, small letters"])
def both(request, texts, tmp_path_factory):
    """Ours and theirs, from the same files."""
    folder, start = tmp_path_factory.mktemp("vocabulary"), request.param.split(",")[0]
    words = Counter(word for text in texts for word in text.split())
    if start == "XLM":
        letters = {face for word in words for letter in word for face in (letter, *letter.lower(), *letter.upper())}
        many = Counter(pair for word, count in words.items() for pair in pairwise(word.lower()) for _ in range(count))
        merges = [pair for pair, _ in many.most_common(400)]
        pieces = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
        vocab = dict.fromkeys([*SPECIAL, *sorted(pieces)])
        (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(vocab)}))
        (folder / "merges.txt").write_text("".join(f"{a} {b} {many[a, b]}\n" for a, b in merges), encoding="utf-8")
        files = {"vocab_file": str(folder / "vocab.json"), "merges_file": str(folder / "merges.txt")}
        options = {"do_lowercase_and_remove_accent": request.param == "XLM"}
    else:
        cut = course.TransfoXLTokenizer(vocab={"<unk>": 0})
        known = dict.fromkeys(["<eos>", "<unk>", "<formula>", *(word for text in texts[:900] for word in cut.words_of(text))])
        (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in known), encoding="utf-8", newline="")
        files = {"vocab_file": str(folder / "vocab.txt")}
        options = {"lower_case": request.param != "TransfoXL"}
    options |= {"model_max_length": 512, "clean_up_tokenization_spaces": True}
    return tuple(getattr(library, f"{start}Tokenizer")(**files, **options) for library in (course, transformers))


def test_ids(both, texts):
    ours, theirs = both
    found, wanted = ours(texts, verbose=False), theirs(texts, verbose=False)
    assert list(found) == list(wanted) and len(ours) == len(theirs) and ours.all_special_tokens == theirs.all_special_tokens
    for key in wanted:
        assert first_difference(texts, found[key], wanted[key]) is None, key


def test_pairs_words_and_padding(both, texts):
    ours, theirs = both
    some = [text for text in texts[:150] if text.strip()]
    for tokenizer in both:
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.unk_token
    options = {"truncation": "only_first", "max_length": 30, "padding": True, "return_special_tokens_mask": True}
    pairs = some, [f"Yes, {number}." for number in range(len(some))]
    found, wanted = ours(*pairs, **options), theirs(*pairs, **options)
    for key in wanted:
        assert first_difference(some, found[key], wanted[key]) is None, key
    words = [text.split() for text in some]
    assert ours(words, is_split_into_words=True)["input_ids"] == theirs(words, is_split_into_words=True)["input_ids"]


def test_texts_come_back(both, texts):
    ours, theirs = both
    for text, ids in zip(texts, theirs(texts[:300], verbose=False)["input_ids"], strict=False):
        for options in ({}, {"skip_special_tokens": True}, {"clean_up_tokenization_spaces": False}):
            assert ours.decode(ids, **options) == theirs.decode(ids, **options), (text, options)


@pytest.mark.parametrize("language", ["de", "fr", "ro", "ru", "xx"])
def test_the_rules_of_other_languages(both, texts, language):
    ours, theirs = both
    if not isinstance(ours, course.XLMTokenizer) or language == "ro" and not ours.lower:
        pytest.skip("Transformer-XL reads English; Romanian without accents is a step of one checkpoint, which removes all accents")
    ours.lang = language
    try:
        for text in texts[:200]:
            lowered = "".join(map(str.lower, text)) if ours.lower else text
            wanted = [piece if piece in ours.vocab else ours.unk_token for piece in theirs._tokenize(lowered, lang=language)]
            assert ours.tokens_of(text) == wanted, text
    finally:
        ours.lang = "en"


def test_what_is_saved_loads_in_both(both, texts, tmp_path):
    ours, theirs = both
    some = texts[:100]
    wanted = ours(some, verbose=False)["input_ids"]
    ours.save_pretrained(tmp_path)
    for kind in (type(ours), type(theirs), course.AutoTokenizer):
        again = kind.from_pretrained(tmp_path)
        assert again(some, verbose=False)["input_ids"] == wanted and again.model_max_length == 512
    if isinstance(ours, course.XLMTokenizer):         # the other one writes pickles
        theirs.save_pretrained(tmp_path / "theirs")
        assert course.AutoTokenizer.from_pretrained(tmp_path / "theirs")(some, verbose=False)["input_ids"] == wanted
