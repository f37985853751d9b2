"""Collators: from a list of examples of different length to one rectangular batch of tensors.

An example is what a tokenizer returns for one text, with its label: {"input_ids": […], "attention_mask": […], "label": 1}.
The label may be called label, labels or label_ids; in the batch it is labels, the name that models take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course.tokenizers.encoding import BatchEncoding, to_tensor

LABELS = ("label", "labels", "label_ids")


def default_data_collator(features: Sequence[Mapping], return_tensors: str = "pt") -> dict[str, Any]:
    """Stacks examples that have the same length already. Texts and None are left out."""
    batch = {}
    for key, first in as_mapping(features[0]).items():
        if isinstance(first, str) and key in LABELS:
            raise ValueError(f"the label {first!r} is a word, and a model counts in class numbers: replace it by "
                             "model.config.label2id[label], or list(names).index(label)")
        if first is None or isinstance(first, str):
            continue
        values = [as_mapping(feature)[key] for feature in features]
        lengths = sorted({len(v) for v in values if hasattr(v, "__len__") and getattr(v, "ndim", 1) != 0})
        if len(lengths) > 1:
            raise ValueError(f"{key!r} has between {lengths[0]} and {lengths[-1]} elements in one batch, and a tensor needs "
                             "one length: give the Trainer the tokenizer, Trainer(…, processing_class=tokenizer), which pads, "
                             "or a collator, DataCollatorWithPadding(tokenizer)")
        batch["labels" if key in LABELS else key] = stack(key, values, return_tensors)
    return batch


def as_mapping(feature: Any) -> Mapping:
    if isinstance(feature, Mapping):
        return feature
    if hasattr(feature, "__dict__"):
        return vars(feature)
    raise TypeError(f"an example must be a dict like {{'input_ids': […], 'label': 1}}, got a {type(feature).__name__}: "
                    "make dicts of them, or give the Trainer a data_collator=… of your own, which gets the list of examples")


def stack(key: str, values: list, kind: str | None) -> Any:
    """A column of numbers, lists, arrays or tensors of one shape -> one tensor."""
    if kind == "pt" and isinstance(values[0], Tensor):
        return torch.stack(values)
    column = to_tensor(key, [v.tolist() if hasattr(v, "tolist") else v for v in values], kind)
    return column.float() if kind == "pt" and column.dtype is torch.float64 else column


@dataclass
class DataCollatorWithPadding:
    """Pads each batch to its own longest text, by tokenizer.pad: the shorter the batch, the less is computed.

    padding: True (to the longest), "max_length" or False; pad_to_multiple_of: graphics cards like multiples of 8.
    """

    tokenizer: Any
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "pt"

    def __call__(self, features: Sequence[Mapping]) -> BatchEncoding:
        batch, labels = self.split(features)
        if labels is not None:
            batch["labels"] = default_data_collator([{"labels": label} for label in labels], self.return_tensors)["labels"]
        return batch

    def split(self, features: Sequence[Mapping]) -> tuple[BatchEncoding, list | None]:
        """The padded batch without labels, and the labels as they came."""
        features = [as_mapping(feature) for feature in features]
        name = next((n for n in LABELS if n in features[0]), None)
        inputs = [{k: v for k, v in f.items() if k != name and not isinstance(v, str) and v is not None} for f in features]
        batch = self.tokenizer.pad(inputs, self.padding, self.max_length, self.pad_to_multiple_of,
                                   return_tensors=self.return_tensors)
        labels = [f[name] for f in features] if name else [None]
        return batch, None if labels[0] is None else labels


@dataclass
class DataCollatorForTokenClassification(DataCollatorWithPadding):
    """One label for each token: labels are padded as the texts are, with a number that the loss skips."""

    label_pad_token_id: int = -100

    def __call__(self, features: Sequence[Mapping]) -> BatchEncoding:
        batch, labels = self.split(features)
        if labels is not None:
            batch["labels"] = self.pad_labels(labels, batch["input_ids"].shape[1])
        return batch

    def pad_labels(self, labels: list, width: int) -> Any:
        rows, left = [], self.tokenizer.padding_side == "left"
        for row in labels:
            row = row.tolist() if hasattr(row, "tolist") else list(row)
            if len(row) > width:
                raise ValueError(f"a text of {width} tokens or fewer has {len(row)} labels: cut both alike, and give each "
                                 "token of the tokenizer, [CLS] and [SEP] too, one label (-100 where there is none)")
            pad = [self.label_pad_token_id] * (width - len(row))
            rows.append(pad + row if left else row + pad)
        return to_tensor("labels", rows, self.return_tensors)


@dataclass
class DataCollatorForSeq2Seq(DataCollatorForTokenClassification):
    """Texts and the texts to write: labels have a length of their own and are padded with a number that the loss skips.

    model: not needed here; our models shift the labels to the right themselves.
    """

    model: Any = None

    def __init__(self, tokenizer: Any, model: Any = None, padding: bool | str = True, max_length: int | None = None,
                 pad_to_multiple_of: int | None = None, label_pad_token_id: int = -100, return_tensors: str = "pt"):
        super().__init__(tokenizer, padding, max_length, pad_to_multiple_of, return_tensors, label_pad_token_id)
        self.model = model

    def __call__(self, features: Sequence[Mapping]) -> BatchEncoding:
        batch, labels = self.split(features)
        if labels is not None:
            width = max(map(len, labels))
            if self.padding == "max_length" and self.max_length:
                width = max(width, self.max_length)
            step = self.pad_to_multiple_of or 1
            batch["labels"] = self.pad_labels(labels, -(-width // step) * step)
        return batch


@dataclass
class DataCollatorForLanguageModeling(DataCollatorWithPadding):
    """Labels for a language model from the text itself.

    mlm=True (BERT): of the 15 % of tokens that are to be guessed, 80 % become [MASK], 10 % another word, 10 % stay as they
    are (Devlin et al. 2019, section 3.1); all others have the label -100. whole_word_mask: all pieces of a word or none.
    mlm=False (GPT): every token is to be guessed from those before it; the model shifts them itself.
    """

    mlm: bool = True
    mlm_probability: float = 0.15
    whole_word_mask: bool = False
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1

    def __init__(self, tokenizer: Any, mlm: bool = True, mlm_probability: float = 0.15, pad_to_multiple_of: int | None = None,
                 whole_word_mask: bool = False, mask_replace_prob: float = 0.8, random_replace_prob: float = 0.1):
        super().__init__(tokenizer, pad_to_multiple_of=pad_to_multiple_of)
        self.mlm, self.mlm_probability, self.whole_word_mask = mlm, mlm_probability, whole_word_mask
        self.mask_replace_prob, self.random_replace_prob = mask_replace_prob, random_replace_prob
        if mlm and tokenizer.mask_token is None:
            raise ValueError(f"{type(tokenizer).__name__} has no mask token: a model that reads from left to right is trained "
                             "with mlm=False")
        if mlm and not (0 < mlm_probability <= 1 and 0 <= mask_replace_prob and 0 <= random_replace_prob
                        and mask_replace_prob + random_replace_prob <= 1):
            raise ValueError("mlm_probability must be above 0 and at most 1, mask_replace_prob and random_replace_prob at "
                             f"least 0 and together at most 1; got {mlm_probability}, {mask_replace_prob}, "
                             f"{random_replace_prob}")

    def __call__(self, features: Sequence[Any]) -> BatchEncoding:
        features = [f if isinstance(f, Mapping) else {"input_ids": f} for f in features]
        batch, _ = self.split(features)
        special = batch.pop("special_tokens_mask", None)
        ids = batch["input_ids"]
        if self.mlm:
            batch["input_ids"], batch["labels"] = self.mask(ids, special)
        else:                                         # padding does not count; a </s> that serves as padding elsewhere does
            real = batch.get("attention_mask")
            batch["labels"] = ids.masked_fill((ids == self.tokenizer.pad_token_id) if real is None else (real == 0), -100)
        return batch

    def mask(self, ids: Tensor, special: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """ids (B, T) -> (ids with masks, labels), both (B, T). special (B, T): 1 where nothing is ever masked."""
        if special is None:
            special = torch.tensor([self.tokenizer.get_special_tokens_mask(row, already_has_special_tokens=True)
                                    for row in ids.tolist()])
        chosen = torch.bernoulli(torch.full(ids.shape, self.mlm_probability).masked_fill(special.bool(), 0.0)).bool()
        if self.whole_word_mask:                      # what was drawn for the first piece of a word holds for all of it
            chosen = chosen.gather(1, self.word_starts(ids)) & ~special.bool()
        labels = ids.masked_fill(~chosen, -100)
        masked = chosen & torch.bernoulli(torch.full(ids.shape, self.mask_replace_prob)).bool()
        rest = 1 - self.mask_replace_prob
        if rest > 0 and self.random_replace_prob > 0:
            other = torch.bernoulli(torch.full(ids.shape, self.random_replace_prob / rest).clamp(max=1.0)).bool()
            words = torch.randint(len(self.tokenizer), ids.shape)
            ids = torch.where(chosen & ~masked & other, words, ids)
        return ids.masked_fill(masked, self.tokenizer.mask_token_id), labels

    def word_starts(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> (B, T): the place of the first piece of the word that each piece belongs to."""
        special = set(self.tokenizer.all_special_tokens)
        starts = []
        for row in ids.tolist():
            tokens = self.tokenizer.convert_ids_to_tokens(row)
            places: list[int] = []
            marked = [t for t in tokens if t.startswith(("Ġ", "▁"))]      # these vocabularies mark beginnings, BERT's the rest
            for place, token in enumerate(tokens):
                alone = place == 0 or token in special or tokens[place - 1] in special
                goes_on = token.startswith("##") if not marked else not token.startswith(("Ġ", "▁"))
                places.append(place if alone or not goes_on else places[-1])
            starts.append(places)
        return torch.tensor(starts)


class DataCollatorForWholeWordMask(DataCollatorForLanguageModeling):
    """DataCollatorForLanguageModeling(…, whole_word_mask=True), by its older name."""

    def __init__(self, tokenizer: Any, mlm: bool = True, mlm_probability: float = 0.15, pad_to_multiple_of: int | None = None):
        super().__init__(tokenizer, mlm, mlm_probability, pad_to_multiple_of, whole_word_mask=True)
