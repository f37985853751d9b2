"""Blocks that several models share unchanged. No model name and no config object lives here.

The letters used in every shape comment of the package:

    B  batch: texts computed together        H  heads of an attention layer
    T  target length: positions we compute   D  width of the hidden states (hidden_size)
    S  source length: positions looked at    d  width of one head, D = H * d
    V  vocabulary size                       L  labels of a classifier
"""

from course.nn.attention import MultiHeadAttention, additive_mask
from course.nn.blocks import ACTIVATIONS, Embedding, FeedForward, PostNormBlock, apply_chunking_to_forward

__all__ = ["ACTIVATIONS", "Embedding", "FeedForward", "MultiHeadAttention", "PostNormBlock", "additive_mask",
           "apply_chunking_to_forward"]
