"""Both engines of our WordPiece against transformers' two, with the vocabularies of real checkpoints."""

import json
import unicodedata
from itertools import islice

import pytest
from pairs import SHARED

import course

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

VOCABS = SHARED / "data/vocab"
CHECKPOINTS = [("bert-base-uncased", True), ("bert-base-cased", False), ("bert-base-multilingual-cased", False),
               ("bert-base-chinese", False), ("bert-base-cased", True)]
NASTY = ["", " ", "\t\n\r", "a", "\u00a0x\u2003y\u3000z", "un\u00adbreak\u200bable\u2060", "é e\u0301 ẹ̀ ÅÄÖ ß ﬁ Ǆ İı", "naïve café ZÜRICH",
         "中文字,漢字。あア한글", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd \u263a\ufe0f", "x" * 100, "x" * 101,
         "https://example.org/a?b=c&d=%20#e mail@example.org", "don't can't I'm we've they're", "$9.99 1,000.5 50% §5 ©", "...!!!???---___",
         "[CLS] [SEP] [MASK] [PAD] [UNK]", "[MASK]s a[MASK] [mask] [ MASK ]", "\x00\x01\x7f\x80\ufeff\ufffd", "مرحبا بالعالم שלום",
         "नमस्ते दुनिया สวัสดี", "e" + "\u0301" * 60, "²³¹½ Ⅷ ㎏ ⑩", "a" + "\u200d" * 5 + "b", "ＦＵＬＬ　ｗｉｄｔｈ", "'\"`´‘’“”«»‹›", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎"]


def strings():
    """Lines in some 330 languages (partly mis-decoded, as data from the wild is), and awkward ones."""
    found = list(NASTY)
    for path in sorted((SHARED / "data/text/udhr").iterdir()):
        coding = "utf-8" if path.name.endswith("UTF8") else "latin-1"
        lines = path.read_bytes().decode(coding, errors="replace").split("\n")
        found += islice((line for line in lines if line.strip()), 7)
    golden = json.loads((VOCABS / "golden_strings.json").read_text(encoding="utf-8"))
    return found + [entry["input"] for entry in golden["bert-base-uncased"] if isinstance(entry["input"], str)]


@pytest.fixture(scope="module")
def texts():
    if not (SHARED / "data/text/udhr").is_dir():
        pytest.skip("the texts of ../shared/data/text/udhr are not here")
    found = strings()
    assert len(found) >= 2000
    return found


@pytest.fixture(scope="module", params=CHECKPOINTS, ids=lambda one: f"{one[0]}-{'lower' if one[1] else 'as-is'}")
def four(request):
    """Our two engines, transformers' two."""
    name, lower = request.param
    vocab = VOCABS / name / "vocab.txt"
    if not vocab.is_file():
        pytest.skip(f"the vocabulary ../shared/data/vocab/{name} is not here")
    kinds = course.BertTokenizerFast, course.BertTokenizer, transformers.BertTokenizerFast, transformers.BertTokenizer
    made = [kind(vocab_file=str(vocab), do_lower_case=lower, model_max_length=512) for kind in kinds]
    made[3].vocab_file = str(vocab)
    return made


def compose(text):
    """Without invisible characters, accents composed."""
    seen = "".join(char for char in text if char.isspace() or unicodedata.category(char) not in ("Cc", "Cf"))
    return unicodedata.normalize("NFC", seen)


def first_difference(texts, ours, theirs):
    return next((f"{text!r}: {a} != {b}" for text, a, b in zip(texts, ours, theirs, strict=True) if a != b), None)


def test_ids_of_all_engines(four, texts):
    fast, slow, their_fast = (tokenizer(texts, verbose=False)["input_ids"] for tokenizer in four[:3])
    assert first_difference(texts, fast, their_fast) is None
    assert first_difference(texts, slow, their_fast) is None
    # their two engines disagree about accents written as characters of their own: the slow one composes them first
    composed = [compose(text) for text in texts]
    slow, their_slow = (tokenizer(composed, verbose=False)["input_ids"] for tokenizer in (four[1], four[3]))
    assert first_difference(texts, slow, their_slow) is None


def test_everything_about_positions(four, texts):
    fast, slow, theirs, _ = four
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "return_length": True, "verbose": False}
    wanted = theirs(texts, **options)
    for tokenizer in (fast, slow):
        found = tokenizer(texts, **options)
        assert list(found) == list(wanted)
        for key in wanted:
            assert first_difference(texts, found[key], wanted[key]) is None, key
        for number, text in enumerate(texts):
            assert found.tokens(number) == wanted.tokens(number), text
            assert found.word_ids(number) == wanted.word_ids(number), text
            assert found.sequence_ids(number) == wanted.sequence_ids(number), text


