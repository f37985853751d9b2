"""The baseline of the generator: a 5-gram model with modified Kneser-Ney smoothing over the same tokens.

Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3; interpolated, with three
discounts an order that are estimated from the counts. The lower orders count in how many contexts an n-gram was seen.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from recipes.common import bootstrap

BITS = 12                                               # of a token's number: five of them fit into one 64-bit integer


class Order(NamedTuple):
    """The n-grams of one length, sorted, with what each and what each context contributes."""

    grams: np.ndarray                                   # (G,) the numbers of the tokens, BITS each, the last one lowest
    shares: np.ndarray                                  # (G,) discounted count / count of the context
    contexts: np.ndarray                                # (C,) grams without their last token
    left: np.ndarray                                    # (C,) the probability that is left for the next lower order


class KneserNey:
    """KneserNey(tokens).log_probs(others): natural logarithms, one a token."""

    def __init__(self, tokens: np.ndarray, order: int = 5):
        if order * BITS > 63 or tokens.max() >= 1 << BITS:
            raise ValueError(f"{order} tokens below {1 << BITS} fit into a number, got tokens up to {tokens.max()}")
        self.size = 1 << BITS
        grams, counts = np.unique(self.grams(tokens, order)[order - 1:], return_counts=True)
        self.orders = [self.make(grams, counts)]
        for length in range(order - 1, 0, -1):          # how many different tokens stand before each shorter n-gram?
            grams, counts = np.unique(grams & ((1 << BITS * length) - 1), return_counts=True)
            self.orders.append(self.make(grams, counts))
        self.orders.reverse()

    @staticmethod
    def grams(tokens: np.ndarray, length: int) -> np.ndarray:
        """The n-gram that ends at each token; before the first token stands token 0."""
        key = np.zeros(len(tokens), dtype=np.int64)
        for back in range(length):
            key[back:] |= tokens[:len(tokens) - back].astype(np.int64) << (BITS * back)
        return key

    @staticmethod
    def make(grams: np.ndarray, counts: np.ndarray) -> Order:
        ones, twos, threes, fours = (max(1, int((counts == number).sum())) for number in (1, 2, 3, 4))
        share = ones / (ones + 2 * twos)
        discounts = np.clip([0.0, *(number - (number + 1) * share * more / less for number, (less, more) in
                                    enumerate(pairwise((ones, twos, threes, fours)), 1))], 0.0, None)
        taken = np.minimum(discounts[np.minimum(counts, 3)], counts)
        contexts, starts = np.unique(grams >> BITS, return_index=True)
        totals = np.add.reduceat(counts, starts)
        of_context = np.repeat(totals, np.diff([*starts, len(grams)]))
        return Order(grams, (counts - taken) / of_context, contexts, np.add.reduceat(taken, starts) / totals)

    def log_probs(self, tokens: np.ndarray) -> np.ndarray:
        """(T,) tokens -> (T,) logarithms of the probability of each after the four before it."""
        result = np.full(len(tokens), 1 / self.size)    # below single tokens: all are equally probable
        for length, order in enumerate(self.orders, 1):
            keys = self.grams(tokens, length)
            share = look_up(order.grams, order.shares, keys, 0.0)
            result = share + look_up(order.contexts, order.left, keys >> BITS, 1.0) * result
        return np.log(result)


def look_up(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray, missing: float) -> np.ndarray:
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], missing)


def bits_per_byte(nats: np.ndarray, ids: np.ndarray, sizes: np.ndarray, block: int = 500) -> list[float]:
    """Over all bytes of the texts, and its standard error over blocks of tokens."""
    cut = np.arange(0, len(ids), block)
    bits, size = np.add.reduceat(nats, cut) / math.log(2), np.add.reduceat(sizes[ids], cut)
    return bootstrap(lambda rows: bits[rows].sum() / size[rows].sum(), len(cut))
