"""Tokenizers that a tokenizer.json describes, as those of Llama, Qwen2 and SmolLM2: both engines against the Rust library on the file."""

import json

import pytest
from tokenizers import Tokenizer

import course
from course.tokenizers import unigram
from course.tokenizers.byte_bpe import BYTES, GPT2, LLAMA3, QWEN2, cut_by
from course.tokenizers.sentence_bpe import TO_LETTERS, TO_TEXT, merges_of
from course.tokenizers.unigram import BYTE, CONTROL, NORMAL, UNKNOWN, USER

TEXTS = ["", " ", "hello", "Hello hello  world", "it's IT'S we're  12345 1,000.5 ½Ⅷ\n\n x\r\n", "e\u0301a\u0308 ü 中文 👍🏽", "  a\t\n b   ",
         "<|begin|>hello<|end|> x", "...!?\n(ab)[c]", "he<|end|>llo", "\x00\x1f\x85z\u3000y", "क़िला"]
BYTE_MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "hello"), ("Ġ", "Ġ"), ("1", "2"), ("12", "3"), ("Ã", "¼"), ("Ċ", "Ċ"), ("i", "t")]
TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                     {"SpecialToken": {"id": "<|begin|>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<|begin|>": {"id": "<|begin|>", "ids": [400], "tokens": ["<|begin|>"]}}}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SMOL = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]}
KINDS = {                                             # pre_tokenizer, normalizer, post_processor, tokenizer_class, what it becomes
    "SmolLM2": (SMOL, None, BYTE_LEVEL | {"trim_offsets": False}, "GPT2Tokenizer", "GPT2"),
    "Qwen2": (cut_by(QWEN2), {"type": "NFC"}, BYTE_LEVEL | {"trim_offsets": False}, "Qwen2Tokenizer", "Qwen2"),
    "Llama 3": (cut_by(LLAMA3), None, {"type": "Sequence", "processors": [BYTE_LEVEL, TEMPLATE]}, "PreTrainedTokenizerFast", "ByteBPE"),
    "DeepSeek": (cut_by(r"[!-/]", r"\p{N}{1,3}", GPT2), None, BYTE_LEVEL, "LlamaTokenizerFast", "ByteBPE"),
}


@pytest.fixture(params=[True, False], ids=["rust", "python"])
def fast(request):
    return request.param


def byte_level_file(folder, kind, ignore_merges=True):
    pre_tokenizer, normalizer, post_processor, name, _ = KINDS[kind]
    pieces = [*BYTES.values(), *map("".join, BYTE_MERGES), "Ġworld"]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    added = [{"id": len(vocab) + number, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for number, token in enumerate(("<|begin|>", "<|end|>"))]
    post_processor = json.loads(json.dumps(post_processor).replace("400", str(len(vocab))))
    save(folder, {"normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": BYTE_LEVEL, "added_tokens": added,
                  "model": {"type": "BPE", "vocab": vocab, "merges": [" ".join(pair) for pair in BYTE_MERGES], "ignore_merges": ignore_merges}},
         {"tokenizer_class": name, "bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|end|>", "unk_token": "<|end|>",
          "clean_up_tokenization_spaces": False})


def save(folder, content, settings):
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0"} | content), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def sentence_pieces():
    pieces = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), *((f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256))]
    learned = ["lo", "▁lo", "▁low", "he", "▁he", "ll", "▁hell", "▁▁", "12", *"▁lowehr12.,\n"]
    return pieces + [(piece, -float(number), NORMAL) for number, piece in enumerate(learned)]


