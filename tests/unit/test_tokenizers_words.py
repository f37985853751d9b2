"""Tokenizers that cut whole words by the rules of Moses: Transformer-XL's, and XLM's, which cuts those further."""

import copy
import pickle
import sys
from collections import Counter, OrderedDict

import pytest
import torch

import course
from course.tokenizers import words
from course.tokenizers.bpe import read_merges

pytest.importorskip("sacremoses", reason="words are cut with sacremoses, which is not installed here: pip install sacremoses")

WORDS = {word: number for number, word in enumerate(
    ["<eos>", "<unk>", "<formula>", "The", "council", "'s", "2", "@,@", "500", "long", "@-@", "term", "plans", ".", '"'])}
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{number}>" for number in range(10))]
PIECES = {piece: number for number, piece in enumerate(
    [*SPECIAL, *"lowest.,'", *(f"{letter}</w>" for letter in "lowest.,'"), "es", "est</w>", "lo", "low"])}
MERGES = [("e", "s"), ("es", "t</w>"), ("l", "o"), ("lo", "w")]


@pytest.fixture
def xl():
    return course.TransfoXLTokenizer(vocab=dict(WORDS))


@pytest.fixture
def xlm():
    return course.XLMTokenizer(vocab=dict(PIECES), merges=MERGES)


def test_whole_words(xl):
    text = '  The council\'s 2,500 “long-term” plans, ok.'
    found = xl(text, return_offsets_mapping=True)
    assert found.tokens() == ["The", "council", "'s", "2", "@,@", "500", '"', "long", "@-@", "term", '"', "plans", "<unk>",
                              "<unk>", "."]
    assert list(found) == ["input_ids", "offset_mapping"] and found.word_ids() == list(range(15))
    slices = [text[start:end] for start, end in found["offset_mapping"]]
    assert slices == ["The", "council", "'s", "2", ",", "500", "“", "long", "-", "term", "”", "plans", ",", "ok", "."]
    assert xl.decode(xl("The council's 2,500 long-term plans.")["input_ids"]) == "The council's 2,500 long-term plans."
    assert xl("the")["input_ids"] == [1] and xl.unk_token_id == 1
    assert course.TransfoXLTokenizer(vocab={"<unk>": 0, "the": 1}, lower_case=True)("THE the")["input_ids"] == [1, 1]


def test_words_of_xlm_are_cut_further(xlm):
    text = " Löwest,  LOW’s… x"
    found = xlm(text, return_offsets_mapping=True)
    assert found.tokens() == ["<s>", "low", "est</w>", ",</w>", "lo", "w</w>", "'", "s</w>", ".", ".", ".</w>", "<unk>", "</s>"]
    slices = [text[start:end] for start, end in found["offset_mapping"]]
    assert slices == ["", "Löw", "est", ",", "LO", "W", "’", "s", "…", "…", "…", "x", ""]
    assert found.word_ids() == [None, 0, 0, 1, 2, 2, 3, 3, 4, 4, 4, 5, None]
    assert xlm.decode(xlm("lowest low, low.")["input_ids"], skip_special_tokens=True) == "lowest low, low."
    pair = xlm("low", "est")
    assert pair.tokens() == ["<s>", "lo", "w</w>", "</s>", "est</w>", "</s>"] and pair["token_type_ids"] == [0, 0, 0, 0, 1, 1]


def test_what_is_kept_and_what_is_not(xlm):
    assert xlm.tokenize("lo<special1>w") == ["l", "o</w>", "<special1>", "w</w>"]
    assert "<special1>" not in xlm.tokenize("lo <special1>", split_special_tokens=True)
    assert xlm.mask_token == "<special1>" and xlm.cls_token == xlm.sep_token == "</s>" and xlm.pad_token_id == 2
    kept = course.XLMTokenizer(vocab=PIECES | {"L": len(PIECES), "ö": len(PIECES) + 1}, merges=MERGES, do_lowercase_and_remove_accent=False)
    assert kept.tokenize("Löw") == ["L", "ö", "w</w>"]


def test_every_place_of_a_text_is_in_order(xl, xlm):
    for text in ('Er sagte: »Nein«, "ja," - ``x\'\' …  a..b', "\x00\u200b«\u00a0Oui\u00a0» 5 000 %!", "", "  ", "。。，x 中文\U0001f68c\u200d", "''''", "a" * 300):
        for tokenizer in (xl, xlm):
            spans = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)["offset_mapping"]
            assert all(0 <= start < end <= len(text) for start, end in spans), (text, spans)
            assert [start for start, _ in spans] == sorted(start for start, _ in spans), (text, spans)


