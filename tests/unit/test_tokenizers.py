"""WordPiece in both engines: cutting, spans, pairs, truncation, padding, added tokens, files."""

import copy
import json
import pickle
import random
import shutil
import unicodedata

import numpy as np
import pytest
import tiny
import torch
from tiny import VOCAB
from tokenizers import AddedToken

import course
from course import AutoTokenizer, BatchEncoding, BertTokenizer, BertTokenizerFast, DistilBertTokenizer, DistilBertTokenizerFast

NASTY = ["", " ", "\t\n\r", "a", "The Council voted.", "unhappiness unhappily", "x" * 100, "x" * 101, "ab" * 300, "don't can't I'm",
         "\u00a0a\u2003b\u3000c\u2028d", "un\u00adhappy\u200b\u2060\ufeff good", "é e\u0301 ẹ̀ ÅÄÖ ß ﬁ Ǆ İı ς", "中文,漢字。あア한글 good中bad",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308good\U0001f44d\U0001f3fd \u263a\ufe0f",
         "https://example.org/a?b=c&d=%20#e mail@example.org", "$9.99 1,000.5 50% §5 ©", "...!!!???---___", "\x00\x01a\x7fb\x80\ufffd\x1f",
         "[CLS] [SEP] [MASK] [PAD] [UNK]", "a[MASK]b[mask] [ MASK ]##s", "مرحبا بالعالم שלום नमस्ते สวัสดี 𝔘𝔫𝔦 𐍈 𠜎", "e" + "\u0301" * 60,
         "²³¹½ Ⅷ ㎏ ⑩", "ＦＵＬＬ　ｗｉｄｔｈ", "'\"`´‘’“”«»‹›", "good \ud83d bad", "\udc4d", "\ud83d\udc4d", "ab\ud83dcd \ude00", "a\r\nb\tc  d"]
PIECES = [*NASTY, "the", "good", "Bad", " ", "  ", "##s", "-", ".", "é", "É", "中", "[SEP]", "s", "ing", "\u0301", "\u200d", "\ud83d", "1", "0"]
SETTINGS = [{}, {"do_lower_case": False}, {"strip_accents": False}, {"do_lower_case": False, "strip_accents": True},
            {"tokenize_chinese_chars": False}]
LONG = "the council vote was not good . is the school new , or is it bad ? the people is happy !"


@pytest.fixture(params=[True, False], ids=["rust", "python"])
def tokenizer(request):
    return tiny.tokenizer(fast=request.param)


@pytest.fixture(params=["rust", "python"])
def kind(request):
    return BertTokenizerFast if request.param == "rust" else BertTokenizer


def everything(tokenizer, *texts, **options):
    encoding = tokenizer(*texts, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False, **options)
    rows = range(len(encoding["input_ids"]))
    return dict(encoding), [encoding.word_ids(i) for i in rows], [encoding.sequence_ids(i) for i in rows]


# -- both engines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_both_engines_cut_alike(settings):
    rust, python = (tiny.tokenizer(fast, **settings) for fast in (True, False))
    chance = random.Random(0)
    texts = NASTY + ["".join(chance.choice(PIECES) for _ in range(chance.randint(1, 8))) for _ in range(400)]
    for options in ({}, {"split_special_tokens": True}, {"add_special_tokens": False}):
        one, other = everything(rust, texts, **options), everything(python, texts, **options)
        for number, text in enumerate(texts):
            for key in one[0]:
                assert one[0][key][number] == other[0][key][number], (key, text)
            assert one[1][number] == other[1][number] and one[2][number] == other[2][number], text
    words = [text.split() or ["x"] for text in texts]
    assert everything(rust, words, is_split_into_words=True) == everything(python, words, is_split_into_words=True)


def test_both_engines_agree_on_every_character_that_has_not_changed_since_unicode_3():
    """Python and the Rust engine bring Unicode tables of their own; what they share must give the same pieces."""
    old = unicodedata.ucd_3_2_0
    many = (*range(0x3500, 0xA000), *range(0xAC00, 0xD7A4), *range(0xE000, 0xF8FF), *range(0x20000, 0x110000))    # all alike: some do
    codes = set(range(0x110000)) - set(range(0xD800, 0xE000)) - set(many) | set(many[::97])
    chars = [chr(code) for code in sorted(codes) if old.category(chr(code)) == unicodedata.category(chr(code)) != "Cn"]
    assert len(chars) > 10_000
    texts = [f"a{char}b" for char in chars]
    rust, python = tiny.tokenizer(True), tiny.tokenizer(False)
    one, other = rust(texts)["input_ids"], python(texts)["input_ids"]
    assert [text for text, a, b in zip(texts, one, other, strict=True) if a != b] == []


