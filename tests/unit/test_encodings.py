"""What the call of a tokenizer takes and returns: tokens, words and characters of an encoding, padding, texts in every form."""

import copy
import json
import logging

import numpy as np
import pytest
import tiny
import torch
from tiny import VOCAB

import course
from course import BatchEncoding, BertTokenizer, BertTokenizerFast, CharSpan, TokenSpan
from course.tokenizers.bpe import merge
from course.tokenizers.byte_bpe import BYTES


@pytest.fixture(params=[True, False], ids=["rust", "python"])
def tokenizer(request):
    return tiny.tokenizer(fast=request.param)


@pytest.fixture(params=["", "Fast"], ids=["python", "rust"])
def engine(request):
    return request.param


def byte_level(kind, engine, **options):
    merges = [("Ġ", "a"), ("Ġa", "b")]
    tokens = ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "<|endoftext|>", *BYTES.values(), *map("".join, merges)]
    return getattr(course, f"{kind}Tokenizer{engine}")(vocab={t: n for n, t in enumerate(tokens)}, merges=merges, **options)


# -- the encoding --------------------------------------------------------------------------------------------------------------


def test_tokens_words_and_characters(tokenizer):
    found = tokenizer("unhappiness  good", "new school!")
    assert found.tokens() == ["[CLS]", "un", "##happi", "##ness", "good", "[SEP]", "new", "school", "!", "[SEP]"]
    assert [found.token_to_word(i) for i in range(10)] == found.word_ids() == [None, 0, 0, 0, 1, None, 0, 1, 2, None]
    assert [found.token_to_sequence(i) for i in range(10)] == [None, 0, 0, 0, 0, None, 1, 1, 1, None]
    assert found.token_to_word(0, 2) == found.token_to_sequence(0, 2) == 0 and found.token_to_word(-2) == 2
    assert found.token_to_word(99) is found.token_to_sequence(99) is found.token_to_chars(99) is found.token_to_chars(0) is None
    assert (found.char_to_word(3), found.char_to_word(0, 14), found.char_to_word(5, sequence_index=1), found.char_to_word(99)) == (0, 1, 1, None)
    assert found.char_to_word(0, 4, 1) == 1 and found.char_to_word(11) is None
    assert found.word_to_chars(0) == CharSpan(0, 11) and found.word_to_chars(0, 1, 1) == CharSpan(start=4, end=10)
    assert found.word_to_tokens(0) == TokenSpan(start=1, end=4) and found.word_to_chars(99) is found.word_to_tokens(99) is None
    assert (found.token_to_chars(2).start, found.token_to_chars(2).end) == (2, 7) and found.word_to_tokens(0).end == 4
    assert found.n_sequences == 2 and tokenizer("a").n_sequences == 1 and BatchEncoding({}).n_sequences is None


def test_rows_one_by_one(tokenizer):
    batch = tokenizer(["good", "new school"], padding=True)
    row = batch[0]
    assert row.ids == batch["input_ids"][0] and row.tokens == ["[CLS]", "good", "[SEP]", "[PAD]"] and row.word_ids == [None, 0, None, None]
    assert row.attention_mask == batch["attention_mask"][0] and row.type_ids == [0] * 4 and row.special_tokens_mask == [1, 0, 1, 1]
    assert row.offsets[1] == (0, 4) and row.sequence_ids == [None, 0, None, None]
    assert batch.encodings == [batch[0], batch[1]] and BatchEncoding({"a": 1}).encodings is None
    assert batch[:1] == {key: value[:1] for key, value in batch.items()} and batch["input_ids"] == batch.input_ids
    with pytest.raises(IndexError):
        batch[2]
    with pytest.raises(KeyError):
        batch["input"]
    with pytest.raises(ValueError, match="does not know its texts any more"):
        BatchEncoding({"input_ids": [1]})[0]


def test_copies_know_their_texts(tokenizer):
    found = tokenizer(["good news", "a"], padding=True, return_tensors="pt")
    for other in (found.copy(), copy.copy(found), copy.deepcopy(found)):
        assert type(other) is BatchEncoding and other.word_ids(1) == found.word_ids(1) and other.tokens() == found.tokens()
        other["input_ids"] = other["input_ids"] + 1
        assert not torch.equal(other["input_ids"], found["input_ids"])
    deep = copy.deepcopy(found)
    deep["input_ids"].zero_()
    assert found["input_ids"].any()


