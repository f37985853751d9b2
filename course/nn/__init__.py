"""Blocks that several models share unchanged. No model name and no config object lives here.

The letters used in every shape comment of the package:

    B  batch: texts computed together        H  heads of an attention layer
    T  target length: positions we compute   D  width of the hidden states (hidden_size)
    S  source length: positions looked at    d  width of one head, D = H * d
    V  vocabulary size                       L  labels of a classifier
"""

from course.nn.attention import MultiHeadAttention
from course.nn.blocks import (
    ACTIVATIONS,
    Embedding,
    FeedForward,
    GatedFeedForward,
    Layer,
    PostNormBlock,
    PreNormBlock,
    apply_chunking_to_forward,
)
from course.nn.cache import KeyValueCache, LayerCache, select_rows
from course.nn.masks import additive_mask, causal_mask, hide, make_mask
from course.nn.norms import RMSNorm
from course.nn.positions import Rotary, distance_buckets, rotary, rotary_frequencies, sinusoids

__all__ = ["ACTIVATIONS", "Embedding", "FeedForward", "GatedFeedForward", "KeyValueCache", "Layer", "LayerCache",
           "MultiHeadAttention", "PostNormBlock", "PreNormBlock", "RMSNorm", "Rotary", "additive_mask",
           "apply_chunking_to_forward", "causal_mask", "distance_buckets", "hide", "make_mask", "rotary",
           "rotary_frequencies", "select_rows", "sinusoids"]
