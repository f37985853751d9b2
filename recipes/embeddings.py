"""Sentence embeddings are the encoder's own: the mean over its tokens. Here they are measured; nothing is trained."""
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from course import BertForMaskedLM, BertTokenizerFast
from recipes.common import batches, bootstrap, encode, model_inputs, spearman, table

NAME = "embeddings"


def embed(folder: Path, texts: list[str]) -> np.ndarray:
    """One vector of length 1 for each text (N, 384)."""
    tokenizer = BertTokenizerFast.from_pretrained(str(folder))
    model = BertForMaskedLM.from_pretrained(str(folder)).base_model.float().eval()
    ids, out = encode(tokenizer, texts, 512), np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for pick in batches(np.array([len(row) for row in ids]), 4096, np.random.default_rng(0)):
        inputs = model_inputs([ids[i] for i in pick])
        mask = inputs["attention_mask"][..., None]
        with torch.inference_mode():
            hidden = model(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state  # (B, T, D)
            out[pick] = F.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    return out


def score(data: Path, folder: Path) -> dict:
    rows = table(data / "similarity/stsb_dev.tsv")
    a, b = (embed(folder, [row[part] for row in rows]) for part in ("sentence1", "sentence2"))
    cosine, gold = (a * b).sum(1), np.array([float(row["score_0_to_5"]) for row in rows])
    return {"stsb_dev_spearman": bootstrap(lambda picked: spearman(cosine[picked], gold[picked]), len(rows))}