def test_an_encoding_made_by_hand():
    made = BatchEncoding({"input_ids": [[1, 2]], "labels": [1]}, tensor_type="pt")
    assert made["input_ids"].shape == (1, 2) and made.labels.tolist() == [1]
    assert BatchEncoding({"input_ids": [1, 2]}).convert_to_tensors("np", prepend_batch_axis=True)["input_ids"].shape == (1, 2)
    made.data["more"] = 3
    assert made["more"] == 3


# -- padding -------------------------------------------------------------------------------------------------------------------


def test_padding_leaves_alone_what_is_no_input(tokenizer):
    rows = [{"input_ids": [1, 2], "labels": [3, 3], "offset_mapping": [(0, 1), (1, 2)], "special_tokens_mask": [1, 0]},
            {"input_ids": [1], "labels": [3], "offset_mapping": [(0, 1)], "special_tokens_mask": [1]}]
    found = tokenizer.pad(rows)
    assert found["input_ids"] == [[1, 2], [1, 0]] and found["attention_mask"] == [[1, 1], [1, 0]]
    assert found["special_tokens_mask"] == [[1, 0], [1, 1]]
    assert found["labels"] == [[3, 3], [3]] and [len(offsets) for offsets in found["offset_mapping"]] == [2, 1]
    with pytest.raises(ValueError, match="labels has rows of different length.*DataCollatorForTokenClassification"):
        tokenizer.pad(rows, return_tensors="pt")


@pytest.mark.parametrize(("make", "kind"), [(torch.tensor, torch.Tensor), (np.array, np.ndarray)])
def test_padding_of_tensors_gives_tensors(tokenizer, make, kind):
    for given in ([{"input_ids": make([5, 6])}, {"input_ids": make([5])}], {"input_ids": [make([5, 6]), make([5])]}):
        found = tokenizer.pad(given)
        assert all(isinstance(value, kind) for value in found.values()) and found["input_ids"].tolist() == [[5, 6], [5, 0]]
    found = tokenizer.pad({"input_ids": make([[5, 6]])}, padding="max_length", max_length=3)
    assert isinstance(found["input_ids"], kind) and found["input_ids"].tolist() == [[5, 6, 0]]
    assert isinstance(tokenizer.pad({"input_ids": make([5, 6])}, return_tensors="np")["input_ids"], np.ndarray)


# -- what the call takes -------------------------------------------------------------------------------------------------------


def test_encode_takes_one_text_or_its_tokens_or_ids(tokenizer):
    text = "unhappiness , good"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.encode(tokenizer.tokenize(text)) == tokenizer.encode(ids[1:-1]) == tokenizer.encode(torch.tensor(ids[1:-1])) == ids
    assert tokenizer.encode_plus(tokenizer.tokenize(text))["attention_mask"] == [1] * len(ids)
    assert tokenizer.encode(["good"], ["new"]) == tokenizer("good", "new")["input_ids"] == tokenizer.encode([VOCAB["good"]], "new")
    assert tokenizer.encode([]) == tokenizer("")["input_ids"] and tokenizer.encode("good", add_special_tokens=False) == [VOCAB["good"]]
    assert tokenizer.encode(["good", "news"], is_split_into_words=True) == tokenizer("good news")["input_ids"]
    assert tokenizer.encode(["good"], return_tensors="pt").shape == (1, 3)
    for wrong in (["a good text", "another one"], [["good"], ["new"]], [1.5], 5, None):
        with pytest.raises(TypeError, match=r"one text|a text"):
            tokenizer.encode(wrong)
    assert tokenizer.encode_plus("good", None, add_special_tokens=False)["input_ids"] == [VOCAB["good"]]
    assert tokenizer.batch_encode_plus(["good", "new"], padding=True)["input_ids"] == tokenizer(["good", "new"])["input_ids"]


def test_tokenize_takes_one_text(tokenizer):
    for wrong in (["good", "new"], [], None, 5, ("good",)):
        with pytest.raises(TypeError, match="tokenize takes one text"):
            tokenizer.tokenize(wrong)
    assert tokenizer.tokenize(["unhappiness", "good"], is_split_into_words=True) == ["un", "##happi", "##ness", "good"]
    assert tokenizer.tokenize("good", "new", add_special_tokens=True) == ["[CLS]", "good", "[SEP]", "new", "[SEP]"]


