"""Vocabularies learnt from small corpora: the same by both engines where that is promised, ready for use, saved and read."""

import logging
import math
import random

import numpy as np
import pytest

import course
from course import AutoTokenizer, train_bpe, train_byte_bpe, train_unigram, train_wordpiece
from course.tokenizers import training
from course.tokenizers.training import merged

TRAINERS = {"wordpiece": train_wordpiece, "bpe": train_bpe, "byte_bpe": train_byte_bpe, "unigram": train_unigram}
MERGING = {kind: TRAINERS[kind] for kind in ("wordpiece", "bpe", "byte_bpe")}
TINY = [f"{'low ' * 5}{'lower ' * 2}", "newest " * 6, "widest " * 3]
EXTRA = ["The Council's VOTE, 2024: yes or no?", "aaaa aaaaaa aaa --- ------ ---- 1000 10000", "naïve café Zürich ŒUVRE", "中文漢字 中文 漢字",
         "\U0001f468\u200d\U0001f469 ok \U0001f44d\U0001f3fd", "x" * 250, "  two  blanks\tand\n\nlines ", "מרחבא مرحبا नमस्ते"]


def corpus(number=600, seed=0):
    """Words of syllables, a few of them frequent and most rare, as in a language; and some awkward lines."""
    chance = random.Random(seed)
    syllables = [a + b + c for a in ("", "b", "k", "st", "l", "n") for b in "aeiou" for c in ("", "n", "r")]
    words = ["".join(chance.choice(syllables) for _ in range(chance.randint(1, 4))) for _ in range(400)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return [" ".join(chance.choices(words, weights, k=12)).capitalize() + chance.choice(".!?") for _ in range(number)] + EXTRA * 3


@pytest.fixture(scope="module")
def texts():
    return corpus()


@pytest.fixture(params=[False, True], ids=["python", "rust"])
def use_fast(request):
    return request.param


@pytest.fixture(params=TRAINERS)
def train(request):
    return TRAINERS[request.param]


# -- merging ---------------------------------------------------------------------------------------------------------------


def test_the_example_of_the_docstring(use_fast):
    tokenizer = train_bpe(TINY, 40, use_fast=use_fast)
    assert list(tokenizer.ranks)[:4] == [("e", "s"), ("es", "t</w>"), ("l", "o"), ("e", "w")]
    assert tokenizer.tokenize("lowest") == ["lo", "w", "est</w>"]
    assert type(tokenizer) is (course.OpenAIGPTTokenizerFast if use_fast else course.OpenAIGPTTokenizer)


def test_wordpiece_marks_the_inside(use_fast):
    tokenizer = train_wordpiece(TINY, 28, use_fast=use_fast)
    assert list(tokenizer.vocab)[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert list(tokenizer.vocab)[-3:] == ["##es", "##est", "lo"] and len(tokenizer) == 28
    assert tokenizer.tokenize("lowest") == ["lo", "##w", "##est"]
    assert tokenizer.tokenize("tin") == ["t", "##i", "##n"]            # no word began with t or i: letters are learnt in both forms


def test_ties_are_broken_by_the_smaller_ids(use_fast):
    assert list(train_bpe(["xy", "ab", "ba"] * 2, 12, use_fast=use_fast).ranks) == [("a", "b</w>"), ("b", "a</w>"), ("x", "y</w>")]


@pytest.mark.parametrize("cut, pair, wanted", [([5, 1, 2, 1, 2], (1, 2), [5, 9, 9]), ([1, 1, 1], (1, 1), [9, 1]), ([1], (1, 1), [1])])
def test_merged(cut, pair, wanted):
    assert merged(cut, pair, 9) == wanted


@pytest.mark.parametrize("kind", MERGING)
@pytest.mark.parametrize("size, min_frequency", [(600, 2), (2000, 1), (5000, 5)])
def test_both_engines_learn_the_same(kind, size, min_frequency, texts):
    python, rust, again = (MERGING[kind](texts, size, min_frequency=min_frequency, use_fast=fast) for fast in (False, True, True))
    assert python.vocab == rust.vocab == again.vocab
    assert getattr(python, "ranks", None) == getattr(rust, "ranks", None) == getattr(again, "ranks", None)
    assert len(python) <= size and (size > 600 or len(python) == size)


@pytest.mark.parametrize("kind", ["bpe", "byte_bpe"])
def test_incremental_counts_are_the_counts(kind, texts):
    """Each merge is the most frequent pair when everything is counted anew."""
    tokenizer = MERGING[kind](texts[:60], 450, use_fast=False)
    seen = {}
    for text in texts[:60]:
        for word in tokenizer.words_of(text):
            seen[word] = seen.get(word, 0) + 1
    cuts = {word: tokenizer.letters(word) for word in seen}
    merges = sorted(tokenizer.ranks, key=tokenizer.ranks.get)
    assert len(merges) > 50
    for pair in merges:
        counts = {}
        for word, cut in cuts.items():
            for both in zip(cut, cut[1:], strict=False):
                counts[both] = counts.get(both, 0) + seen[word]
        assert counts[pair] == max(counts.values()) >= 2
        cuts = {word: merged(cut, pair, "".join(pair)) if pair[0] in cut else cut for word, cut in cuts.items()}


def test_min_frequency(use_fast):
    assert list(train_bpe(TINY, 100, min_frequency=7, use_fast=use_fast).ranks) == [("e", "s"), ("es", "t</w>"), ("l", "o")]


# -- pruning ---------------------------------------------------------------------------------------------------------------


def loss(tokenizer, texts):
    """Nats per letter under the best cut, probabilities made to sum up to 1."""
    norm = math.log(sum(math.exp(score) for score in tokenizer.usable.values()))
    words = [word for text in texts for word in tokenizer.words_of(text)]
    scores = [tokenizer.usable[word[start:end]] - norm for word in words for start, end in tokenizer.best_cut(word)]
    return -sum(scores) / sum(map(len, words))


def test_unigram_explains_the_texts_as_well_as_the_rust_library(texts):
    known, unseen = texts[:120], texts[200:300]
    python, rust = (train_unigram(known, 300, use_fast=fast, extra_ids=0) for fast in (False, True))
    assert len(python) == 300 and abs(len(rust) - 300) < 5
    number_of_letters = len({letter for text in known for word in python.words_of(text) for letter in word})
    letters = train_unigram(known, number_of_letters + 3, use_fast=False, extra_ids=0)
    assert max(map(len, letters.usable)) == 1
    for some in (known, unseen):
        assert loss(python, some) < 1.05 * loss(rust, some) < 0.9 * loss(letters, some)


def test_expected_frequencies_weigh_all_ways():
    """ab as 'ab' or 'a' 'b': with probabilities 1/2 and 1/4 * 1/4 the first is 8 times as probable."""
    scores = {"a": math.log(0.25), "b": math.log(0.25), "ab": math.log(0.5)}
    expected = training.expectation({"ab": 9, "a": 1}, scores)
    assert expected == pytest.approx({"a": 2, "b": 1, "ab": 8})
    assert training.without("ab", scores) == pytest.approx(math.log(1 / 16))
    assert sum(map(math.exp, training.estimated(expected).values())) == pytest.approx(1)


def test_a_long_word_of_rare_letters_does_not_underflow():
    scores = {"a": -40.0, "aa": -90.0}
    expected = training.expectation({"a" * 100: 1}, scores)
    assert expected["a"] + 2 * expected["aa"] == pytest.approx(100)


def test_pieces_that_are_not_missed_go_first():
    tokenizer = train_unigram(["unhappy unkind happy kind"] * 20 + ["happy"] * 50, 24, use_fast=False, extra_ids=0)
    assert tokenizer.tokenize("happy") == ["▁happy"]
    assert "nhapp" not in tokenizer.vocab


# -- what all share --------------------------------------------------------------------------------------------------------


def test_saved_and_read(train, use_fast, texts, tmp_path):
    tokenizer = train(texts[-150:], 500, use_fast=use_fast, model_max_length=64, additional_special_tokens=["<speaker>"])
    tokenizer.save_pretrained(tmp_path)
    probes = [*texts[::20], *EXTRA, "<speaker> Unseen words, quite unlike those!"]
    wanted = tokenizer(probes)["input_ids"]
    assert wanted == [tokenizer.convert_tokens_to_ids(tokenizer.convert_ids_to_tokens(ids)) for ids in wanted]
    for fast in (False, True):
        again = AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
        assert again.is_fast == fast and again.model_max_length == 64 and len(again) == len(tokenizer)
        assert again(probes)["input_ids"] == wanted


def test_texts_are_read_once_and_in_any_container(train, texts):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    some, fast = texts[:40], train is not train_unigram                   # the Rust library's Unigram adds up in random order
    wanted = train(some, 300, use_fast=fast).vocab
    for many in ((text for text in some), tuple(some), np.array(some), pandas.Series(some)):
        assert train(many, 300, use_fast=fast).vocab == wanted


def test_special_tokens_come_first():
    roberta = train_byte_bpe(TINY, 300, tokenizer_class=course.RobertaTokenizer)
    assert list(roberta.vocab)[:5] == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert isinstance(roberta, course.RobertaTokenizerFast) and roberta.tokenize("low") == ["low"]
    assert list(train_unigram(TINY, 40).vocab)[:3] == ["<pad>", "</s>", "<unk>"]
    xlnet = train_unigram(TINY, 40, tokenizer_class=course.XLNetTokenizer, use_fast=False)
    assert list(xlnet.vocab)[:9] == ["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eop>", "<eod>"]
    assert xlnet("low").input_ids[-2:] == [4, 3]
    own = train_bpe(TINY, 60, pad_token="<pad>", additional_special_tokens=["<speaker>"])
    assert list(own.vocab)[:3] == ["<unk>", "<pad>", "<speaker>"] and own.pad_token_id == 1
    assert own("<speaker> low").tokens() == ["<speaker>", "low</w>"]


def test_special_tokens_in_texts_are_not_learnt_from(train, use_fast):
    tokenizer = train(["<speaker> low <speaker>"] * 9, 300, use_fast=use_fast, additional_special_tokens=["<speaker>"])
    assert not any(piece != "<speaker>" and "peak" in piece for piece in tokenizer.vocab)


def test_options_reach_the_tokenizer():
    cased = train_wordpiece(["Wien Wien wien"] * 3, 60, do_lower_case=False)
    assert cased.tokenize("Wien wien") == ["Wien", "wien"] and not cased.do_lower_case
    assert course.train_unigram(TINY, 40, extra_ids=2).tokenize("<extra_id_1>") == ["<extra_id_1>"]


def test_rare_letters_can_be_left_out(use_fast, caplog):
    many = ["low lower newest widest"] * 5 + ["中 文 字 low中"]
    with caplog.at_level(logging.INFO):
        tokenizer = train_wordpiece(many, 60, limit_alphabet=10, use_fast=use_fast)
    assert "limit_alphabet=10 leaves out 3 rarer letters (中 字 文 …)" in caplog.text
    assert "中" not in tokenizer.vocab and tokenizer.tokenize("low 中") == ["low", "[UNK]"]


def test_it_is_said_when_texts_are_too_few(train, caplog):
    with caplog.at_level(logging.INFO):
        tokenizer = train(TINY, 5000)
    pieces = len(tokenizer.vocab) - sum(token.startswith("<extra_id_") for token in tokenizer.vocab)
    assert f"the texts give only {pieces} of the 5000 pieces asked for" in caplog.text


@pytest.mark.parametrize("bad, error, message", [
    ([], ValueError, "texts holds no words"), (["", ""], ValueError, "texts holds no words"), (iter(()), ValueError, "used up"),
    ("one text", TypeError, "got str: put it into a list"), (None, TypeError, "got NoneType"), (7, TypeError, "got int"),
    ({"text": ["a"]}, TypeError, "got dict"), (np.array([["a", "b"]]), TypeError, "got ndarray"),
    (["a", None], TypeError, r"number 1 \(counting from 0\) is NoneType 'None'; drop missing"), ([b"a"], TypeError, "is bytes"),
    (["a", float("nan")], TypeError, "is float 'nan'")])
def test_bad_texts(train, bad, error, message, use_fast):
    with pytest.raises(error, match=message):
        train(bad, 300, use_fast=use_fast)


@pytest.mark.parametrize("options, error, message", [
    ({"vocab_size": 5}, ValueError, "vocab_size=5 is too small: special tokens and letters alone are"),
    ({"vocab_size": 0}, ValueError, "vocab_size must be a whole number of at least 1, got 0"),
    ({"vocab_size": "8000"}, ValueError, "vocab_size must be a whole number"), ({"vocab_size": 8e3}, ValueError, "vocab_size must be"),
    ({"vocabsize": 8000}, TypeError, r"is not trained with vocabsize=…; did you mean vocab_size\?"),
    ({"vocab_file": "x"}, TypeError, "is not trained with vocab_file=…"), ({"engine": "rust"}, TypeError, "is not trained with engine=…")])
def test_bad_options(train, options, error, message):
    with pytest.raises(error, match=message):
        train(TINY, **options)


@pytest.mark.parametrize("kind", MERGING)
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "2"])
def test_bad_min_frequency(kind, value):
    with pytest.raises(ValueError, match="min_frequency must be a whole number of at least 1, got"):
        MERGING[kind](TINY, 300, min_frequency=value)


def test_bad_classes_and_alphabets():
    with pytest.raises(TypeError, match="tokenizer_class must be BertTokenizer or a class made from it"):
        train_wordpiece(TINY, tokenizer_class=course.GPT2Tokenizer)
    with pytest.raises(TypeError, match="tokenizer_class must be UnigramTokenizer"):
        train_unigram(TINY, tokenizer_class="t5")
    with pytest.raises(TypeError, match="use_fast chooses the engine"):
        train_byte_bpe(TINY, tokenizer_class=course.GPT2TokenizerFast)
    with pytest.raises(ValueError, match="limit_alphabet must be a whole number of at least 1, got 0"):
        train_bpe(TINY, limit_alphabet=0)