def test_spans_point_to_the_text(tokenizer):
    for text in NASTY + [LONG]:
        encoding = tokenizer(text, return_offsets_mapping=True)
        tokens, last = encoding.tokens(), 0
        for number, (start, end) in enumerate(encoding["offset_mapping"]):
            if tokens[number] in ("[CLS]", "[SEP]") and start == end:
                continue
            assert last <= start < end <= len(text), text
            last = start if tokens[number].startswith("##") or tokens[number] == "[UNK]" else end
            if tokens[number] != "[UNK]":
                piece = unicodedata.normalize("NFD", text[start:end]).lower()
                assert tokens[number].removeprefix("##").lower() == "".join(
                    c for c in piece if unicodedata.category(c) not in ("Mn", "Cf", "Cc", "Co", "Cs") and c != "\ufffd"), (text, start, end)


def test_pieces_words_and_characters(tokenizer):
    text = "Unhappiness, unhappy schools"
    encoding = tokenizer(text, "not good")
    assert encoding.tokens() == ["[CLS]", "un", "##happi", "##ness", ",", "un", "##h", "##a", "##p", "##p", "##y", "school", "##s", "[SEP]",
                                 "not", "good", "[SEP]"]
    assert encoding.word_ids() == encoding.words() == [None, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 3, 3, None, 0, 1, None]
    assert encoding.sequence_ids() == [None, *[0] * 12, None, 1, 1, None]
    assert encoding["token_type_ids"] == [0] * 14 + [1] * 3
    assert encoding.char_to_token(0) == 1 and encoding.char_to_token(2) == 2 and encoding.char_to_token(12) is None
    assert encoding.char_to_token(0, 4, sequence_index=1) == 15
    assert encoding.token_to_chars(3) == (7, 11) and text[7:11] == "ness" and encoding.token_to_chars(0) is None
    assert encoding.word_to_tokens(0) == (1, 4) and encoding.word_to_tokens(0, 1, sequence_index=1) == (15, 16)
    assert encoding.word_to_tokens(99) is None


# -- the shape of the input ------------------------------------------------------------------------------------------------


def test_one_text_a_list_a_pair(tokenizer):
    one = tokenizer("good")
    assert one == {"input_ids": [2, VOCAB["good"], 3], "token_type_ids": [0, 0, 0], "attention_mask": [1, 1, 1]}
    assert tokenizer(["good", "not bad"])["input_ids"] == [one["input_ids"], [2, VOCAB["not"], VOCAB["bad"], 3]]
    assert tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert tokenizer("")["input_ids"] == [2, 3]
    pair = tokenizer("good", "bad")
    assert pair.tokens() == ["[CLS]", "good", "[SEP]", "bad", "[SEP]"] and pair["token_type_ids"] == [0, 0, 0, 1, 1]
    for same in (tokenizer(["good"], ["bad"]), tokenizer([("good", "bad")]), tokenizer([["good", "bad"]])):
        assert same["input_ids"] == [pair["input_ids"]]
    assert tokenizer("good", "")["input_ids"] == [2, VOCAB["good"], 3, 3]
    assert tokenizer(("good", "bad"))["input_ids"] == tokenizer(["good", "bad"])["input_ids"], "a tuple of texts is a list of texts"
    assert tokenizer("good", add_special_tokens=False)["input_ids"] == [VOCAB["good"]]


def test_columns_of_tables(tokenizer):
    pandas = pytest.importorskip("pandas")
    texts = ["good", "not bad"]
    wanted = tokenizer(texts)
    for column in (pandas.Series(texts), pandas.Series(texts, dtype="string"), np.array(texts), np.array(texts, dtype=object), tuple(texts)):
        assert tokenizer(column) == wanted
    assert tokenizer(pandas.Series(texts), pandas.Series(texts[::-1]))["input_ids"] == tokenizer(texts, texts[::-1])["input_ids"]


