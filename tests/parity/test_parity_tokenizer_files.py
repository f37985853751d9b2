"""Files that others wrote, encodings, padding and lists of tokens: the same as transformers'."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import course

transformers = pytest.importorskip("transformers", reason="transformers is not installed here")

TRAINED = ["The Survey answers were coded TWICE, by hand.", "Die Buerger sind muede.", "e-mail 2021 don't stop"] * 20
TEXTS = ["The Survey TWICE", "don't E-Mail, 2021!", "", "  unknown ☃ words  muede", "[SEP] The", "e-mail e-mail", "Surveys\nagain"]
NAMES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROLES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), NAMES, strict=True))
FRAME = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
METASPACE = pre_tokenizers.Metaspace()
KINDS = {                                             # model, normalizer, pre_tokenizer, post_processor, decoder, the model's type
    "cased": ("WordPiece", normalizers.NFC(), pre_tokenizers.BertPreTokenizer(), FRAME, decoders.WordPiece(), "bert"),
    "white space": ("WordPiece", normalizers.BertNormalizer(), pre_tokenizers.WhitespaceSplit(), FRAME, None, "distilbert"),
    "no frame": ("WordPiece", normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), None, decoders.WordPiece(), "bert"),
    "Bert frame": ("WordPiece", normalizers.Lowercase(), pre_tokenizers.Whitespace(), processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)), None, "bert"),
    "words": ("WordLevel", normalizers.Lowercase(), pre_tokenizers.Whitespace(), FRAME, None, "bert"),
    "byte level": ("BPE", None, pre_tokenizers.ByteLevel(add_prefix_space=False), FRAME, decoders.ByteLevel(), "gpt2"),
    "byte level, Roberta": ("BPE", None, pre_tokenizers.ByteLevel(add_prefix_space=False), processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2), add_prefix_space=False),
                            decoders.ByteLevel(), "roberta"),
    "plain BPE": ("BPE", normalizers.NFD(), pre_tokenizers.Whitespace(), FRAME, None, "gpt2"),
    "plain BPE, Llama": ("BPE", None, pre_tokenizers.Punctuation(), None, decoders.BPEDecoder(), "llama"),
    "lower Unigram": ("Unigram", normalizers.Lowercase(), METASPACE, FRAME, decoders.Metaspace(), "t5"),
    "Unigram under BERT": ("Unigram", normalizers.NFKC(), METASPACE, FRAME, decoders.Metaspace(), "bert"),
}


@pytest.fixture(params=KINDS, scope="module")
def pair(request, tmp_path_factory):
    """The same folder, opened by both libraries."""
    folder = tmp_path_factory.mktemp("tokenizer")
    model, normalizer, pre_tokenizer, post_processor, decoder, kind = KINDS[request.param]
    made = Tokenizer(getattr(models, model)(**({} if model == "Unigram" else {"unk_token": "[UNK]"})))
    for name, part in (("normalizer", normalizer), ("pre_tokenizer", pre_tokenizer), ("post_processor", post_processor), ("decoder", decoder)):
        if part is not None:
            setattr(made, name, part)
    trainer = getattr(trainers, f"{model.replace('BPE', 'Bpe')}Trainer")
    more = {"unk_token": "[UNK]"} if model == "Unigram" else {}
    made.train_from_iterator(TRAINED, trainer(vocab_size=120, special_tokens=NAMES, show_progress=False, **more))
    made.add_tokens(["Buergermeister"])
    made.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    (folder / "tokenizer_config.json").write_text(json.dumps(ROLES))
    return course.AutoTokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)


def test_files_of_self_trained_tokenizers(pair):
    ours, theirs = pair
    for text in TEXTS:
        assert dict(ours(text)) == dict(theirs(text)), text
        a, b = (one(text, "The hand", return_token_type_ids=True, return_offsets_mapping=True) for one in pair)
        assert dict(a) == dict(b) and a.word_ids() == b.word_ids() and a.sequence_ids() == b.sequence_ids()
        text = [one.decode(a["input_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=True) for one in pair]
        assert text[0] == text[1]


def test_places_in_an_encoding(pair):
    a, b = (one("The Survey, by hand", "don't stop") for one in pair)
    count = len(b["input_ids"])
    for name in ("token_to_word", "token_to_sequence", "token_to_chars"):
        assert [getattr(a, name)(i) for i in range(count)] == [getattr(b, name)(i) for i in range(count)]
    for sequence, size in ((0, 19), (1, 10)):
        for name in ("char_to_word", "char_to_token"):
            assert [getattr(a, name)(0, i, sequence) for i in range(size)] == [getattr(b, name)(0, i, sequence) for i in range(size)]
    for word in range(3):
        assert a.word_to_tokens(0, word, 1) == b.word_to_tokens(0, word, 1)
        if b.word_to_tokens(0, word, 1):
            assert a.word_to_chars(0, word, 1) == b.word_to_chars(0, word, 1)
    row, wanted = a[0], b[0]
    for name in ("ids", "type_ids", "offsets", "attention_mask", "special_tokens_mask", "word_ids", "sequence_ids"):
        assert getattr(row, name) == getattr(wanted, name), name


@pytest.mark.parametrize("rows", [
    [{"input_ids": [1, 2], "labels": [3, 3]}, {"input_ids": [1], "labels": [3]}],
    [{"input_ids": torch.tensor([1, 2])}, {"input_ids": torch.tensor([1])}], [{"input_ids": np.array([1, 2])}, {"input_ids": np.array([1])}],
    {"input_ids": torch.tensor([[1, 2], [3, 4]])}, {"input_ids": [[1, 2], [3]], "token_type_ids": [[0, 1], [1]], "special_tokens_mask": [[1, 0], [1]]}],
    ids=["labels", "tensors", "arrays", "a tensor", "types"])
def test_padding_of_what_is_encoded(pair, rows):
    ours, theirs = pair
    a, b = (one.pad(rows, pad_to_multiple_of=4) for one in (ours, theirs))
    assert {k: type(v) for k, v in a.items()} == {k: type(v) for k, v in b.items()}
    assert {k: v.tolist() if hasattr(v, "tolist") else v for k, v in a.items()} == {k: v.tolist() if hasattr(v, "tolist") else v for k, v in b.items()}


def test_special_tokens_replace_each_other(pair):
    ours, theirs = pair
    for one in pair:
        one.add_special_tokens({"additional_special_tokens": ["<a>"]})
        one.add_special_tokens({"additional_special_tokens": ["<b>"]})
        one.add_special_tokens({"additional_special_tokens": ["<c>"]}, replace_additional_special_tokens=False)
    assert ours.additional_special_tokens == theirs.additional_special_tokens
    assert ours.additional_special_tokens_ids == theirs.additional_special_tokens_ids
    assert ours.added_tokens_encoder == theirs.added_tokens_encoder
    assert (ours.max_len_single_sentence, ours.max_len_sentences_pair) == (theirs.max_len_single_sentence, theirs.max_len_sentences_pair)
    unknown = len(theirs) + 5
    assert ours.convert_ids_to_tokens([1, unknown]) == theirs.convert_ids_to_tokens([1, unknown])
    assert ours.decode([6, unknown]) == theirs.decode([6, unknown])
