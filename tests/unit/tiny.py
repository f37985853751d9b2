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
    return course.AutoConfig.for_model(kind, **(sizes | SIZES.get(kind, {}) | settings))


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


# -- models that write -----------------------------------------------------------------------------------------------------

GPT = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 40, "eos_token_id": 2, "bos_token_id": 1}
LLAMA = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 20,
         "max_position_embeddings": 40}
WRITERS = {
    "gpt2": GPT, "openai-gpt": {k: v for k, v in GPT.items() if not k.endswith("_id")}, "llama": LLAMA, "qwen2": LLAMA,
    "ctrl": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 40, "dff": 20},
    "bart": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
             "encoder_ffn_dim": 20, "decoder_ffn_dim": 20, "max_position_embeddings": 40, "forced_eos_token_id": None},
    "t5": {"d_model": 16, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    "transfo-xl": {"cutoffs": [10, 30], "d_model": 16, "d_embed": 16, "div_val": 2, "n_head": 4, "d_head": 3, "d_inner": 20,
                   "n_layer": 2, "mem_len": 30},
    "xlnet": {"d_model": 16, "n_layer": 2, "n_head": 4, "d_inner": 20},
    "reformer": {"hidden_size": 16, "num_attention_heads": 4, "attention_head_size": 4, "feed_forward_size": 20, "hash_seed": 0,
                 "attn_layers": ["local", "lsh"], "axial_pos_shape": [4, 10], "axial_pos_embds_dim": [6, 10], "num_buckets": 2,
                 "max_position_embeddings": 40, "lsh_attn_chunk_length": 4, "local_attn_chunk_length": 4, "is_decoder": True},
    "xlm": {"emb_dim": 16, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 40, "mask_token_id": 5},
}


def writer(kind, seed=0, **settings):
    """A random language model whose weights are not near zero, so that what it writes depends on what it reads."""
    torch.manual_seed(seed)
    made = course.AutoModelWithLMHead.from_config(
        course.AutoConfig.for_model(kind, **WRITERS[kind] | {"vocab_size": 50} | settings)).eval()
    with torch.no_grad():
        for name, weight in made.named_parameters():
            noise = torch.randn(weight.shape)
            weight.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else 0.4 * noise)
    return made
