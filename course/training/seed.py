"""The seed: the number that all random choices follow from, so that a run can be repeated."""

import random


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Makes python, numpy and torch draw the same random numbers in every run on the same machine.

    deterministic=True also forbids operations that sum in an order of their own (on GPUs): slower, and an operation that has no
    other way raises RuntimeError. Raises ValueError unless seed is a whole number from 0 to 2**32 - 1.
    """
    import numpy as np
    import torch
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to {2**32 - 1}, like 42; got {seed!r}")
    random.seed(int(seed))
    np.random.seed(int(seed))
    torch.manual_seed(int(seed))                      # every GPU too
    torch.use_deterministic_algorithms(deterministic)
