"""Parity: the same weights in transformers and in course give the same numbers.

Run in an environment with `pip install -e ".[parity]"`; without transformers these tests are skipped.
"""

import pytest
from pairs import Pair


@pytest.fixture
def make(tmp_path):
    """make(model_type, settings, task) -> Pair."""
    count = iter(range(1000))
    return lambda *args, **kwargs: Pair(tmp_path / str(next(count)), *args, **kwargs)