def sentence_file(folder, name="LlamaTokenizer", **parts):
    pieces = sentence_pieces()
    save(folder, {"normalizer": TO_LETTERS, "pre_tokenizer": None, "post_processor": None, "decoder": TO_TEXT,
                  "added_tokens": [{"id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                                   for number, token in enumerate(("<unk>", "<s>", "</s>"))],
                  "model": {"type": "BPE", "vocab": {piece: number for number, (piece, *_) in enumerate(pieces)}, "merges": merges_of(pieces),
                            "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}} | parts, {"tokenizer_class": name})


def same_as_the_library(tokenizer, folder, texts=TEXTS):
    engine = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in texts:
        wanted = engine.encode(text, add_special_tokens=False)
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert found.tokens() == wanted.tokens and found["input_ids"] == wanted.ids, text
        assert found["offset_mapping"] == wanted.offsets and found.word_ids() == wanted.word_ids, text
        assert tokenizer.decode(wanted.ids) == engine.decode(wanted.ids, skip_special_tokens=False), text


@pytest.mark.parametrize("kind", KINDS)
def test_byte_level_files(fast, kind, tmp_path):
    byte_level_file(tmp_path, kind)
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
    assert type(tokenizer).__name__ == f"{KINDS[kind][-1]}Tokenizer{'Fast' * fast}"
    same_as_the_library(tokenizer, tmp_path)
    assert tokenizer("hello <|end|>", split_special_tokens=True).tokens()[-3:] == ["d", "|", ">"]


def test_what_the_patterns_keep_whole(fast, tmp_path):
    wanted = {"SmolLM2": ["Ġ", "1", "2", "3", "Ġworld"], "Qwen2": ["Ġ", "1", "2", "3", "Ġworld"], "Llama 3": ["Ġ", "123", "Ġworld"]}
    for kind, tokens in wanted.items():
        byte_level_file(tmp_path, kind)
        assert course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast).tokenize(" 123 world") == tokens, kind
    byte_level_file(tmp_path, "Llama 3", ignore_merges=False)         # no merge leads to the piece " world"
    assert course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast).tokenize(" world") == ["Ġ", *"world"]


def test_llama_3_frames_texts_as_its_file_says(fast, tmp_path):
    byte_level_file(tmp_path, "Llama 3")
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
    assert tokenizer("it").tokens() == ["<|begin|>", "it"]
    pair = tokenizer("it", "hello", return_token_type_ids=True)
    assert pair.tokens() == ["<|begin|>", "it", "<|begin|>", "hello"] and pair["token_type_ids"] == [0, 0, 1, 1]
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')        # no token has a role
    plain = course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
    assert plain("it").tokens() == ["<|begin|>", "it"] and plain.bos_token is None
    plain.save_pretrained(tmp_path / "again")
    assert course.AutoTokenizer.from_pretrained(tmp_path / "again", use_fast=fast)("it").tokens() == ["<|begin|>", "it"]


def test_a_llama_class_follows_its_own_switches(fast, tmp_path):
    byte_level_file(tmp_path, "DeepSeek")
    load = course.AutoTokenizer.from_pretrained
    assert load(tmp_path, use_fast=fast)("it").tokens() == ["<|begin|>", "it"]
    assert load(tmp_path, use_fast=fast, add_bos_token=False, add_eos_token=True)("it").tokens() == ["it", "<|end|>"]


@pytest.mark.parametrize("kind", [*KINDS, "Llama 2"])
def test_saved_files_give_the_same_tokenizer(fast, kind, tmp_path):
    sentence_file(tmp_path) if kind == "Llama 2" else byte_level_file(tmp_path, kind)
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
    tokenizer.save_pretrained(tmp_path / "again")
    for engine in (True, False):
        again = course.AutoTokenizer.from_pretrained(tmp_path / "again", use_fast=engine)
        assert type(again).__name__.removesuffix("Fast") == type(tokenizer).__name__.removesuffix("Fast")
        assert again(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    same_as_the_library(tokenizer, tmp_path / "again")


def test_bytes_that_the_vocabulary_lacks_are_left_out(fast, tmp_path):
    byte_level_file(tmp_path, "SmolLM2")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    vocab = content["model"]["vocab"]
    vocab["unused"] = vocab.pop(BYTES[0x1D])
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
    same_as_the_library(tokenizer, tmp_path, ["he\x1dllo", "\x1d", "a!\x1d\x1c! b"])


def test_qwen2_from_its_two_files(fast, tmp_path):
    byte_level_file(tmp_path, "Qwen2", ignore_merges=False)
    course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast).save_vocabulary(tmp_path)
    made = (course.Qwen2TokenizerFast if fast else course.Qwen2Tokenizer)(tmp_path / "vocab.json", tmp_path / "merges.txt")
    same_as_the_library(made, tmp_path, [text for text in TEXTS if "<|" not in text])


@pytest.mark.parametrize("name", ["LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast"])
def test_sentence_files(fast, name, tmp_path):
    sentence_file(tmp_path, name)
    tokenizer = course.AutoTokenizer.from_pretrained(tmp_path, use_fast=fast)
    assert type(tokenizer) is (course.LlamaTokenizerFast if fast else course.LlamaTokenizer)
    texts = [*TEXTS, "low ü", "hello  low   ▁lo</s>low 12", "</s> low"]
    same_as_the_library(tokenizer, tmp_path, texts)
    assert tokenizer("low ü").tokens() == ["<s>", "▁low", "▁", "<0xC3>", "<0xBC>"]
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in tokenizer(texts[:8])["input_ids"]] == [
        text.replace("<s>", "") for text in texts[:8]]


def test_a_sentencepiece_file_of_this_kind(fast, tmp_path):
    sentence_file(tmp_path)
    model = unigram.message().FromString(unigram.write_sentencepiece(sentence_pieces(), b""))
    model.training.model_type = 2
    (tmp_path / "tokenizer.model").write_bytes(model.SerializeToString())
    made = (course.LlamaTokenizerFast if fast else course.LlamaTokenizer)(tmp_path / "tokenizer.model")
    same_as_the_library(made, tmp_path, [text for text in TEXTS if "<" not in text])
    with pytest.raises(ValueError, match="type 2, not one of type 1"):
        course.T5Tokenizer(tmp_path / "tokenizer.model")


def reformer_file(folder):
    pieces = [("<unk>", 0.0, UNKNOWN), ("</s>", 0.0, CONTROL), ("<speaker>", 0.0, USER),
              *((piece, -float(number), NORMAL) for number, piece in enumerate(["lo", "▁lo", "▁low", "he", "ll", *"▁lowehr</s>"]))]
    model = unigram.message().FromString(unigram.write_sentencepiece(pieces, b""))
    model.training.model_type = 2
    (folder / "spiece.model").write_bytes(model.SerializeToString())


def test_reformer_knows_no_bytes(fast, tmp_path):
    reformer_file(tmp_path)
    tokenizer = (course.ReformerTokenizerFast if fast else course.ReformerTokenizer)(tmp_path / "spiece.model")
    found = tokenizer("  low  üxlowhell 中 ", return_offsets_mapping=True)
    assert found.tokens() == ["▁low", "▁", "<unk>", "lo", "w", "he", "ll", "▁", "<unk>"]
    assert found["offset_mapping"] == [(1, 5), (6, 7), (7, 9), (9, 11), (11, 12), (12, 14), (14, 16), (16, 17), (17, 18)]
    assert found.word_ids() == [0, 1, 1, 1, 1, 1, 1, 2, 2]
    assert tokenizer("low", "he").tokens() == ["▁low", "▁", "he"] and tokenizer.decode(tokenizer("low hell")["input_ids"]) == "low hell"
    assert tokenizer("low<speaker>low</s>").tokens() == ["▁low", "<speaker>", "▁low", "</s>"]
    assert tokenizer("low</s>", split_special_tokens=True).tokens() == ["▁low", "<", "/", "s", ">"]
    assert tokenizer.special_tokens_map == {"eos_token": "</s>", "unk_token": "<unk>"}
    with pytest.raises(ValueError, match="no padding token"):
        tokenizer(["low", "low low"], padding=True)
    tokenizer.add_tokens(["hello"])
    assert tokenizer("low hello  hello he ").tokens() == ["▁low", "▁", "hello", "▁", "hello", "▁", "he"]


@pytest.mark.parametrize("lost", ["tokenizer.json", "spiece.model"])
def test_either_file_of_reformer_is_enough(fast, lost, tmp_path):
    reformer_file(tmp_path)
    made = course.ReformerTokenizer(tmp_path / "spiece.model", model_max_length=77)
    made.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/spiece.model").read_bytes() == (tmp_path / "spiece.model").read_bytes()
    (tmp_path / "again" / lost).unlink()
    texts = [*TEXTS, "low<speaker>hell  ü</s>"]
    for _ in range(2):                                # as it was saved, and as what was read is saved again
        again = course.AutoTokenizer.from_pretrained(tmp_path / "again", use_fast=fast)
        assert type(again) is (course.ReformerTokenizerFast if fast else course.ReformerTokenizer) and again.model_max_length == 77
        assert again(texts)["input_ids"] == made(texts)["input_ids"]
        again.save_pretrained(tmp_path / "again")
        same_as_the_library(again, tmp_path / "again", texts)
    (tmp_path / "spiece.model").unlink()
    with pytest.raises(FileNotFoundError, match="spiece.model"):
        course.ReformerTokenizer.from_pretrained(tmp_path)


def test_what_the_python_engine_cannot_read_works_in_rust(tmp_path):
    byte_level_file(tmp_path, "SmolLM2")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["pre_tokenizer"]["pretokenizers"].insert(0, {"type": "Punctuation", "behavior": "Isolated"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    same_as_the_library(course.AutoTokenizer.from_pretrained(tmp_path), tmp_path)
    with pytest.raises(ValueError, match="Punctuation.*use_fast=True"):
        course.AutoTokenizer.from_pretrained(tmp_path, use_fast=False)
    sentence_file(tmp_path, normalizer=None,
                  pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False})
    same_as_the_library(course.AutoTokenizer.from_pretrained(tmp_path), tmp_path)
    with pytest.raises(ValueError, match="Metaspace.*use_fast=True"):
        course.AutoTokenizer.from_pretrained(tmp_path, use_fast=False)


def test_parts_that_nobody_knows(tmp_path):
    byte_level_file(tmp_path, "SmolLM2")
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Telepathy"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="normalizer.*pip install -U tokenizers"):
        course.AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 0}}}))
    with pytest.raises(ValueError, match="holds a WordLevel tokenizer, GPT2TokenizerFast reads BPE: use AutoTokenizer"):
        course.GPT2TokenizerFast.from_pretrained(tmp_path)
    assert type(course.AutoTokenizer.from_pretrained(tmp_path)) is course.PreTrainedTokenizerFast
    with pytest.raises(FileNotFoundError, match=r"tokenizer.json|vocab.json"):
        (tmp_path / "tokenizer.json").unlink()
        course.AutoTokenizer.from_pretrained(tmp_path)
