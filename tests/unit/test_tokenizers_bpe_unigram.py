"""BPE and Unigram with vocabularies small enough to check by hand; both engines."""

import json
import sys

import pytest

import course
from course.tokenizers import unigram
from course.tokenizers.bpe import merge, read_merges
from course.tokenizers.unigram import BYTE, CONTROL, NORMAL, UNKNOWN, USER

MERGES = [("e", "s"), ("es", "t</w>"), ("l", "o"), ("lo", "w")]
T5 = [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), ("▁un", -7.0, NORMAL), ("▁", -2.0, NORMAL),
      ("un", -8.0, NORMAL), ("happi", -10.0, NORMAL), ("happy", -9.0, NORMAL), ("ness", -6.0, NORMAL), ("i", -5.0, NORMAL),
      ("hap", -11.0, NORMAL), ("p", -7.0, NORMAL), ("<", -8.0, NORMAL), ("/s", -8.0, NORMAL), (">", -8.0, NORMAL)]
XLNET = [("<unk>", 0.0, UNKNOWN), *((token, 0.0, CONTROL) for token in ("<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>")),
         ("<eop>", 0.0, USER), (".", 0.0, USER), ("▁", -2.0, NORMAL), ("a", -4.0, NORMAL), ("▁a", -3.0, NORMAL), ("▁20", -6.0, NORMAL),
         ("10", -6.0, NORMAL), ("▁2010,", -7.0, NORMAL), ("▁2010", -8.0, NORMAL), (",", -3.0, NORMAL), ("5,", -3.0, NORMAL),
         ("▁5", -5.0, NORMAL), ("e", -4.0, NORMAL), ("é", -4.0, NORMAL), ('"', -5.0, NORMAL)]


def gpt_vocab():
    pieces = ["<unk>", *"lowest", *(f"{letter}</w>" for letter in "lowest"), *map("".join, MERGES)]
    return {piece: number for number, piece in enumerate(pieces)}


@pytest.fixture(params=["", "Fast"], ids=["python", "rust"])
def engine(request):
    return request.param


def made(start, engine, **options):
    return getattr(course, f"{start}Tokenizer{engine}")(**options)


def test_the_earliest_merge_goes_first():
    ranks = {pair: rank for rank, pair in enumerate(MERGES)}
    assert merge(["l", "o", "w", "e", "s", "t</w>"], ranks) == ["low", "est</w>"]
    assert merge(["e", "s", "e", "s"], ranks) == ["es", "es"]
    assert merge(["w"], ranks) == ["w"] and merge([], ranks) == []


def test_gpt_cuts_words_and_knows_where_they_stood(engine):
    tokenizer = made("OpenAIGPT", engine, vocab=gpt_vocab(), merges=MERGES)
    found = tokenizer("  Lowest LÖW x!", return_offsets_mapping=True)
    assert found.tokens() == ["low", "est</w>", "lo", "w</w>", "<unk>", "<unk>"]
    assert found["offset_mapping"] == [(2, 5), (5, 8), (9, 11), (11, 12), (13, 14), (14, 15)]
    assert found.word_ids() == [0, 0, 1, 1, 2, 3]
    assert tokenizer.decode(found["input_ids"][:4]) == "lowest low"


def test_ctrl_marks_the_inside_of_words():
    vocab = {piece: number for number, piece in enumerate(["<unk>", "low@@", "est", "w", "lo@@", "L@@", "o@@", "t@@", "\n"])}
    tokenizer = course.CTRLTokenizer(vocab=vocab, merges=MERGES)
    assert tokenizer.tokenize("lowest  low w\n") == ["low@@", "est", "lo@@", "w", "<unk>", "\n"]
    found = tokenizer("lowest Low", return_offsets_mapping=True)
    assert found.tokens() == ["low@@", "est", "L@@", "o@@", "w"]
    assert found["offset_mapping"] == [(0, 3), (3, 6), (7, 8), (8, 9), (9, 10)]
    assert tokenizer.decode(found["input_ids"]) == "lowest Low"


