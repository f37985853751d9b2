"""Tiny models and vocabularies that the unit tests are made of."""

from pathlib import Path

import torch

import course

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["the", "good", "bad", "not", "council", "vote", "school", "new", "people", "##ing", "##er", "is", "was", "un", "happy",
         "##happi", "##ness", ".", ",", "!", "?", "'", "-", "中", "é", "1", "2", "##0"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS]
VOCAB = {piece: number for number, piece in enumerate(PIECES)}
SIZES = {
    "bert": {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40},
    "distilbert": {"dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 40},
}


def config(kind="bert", **settings):
    sizes = {"vocab_size": len(VOCAB), "max_position_embeddings": 64}
    return course.AutoConfig.for_model(kind, **(sizes | SIZES[kind] | settings))


def model(task="ForSequenceClassification", kind="bert", **settings):
    """A random model in eval mode, with weights large enough that its answers differ from text to text."""
    made = getattr(course, f"AutoModel{task}").from_config(config(kind, **settings)).eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            weight.copy_(1 + 0.2 * torch.randn(weight.shape) if "norm.weight" in name else 0.3 * torch.randn(weight.shape))
    return made


def tokenizer(fast=True, **settings):
    return (course.BertTokenizerFast if fast else course.BertTokenizer)(vocab=dict(VOCAB), **settings)


def save(folder, task="ForSequenceClassification", kind="bert", **settings):
    """A checkpoint folder with model and tokenizer; returns the model."""
    made = model(task, kind, **settings)
    made.save_pretrained(folder)
    tokenizer(model_max_length=made.config.max_position_embeddings).save_pretrained(folder)
    return made


def write_vocab(folder):
    path = Path(folder) / "vocab.txt"
    path.write_text("".join(f"{piece}\n" for piece in VOCAB), encoding="utf-8")
    return path


def same_weights(one, other):
    """Both models have the same weights under the same names."""
    first, second = one.state_dict(), other.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)
