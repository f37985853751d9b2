"""Vocabularies that were learnt here, saved, and read by transformers: the same ids."""

import random

import pytest

import course

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

WORDS = ["council", "vote", "school", "teacher", "teachers", "unhappy", "unhappiness", "happy", "the", "a", "is", "not", "was", "new",
         "Wellington", "don't", "it's", "2024", "1,5", "(open)", "naïve", "Zürich", "中文", "good!", "bad?"]         # no "...": '..' '.' and '.' '..' are equally probable, and rounding chooses


def texts(seed):
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 15))) for _ in range(150)]


@pytest.mark.parametrize("train, options, names", [
    (course.train_wordpiece, {}, ["BertTokenizer", "BertTokenizerFast"]),
    (course.train_wordpiece, {"do_lower_case": False}, ["BertTokenizer", "BertTokenizerFast"]),
    (course.train_bpe, {"pad_token": "<pad>"}, ["OpenAIGPTTokenizerFast"]),
    (course.train_byte_bpe, {}, ["GPT2Tokenizer", "GPT2TokenizerFast"]),
    (course.train_byte_bpe, {"tokenizer_class": course.RobertaTokenizer}, ["RobertaTokenizer", "RobertaTokenizerFast"]),
    (course.train_unigram, {}, ["T5Tokenizer", "T5TokenizerFast"]),
    (course.train_unigram, {"tokenizer_class": course.XLNetTokenizer}, ["XLNetTokenizer"])])
@pytest.mark.parametrize("use_fast", [False, True], ids=["python", "rust"])
def test_transformers_reads_what_was_learnt(train, options, names, use_fast, tmp_path):
    ours = train(texts(0), 350, use_fast=use_fast, **options)
    ours.save_pretrained(tmp_path)
    probes = [*texts(1), "Unseen words, zzz!"]
    for name in names:
        if name in ("T5Tokenizer", "XLNetTokenizer"):
            pytest.importorskip("sentencepiece", reason="transformers reads spiece.model with sentencepiece, which is not installed here")
        theirs = getattr(transformers, name).from_pretrained(tmp_path)
        assert len(theirs) == len(ours)
        assert theirs(probes)["input_ids"] == ours(probes)["input_ids"]
