"""`course doctor`: can this machine run the lessons? One line per check; every failure comes with a cure."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from course import __version__, hub, threads

IN_REPOSITORY = (Path(__file__).parents[1] / "start.py").is_file()
REINSTALL = ("Delete the folder .venv and run `python start.py` again." if IN_REPOSITORY else
             "pip install --force-reinstall --no-deps git+https://github.com/course-llm/course")
GET_AGAIN = ("Put back the files of course/pocket: `git checkout -- course/pocket`, or get the whole course once more."
             if IN_REPOSITORY else REINSTALL)


class Finding(NamedTuple):
    """What a check found. `state` is ok, note or failure; a failure has a cure."""

    state: str
    value: str
    cure: str = ""


def check_python() -> Finding:
    return Finding("ok", f"{platform.python_version()} ({platform.system()} {platform.machine()}) {sys.executable}")


def check_torch() -> Finding:
    cure = REINSTALL if IN_REPOSITORY else 'pip install --force-reinstall "torch>=2.6"'
    try:
        import torch
    except (ImportError, OSError) as error:     # OSError: Windows did not find a library that torch's own are made with
        if sys.platform == "win32":
            cure = ("Install the newest 'Visual C++ Redistributable' (x64) from Microsoft, restart, try again. "
                    "If that does not help: " + cure)
        return Finding("failure", f"cannot be imported: {error}", cure)
    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):
        return Finding("failure", f"{torch.__version__} is too old, the course needs 2.6", cure)
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name(0)
    elif torch.backends.mps.is_available():
        device = "Apple GPU"
    else:
        device = "no GPU, and none is needed"
    from course.checkpoint import resolve_dtype

    short = str(resolve_dtype("auto")).removeprefix("torch.")
    value = (f'{torch.__version__}, {torch.get_num_threads()} threads on {threads.usable()} usable of {os.cpu_count()} '
             f'processors, dtype="auto" is {short}, {device}')
    if not torch.softmax(torch.zeros(2), 0).tolist() == [0.5, 0.5]:
        return Finding("failure", value + "; it cannot do sums", cure)
    return Finding("ok", value)


def check_numpy() -> Finding:
    import numpy
    import torch

    torch.zeros(1).numpy()      # raises where torch was built for another numpy
    return Finding("ok", numpy.__version__)


def check_memory() -> Finding:
    total, free = (number / 2**30 for number in memory())
    value = f"{total:.1f} GB, {free:.1f} GB of them free"
    if total < 1:
        return Finding("failure", value, "A lesson needs up to 1.5 GB. Use a larger machine, or the Colab button.")
    if free < 1.5:
        return Finding("note", value + "; a lesson needs up to 1.5: close browser tabs, other programs, old notebooks")
    return Finding("ok", value)


def memory() -> tuple[int, int]:
    """(total, available) bytes of this machine, or of the container where it has a limit."""
    if sys.platform == "win32":
        import ctypes

        class Status(ctypes.Structure):     # MEMORYSTATUSEX
            _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong),
                        *[(name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")]]

        status = Status(length=ctypes.sizeof(Status))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return status.total, status.free
    if sys.platform == "darwin":
        total = int(subprocess.check_output(["/usr/sbin/sysctl", "-n", "hw.memsize"]))
        pages = subprocess.check_output(["/usr/bin/vm_stat"], text=True)
        size = int(re.search(r"page size of (\d+)", pages)[1])
        return total, size * sum(int(n) for n in re.findall(r"Pages (?:free|inactive|speculative):\s+(\d+)", pages))
    lines = dict(re.findall(r"(\w+):\s+(\d+) kB", Path("/proc/meminfo").read_text()))
    total, free = int(lines["MemTotal"]) * 1024, int(lines["MemAvailable"]) * 1024
    try:
        limit = int((threads.CONTAINER / "memory.max").read_text())
        return min(total, limit), min(free, limit - int((threads.CONTAINER / "memory.current").read_text()))
    except (OSError, ValueError):           # none, or "max"
        return total, free


def check_cache() -> Finding:
    folder = hub.cache_folder()
    # os.path, since Path.exists() raises where one may not look; none: the drive of a Windows path may be gone
    there = next((parent for parent in [folder, *folder.parents] if os.path.exists(parent)), None)
    if there is None or not there.is_dir() or not os.access(there, os.W_OK):
        return Finding("note", f"{folder} cannot be written: set HF_HOME to a folder of your own to download models")
    free = shutil.disk_usage(there).free / 1e9
    value = f"{free:.1f} GB free in {folder}"
    if free < 1:
        return Finding("note", value + ": a research model needs 0.3 to 2 GB; set HF_HOME to a folder on a larger disk")
    return Finding("ok", value)


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def not_installed(what: str) -> Finding:
    """Notebooks are needed where the lessons are; somebody who installed the library alone may do without."""
    if IN_REPOSITORY:
        return Finding("failure", f"{what} is not installed", "Run `python start.py`: it installs it.")
    return Finding("note", f"{what} is not installed; for notebooks: pip install jupyterlab ipywidgets")


def check_jupyter() -> Finding:
    lab = version("jupyterlab")
    if lab is None or importlib.util.find_spec("ipykernel") is None:
        return not_installed("JupyterLab" if lab is None else "ipykernel")
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding("failure", f"JupyterLab {lab} without a Python kernel",
                       f"{sys.executable} -m ipykernel install --sys-prefix")
    python = Path(spec.argv[0])             # a bare "python" means the one that runs JupyterLab
    if python.is_absolute() and python.parent != Path(sys.executable).parent:
        return Finding("failure", f"JupyterLab {lab}, but notebooks would run with {python}, not with {sys.executable}",
                       f"Remove that kernel: jupyter kernelspec remove python3   (it lies in {spec.resource_dir})")
    return Finding("ok", f"JupyterLab {lab}, notebooks run with this Python")


def check_widgets() -> Finding:
    have = version("ipywidgets")
    if have is None:
        return not_installed("ipywidgets")
    if tuple(map(int, have.split(".")[:2])) < (7, 7):
        return Finding("failure", have, 'pip install "ipywidgets>=7.7"')
    if version("jupyterlab"):
        from jupyter_core.paths import jupyter_path

        extension = "@jupyter-widgets/jupyterlab-manager/package.json"
        if not any(Path(folder, extension).is_file() for folder in jupyter_path("labextensions")):
            return Finding("failure", f"ipywidgets {have}, but JupyterLab lacks the part that draws them",
                           f"{sys.executable} -m pip install --force-reinstall --no-deps jupyterlab_widgets")
    return Finding("ok", f"ipywidgets {have}")


def check_pocket() -> Finding:
    from course import AutoModel, AutoTokenizer
    from course.pipelines import TASKS

    there, broken, size = hub.pocket_names(), [], 0
    for name in sorted({*there, *(pocket for *_, pocket, _ in TASKS.values())}):
        try:
            if name not in there:
                raise FileNotFoundError("is missing")
            AutoModel.from_pretrained(name)
            AutoTokenizer.from_pretrained(name)
            size += sum(file.stat().st_size for file in (hub.POCKET / name.removeprefix("pocket/")).iterdir())
        except ImportError:             # not the model's fault: main() says what to do
            raise
        except Exception as error:
            broken.append(f"{name}: {error}")
    if broken:
        return Finding("failure", "; ".join(broken), GET_AGAIN)
    return Finding("ok", f"{', '.join(name.removeprefix('pocket/') for name in there)} ({size / 1e6:.0f} MB)")


def check_hub(seconds: float = 2.0) -> Finding:
    """Whether models can be downloaded: a note at worst, since the lessons need no network."""
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    if hub.offline():
        return Finding("note", "not asked: HF_HUB_OFFLINE is set, so models come from the cache or the package only")
    answer = []

    def ask() -> None:
        try:
            request = urllib.request.Request(address, method="HEAD", headers={"User-Agent": "course-doctor"})
            urllib.request.urlopen(request, timeout=seconds)
            answer.append("")
        except urllib.error.HTTPError:          # it answered, if only to say that it knows no such page
            answer.append("")
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", error)))

    # A thread, since the time-out of a request does not cover the look-up of the name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if answer == [""]:
        return Finding("ok", f"{address} answers")
    why = answer[0] if answer else f"no answer in {seconds:g} s"
    return Finding("note", f"{address} cannot be reached ({why}); the lessons do not need it, other models do")


CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": check_python,
    "torch": check_torch,
    "numpy": check_numpy,
    "memory": check_memory,
    "model cache": check_cache,
    "Jupyter": check_jupyter,
    "widgets": check_widgets,
    "pocket models": check_pocket,
    "the Hub": check_hub,
}
MARKS = {"ok": "✓", "note": "note", "failure": "✗"}


def main() -> int:
    """Print the table; 1 if something failed, 0 otherwise (notes are no failures)."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")      # an old Windows code page has no check mark
    print(f"course {__version__} in {Path(__file__).parent}")
    failures = 0
    for name, check in CHECKS.items():
        try:
            found = check()
        except Exception as error:      # a check that breaks down has found something
            found = Finding("failure", f"{type(error).__name__}: {error}", REINSTALL)
        failures += found.state == "failure"
        print(f"{MARKS[found.state]:>4}  {name:<14}{found.value}")
        if found.cure:
            print(f"{'':20}→ {found.cure}", flush=True)
    print("This machine is ready." if not failures else f"{failures} of {len(CHECKS)} checks failed; see the arrows.")
    return 1 if failures else 0
