"""Capital letters for an encoder that reads lower case: pieces of its vocabulary that are also written otherwise (Paris, NATO,
##Gregor) get lines of their own."""
from collections import Counter
from pathlib import Path

import torch

from course import BertForTokenClassification, BertTokenizerFast
from recipes import common


def cased_pieces(lower: BertTokenizerFast, texts: list[list[str]], most: int) -> dict[str, str]:
    """The commonest pieces with capitals in these words, as the texts write them -> the piece in lower case."""
    found, known = Counter(), Counter(word for words in texts for word in words if word != word.lower())
    for word, times in known.items():
        batch = lower(word, add_special_tokens=False, return_offsets_mapping=True)
        for number, (start, end) in zip(batch["input_ids"], batch["offset_mapping"], strict=True):
            piece = lower.convert_ids_to_tokens(number)
            written = ("##" if piece.startswith("##") else "") + word[start:end]
            if written != piece and written.lower() == piece:
                found[written, piece] += times
    letters = {(mark + letter.upper(), mark + letter) for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz"}
    return dict([*sorted(letters), *(pair for pair, _ in found.most_common(most) if pair not in letters)])


def cased_encoder(labels: list[str], texts: list[list[str]], most: int,
                  folder: Path) -> tuple[BertForTokenClassification, BertTokenizerFast]:
    """pocket/encoder with a new head and lines for pieces with capitals, and the tokenizer that tells them apart."""
    lower = common.tokenizer()
    pieces = cased_pieces(lower, texts, most)
    model = common.new_model(BertForTokenClassification, num_labels=len(labels), id2label=dict(enumerate(labels)),
                             label2id={label: i for i, label in enumerate(labels)})
    old = len(lower)
    model.resize_token_embeddings(old + len(pieces))
    with torch.no_grad():
        model.get_input_embeddings().weight[old:] = model.get_input_embeddings().weight[
            lower.convert_tokens_to_ids(list(pieces.values()))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*lower.convert_ids_to_tokens(range(old)), *pieces]) + "\n", encoding="utf-8")
    return model, BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False, strip_accents=True)
