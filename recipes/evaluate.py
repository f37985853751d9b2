"""Every score of every pocket model, computed anew: python -m recipes.evaluate --data ../shared/data [--models ner qa]

Prints them beside what the model cards say, and fails when a card is not what its scores.json gives or when a score there
cannot be found again.
"""
import argparse
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recipes import common

MODELS = [path.name for path in sorted(common.POCKET.iterdir()) if (path / "config.json").exists()]
TOLERANCE = 0.004  # another processor and another number of threads round differently


def figures(scores: Any, name: str = "") -> Iterator[tuple[str, float, float | None]]:
    """Every figure in scores.json: its name, its value, its standard error or None."""
    if isinstance(scores, dict):
        for key, part in scores.items():
            yield from figures(part, f"{name}.{key}" if name else key)
    elif isinstance(scores, list) and len(scores) == 2 and all(isinstance(x, float) for x in scores):
        yield name, scores[0], scores[1]
    elif isinstance(scores, int | float) and not isinstance(scores, bool):
        yield name, scores, None


def differences(name: str, folder: Path, measured: dict) -> list[str]:
    """What the card of a model says otherwise than the scores that were just computed."""
    told = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    recipe = importlib.import_module(f"recipes.{name}")
    text = recipe.card(folder) if "card" in vars(recipe) and recipe.card is not common.card else common.card(name, folder)
    wrong = []
    if text != (folder / "README.md").read_text(encoding="utf-8"):
        wrong.append(f"{name}: README.md is not what recipes/cards/{name}.md and scores.json give: its recipe has --evaluate")
    known = {key: value for key, value, _ in figures(told)}
    for key, value, _ in figures(measured):
        least = 1 if isinstance(value, int) else 0
        if key not in known:
            wrong.append(f"{name}: {key} is {value:.4g}, and the card does not say so")
        elif abs(known[key] - value) > max(TOLERANCE * max(1.0, abs(known[key])), least):
            wrong.append(f"{name}: {key} is {value:.4g}, the card says {known[key]:.4g}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the course's data folder (see recipes/README.md)")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    args = parser.parse_args()
    wrong = []
    for name in args.models:
        measured = importlib.import_module(f"recipes.{name}").score(args.data, common.POCKET / name)
        for key, value, error in figures(measured):
            print(f"{name:11} {key:45} {value:10.4f}" + (f" ± {error:.4f}" if error is not None else ""), flush=True)
        wrong += differences(name, common.POCKET / name, measured)
    print("\n".join(wrong) or "every card says what was measured")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
