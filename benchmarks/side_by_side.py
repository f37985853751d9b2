"""What both benchmarks share: alternate two programs, print min / median / max of each and the ratio of the medians."""

import platform
import statistics
import sys
from collections.abc import Callable

import torch


def compare(what: str, unit: str, programs: dict[str, Callable[[], float]], runs: int, higher_is_better: bool) -> None:
    """Runs the programs in turn, `runs` times each; every program returns one figure. The first is the yardstick."""
    figures: dict[str, list[float]] = {name: [] for name in programs}
    for run in range(runs):
        for name, program in programs.items():
            figures[name].append(program())
            print(f"  run {run + 1}: {name:<40} {figures[name][-1]:8.2f} {unit}", file=sys.stderr, flush=True)
    yardstick = statistics.median(next(iter(figures.values())))
    print(f"\n{what} ({unit}; {machine()})")
    print(f"{'':<42}{'min':>9}{'median':>9}{'max':>9}{'ratio':>9}")
    for name, values in figures.items():
        median = statistics.median(values)
        ratio = median / yardstick if higher_is_better else yardstick / median
        print(f"{name:<42}{min(values):9.2f}{median:9.2f}{max(values):9.2f}{ratio:9.2f}")


def machine() -> str:
    return f"{platform.machine()}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, " \
           f"Python {platform.python_version()}, torch {torch.__version__}"
