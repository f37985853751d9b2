"""set_seed makes every source of chance repeat itself."""

import random

import numpy as np
import pytest
import torch

import course


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_same_seed_gives_the_same_numbers():
    course.set_seed(7)
    first = draws()
    assert course.set_seed(7) is None
    assert draws() == first
    course.set_seed(8)
    assert not set(draws()) & set(first)


def test_deterministic_operations_only_when_asked():
    course.set_seed(1, deterministic=True)
    asked = torch.are_deterministic_algorithms_enabled()
    course.set_seed(1)
    assert asked and not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", None, True])
def test_what_is_no_seed(seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        course.set_seed(seed)
