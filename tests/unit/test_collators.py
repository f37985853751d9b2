"""From examples to batches."""

import numpy as np
import pytest
import tiny
import torch

import course

TEXTS = ["the council vote was not bad.", "good", "is the new school good?"]


@pytest.fixture(params=[True, False], ids=["fast", "python"])
def tokenizer(request):
    return tiny.tokenizer(request.param)


@pytest.fixture
def features(tokenizer):
    return [dict(tokenizer(text)) | {"label": label, "text": text} for text, label in zip(TEXTS, (1, 0, 1), strict=True)]


def test_padding_to_the_longest(tokenizer, features):
    batch = course.DataCollatorWithPadding(tokenizer)(features)
    whole = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert all(torch.equal(batch[key], whole[key]) for key in whole)
    assert batch["labels"].tolist() == [1, 0, 1] and "text" not in batch and "label" in features[0]
    wide = course.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)(features)
    assert wide["input_ids"].shape[1] % 8 == 0
    fixed = course.DataCollatorWithPadding(tokenizer, padding="max_length", max_length=20)(features)
    assert fixed["input_ids"].shape == (3, 20)
    arrays = course.DataCollatorWithPadding(tokenizer, return_tensors="np")(features)
    assert isinstance(arrays["labels"], np.ndarray)


def test_stacking_takes_lists_arrays_tensors_and_every_name_of_a_label():
    for make in (list, np.array, torch.tensor):
        for name in ("label", "labels", "label_ids"):
            batch = course.default_data_collator([{"input_ids": make([1, 2]), name: 1, "text": "a", "none": None}] * 2)
            assert batch["input_ids"].tolist() == [[1, 2]] * 2 and batch["labels"].dtype == torch.int64
            assert set(batch) == {"input_ids", "labels"}
    floats = course.default_data_collator([{"x": 0.5, "labels": [1.0, 0.0]}])
    assert floats["x"].dtype == floats["labels"].dtype == torch.float32


def test_stacking_says_what_does_not_fit(features):
    with pytest.raises(ValueError, match="'input_ids' has between .* processing_class=tokenizer"):
        course.default_data_collator(features)
    with pytest.raises(ValueError, match="the label 'yes' is a word"):
        course.default_data_collator([{"input_ids": [1], "label": "yes"}])
    with pytest.raises(TypeError, match="must be a dict .* got a tuple"):
        course.default_data_collator([("a", 1)])


@pytest.mark.parametrize("side", ["right", "left"])
def test_labels_of_tokens_are_padded_as_the_texts_are(tokenizer, side):
    tokenizer.padding_side = side
    features = [dict(tokenizer(text)) for text in TEXTS]
    for feature in features:
        feature["labels"] = [n % 3 for n in feature["input_ids"]]
    batch = course.DataCollatorForTokenClassification(tokenizer)(features)
    assert torch.equal(batch["labels"], torch.where(batch["attention_mask"] == 1, batch["input_ids"] % 3, -100))
    features[0]["labels"] = [1] * 40
    with pytest.raises(ValueError, match="40 labels"):
        course.DataCollatorForTokenClassification(tokenizer)(features)


def test_texts_to_write_have_a_length_of_their_own(tokenizer):
    features = [dict(tokenizer(text)) | {"labels": [5] * n} for text, n in zip(TEXTS, (9, 30, 1), strict=True)]
    batch = course.DataCollatorForSeq2Seq(tokenizer, model=None, pad_to_multiple_of=8)(features)
    assert batch["labels"].shape == (3, 32) and (batch["labels"] == 5).sum() == 40 and (batch["labels"] == -100).sum() == 56


def test_masking_80_10_10(tokenizer):
    collator = course.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.2)
    ids = torch.randint(5, len(tokenizer), (400, 60))
    ids[:, 0], ids[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    before = ids.clone()
    masked, labels = collator.mask(ids)
    assert torch.equal(ids, before)                   # the caller's tensor is left alone
    chosen = labels != -100
    assert torch.equal(labels[chosen], ids[chosen]) and torch.equal(masked[~chosen], ids[~chosen])
    assert not chosen[:, 0].any() and not chosen[:, -1].any()
    share = chosen[:, 1:-1].float().mean().item()
    replaced = (masked[chosen] == tokenizer.mask_token_id).float().mean().item()
    kept = (masked[chosen] == ids[chosen]).float().mean().item()
    assert share == pytest.approx(0.2, abs=0.01) and replaced == pytest.approx(0.8, abs=0.02)
    assert kept == pytest.approx(0.1, abs=0.02)


def test_whole_words_are_masked_together():
    tokenizer = tiny.tokenizer()
    collator = course.DataCollatorForWholeWordMask(tokenizer, mlm_probability=0.5)
    ids = torch.tensor(tokenizer(["the unhappiness voter schooling"] * 50)["input_ids"])
    starts = collator.word_starts(ids)
    assert len(set(starts[0].tolist())) == 6          # four words, [CLS] and [SEP]
    _, labels = collator.mask(ids)
    chosen = labels != -100
    assert torch.equal(chosen, chosen.gather(1, starts)) and 0.3 < chosen.float().mean() < 0.7


def test_whole_words_of_vocabularies_that_mark_beginnings():
    class Pieces:
        mask_token, mask_token_id, all_special_tokens = "<mask>", 9, ["<s>", "</s>"]

        def convert_ids_to_tokens(self, row):
            return ["<s>", "un", "happy", "Ġvo", "ters", "Ġ!", "</s>"]

    collator = course.DataCollatorForLanguageModeling(Pieces(), whole_word_mask=True)
    assert collator.word_starts(torch.zeros(1, 7, dtype=torch.long)).tolist() == [[0, 1, 1, 3, 3, 5, 6]]


def test_labels_of_a_causal_language_model(tokenizer):
    tokenizer.pad_token = "[SEP]"                     # as GPT-2 users do: the end of the text is padding too
    features = [dict(tokenizer(text)) for text in TEXTS]
    batch = course.DataCollatorForLanguageModeling(tokenizer, mlm=False)(features)
    assert torch.equal(batch["labels"], torch.where(batch["attention_mask"] == 1, batch["input_ids"], -100))


def test_settings_of_masking_that_make_no_sense(tokenizer):
    with pytest.raises(ValueError, match="together at most 1"):
        course.DataCollatorForLanguageModeling(tokenizer, mask_replace_prob=0.8, random_replace_prob=0.5)
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match="no mask token.*mlm=False"):
        course.DataCollatorForLanguageModeling(tokenizer)
