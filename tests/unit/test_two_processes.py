"""The same script in two processes (gloo, on the processor) gives what one process with twice the batch gives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import two_processes

import course

# accelerate launch --cpu starts one process, however many are asked for; --multi_gpu starts them without a GPU too
LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"],
    "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]}


def start(launcher, folder, size):
    here = {"PYTHONPATH": os.pathsep.join([str(Path(course.__file__).parents[1]), str(Path(two_processes.__file__).parent)]),
            "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *LAUNCHERS[launcher], two_processes.__file__, str(folder), str(size)], capture_output=True,
                          text=True, env=os.environ | here, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(done.stdout.split("\n")[:2]) == ["end of 0", "end of 1"]
    return json.loads((folder / "result.json").read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="torch's gloo for Windows is built without libuv")
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_equal_one_with_twice_the_batch(tmp_path, launcher):
    two_processes.main(str(tmp_path / "one"), 4)
    one, two = json.loads((tmp_path / "one/result.json").read_text()), start(launcher, tmp_path / "two", 2)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert two["weights"] == pytest.approx(one["weights"], abs=1e-5)
    assert len(one["logs"]) == len(two["logs"])
    for a, b in zip(one["logs"], two["logs"], strict=True):
        kept = [k for k in a if not k.endswith(("runtime", "per_second"))]
        assert {k: b[k] for k in kept} == pytest.approx({k: a[k] for k in kept}, abs=1e-5)
    # logged and saved once; each process has its own random numbers
    assert sorted(p.name for p in (tmp_path / "two").glob("checkpoint-*")) == sorted(
        p.name for p in (tmp_path / "one").glob("checkpoint-*"))
    assert {p.name for p in (tmp_path / "two/checkpoint-2").glob("random_*")} == {"random_0.pt", "random_1.pt"}