def test_words_that_are_given(tokenizer):
    words = ["Schools", "don't", "[MASK]", "", "x\u200b", "unhappiness"]
    encoding = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
    assert encoding.tokens()[:6] == ["[CLS]", "school", "##s", "d", "##o", "##n"]
    assert encoding.word_ids() == [None, 0, 0, 1, 1, 1, 1, 1, 2, 4, 5, 5, 5, None]
    assert encoding["offset_mapping"][1:3] == [(0, 6), (6, 7)]
    assert tokenizer(words, is_pretokenized=True)["input_ids"] == encoding["input_ids"], "the name of 2020"
    assert tokenizer([words, ["good"]], is_split_into_words=True)["input_ids"] == [encoding["input_ids"], [2, VOCAB["good"], 3]]
    both = tokenizer([["good"]], [["bad", "vote"]], is_split_into_words=True)
    assert both.tokens() == ["[CLS]", "good", "[SEP]", "bad", "vote", "[SEP]"]


@pytest.mark.parametrize(("arguments", "message"), [
    ((None,), r"text is nothing \(None\)"), ((5,), "text is int '5'.*str"), ((b"good",), r"text is bytes .*decode it: text.decode\('utf-8'\)"),
    ((["good", None],), r"text\[1\] is nothing"), ((["good", 3.5],), r"text\[1\] is float '3.5'"), ((["good", float("nan")],), r"text\[1\] is float 'nan'"),
    (([["a", "b", "c"]],), r"text\[0\] is list .*is_split_into_words=True"), (({"a": 1},), "text is dict"),
    (("good", ["bad"]), "text_pair is list"), (("good", 5), "text_pair is int"), (((x for x in "ab"),), "text is generator"),
])
def test_inputs_that_are_no_texts(tokenizer, arguments, message):
    with pytest.raises(TypeError, match=f"the tokenizer needs a text, or a list of them; {message}"):
        tokenizer(*arguments)


def test_mistakes_in_the_options(tokenizer):
    for options, error, message in [
            ({"paddding": True}, TypeError, "no option 'paddding'; did you mean padding"),
            ({"padding": "longst"}, ValueError, "padding must be True, False, 'longest' or 'max_length', got 'longst'"),
            ({"truncation": "yes"}, ValueError, "truncation must be True, False or one of longest_first"),
            ({"max_length": 0}, ValueError, "max_length must be a whole number of at least 1, got 0"),
            ({"max_length": "9", "truncation": True}, ValueError, "max_length must be a whole number"),
            ({"max_length": 2, "truncation": True}, ValueError, "max_length=2 leaves no room for the text beside the 2 special tokens"),
            ({"return_tensors": "jax"}, ValueError, "return_tensors must be 'pt'"),
            ({"padding": True, "padding_side": "top"}, ValueError, "padding_side must be 'left' or 'right'"),
            ({"return_overflowing_tokens": True}, ValueError, "needs truncation=True and max_length"),
            ({"truncation": True, "max_length": 6, "stride": 4, "return_overflowing_tokens": True}, ValueError, "stride=4 must be smaller than the 4"),
    ]:
        with pytest.raises(error, match=message):
            tokenizer(LONG, **options)
    with pytest.raises(ValueError, match="text has 2 entries and text_pair 1"):
        tokenizer(["good", "bad"], ["good"])
    with pytest.raises(ValueError, match=r"different lengths \(3 to 4 tokens\).*padding=True"):
        tokenizer(["good", "not bad"], return_tensors="pt")
    with pytest.raises(ValueError, match="the other text alone has 24 tokens. Use truncation='longest_first'"):
        tokenizer("good", LONG, truncation="only_first", max_length=10)


# -- truncation, padding, tensors --------------------------------------------------------------------------------------------