def test_texts_come_back(four, texts):
    fast, slow, their_fast, their_slow = four
    for text, ids in zip(texts, their_fast(texts, verbose=False)["input_ids"], strict=True):
        for skip in (False, True):
            wanted = their_fast.decode(ids, skip_special_tokens=skip)
            assert fast.decode(ids, skip_special_tokens=skip) == wanted, text
            assert slow.decode(ids, skip_special_tokens=skip) == wanted, text
        tokens = their_fast.convert_ids_to_tokens(ids)
        assert fast.convert_ids_to_tokens(ids) == tokens
        assert slow.convert_tokens_to_string(tokens) == their_slow.convert_tokens_to_string(tokens)


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_pairs_that_are_cut_and_padded(four, texts, strategy, side):
    fast, slow, theirs, _ = four
    lengths = theirs(texts, add_special_tokens=False, return_length=True, verbose=False)["length"]
    long = [text for text, length in zip(texts, lengths, strict=True) if length >= 30][:300]
    short = [text for text, length in zip(texts, lengths, strict=True) if length <= 15]
    short = (short * 300)[:len(long)]
    both = {"only_first": [(long, short)], "only_second": [(short, long)],
            "longest_first": [(long, short), (short, long), (long, long[::-1]), (short, short[::-1])]}
    for tokenizer in (fast, slow, theirs):
        tokenizer.truncation_side = tokenizer.padding_side = side
    try:
        for firsts, seconds in both[strategy]:
            for length in (24, 31):
                options = {"truncation": strategy, "max_length": length, "padding": "max_length" if length == 24 else True,
                           "pad_to_multiple_of": 8 if length == 24 else None, "return_offsets_mapping": True,
                           "return_special_tokens_mask": True}
                wanted = theirs(firsts, seconds, **options)
                for tokenizer in (fast, slow):
                    found = tokenizer(firsts, seconds, **options)
                    for key in wanted:
                        assert first_difference(list(zip(firsts, seconds, strict=True)), found[key], wanted[key]) is None, key
    finally:
        for tokenizer in (fast, slow, theirs):
            tokenizer.truncation_side = tokenizer.padding_side = "right"


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("stride", [0, 5])
def test_windows_over_long_texts(four, texts, stride, side, monkeypatch):
    fast, slow, theirs, _ = four
    for tokenizer in (fast, slow, theirs):
        monkeypatch.setattr(tokenizer, "truncation_side", side)
    long, question = sorted(texts, key=len)[-60:], "Who has which rights?"
    options = {"max_length": 32, "stride": stride, "return_overflowing_tokens": True, "return_offsets_mapping": True,
               "padding": True}
    for arguments, strategy in (((long,), True), (([question] * len(long), long), "only_second"),
                                ((long, [question] * len(long)), "only_first")):
        wanted = theirs(*arguments, truncation=strategy, **options)
        for tokenizer in (fast, slow):
            found = tokenizer(*arguments, truncation=strategy, **options)
            assert set(found) == set(wanted)
            for key in wanted:
                assert found[key] == wanted[key], key


def test_words_given(four, texts):
    fast, slow, theirs, _ = four
    words = [text.split() or ["x"] for text in texts[:600]]
    wanted = theirs(words, is_split_into_words=True, return_offsets_mapping=True, verbose=False)
    for tokenizer in (fast, slow):
        found = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True, verbose=False)
        assert first_difference(words, found["input_ids"], wanted["input_ids"]) is None
        assert first_difference(words, found["offset_mapping"], wanted["offset_mapping"]) is None
        for number, text in enumerate(words):
            assert found.word_ids(number) == wanted.word_ids(number), text


