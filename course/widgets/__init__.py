"""Things to touch in a lesson, each made by one line and shown as the last line of a cell.

    from course import widgets
    widgets.token_explorer("pocket/sentiment", "pocket/generator", text="Unhappiness costs.")

In a running notebook they answer to keyboard and mouse; without one (GitHub, a PDF, a test) they show what they showed first.
"""

import importlib
from typing import Any

_WHERE = {
    "beam_explorer": "beams",
    "confusion_explorer": "confusion",
    "embedding_map": "embedding",
    "fill_mask_explorer": "next_token",
    "next_token_explorer": "next_token",
    "padding_explorer": "padding",
    "prediction_explorer": "prediction",
    "token_explorer": "tokens",
    "training_dashboard": "training",
}
__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"course.widgets has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"course.widgets.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