def test_truncation_of_one_text(tokenizer):
    whole = tokenizer(LONG)["input_ids"]
    cut = tokenizer(LONG, truncation=True, max_length=8)
    assert cut["input_ids"] == [*whole[:7], 3] and cut.cut == [len(whole) - 8]
    assert tokenizer(LONG, max_length=8)["input_ids"] == cut["input_ids"], "a max_length alone cuts as it always did"
    assert tokenizer(LONG, truncation=True)["input_ids"] == whole, "without a limit nothing is cut"
    tokenizer.model_max_length = 9
    assert len(tokenizer(LONG, truncation=True)["input_ids"]) == 9
    tokenizer.truncation_side = "left"
    assert tokenizer(LONG, truncation=True, max_length=8)["input_ids"] == [2, *whole[-7:]]


def test_a_text_that_is_too_long_is_mentioned(tokenizer, caplog):
    tokenizer.model_max_length = 9
    tokenizer(LONG)
    assert "a text has 26 tokens and the model reads at most 9: truncation=True" in caplog.text
    caplog.clear()
    tokenizer(LONG, truncation=True)
    tokenizer(LONG, verbose=False)
    assert caplog.text == ""


@pytest.mark.parametrize(("strategy", "sizes"), [
    ("longest_first", (4, 3)), (True, (4, 3)), ("only_first", (4, 3)), ("only_second", None),
])
def test_truncation_of_pairs(tokenizer, strategy, sizes):
    if sizes is None:
        with pytest.raises(ValueError, match="truncation='only_second'"):
            tokenizer(LONG, "is it good", truncation=strategy, max_length=10)
        sizes, texts = (3, 4), ("is it good", LONG)
        short = tokenizer(*texts, truncation=strategy, max_length=11)
        assert [short.sequence_ids().count(0), short.sequence_ids().count(1)] == [4, 4]
        return
    encoding = tokenizer(LONG, "was it bad", truncation=strategy, max_length=11)
    found = [encoding.sequence_ids().count(0), encoding.sequence_ids().count(1)]
    assert sum(found) == 8 and found == [4, 4]


def test_longest_first_gives_both_the_same_room(tokenizer):
    for first, second, room, wanted in [(20, 20, 10, (5, 5)), (20, 3, 10, (7, 3)), (3, 20, 10, (3, 7)), (20, 4, 9, (5, 4)), (2, 2, 9, (2, 2))]:
        encoding = tokenizer("a " * first, "b " * second, truncation=True, max_length=room + 3)
        assert (encoding.sequence_ids().count(0), encoding.sequence_ids().count(1)) == wanted


def test_windows(tokenizer):
    whole = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    found = tokenizer(LONG, truncation=True, max_length=10, stride=3, return_overflowing_tokens=True, return_offsets_mapping=True)
    inner = [ids[1:-1] for ids in found["input_ids"]]
    assert inner[0] == whole[:8] and inner[1] == whole[5:13] and all(len(ids) == 8 for ids in inner[:-1])
    assert inner[0] + [token for ids in inner[1:] for token in ids[3:]] == whole, "the windows cover the text and overlap by the stride"
    assert found["overflow_to_sample_mapping"] == [0] * len(inner)
    assert [LONG[a:b] for a, b in found["offset_mapping"][1][1:3]] == ["good", "."]
    two = tokenizer(["good", LONG], truncation=True, max_length=10, return_overflowing_tokens=True)
    assert two["overflow_to_sample_mapping"] == [0, 1, 1, 1]
    pair = tokenizer("is it good ?", LONG, truncation="only_second", max_length=15, stride=2, return_overflowing_tokens=True)
    assert all(ids[:6] == pair["input_ids"][0][:6] for ids in pair["input_ids"]), "the question stands in every window"
    with pytest.raises(ValueError, match="pair needs truncation='only_second'"):
        tokenizer(LONG, LONG, truncation=True, max_length=15, return_overflowing_tokens=True)
    tokenizer.truncation_side = "left"
    last_first = tokenizer(LONG, truncation=True, max_length=10, stride=3, return_overflowing_tokens=True)["input_ids"]
    assert last_first[0][1:-1] == whole[-8:] and last_first[1][1:-1] == whole[-13:-5]