def test_where_characters_words_and_tokens_meet(four, texts):
    fast, slow, theirs, _ = four
    some = [text for text in texts if 5 < len(text) < 80][:150]
    wanted = theirs(some, some[::-1], verbose=False)
    for tokenizer in (fast, slow):
        found = tokenizer(some, some[::-1], verbose=False)
        for row, text in enumerate(some):
            for sequence, part in enumerate((text, some[-1 - row])):
                for char in range(len(part)):
                    assert found.char_to_token(row, char, sequence) == wanted.char_to_token(row, char, sequence), (part, char)
            for token in range(len(found["input_ids"][row])):
                theirs_span = wanted.token_to_chars(row, token)
                assert found.token_to_chars(row, token) == (None if theirs_span is None else tuple(theirs_span))
            for word in range(1 + max(w or 0 for w in wanted.word_ids(row))):
                span = wanted.word_to_tokens(row, word, 0)
                assert found.word_to_tokens(row, word, 0) == (None if span is None else tuple(span)), (text, word)


ADDED = {
    "plain": {"content": "newword"}, "capitals": {"content": "NewWord"}, "accents": {"content": "Zürich"},
    "not normalized": {"content": "NewWord", "normalized": False}, "inside": {"content": "ing"},
    "single word": {"content": "ing", "single_word": True}, "strips left": {"content": "<x>", "lstrip": True},
    "strips right": {"content": "<x>", "rstrip": True}, "strips both": {"content": "<x>", "lstrip": True, "rstrip": True},
    "special": {"content": "<Speaker>", "special": True, "normalized": False}, "blank inside": {"content": "social science"},
}
AROUND = ["a newword here", "NEWWORD newWord NewWord.", "newwords renewword", "in Zürich, zurich ZÜRICH zürich Zürich", "singing ing ING-ing",
          "a <x> b<x>c  <x>  d <x>", "<Speaker> hello <speaker><Speaker>", "the social science, Social Science; social  science"]


@pytest.mark.parametrize("kind", ADDED)
def test_added_tokens(four, kind):
    settings, known = ADDED[kind], four[0].get_vocab()
    fast, slow, theirs = (type(one)(vocab_file=four[3].vocab_file, do_lower_case=four[0].do_lower_case) for one in four[:3])
    for tokenizer in (fast, slow, theirs):
        added = tokenizer.add_tokens([transformers.AddedToken(**settings)], special_tokens=settings.get("special", False))
        # their Rust engine counts a word that the vocabulary had already
        assert added == (settings["content"] not in known) or tokenizer is theirs
    wanted = theirs(AROUND, return_offsets_mapping=True)
    for tokenizer in (fast, slow):
        found = tokenizer(AROUND, return_offsets_mapping=True)
        assert first_difference(AROUND, found["input_ids"], wanted["input_ids"]) is None
        assert first_difference(AROUND, found["offset_mapping"], wanted["offset_mapping"]) is None
        assert [tokenizer.decode(ids) for ids in found["input_ids"]] == [theirs.decode(ids) for ids in wanted["input_ids"]]


def test_files_go_both_ways(four, texts, tmp_path):
    fast, _, theirs, _ = four
    some = [compose(text) for text in texts[:200]]
    for maker, folder in ((fast, "ours"), (theirs, "theirs")):
        maker.save_pretrained(tmp_path / folder)
        wanted = maker(some, verbose=False)["input_ids"]
        for kind in (course.BertTokenizerFast, course.BertTokenizer, transformers.BertTokenizerFast, transformers.BertTokenizer):
            again = kind.from_pretrained(tmp_path / folder)
            assert first_difference(some, again(some, verbose=False)["input_ids"], wanted) is None, (folder, kind)
            assert again.model_max_length == 512
    fast.save_pretrained(tmp_path / "alone")
    (tmp_path / "alone/vocab.txt").unlink()
    assert transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "alone/tokenizer.json"))(some)["input_ids"] == \
        fast(some, verbose=False)["input_ids"]


def test_golden_strings():
    path = VOCABS / "golden_strings.json"
    if not path.is_file():
        pytest.skip("../shared/data/vocab/golden_strings.json is not here")
    entries = json.loads(path.read_text(encoding="utf-8"))["bert-base-uncased"]
    for kind in (course.BertTokenizerFast, course.BertTokenizer):
        tokenizer = kind(vocab_file=VOCABS / "bert-base-uncased/vocab.txt")
        for entry in entries:
            first, second = entry["input"] if isinstance(entry["input"], list) else (entry["input"], None)
            assert dict(tokenizer(first, second)) == entry["encoded"], entry["input"]
            assert tokenizer.decode(entry["encoded"]["input_ids"]) == entry["decoded_with_special"]
            assert tokenizer.decode(entry["encoded"]["input_ids"], skip_special_tokens=True) == entry["decoded_without_special"]