def test_ctrl_has_the_python_engine_alone(tmp_path):
    tokenizer = course.CTRLTokenizer(vocab={"<unk>": 0, "low@@": 1, "est": 2}, merges=MERGES)
    files = tokenizer.save_pretrained(tmp_path)
    assert not any(file.endswith("tokenizer.json") for file in files)
    assert type(course.AutoTokenizer.from_pretrained(tmp_path)) is course.CTRLTokenizer
    assert course.AutoTokenizer.from_pretrained(tmp_path)("lowest")["input_ids"] == [1, 2]


def test_merges_that_lead_nowhere_are_an_error(engine):
    with pytest.raises(ValueError, match="'l x' makes 'lx'.*belong together"):
        made("OpenAIGPT", engine, vocab=gpt_vocab(), merges=[*MERGES, ("l", "x")])


def test_a_damaged_line_of_merges_is_named(tmp_path):
    (tmp_path / "merges.txt").write_text("#version: 0.2\nl o\nlo w e\n")
    with pytest.raises(ValueError, match="line 3.*'lo w e'"):
        read_merges(tmp_path / "merges.txt")


def test_bart_is_robertas_tokenizer(engine):
    vocab = {piece: number for number, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "l", "o", "lo", "Ġ"])}
    tokenizer = made("Bart", engine, vocab=vocab, merges=[("l", "o")])
    assert tokenizer("lo lo", "l").tokens() == ["<s>", "lo", "Ġ", "lo", "</s>", "</s>", "l", "</s>"]


def test_the_most_probable_cut_is_taken(engine):
    tokenizer = made("T5", engine, pieces=T5)
    found = tokenizer(" unhappiness  happyünun", return_offsets_mapping=True)
    assert found.tokens() == ["▁un", "happi", "ness", "▁", "happy", "<unk>", "un", "</s>"]
    assert found["offset_mapping"] == [(1, 3), (3, 8), (8, 12), (14, 15), (14, 19), (19, 21), (21, 23), (0, 0)]
    assert found.word_ids() == [0, 0, 0, 1, 1, 1, 1, None]
    assert tokenizer.decode(found["input_ids"], skip_special_tokens=True) == "unhappiness happyun"
    assert tokenizer("zzz", add_special_tokens=False).tokens() == ["▁", "<unk>"]


def test_the_words_that_t5_fills_in(engine):
    tokenizer = made("T5", engine, pieces=T5, extra_ids=2)
    assert tokenizer("un<extra_id_0>happy<extra_id_1>").tokens() == ["▁un", "<extra_id_0>", "▁", "happy", "<extra_id_1>", "</s>"]
    assert tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_1>"]) == [16, 15]
    assert tokenizer.additional_special_tokens == ["<extra_id_0>", "<extra_id_1>"]


def test_what_t5_does_not_follow_is_said(engine, caplog):
    made("T5", engine, pieces=T5, legacy=False)
    assert "legacy=False" in caplog.text


def test_a_text_cannot_spell_the_end(engine):
    tokenizer = made("T5", engine, pieces=T5)
    assert tokenizer("un</s>").tokens() == ["▁un", "</s>", "</s>"]
    assert tokenizer("un</s>", split_special_tokens=True).tokens() == ["▁un", "<", "/s", ">", "</s>"]