def test_padding(tokenizer):
    texts = ["good", LONG, "not bad"]
    plain = tokenizer(texts)["input_ids"]
    right = tokenizer(texts, padding=True, return_special_tokens_mask=True, return_offsets_mapping=True)
    width = len(plain[1])
    for ids, mask, special, spans, wanted in zip(right["input_ids"], right["attention_mask"], right["special_tokens_mask"],
                                                 right["offset_mapping"], plain, strict=True):
        assert ids == wanted + [0] * (width - len(wanted)) and mask == [1] * len(wanted) + [0] * (width - len(wanted))
        assert special[len(wanted):] == [1] * (width - len(wanted)) and spans[len(wanted):] == [(0, 0)] * (width - len(wanted))
    left = tokenizer(texts, padding=True, padding_side="left", return_tensors="np")
    assert left["input_ids"][0].tolist() == [0] * (width - 3) + plain[0] and left["attention_mask"][0].tolist() == [0] * (width - 3) + [1] * 3
    assert tokenizer.padding_side == "right"
    assert {len(ids) for ids in tokenizer(texts, padding=True, pad_to_multiple_of=8)["input_ids"]} == {32}
    assert {len(ids) for ids in tokenizer(texts, padding="max_length", max_length=40)["input_ids"]} == {40}
    assert tokenizer("good", padding="max_length", max_length=6, truncation=True)["input_ids"] == [*plain[0], 0, 0, 0]
    assert tokenizer("good", pad_to_max_length=True, max_length=6, truncation=True)["input_ids"] == [*plain[0], 0, 0, 0], "the name of 2020"
    assert tokenizer(texts, padding=False)["input_ids"] == plain
    tokens = tokenizer(["good", "not bad"], padding=True).tokens(0)
    assert tokens == ["[CLS]", "good", "[SEP]", "[PAD]"]


@pytest.mark.parametrize(("kind_", "array"), [("pt", torch.Tensor), ("np", np.ndarray)])
def test_tensors(tokenizer, kind_, array):
    found = tokenizer(["good", "not bad"], padding=True, return_tensors=kind_, return_offsets_mapping=True, return_length=True)
    assert all(isinstance(value, array) and "int64" in str(value.dtype) for value in found.values())
    assert found["input_ids"].shape == (2, 4) and found["offset_mapping"].shape == (2, 4, 2)
    assert tokenizer("good", return_tensors=kind_)["input_ids"].shape == (1, 3)
    assert tokenizer([], return_tensors=kind_)["input_ids"].shape[0] == 0
    empty = tokenizer("", add_special_tokens=False, return_tensors=kind_)["input_ids"]
    assert tuple(empty.shape) == (1, 0) and "int64" in str(empty.dtype)


def test_padding_what_is_encoded_already(tokenizer):
    rows = [tokenizer("good"), tokenizer("not bad")]
    rows[0]["labels"], rows[1]["labels"] = [-100, 1, -100], [-100, 1, 0, -100]
    found = tokenizer.pad(rows)
    assert found["input_ids"] == tokenizer(["good", "not bad"], padding=True)["input_ids"]
    assert found["labels"] == [[-100, 1, -100], [-100, 1, 0, -100]]
    left = tokenizer.pad({"input_ids": [[5], [6, 7]]}, padding_side="left", pad_to_multiple_of=4)
    assert left == {"input_ids": [[0, 0, 0, 5], [0, 0, 6, 7]], "attention_mask": [[0, 0, 0, 1], [0, 0, 1, 1]]}
    assert tokenizer.pad({"input_ids": [5, 6]}, padding="max_length", max_length=4)["input_ids"] == [5, 6, 0, 0]
    with pytest.raises(ValueError, match="pad needs encodings with input_ids, got nothing"):
        tokenizer.pad([])


# -- what a call returns ---------------------------------------------------------------------------------------------------


def test_batch_encoding(tokenizer):
    found = tokenizer(["good", "not bad"], padding=True, return_tensors="pt")
    assert isinstance(found, BatchEncoding) and isinstance(found, dict)
    assert found.input_ids is found["input_ids"] and found.data["attention_mask"] is found.attention_mask
    assert dict(**found).keys() == {"input_ids", "token_type_ids", "attention_mask"}
    assert found.to("cpu") is found and found.is_fast == tokenizer.is_fast
    assert isinstance(tokenizer("good").convert_to_tensors("np")["input_ids"], np.ndarray)
    with pytest.raises(AttributeError, match="this encoding has no 'labels'; it has input_ids"):
        found.labels  # noqa: B018
    with pytest.raises(ValueError, match="does not know its texts any more"):
        tokenizer.pad(found).tokens()