def test_pairs_in_every_form(tokenizer):
    two = tokenizer(["good", "a"], ["new", "school"])["input_ids"]
    assert tokenizer([["good", "new"], ["a", "school"]])["input_ids"] == tokenizer([("good", "new"), ("a", "school")])["input_ids"] == two
    words = [(["good", "news"], ["a"]), (["unhappiness"], ["new", "school"])]
    wanted = tokenizer([a for a, _ in words], [b for _, b in words], is_split_into_words=True)
    for form in (words, [list(pair) for pair in words], tuple(words)):
        found = tokenizer(form, is_split_into_words=True)
        assert found == wanted and found.word_ids(1) == wanted.word_ids(1)
    assert tokenizer([["good", "news"], ["a"]], is_split_into_words=True)["input_ids"] == tokenizer(["good news", "a"])["input_ids"]
    with pytest.raises(TypeError, match="give each text as a list of words, each pair as two such lists"):
        tokenizer([(["good"], "new")], is_split_into_words=True)


def test_targets(tokenizer):
    found = tokenizer("good", text_target="new school")
    assert found["labels"] == tokenizer("new school")["input_ids"] and found["input_ids"] == tokenizer("good")["input_ids"]
    assert tokenizer(text_target=["good", "a a"], padding=True)["input_ids"] == tokenizer(["good", "a a"], padding=True)["input_ids"]
    both = tokenizer(["good", "a"], text_target=["a a", "new"], max_length=3, truncation=True, return_tensors="pt")
    assert both["labels"].shape == both["input_ids"].shape == (2, 3) and both.word_ids(0) == [None, 0, None]
    with tokenizer.as_target_tokenizer():
        assert tokenizer("good") == tokenizer("good")
    old = tokenizer.prepare_seq2seq_batch(["good", "a a"], ["new", "a a a"], max_length=4, max_target_length=3)
    assert [len(ids) for ids in old["input_ids"] + old["labels"]] == [4, 4, 3, 3]
    assert "labels" not in tokenizer.prepare_seq2seq_batch(["good"])


def test_ids_are_prepared_for_the_model(tokenizer):
    a, b = tokenizer("good new", add_special_tokens=False)["input_ids"], tokenizer("school", add_special_tokens=False)["input_ids"]
    assert dict(tokenizer.prepare_for_model(a, b)) == dict(tokenizer("good new", "school"))
    assert tokenizer.prepare_for_model(a * 9, max_length=6, truncation=True)["input_ids"] == tokenizer(
        "good new " * 9, max_length=6, truncation=True)["input_ids"]
    found = tokenizer.prepare_for_model(a, padding="max_length", max_length=6, return_special_tokens_mask=True, add_special_tokens=False)
    assert found["input_ids"] == [*a, 0, 0, 0, 0] and found["special_tokens_mask"] == [0, 0, 1, 1, 1, 1]


def test_room_for_texts(tokenizer):
    tokenizer.model_max_length = 20
    assert (tokenizer.max_len_single_sentence, tokenizer.max_len_sentences_pair) == (18, 17)
    assert tokenizer.model_input_names == ["input_ids", "token_type_ids", "attention_mask"]


def test_a_limit_that_padding_would_overstep(tokenizer):
    with pytest.raises(ValueError, match="max_length=12 is no multiple of pad_to_multiple_of=8.*Choose max_length=8"):
        tokenizer("a " * 40, truncation=True, max_length=12, padding=True, pad_to_multiple_of=8)
    assert len(tokenizer("a " * 40, truncation=True, max_length=16, padding=True, pad_to_multiple_of=8)["input_ids"]) == 16
    assert len(tokenizer("a", padding=True, max_length=12, pad_to_multiple_of=8)["input_ids"]) == 8
    assert len(tokenizer("a " * 40, truncation=True, max_length=12, pad_to_multiple_of=8)["input_ids"]) == 12


# -- words given one by one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "words", "tokens", "spans"), [
    ("GPT2", ["ab", "cab", " a"], ["Ġab", "Ġ", "c", "a", "b", "Ġ", "Ġa"], [(0, 2), (0, 0), (0, 1), (1, 2), (2, 3), (0, 0), (0, 2)]),
    ("Roberta", ["ab", "cab", " a", ""], ["Ġab", "Ġ", "c", "a", "b", "Ġa"], [(0, 2), (0, 0), (0, 1), (1, 2), (2, 3), (1, 2)]),
    ("Bart", ["ab", "<mask>"], ["Ġab", "<mask>"], [(0, 2), (0, 6)])])
