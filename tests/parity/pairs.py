"""One parity helper for all models: the same random checkpoint in transformers and in course, batches, comparisons.

A model joins with its configs in CONFIGS; test_parity_models.py follows from them.
"""

from pathlib import Path

import torch

import course
from course.checkpoint import their_names

SHARED = Path(__file__).parents[2].parent / "shared"

# model_type -> configs with odd sizes, several activations and label counts; names as in config.json
CONFIGS = {
    "bert": [
        {"vocab_size": 53, "hidden_size": 20, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 37,
         "max_position_embeddings": 41, "type_vocab_size": 3, "hidden_act": "gelu", "num_labels": 5},
        {"vocab_size": 97, "hidden_size": 21, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 16,
         "max_position_embeddings": 33, "hidden_act": "relu", "num_labels": 2, "hidden_dropout_prob": 0.3,
         "attention_probs_dropout_prob": 0.25, "classifier_dropout": 0.5, "layer_norm_eps": 1e-5, "pad_token_id": 3},
        {"vocab_size": 64, "hidden_size": 13, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 50,
         "max_position_embeddings": 30, "hidden_act": "gelu_new", "num_labels": 3, "attention_probs_dropout_prob": 0.0,
         "chunk_size_feed_forward": 1},
    ],
    "roberta": [
        {"vocab_size": 53, "hidden_size": 20, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 37,
         "max_position_embeddings": 41, "hidden_act": "gelu", "num_labels": 5, "type_vocab_size": 1},
        {"vocab_size": 97, "hidden_size": 21, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 16,
         "max_position_embeddings": 33, "hidden_act": "relu", "num_labels": 2, "hidden_dropout_prob": 0.3,
         "attention_probs_dropout_prob": 0.25, "classifier_dropout": 0.5, "layer_norm_eps": 1e-5, "pad_token_id": 3,
         "type_vocab_size": 2},
    ],
    "distilbert": [
        {"vocab_size": 53, "dim": 20, "n_layers": 3, "n_heads": 4, "hidden_dim": 37, "max_position_embeddings": 41,
         "activation": "gelu", "num_labels": 5},
        {"vocab_size": 97, "dim": 21, "n_layers": 2, "n_heads": 3, "hidden_dim": 16, "max_position_embeddings": 33,
         "activation": "relu", "num_labels": 2, "dropout": 0.3, "attention_dropout": 0.25, "seq_classif_dropout": 0.4,
         "qa_dropout": 0.2, "pad_token_id": 3},
        {"vocab_size": 64, "dim": 14, "n_layers": 1, "n_heads": 1, "hidden_dim": 50, "max_position_embeddings": 30,
         "activation": "silu", "num_labels": 3, "attention_dropout": 0.0, "sinusoidal_pos_embds": True},
    ],
}
TASKS = ("Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")


class Pair:
    """One random checkpoint, loaded by both libraries."""

    def __init__(self, folder, model_type, settings, task, attention="eager", **overrides):
        import transformers

        self.folder, self.task = folder, task
        if task == "ForQuestionAnswering":            # transformers gives this head num_labels rows and needs two
            settings = settings | {"num_labels": 2}
        config = transformers.AutoConfig.for_model(model_type, **settings)
        auto = "AutoModel" + task.removeprefix("Model")
        theirs = getattr(transformers, auto).from_config(config)
        shake(theirs)
        theirs.save_pretrained(folder)
        self.theirs = getattr(transformers, auto).from_pretrained(folder, attn_implementation=attention, **overrides).eval()
        self.ours = getattr(course, auto).from_pretrained(folder, **overrides)

    def both(self, **inputs):
        return self.ours(**inputs), self.theirs(**inputs)

    def gradients(self):
        """(our name, our gradient, their gradient) of every weight."""
        theirs = dict(self.theirs.named_parameters())
        names = their_names(self.ours)
        for name, weight in self.ours.named_parameters():
            # of a weight that transformers stores twice only one entry is a parameter
            found = theirs.get(names[name], theirs.get(names[name].replace("decoder.bias", "bias")))
            yield name, weight.grad, theirs[names[name]].grad if found is None else found.grad


def shake(model):
    """Fresh models have zero biases and tiny matrices, which would hide mistakes: every weight gets a value that counts."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape)
            weight.copy_(1 + 0.2 * noise if "norm" in name.lower() and name.endswith("weight") else 0.3 * noise)


def batch(config, rows=3, length=9, mask="right"):
    """input_ids and attention_mask with a full row, and others padded on one side (mask=None: no padding)."""
    ids = torch.randint(4, config.vocab_size, (rows, length))
    if mask is None:
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    place, lengths = torch.arange(length), torch.tensor([length, length // 2, 1])[:rows, None]
    keep = place < lengths if mask == "right" else place >= length - lengths
    return {"input_ids": ids.where(keep, config.pad_token_id), "attention_mask": keep.long()}


def labels_for(task, config, ids):
    """Labels of the task, some of them -100 or past the end, as loss arguments."""
    rows, length = ids.shape
    if task == "ForSequenceClassification":
        return {"labels": torch.randint(config.num_labels, (rows,))}
    if task == "ForQuestionAnswering":
        return {"start_positions": torch.tensor([0, length - 1, length + 5])[:rows],
                "end_positions": torch.tensor([2, length + 1, 1])[:rows]}
    labels = torch.randint(config.vocab_size if task == "ForMaskedLM" else config.num_labels, ids.shape)
    return {"labels": labels.where(torch.rand(ids.shape) < 0.6, -100)}


def same(ours, theirs, tolerance=1e-5, where=""):
    """Both outputs have the same fields, and these the same numbers."""
    assert list(ours.keys()) == list(theirs.keys()), where
    for name in ours.keys():
        mine, other = ours[name], theirs[name]
        pairs = zip(mine, other, strict=True) if isinstance(mine, tuple) else [(mine, other)]
        for number, (a, b) in enumerate(pairs):
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, msg=lambda m: f"{where} {name}[{number}]: {m}")