def test_encodings_and_tokenizers_can_be_copied_and_pickled(tokenizer):
    tokenizer.add_tokens(["newword"])
    found = tokenizer(LONG)
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert again == found and type(again) is BatchEncoding
    for again in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert again("a newword")["input_ids"] == tokenizer("a newword")["input_ids"]


def test_encode_and_friends(tokenizer):
    ids = tokenizer.encode("Unhappiness!")
    assert ids == tokenizer("Unhappiness!")["input_ids"] == tokenizer.encode_plus("Unhappiness!")["input_ids"]
    assert tokenizer.batch_encode_plus(["good", "bad"])["input_ids"] == tokenizer(["good", "bad"])["input_ids"]
    assert tokenizer.tokenize("Unhappiness! [MASK]") == ["un", "##happi", "##ness", "!", "[MASK]"]
    assert tokenizer.tokenize("good", add_special_tokens=True) == ["[CLS]", "good", "[SEP]"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert tokens == ["[CLS]", "un", "##happi", "##ness", "!", "[SEP]"] and tokenizer.convert_tokens_to_ids(tokens) == ids
    assert tokenizer.convert_ids_to_tokens(torch.tensor(ids)) == tokens and tokenizer.convert_ids_to_tokens(2) == "[CLS]"
    assert tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True) == tokens[1:-1]
    assert tokenizer.convert_tokens_to_ids("nonsense") == tokenizer.unk_token_id == 1
    assert tokenizer.build_inputs_with_special_tokens([7], [8]) == [2, 7, 3, 8, 3]
    assert tokenizer.create_token_type_ids_from_sequences([7], [8]) == [0, 0, 0, 1, 1]
    assert tokenizer.get_special_tokens_mask([7], [8]) == [1, 0, 1, 0, 1]
    assert tokenizer.get_special_tokens_mask([2, 7, 3], already_has_special_tokens=True) == [1, 0, 1]
    assert (tokenizer.num_special_tokens_to_add(), tokenizer.num_special_tokens_to_add(pair=True)) == (2, 3)
    with pytest.raises(IndexError, match=f"-5 is no id of this tokenizer: it has the ids 0 to {len(VOCAB) - 1}"):
        tokenizer.convert_ids_to_tokens([-5])


def test_decode(tokenizer):
    ids = tokenizer("The council's vote wasn't good, was it?")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the council's vote wasn't good, was it?"
    assert tokenizer.decode(ids[:4]).startswith("[CLS] the council")
    assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == "the council ' s vote wasn ' t good , was it ?"
    assert tokenizer.decode(torch.tensor(ids)) == tokenizer.decode(np.array(ids)) == tokenizer.decode(ids)
    many = tokenizer(["good", "not bad"], padding=True, return_tensors="pt")["input_ids"]
    assert tokenizer.batch_decode(many, skip_special_tokens=True) == tokenizer.decode(many, skip_special_tokens=True) == ["good", "not bad"]
    assert tokenizer.decode(VOCAB["good"]) == tokenizer.decode(torch.tensor(VOCAB["good"])) == "good" and tokenizer.decode([]) == ""


# -- special and added tokens ------------------------------------------------------------------------------------------------


def test_special_tokens_in_a_text(tokenizer):
    text = "good [SEP] bad [MASK]"
    assert tokenizer.tokenize(text) == ["good", "[SEP]", "bad", "[MASK]"]
    safe = tokenizer(text, split_special_tokens=True)
    assert safe.tokens()[2:7] == ["[UNK]", "s", "##e", "##p", "[UNK]"] and safe["input_ids"].count(3) == 1
    tokenizer.split_special_tokens = True
    assert tokenizer(text)["input_ids"] == safe["input_ids"]
    assert tokenizer(text, split_special_tokens=False)["input_ids"].count(3) == 2


