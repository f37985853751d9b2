"""Threads follow what a process may use: processors it may run on, limits of containers, cores that share nothing."""

import os
import subprocess
import sys

import pytest
import torch

from course import threads


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 64 processors, two a core, whose limits a test writes down."""
    monkeypatch.setattr(threads, "CONTAINER", tmp_path / "cgroup")
    monkeypatch.setattr(threads, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(threads, "CORES", tmp_path / "cpu")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for number in range(64):
        folder = tmp_path / f"cpu/cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number % 32},{number % 32 + 32}\n")

    def write(groups, **files):
        (tmp_path / "groups").write_text(groups)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("cpu_", "cpu.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return write


@pytest.mark.parametrize("groups, files, cores", [
    ("0::/\n", {"cpu_max": "max 100000\n"}, 32),                                  # no limit: the physical cores
    ("0::/\n", {"cpu_max": "200000 100000\n"}, 2),                                # version 2, inside a container
    ("0::/\n", {"cpu_max": "50000 100000\n"}, 1),                                 # half a processor is one thread
    ("0::/\n", {"cpu_max": "390000 100000\n"}, 3),                                # a thread that is stopped stops all
    ("0::/pods/user\n", {"pods__user__cpu_max": "max 100000", "pods__cpu_max": "400000 100000"}, 4),   # of an outer group
    ("0::/host/name\n", {"cpu_max": "100000 100000\n"}, 1),                       # the host's name, not to be seen inside
    ("4:memory:/m\n1:cpu:/d\n", {"cpu__d__cpu_cfs_quota_us": "300000", "cpu__d__cpu_cfs_period_us": "100000"}, 3),  # version 1
    ("3:cpu,cpuacct:/d\n", {"cpu,cpuacct__cpu_cfs_quota_us": "100000", "cpu,cpuacct__cpu_cfs_period_us": "100000"}, 1),
    ("1:cpu:/\n", {"cpu__cpu_cfs_quota_us": "-1", "cpu__cpu_cfs_period_us": "100000"}, 32),
    ("1:cpuset:/\n", {"cpuset__cpu_cfs_quota_us": "100000", "cpuset__cpu_cfs_period_us": "100000"}, 32),  # not the one for time
    ("0::/\n", {"cpu_max": "rubbish\n"}, 32),
    ("", {}, 32),
])
def test_cores_that_can_be_kept_busy(machine, groups, files, cores):
    machine(groups, **files)
    assert threads.usable() == cores


def test_affinity_and_shared_cores(machine, monkeypatch):
    machine("0::/\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 32, 5}, raising=False)
    assert threads.usable() == 2                    # 0 and 32 are one core


def test_without_linux(monkeypatch, tmp_path):
    for name in ("CONTAINER", "GROUPS", "CORES"):
        monkeypatch.setattr(threads, name, tmp_path / "missing")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads.usable() == 1


@pytest.mark.parametrize("now, variable, then", [(64, None, 2), (32, None, 2), (7, None, 7), (1, None, 1), (64, "64", 64)])
def test_torch_gets_that_many_unless_somebody_chose(machine, monkeypatch, now, variable, then):
    machine("0::/\n", cpu_max="200000 100000\n")
    chosen = [now]
    monkeypatch.setattr(torch, "get_num_threads", lambda: chosen[-1])
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    threads.fit()
    assert chosen[-1] == then


@pytest.mark.parametrize("given, kept", [({}, "PASSIVE 5000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
                                         ({"GOMP_SPINCOUNT": "7"}, "PASSIVE 7")])
def test_threads_sleep_while_they_wait_unless_told(given, kept):
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")} | given
    code = "import course, os; print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout.strip() == kept


def test_a_choice_after_the_import_wins():
    code = "import torch, course; torch.set_num_threads(3); from course import BertModel, pipeline; print(torch.get_num_threads())"
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True).stdout.strip() == "3"