def test_languages(xlm):
    several = course.XLMTokenizer(vocab=dict(PIECES), merges=MERGES, lang2id={"en": 0, "fr": 1}, id2lang={"0": "en", "1": "fr"})
    assert several.id2lang == {0: "en", 1: "fr"}
    assert several.words_of("l'est") == ["l", "'est"]
    several.lang = "fr"
    assert several.words_of("l'est") == ["l'", "est"]
    several.lang = "xx"
    with pytest.raises(ValueError, match="lang='xx' is no language of this tokenizer; it knows en, fr"):
        several("low")
    xlm.lang = "zh"
    assert xlm.words_of("我们 去。") == ["我们", "去."]


def test_saved_files_give_the_same_tokenizer(xl, xlm, tmp_path):
    xlm.lang2id, xlm.init_kwargs["lang2id"] = {"en": 0}, {"en": 0}
    for tokenizer in (xl, xlm):
        tokenizer.add_tokens(["newword"])
        folder = tmp_path / type(tokenizer).__name__
        tokenizer.save_pretrained(folder)
        assert not (folder / "tokenizer.json").exists()
        for again in (course.AutoTokenizer.from_pretrained(folder), pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
            assert type(again) is type(tokenizer)
            assert again("The low newword.")["input_ids"] == tokenizer("The low newword.")["input_ids"]
    assert course.XLMTokenizer.from_pretrained(tmp_path / "XLMTokenizer").lang2id == {"en": 0}


def test_merges_with_counts(tmp_path):
    (tmp_path / "merges.txt").write_text("e s 120\nes t</w> 99\n")
    assert read_merges(tmp_path / "merges.txt") == MERGES[:2]


def test_a_vocabulary_that_torch_saved_is_read(tmp_path):
    saved = {"sym2idx": OrderedDict(WORDS), "idx2sym": list(WORDS), "counter": Counter(["The"]), "lower_case": False}
    for name in ("vocab.bin", "vocab.pkl"):
        torch.save(saved, tmp_path / name)
        assert course.TransfoXLTokenizer.from_pretrained(tmp_path).vocab == WORDS
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"has no vocab\.txt"):
        course.TransfoXLTokenizer.from_pretrained(tmp_path)


class Hostile:
    def __reduce__(self):
        return exec, ("import sys; sys.modules['hostile'] = sys",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", ["pickle", "torch", "plain", "rubbish", "nothing"])
def test_a_pickle_runs_nothing(tmp_path, content):
    path = tmp_path / "vocab.pkl"
    if content == "torch":
        torch.save({"sym2idx": Hostile()}, path)
    else:
        path.write_bytes({"pickle": pickle.dumps({"sym2idx": Hostile()}), "plain": pickle.dumps({"sym2idx": dict(WORDS)}),
                          "rubbish": b"this is no pickle", "nothing": b""}[content])
    with pytest.raises(ValueError, match="vocab.pkl is a pickle.*write its words to vocab.txt"):
        course.TransfoXLTokenizer.from_pretrained(tmp_path)
    assert "hostile" not in sys.modules


def test_damaged_vocabularies(tmp_path):
    (tmp_path / "vocab.txt").write_text("<unk> 12\nThe 9\n\nplans\n")
    with pytest.raises(ValueError, match="line 3: there is no word"):
        course.TransfoXLTokenizer.from_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("<unk> 12\nThe 9\nThe\nplans\n")
    assert course.TransfoXLTokenizer.from_pretrained(tmp_path).vocab == {"<unk>": 0, "The": 1, "plans": 2}
    with pytest.raises(ValueError, match="lacks '<unk>'"):
        course.TransfoXLTokenizer(vocab={"The": 0})
    with pytest.raises(TypeError, match="vocab_file"):
        course.TransfoXLTokenizer()


def test_without_sacremoses_the_cure_is_named(monkeypatch):
    words.moses.cache_clear()
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(ImportError, match="pip install sacremoses"):
        course.XLMTokenizer(vocab=dict(PIECES), merges=MERGES)
    with pytest.raises(ImportError, match="pip install sacremoses"):
        course.TransfoXLTokenizer(vocab=dict(WORDS))