def test_added_tokens(tokenizer):
    size = len(tokenizer)
    assert tokenizer.add_tokens(["newword", "AfD", "good"]) == 2 and len(tokenizer) == size + 2 and tokenizer.vocab_size == size
    assert tokenizer.add_tokens("newword") == 0
    assert tokenizer.get_added_vocab() == {"newword": size, "AfD": size + 1}
    assert tokenizer.tokenize("the newword, AFD and afd voted") == ["the", "newword", ",", "AfD", "a", "##n", "##d", "AfD", "vote", "##d"]
    found = tokenizer("a newword b", return_offsets_mapping=True)
    assert found["offset_mapping"][2] == (2, 9) and found.word_ids() == [None, 0, 1, 2, None]
    assert tokenizer.decode(found["input_ids"], skip_special_tokens=True) == "a newword b"
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<speaker>"], "mask_token": "<gap>"}) == 2
    assert tokenizer.tokenize("<speaker> x <SPEAKER> <gap>") == [
        "<speaker>", "x", "[UNK]", "s", "##p", "##e", "##a", "##k", "##er", "[UNK]", "<gap>"]
    assert tokenizer.mask_token == "<gap>" and tokenizer.mask_token_id == size + 3
    assert {"<speaker>", "<gap>"} <= set(tokenizer.all_special_tokens)
    assert tokenizer.decode(tokenizer("<speaker> x")["input_ids"], skip_special_tokens=True) == "x"
    with pytest.raises(ValueError, match="'maks_token' is no special token; there are bos_token"):
        tokenizer.add_special_tokens({"maks_token": "x"})
    for wrong in ([5], [""], [None]):
        with pytest.raises(TypeError, match="add_tokens takes words"):
            tokenizer.add_tokens(wrong)


@pytest.mark.parametrize("token", [AddedToken("NewWord", normalized=True), AddedToken("Zürich", normalized=True), AddedToken("<x>", rstrip=True),
                                   AddedToken("new", single_word=True), AddedToken("New", normalized=False), AddedToken("a b"), AddedToken("中")],
                         ids=lambda token: token.content)
@pytest.mark.parametrize("lower", [True, False])
def test_added_tokens_in_both_engines(token, lower):
    rust, python = (tiny.tokenizer(fast, do_lower_case=lower) for fast in (True, False))
    texts = ["a NewWord newword neW\u00adwOrd renewed new, NEW", "Zürich zurich ZU\u0308RICH x", "<x>  a <x>b <X>", "a b a  b", "中x中", ""]
    for tokenizer in (rust, python):
        tokenizer.add_tokens([token])
    assert everything(rust, texts) == everything(python, texts)
    assert any(len(VOCAB) in ids or token.content in VOCAB for ids in rust(texts)["input_ids"])


def test_special_tokens_by_name(tokenizer):
    assert (tokenizer.pad_token, tokenizer.cls_token_id, tokenizer.bos_token, tokenizer.bos_token_id) == ("[PAD]", 2, None, None)
    assert tokenizer.special_tokens_map == {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
                                            "mask_token": "[MASK]"}
    tokenizer.pad_token = "[MASK]"
    assert tokenizer.pad_token_id == 4 and tokenizer(["a", "a a"], padding=True)["input_ids"][0][-1] == 4
    tokenizer.pad_token_id = 0
    assert tokenizer.pad_token == "[PAD]"
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="no padding token"):
        tokenizer(["a", "a a"], padding=True)
    with pytest.raises(AttributeError, match="has no attribute 'pad_tokn'"):
        tokenizer.pad_tokn  # noqa: B018


# -- files -------------------------------------------------------------------------------------------------------------------