def test_unknown_letters_become_bytes_where_the_vocabulary_has_them(engine):
    pieces = T5 + [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    tokenizer = made("T5", engine, pieces=pieces)
    found = tokenizer("unü中", add_special_tokens=False, return_offsets_mapping=True)
    assert found.tokens() == ["▁un", "<0xC3>", "<0xBC>", "<0xE4>", "<0xB8>", "<0xAD>"]
    assert found["offset_mapping"] == [(0, 2), *[(2, 4)] * 5]
    assert tokenizer.decode(found["input_ids"]) == "unü中"


def test_xlnet_frames_pads_and_cuts_numbers(engine):
    tokenizer = made("XLNet", engine, pieces=XLNET)
    found = tokenizer(["a", "``é'' 2010,"], ["a", "a. 5,"], padding=True, return_offsets_mapping=True)
    assert found.tokens(0) == ["<pad>"] * 9 + ["▁a", "<sep>", "▁a", "<sep>", "<cls>"]
    assert found.tokens(1) == ["▁", '"', "e", '"', "▁2010", ",", "<sep>", "▁a", ".", "▁", "<unk>", ",", "<sep>", "<cls>"]   # "5,": no 5
    assert found["token_type_ids"][0] == [3] * 9 + [0, 0, 1, 1, 2]
    assert found["attention_mask"][0] == [0] * 9 + [1] * 5
    assert found["offset_mapping"][1][:6] == [(1, 2), (1, 2), (2, 3), (4, 5), (5, 10), (10, 11)]
    assert tokenizer.decode(found["input_ids"][0], skip_special_tokens=True) == "a a"
    assert made("XLNet", engine, pieces=XLNET, keep_accents=True).tokenize("é") == ["▁", "é"]
    assert made("XLNet", engine, pieces=XLNET, do_lower_case=True).tokenize("A") == ["▁a"]


@pytest.mark.parametrize(("start", "pieces"), [("T5", T5), ("XLNet", XLNET)])
def test_saved_files_give_the_same_tokenizer(engine, start, pieces, tmp_path):
    tokenizer = made(start, engine, pieces=pieces, model_max_length=77)
    texts = ["unhappiness a 2010, 5,.", "", "a <mask>", "<extra_id_3>un"]
    tokenizer.save_pretrained(tmp_path)
    again = course.AutoTokenizer.from_pretrained(tmp_path, use_fast=bool(engine))
    assert type(again) is type(tokenizer) and again.model_max_length == 77 and again.padding_side == tokenizer.padding_side
    assert again(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    (tmp_path / "spiece.model").unlink()              # tokenizer.json says it all
    assert course.AutoTokenizer.from_pretrained(tmp_path, use_fast=bool(engine))(texts)["input_ids"] == tokenizer(texts)["input_ids"]


def test_a_sentencepiece_file_is_written_as_it_was_read(tmp_path):
    (tmp_path / "spiece.model").write_bytes(unigram.write_sentencepiece(XLNET, b"") + b"\x1a\x06\x0a\x04nmt_")   # a name of the table
    course.XLNetTokenizer(tmp_path / "spiece.model").save_vocabulary(tmp_path, "copy")
    assert (tmp_path / "copy-spiece.model").read_bytes() == (tmp_path / "spiece.model").read_bytes()
    assert unigram.read_sentencepiece(tmp_path / "spiece.model") == (XLNET, b"")


@pytest.mark.parametrize(("content", "message"), [
    (b"this is no model", "not a SentencePiece file"), (b"", "no pieces"), (b"\x0a\x03\x0a\x01a\x12\x02\x18\x02", "type 2")])
def test_a_damaged_sentencepiece_file(tmp_path, content, message):
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(ValueError, match=f"spiece.model.*{message}"):
        course.T5Tokenizer(tmp_path / "spiece.model")


def test_damaged_vocabularies(tmp_path):
    with pytest.raises(ValueError, match="'happi' twice"):
        course.T5Tokenizer(pieces=[*T5, ("happi", -1.0, NORMAL)])
    with pytest.raises(ValueError, match="unknown letters"):
        course.T5Tokenizer(pieces=[("a", -1.0, NORMAL)])
    with pytest.raises(ValueError, match="spelling table"):
        course.T5Tokenizer(pieces=T5, charsmap=b"xx")
    with pytest.raises(TypeError, match="vocab_file"):
        course.T5Tokenizer()
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}}}))
    with pytest.raises(ValueError, match="holds a BPE tokenizer"):
        course.T5Tokenizer.from_pretrained(tmp_path)


def test_without_protobuf_the_cure_is_named(tmp_path, monkeypatch):
    (tmp_path / "spiece.model").write_bytes(unigram.write_sentencepiece(T5, b""))
    unigram.message.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(ImportError, match="pip install protobuf"):
        course.T5Tokenizer(tmp_path / "spiece.model")
    unigram.message.cache_clear()
