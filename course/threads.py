"""How many threads torch computes with, and what they do while they wait for each other.

torch starts a thread for each core of a machine, also where Binder, JupyterHub or a container give this process one or two
of many. Threads that are more than the cores wait for each other, and by default they wait by spinning: they burn the time
of those that could work. So threads soon sleep while they wait, and there are as many as there are cores for this process.
An explicit OMP_NUM_THREADS, MKL_NUM_THREADS, OMP_WAIT_POLICY or torch.set_num_threads(…) wins.
"""

import os
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup")                  # where Linux keeps the limits of Binder, Codespaces and Docker
GROUPS = Path("/proc/self/cgroup")                  # which of them hold for this process
CORES = Path("/sys/devices/system/cpu")


def sleep_while_waiting() -> None:
    """The libraries for threads (OpenMP) read these variables when torch is loaded, so they come before that. GNU's first turns
    a loop 5,000 times: alone on a machine that is as fast as its own 300,000, beside others several times as fast."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")


def allowed() -> set[int]:
    """The numbers of the processors that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def physical(processors: set[int]) -> int:
    """How many cores these processors are: two that share a core (hyper-threading) compute hardly more than one."""
    try:
        return len({(CORES / f"cpu{number}/topology/thread_siblings_list").read_text() for number in processors})
    except OSError:                                 # another system, or hidden: torch's own count is used then
        return len(processors)


def quota() -> float:
    """How many processors' time the control groups (v1 or v2) of this process allow; infinite where nothing limits it.
    https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files"""
    try:
        groups = [line.split(":", 2) for line in GROUPS.read_text().splitlines()]
    except OSError:
        return float("inf")
    limits = [float("inf")]
    for _, kinds, name in groups:
        if kinds and "cpu" not in kinds.split(","):
            continue
        root = CONTAINER / kinds if kinds and (CONTAINER / kinds).is_dir() else CONTAINER / "cpu" if kinds else CONTAINER
        inner = root / name.strip("/")
        for folder in (inner, *inner.parents):      # a limit of an outer group holds for those inside; inside a container
            try:                                    # the name may be one of the host's, and only the root is there
                if kinds:
                    most, period = ((folder / f"cpu.cfs_{what}_us").read_text() for what in ("quota", "period"))
                else:
                    most, period = (folder / "cpu.max").read_text().split()
                if float(period) > 0 and most != "max" and float(most) > 0:
                    limits.append(float(most) / float(period))
            except (OSError, ValueError):
                pass
            if folder == root:
                break
    return min(limits)


def usable() -> int:
    """The cores that this process can really keep busy: at least one."""
    return max(1, int(min(physical(allowed()), quota())))


def fit() -> None:
    """Fewer threads for torch where it started more than there are cores for this process."""
    import torch
    if os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS"):
        return
    everything = set(range(os.cpu_count() or 1))
    untouched = {len(s) for s in (everything, allowed())} | {physical(s) for s in (everything, allowed())}
    if torch.get_num_threads() in untouched and torch.get_num_threads() > usable():   # another number was somebody's choice
        torch.set_num_threads(usable())