def test_save_and_load(kind, tmp_path):
    tokenizer = kind(vocab=dict(VOCAB), do_lower_case=False, model_max_length=77, padding_side="left", strip_accents=True)
    tokenizer.add_tokens([AddedToken("NewWord", single_word=True)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<speaker>"]})
    files = tokenizer.save_pretrained(tmp_path)
    assert sorted(files) == sorted(str(path) for path in tmp_path.iterdir())
    texts = [*NASTY, "NewWord NewWords <speaker> É"]
    for other in (BertTokenizer, BertTokenizerFast):
        again = other.from_pretrained(tmp_path)
        assert again(texts) == tokenizer(texts) and again.get_vocab() == tokenizer.get_vocab()
        assert (again.model_max_length, again.padding_side, again.do_lower_case) == (77, "left", False)
        assert again.special_tokens_map == tokenizer.special_tokens_map and again.name_or_path == str(tmp_path)
    again.save_pretrained(tmp_path / "twice")
    assert {path.name: path.read_bytes() for path in (tmp_path / "twice").iterdir()} == {
        path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


def test_forms_of_tokenizer_files(kind, tmp_path):
    wanted = kind(vocab=dict(VOCAB))(NASTY)
    tiny.write_vocab(tmp_path)
    assert kind.from_pretrained(tmp_path)(NASTY) == wanted, "vocab.txt alone"
    assert kind(vocab_file=tmp_path / "vocab.txt")(NASTY) == wanted
    for lower in (True, False):
        folder = tmp_path / str(lower)
        saved = kind(vocab=dict(VOCAB), do_lower_case=lower)
        saved.save_pretrained(folder)
        for file in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
            (folder / file).unlink()
        assert [path.name for path in folder.iterdir()] == ["tokenizer.json"]
        assert kind.from_pretrained(folder)(NASTY) == saved(NASTY), "tokenizer.json alone"


def test_settings_of_other_years(kind, tmp_path):
    tiny.write_vocab(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({
        "max_len": 33, "do_lower_case": False, "vocab_file": "/somewhere/else", "init_inputs": [], "name_or_path": "old/name",
        "special_tokens_map_file": "/gone", "unk_token": {"content": "[UNK]", "lstrip": False, "__type": "AddedToken"}}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"mask_token": "[MASK]"}))
    (tmp_path / "added_tokens.json").write_text(json.dumps({"newword": len(VOCAB)}))
    tokenizer = kind.from_pretrained(tmp_path)
    assert tokenizer.model_max_length == 33 and tokenizer.unk_token == "[UNK]" and tokenizer.name_or_path == str(tmp_path)
    assert tokenizer.tokenize("newword Good") == ["newword", "[UNK]"]
    assert kind.from_pretrained(tmp_path, do_lower_case=True, model_max_length=5).tokenize("Good") == ["good"], "keywords win"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_input_names": ["input_ids", "attention_mask"]}))
    (tmp_path / "added_tokens.json").unlink()
    kind.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    assert list(kind.from_pretrained(tmp_path / "again")("good")) == ["input_ids", "attention_mask"], "a model without token types"


def test_auto_tokenizer_chooses(folder, tmp_path):
    assert type(AutoTokenizer.from_pretrained(folder)) is BertTokenizerFast
    assert type(AutoTokenizer.from_pretrained(folder, use_fast=False)) is BertTokenizer
    tiny.save(tmp_path / "distil", kind="distilbert")
    (tmp_path / "distil/tokenizer_config.json").unlink()
    assert type(AutoTokenizer.from_pretrained(tmp_path / "distil")) is DistilBertTokenizerFast
    assert type(AutoTokenizer.from_pretrained(tmp_path / "distil", use_fast=False)) is DistilBertTokenizer
    assert list(AutoTokenizer.from_pretrained(tmp_path / "distil")("good")) == ["input_ids", "attention_mask"]
    shutil.copy(folder / "vocab.txt", tmp_path)
    assert type(AutoTokenizer.from_pretrained(tmp_path, config=tiny.config())) is BertTokenizerFast
    assert type(AutoTokenizer.from_pretrained(tmp_path, tokenizer_type="distilbert")) is DistilBertTokenizerFast
    with pytest.raises(FileNotFoundError, match="has no config.json"):
        AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(TypeError, match="AutoTokenizer is made with"):
        AutoTokenizer()


def test_a_million_different_words_do_not_fill_the_memory():
    tokenizer = tiny.tokenizer(fast=False)
    for start in range(0, 250_000, 50_000):
        tokenizer([" ".join(str(number) for number in range(start, start + 50_000))], verbose=False)
        assert len(tokenizer._words) <= 100_000


def test_python_and_rust_share_one_vocabulary_object_safely():
    vocab = dict(VOCAB)
    rust, python = BertTokenizerFast(vocab=vocab), BertTokenizer(vocab=vocab)
    rust.add_tokens(["newword"])
    assert "newword" not in python.get_vocab() and vocab == VOCAB


def test_names_of_the_classes():
    assert repr(tiny.tokenizer()).startswith(f"BertTokenizerFast(vocab_size={len(VOCAB)}, ")
    assert course.BertTokenizerFast.is_fast and not course.BertTokenizer.is_fast