def test_a_blank_stands_before_each_word(kind, words, tokens, spans, engine):
    made = byte_level(kind, engine)
    found = made(words, is_split_into_words=True, add_special_tokens=False, return_offsets_mapping=True)
    assert found.tokens() == tokens and found["offset_mapping"] == spans
    assert len(set(found.word_ids())) == len([word for word in words if word])
    assert made.tokenize("ab") == ["a", "b"]


def test_a_blank_before_texts(engine):
    made = byte_level("GPT2", engine, add_prefix_space=True)
    assert made.tokenize("ab ab") == ["Ġab", "Ġab"] and made(["ab", "ab"], is_split_into_words=True).tokens() == ["Ġab", "Ġab"]


# -- settings that are honoured or refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [BertTokenizer, BertTokenizerFast])
def test_settings_of_older_bert_tokenizers(kind):
    for neutral in ({"never_split": None}, {"never_split": []}, {"never_split": ["[UNK]", "[MASK]"]}, {"do_basic_tokenize": True},
                    {"add_prefix_space": True}):
        assert kind(vocab=dict(VOCAB), **neutral).tokenize("good, a") == ["good", ",", "a"]
    with pytest.raises(ValueError, match=r"never_split=\['e-mail'\] is not known here.*add_tokens"):
        kind(vocab=dict(VOCAB), never_split=["e-mail"])
    with pytest.raises(ValueError, match="do_basic_tokenize=False is not known here"):
        kind(vocab=dict(VOCAB), do_basic_tokenize=False)


def test_a_blank_before_the_text_is_honoured_or_refused(engine):
    t5 = [("<pad>", 0.0, 3), ("</s>", 0.0, 3), ("<unk>", 0.0, 2), ("▁a", -2.0, 1)]
    with pytest.raises(ValueError, match="add_prefix_space=False is not possible with T5Tokenizer"):
        getattr(course, f"T5Tokenizer{engine}")(pieces=t5, add_prefix_space=False)
    with pytest.raises(ValueError, match="add_prefix_space=True is not possible here"):
        getattr(course, f"Qwen2Tokenizer{engine}")(vocab={"<|endoftext|>": 0} | {b: n + 1 for n, b in enumerate(BYTES.values())}, merges=[],
                                                  add_prefix_space=True)
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "a", "▁", "▁a"]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    kind = getattr(course, f"LlamaTokenizer{engine}")
    assert kind(vocab=vocab, merges=[("▁", "a")]).tokenize("a a") == ["▁a", "▁a"]
    assert kind(vocab=vocab, merges=[("▁", "a")], add_prefix_space=False).tokenize("a a") == ["a", "▁a"]


def test_control_codes():
    made = course.CTRLTokenizer(vocab={"<unk>": 0, "Links": 1, "Reviews": 2, "a": 3}, merges=[])
    assert made.control_codes == {"Links": 1, "Reviews": 2}


# -- long rows of the same ---------------------------------------------------------------------------------------------------------


def test_merging_is_the_same_for_long_words():
    ranks = {("a", "a"): 0, ("aa", "aa"): 1, ("b", "aa"): 2, ("aaaa", "b"): 3}
    assert merge(list("a" * 7), ranks) == ["aaaa", "aa", "a"]
    assert merge(list("baaaab"), ranks) == ["b", "aaaab"] and merge(list("baab"), ranks) == ["baa", "b"]
    assert merge([], ranks) == [] and merge(["x"], ranks) == ["x"]


@pytest.mark.parametrize("text", [" " * 20_000, "a" * 20_000, "\n" * 20_000, "!" * 20_000, " a" * 10_000, "<mask> " * 3000])
def test_long_rows_of_the_same_take_no_longer_than_texts(text, caplog):
    caplog.set_level(logging.ERROR)
    one, other = byte_level("Roberta", ""), byte_level("Roberta", "Fast")
    assert one(text, verbose=False)["input_ids"] == other(text, verbose=False)["input_ids"]


def test_offsets_of_many_texts_are_those_of_each(tokenizer):
    texts = [f"unhappiness {'good ' * (number % 3)}new" for number in range(50)]
    batch = tokenizer(texts, return_offsets_mapping=True)
    assert batch["offset_mapping"] == [tokenizer(text, return_offsets_mapping=True)["offset_mapping"] for text in texts]
    assert json.dumps(tokenizer(texts).word_ids(7)) == json.dumps(tokenizer(texts[7]).word_ids())
