#!/usr/bin/env python3
"""Set up and open the course. Needs Python 3.11 or newer and nothing else.

  python start.py                     set up, check this machine, open JupyterLab on your copies of the lessons
  python start.py doctor              set up and check this machine
  python start.py lab [--no-browser]  set up and open JupyterLab
  python start.py test [suite ...]    set up and run the tests: checks unit lessons browser parity tf (default: all)

What follows `--` goes to the program that is started: python start.py lab -- --port 9999
                                                       python start.py test unit -- -k tokenizer
Everything is installed into the folder .venv beside this file; delete that folder to undo it.
"""
# Read by whatever Python the user has, so that an old one can be told apart: no syntax newer than Python 3.6 here.

import argparse
import collections
import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST, NEWEST = (3, 11), (3, 14)
GIGABYTES = 3        # what an installation needs for a moment, measured with the CPU build of torch
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SUITES = ("checks", "unit", "lessons", "browser", "parity", "tf")
# suites with an environment of their own: what it is called, the extra of pyproject.toml, whose versions, what it brings
OTHERS = {"parity": (".venv-parity", "parity", "constraints-parity.txt", "transformers"),
          "tf": (".venv-tf", "tf-test", "constraints-tf.txt", "TensorFlow")}
# What must be there for an environment to count as whole. Imported by nobody here: looking for it takes 0.1 s.
NEEDED = {"lab": ["pip", "torch", "tokenizers", "course", "jupyterlab", "ipywidgets", "pandas", "matplotlib",
                  "sklearn"],
          "test": ["pytest", "nbval", "ruff", "mypy"],
          "parity": ["pip", "torch", "course", "pytest", "transformers"],
          "tf-test": ["pip", "torch", "course", "pytest", "transformers", "tensorflow", "tf_keras", "h5py"]}


class Stop(Exception):
    """The set-up cannot go on. The message says what happened; `cure` what to try."""

    def __init__(self, what, cure):
        super().__init__(what)
        self.cure = cure


def say(text):
    print(text, flush=True)


# -- what the user asked for -----------------------------------------------------------------------------------------
def parse(argv):
    """The command and its options; what follows the first `--` is kept apart for the program that is started."""
    ours, passed_on = argv, []
    if "--" in argv:
        at = argv.index("--")
        ours, passed_on = argv[:at], argv[at + 1:]
    parser = argparse.ArgumentParser(prog="start.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("command", nargs="?", default="open", choices=["open", "doctor", "lab", "test"],
                        help=argparse.SUPPRESS)
    parser.add_argument("suites", nargs="*", metavar="suite", help=argparse.SUPPRESS)
    parser.add_argument("--no-browser", action="store_true", help="print the address instead of opening a browser")
    options = parser.parse_args(ours)
    unknown = [suite for suite in options.suites if suite not in SUITES]
    if unknown and options.command == "test":
        parser.error("there is no suite called %s; choose from: %s" % (", ".join(unknown), " ".join(SUITES)))
    if options.suites and options.command != "test":
        parser.error("%s takes no further words; put arguments for JupyterLab behind --" % options.command)
    options.passed_on = passed_on
    return options


# -- can this machine do it? -----------------------------------------------------------------------------------------
def check_start():
    """Raise Stop when it can never work, before anything is written."""
    have = "%d.%d" % sys.version_info[:2]
    if sys.version_info < OLDEST:
        names = ["python3.%d" % minor for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
        found = [name for name in names if shutil.which(name) and runs(shutil.which(name))]
        cure = ("This machine also has %s. Try: %s start.py" % (found[0], found[0]) if found else
                "Install Python 3.13 from https://www.python.org/downloads/ and run this file with it.")
        raise Stop("This is Python %s; the course needs Python %d.%d or newer." % (have, *OLDEST), cure)
    if sys.maxsize < 2**32:
        raise Stop("This is a 32-bit Python; torch exists for 64-bit Python only.",
                   "Install the 64-bit Python 3.13 from https://www.python.org/downloads/")
    if (platform.system(), platform.machine()) == ("Darwin", "x86_64"):
        raise Stop("torch is no longer made for Macs with an Intel processor (or this Python runs under Rosetta).",
                   "On an Intel Mac use the Binder or Colab button of the README. "
                   "On an Apple-silicon Mac install the universal Python from https://www.python.org/downloads/")
    if not (ROOT / "pyproject.toml").is_file():
        raise Stop("start.py lies alone in %s; it needs the rest of the course beside it." % ROOT,
                   "Get the whole folder: git clone https://github.com/course-llm/course (or the zip file there).")
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise Stop("This Python cannot make virtual environments: its module %s is missing." % " and ".join(missing),
                   "On Debian and Ubuntu: sudo apt install python%s-venv   Elsewhere: install Python from "
                   "https://www.python.org/downloads/" % have)


def runs(python):
    """True if that file starts a Python (a pyenv shim, for one, may not)."""
    return subprocess.call([str(python), "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def has_nvidia():
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def brings_cuda(report):
    """Whether a pip report (`--report`) lists NVIDIA's packages: pip says itself what it would install."""
    names = [item["metadata"]["name"].lower() for item in report.get("install", [])]
    return any(name.startswith(("nvidia-", "cuda-")) for name in names)


# -- the environments ------------------------------------------------------------------------------------------------
def python_of(venv):
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment():
    """The variables for everything started from here: none of those that lead a Python or a pip out of its .venv."""
    astray = ("PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "__PYVENV_LAUNCHER__")
    kept = {name: value for name, value in os.environ.items() if name not in astray}
    return dict(kept, PYTHONUTF8="1", PIP_DISABLE_PIP_VERSION_CHECK="1")


def fingerprint(constraints, python_version):
    """Changes with all that makes an installed environment stale: what is asked for, which Python, which place."""
    import tomllib  # part of Python since 3.11

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [project.get(name) for name in ("dependencies", "optional-dependencies", "scripts")]
    parts += [constraints.read_text(encoding="utf-8"), python_version, str(ROOT)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def inspect(venv, extras):
    """(Python version, what is missing) of an environment; (None, …) if its Python does not even start."""
    wanted = [name for extra in extras for name in NEEDED[extra]]
    script = ("import importlib.util as u, json, sys; print(json.dumps(['%d.%d' % sys.version_info[:2], "
              "[n for n in sys.argv[1:] if u.find_spec(n) is None]]))")
    try:
        answer = subprocess.run([str(python_of(venv)), "-c", script, *wanted], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, env=environment(), cwd=str(venv), check=True).stdout
        version, missing = json.loads(answer.decode())
        return version, missing
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None, wanted


def read_stamp(venv):
    """What was installed: {"fingerprint": …, "root": …, "extras": […]}; extras is empty until an installation ends,
    and the fingerprint is HALF_MADE until the environment itself is whole."""
    try:
        stamp = json.loads((venv / "course-stamp.json").read_text(encoding="utf-8"))
        return stamp if isinstance(stamp, dict) else {}
    except (OSError, ValueError):
        return {}


def write_stamp(venv, mark, extras):
    half = venv / "course-stamp.json.half"
    half.write_text(json.dumps({"fingerprint": mark, "root": str(ROOT), "extras": sorted(extras)}), encoding="utf-8")
    os.replace(str(half), str(venv / "course-stamp.json"))


def ready(venv, extras, constraints):
    """None when the environment is as it should be; else the reason, in words, why it is not."""
    if not venv.exists():
        return "new"
    version, missing = inspect(venv, extras)
    stamp = read_stamp(venv)
    if version is None:
        return "its Python does not start"
    if stamp.get("fingerprint") == HALF_MADE:
        return "it was only half made"
    if stamp and stamp.get("root") != str(ROOT):
        return "the folder has been moved"
    if tuple(map(int, version.split("."))) < OLDEST:
        return "it was made with Python " + version
    if stamp.get("fingerprint") != fingerprint(constraints, version):
        return "the requirements have changed" if stamp.get("extras") else "its installation was not finished"
    if not set(extras) <= set(stamp.get("extras", [])):
        return "more packages are needed"
    if missing:
        return "it lacks " + ", ".join(missing)
    return None


HALF_MADE = "half made"
REBUILD = ("its Python does not start", "it was only half made", "the folder has been moved", "it was made with")


def set_up(venv, extras, constraints):
    """Bring an environment up to date: nothing to do, some packages, or all of it anew."""
    if ready(venv, extras, constraints) is None:
        return
    with locked():
        reason = ready(venv, extras, constraints)     # somebody else may have done it while we waited
        if reason is None:
            return
        began = time.time()
        if reason.startswith(REBUILD):
            say("%s: %s; making it anew" % (venv.name, reason))
            remove(venv)
        elif reason != "new":
            say("%s: %s; bringing it up to date" % (venv.name, reason))
        if not venv.exists():
            make(venv)
            write_stamp(venv, "", [])                 # says where it was made, should it be moved before it is whole
        install(venv, extras, constraints)
        version, missing = inspect(venv, extras)
        if version is None or missing:
            raise Stop("%s is still not whole: %s cannot be found in it." % (venv.name, ", ".join(missing)),
                       "Delete the folder %s and run this again." % venv)
        write_stamp(venv, fingerprint(constraints, version), set(extras) | set(read_stamp(venv).get("extras", [])))
        say("%s is ready (%.0f s)" % (venv.name, time.time() - began))


@contextlib.contextmanager
def locked():
    """One set-up at a time in this folder. The system gives the lock back when its holder ends, however it ends."""
    try:
        file = open(str(ROOT / ".start.lock"), "a")
    except OSError as error:
        raise cannot_write(error) from None
    with file:
        for attempt in range(1800):
            if take(file):
                break
            if attempt == 0:
                say("Another start.py is setting up in this folder; waiting for it ...")
            time.sleep(1)
        else:
            raise Stop("Another start.py has been setting up in this folder for half an hour.",
                       "End it and run this again.")
        yield


def take(file):
    """False while another process holds the lock; True when it is ours, or when this file system knows no locks."""
    try:
        if os.name == "nt":
            import msvcrt
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def cannot_write(error):
    return Stop("Nothing can be written to %s (%s)." % (ROOT, error.strerror or error),
                "Copy the folder to a place of your own, for example your home folder, and run start.py there.")


def remove(venv):
    try:
        if venv.is_symlink() or not venv.is_dir():
            venv.unlink()
        else:
            shutil.rmtree(str(venv))
    except OSError as error:
        raise Stop("%s could not be removed (%s)." % (venv, error.strerror or error),
                   "Close JupyterLab and every program that uses the course, delete that folder, "
                   "run this again.") from None


def make(venv):
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < GIGABYTES:
        raise Stop("The disk of %s has %.1f GB left; the installation needs %d GB." % (ROOT, free, GIGABYTES),
                   "Free some space, or move the folder to a larger disk, and run this again.")
    say("Making %s with Python %s" % (venv.name, platform.python_version()))
    base = getattr(sys, "_base_executable", None) or sys.executable      # not the Python of an activated .venv
    venv.mkdir()
    write_stamp(venv, HALF_MADE, [])                  # stays, should this be killed before pip is in it
    done = subprocess.run([base, "-m", "venv", str(venv)], env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        if venv.exists():
            remove(venv)
        raise Stop("The virtual environment could not be made:\n" + indented(done.stdout.decode(errors="replace")),
                   "On Debian and Ubuntu: sudo apt install python%d.%d-venv   If this Python comes from conda or a "
                   "shop, try the one from https://www.python.org/downloads/" % sys.version_info[:2])


# -- pip -------------------------------------------------------------------------------------------------------------
def install(venv, extras, constraints):
    limits = ["-c", str(constraints)]
    pip(venv, ["install", "--quiet", "--upgrade", "pip"])    # an older one would download torch only to look at it
    if platform.system() == "Linux" and not has_nvidia():
        report = pip(venv, ["install", "--quiet", "--dry-run", "--report", "-", "torch", *limits])
        if brings_cuda(json.loads(report[report.index("{"):])):
            say("No NVIDIA GPU here: taking torch from PyTorch's index for CPUs (200 MB instead of 3 GB)")
            try:
                pip(venv, ["install", "torch", *limits, "--index-url", CPU_INDEX])
            except Stop as stop:
                larger = '"%s" -m pip install torch -c "%s"' % (python_of(venv), constraints)
                raise Stop(str(stop), "%s\nIf only %s cannot be reached, take the larger build from the general index "
                           "and run this again:\n  %s" % (stop.cure, CPU_INDEX, larger)) from None
    say("Installing the course with %s (some minutes the first time)" % " and ".join(extras))
    pip(venv, ["install", "-e", "%s[%s]" % (ROOT, ",".join(extras)), *limits])
    if "tf-test" in extras:  # it asks for the TensorFlow with code for graphics cards, beside the one that is there and larger
        pip(venv, ["install", "--no-deps", "tf-keras", *limits])
    if "lab" in extras:      # JupyterLab asks every new user whether it may show news; a classroom does not need that
        settings = venv / "etc/jupyter/labconfig/page_config.json"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text('{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}\n')
        settings = venv / "share/jupyter/lab/settings/overrides.json"     # long lines wrap instead of being cut
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text('{"@jupyterlab/notebook-extension:tracker": {"codeCellConfig": {"lineWrap": true}}}\n')


def pip(venv, arguments):
    """Run pip, show its large downloads only, return what it printed; raise Stop with a cure when it fails."""
    process = subprocess.Popen([str(python_of(venv)), "-m", "pip", *arguments, "--no-input", "--progress-bar", "off"],
                               cwd=str(ROOT), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
                               if "--report" in arguments else subprocess.STDOUT)
    if "--report" in arguments:
        output, errors = (stream.decode(errors="replace") for stream in process.communicate())
        lines = errors.splitlines()
    else:
        lines = collections.deque(maxlen=400)
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            lines.append(line)
            if re.search(r"Downloading \S+ \([\d.]+ GB|Downloading \S+ \(\d{2,}(\.\d)? MB", line):
                say("  " + line.strip())
            elif line.startswith("Installing collected packages:"):
                say("  unpacking %d packages" % (line.count(",") + 1))
        output = "\n".join(lines)
    if process.wait():
        raise Stop("pip could not install the packages. Its last words:\n" + indented("\n".join(lines)),
                   cure_for("\n".join(lines)))
    return output


def indented(text, lines=12):
    return "\n".join("    " + line for line in text.strip().splitlines()[-lines:])


CURES = [
    (r"No space left|not enough space", "The disk is full. Free 3 GB and run this again."),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError",
     "The network puts its own certificate between you and the package index, as some universities and companies do. "
     "Try another network, or set PIP_CERT to the certificate file that your IT department gives you."),
    (r"ProxyError|407 Proxy", "The proxy of your network refused. Set HTTPS_PROXY as your IT department says."),
    (r"Failed to establish|NewConnectionError|Name or service|name resolution|getaddrinfo|Max retries|ConnectTimeout|"
     r"ReadTimeout|timed out|Connection (refused|reset|aborted)|Network is unreachable|IncompleteRead",
     "The package index could not be reached. Check the connection and run this again: what is loaded already is kept. "
     "Without a network the course runs only where it was installed before."),
    (r"WinError 5|WinError 32|Access is denied|Permission denied",
     "A file is in use or read-only. Close JupyterLab and every program that uses the course, run this again."),
    (r"Long Path|WinError 206|\[Errno 2\].{200,}",
     "Windows cannot handle so long a path. Move the course to a short folder such as C:\\course and run this again."),
    (r"No matching distribution found|no matching distributions available",
     "One of the packages does not exist for this Python or processor. Use Python 3.13 (64 bit) from "
     "https://www.python.org/downloads/ or the Binder or Colab button of the README."),
]


def cure_for(output):
    for pattern, cure in CURES:
        if re.search(pattern, output, re.IGNORECASE):
            return cure
    return ("Run this again. If it stops at the same place, delete the folder .venv and try once more, then open an "
            "issue with the lines above: https://github.com/course-llm/course/issues")


# -- the programs ----------------------------------------------------------------------------------------------------
def hand_over(command):
    """Become that program, so that Ctrl-C and signals reach it and nothing else."""
    sys.stdout.flush()
    if os.name == "posix":
        os.chdir(str(ROOT))
        os.execve(command[0], command, environment())
    process = subprocess.Popen(command, cwd=str(ROOT), env=environment())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:      # it has had its own; wait until it has tidied up
            pass


class Step:
    """One command of the tests, its output shown as it comes, and what it counted."""

    def __init__(self, name, command):
        self.name, self.command, self.state, self.seconds = name, command, "passed", 0.0
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}

    def skip(self, reason):
        say("\n== %s: skipped: %s" % (self.name, reason))
        self.state = "skipped: " + reason
        return self

    def run(self):
        say("\n== %s" % self.name)
        began, tail = time.time(), collections.deque(maxlen=60)
        process = subprocess.Popen(self.command, cwd=str(ROOT), env=environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            tail.append(line)
            say(line)
        status, self.seconds = process.wait(), time.time() - began
        if "pytest" in self.command:
            self.counts = count(tail)
            if status == 5:
                self.state = "skipped: no test selected"
                return self
            if status and not self.counts["failed"]:
                self.counts["failed"] = 1             # it broke down before it could count
        else:
            self.counts["failed" if status else "passed"] = 1
        self.state = "FAILED" if status else "passed"
        return self


def count(lines):
    """{"passed": 3, "failed": 1, "skipped": 0} from the closing line of pytest; an error counts as a failure."""
    closing = next((line for line in reversed(lines) if re.search(r"\d+ \w+.* in [\d.]+s", line)), "")
    found = {word.rstrip("s"): int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", closing.split(" in ")[0])}
    return {"passed": found.get("passed", 0), "failed": found.get("failed", 0) + found.get("error", 0),
            "skipped": found.get("skipped", 0)}


def test(suites, passed_on):
    """All steps, also after one has failed; a table and the counts at the end; 1 if something failed."""
    venv, python = ROOT / ".venv", str(python_of(ROOT / ".venv"))
    pytest = [python, "-m", "pytest", "-q", "-rs", *passed_on]
    steps = []
    for suite in suites or SUITES:
        folder = "tests/" + suite
        if suite == "checks":
            steps += [Step("ruff", [python, "-m", "ruff", "check", "."]).run(),
                      Step("mypy", [python, "-m", "mypy"]).run(),
                      Step("notebooks up to date", [python, "-m", "course", "build", "--check"]).run()]
        elif suite in OTHERS:
            name, extra, constraints, brings = OTHERS[suite]
            other = venv.with_name(name)
            step = Step(suite, [str(python_of(other)), *pytest[1:], folder])
            try:
                set_up(other, [extra], ROOT / constraints)
                steps.append(step.run())
            except Stop as stop:
                steps.append(step.skip("%s could not be installed. %s" % (brings, stop.cure)))
        else:
            steps.append(Step(suite, [*pytest, folder]).run())
    say("\n%-22s%9s%9s%9s%9s" % ("", "seconds", "passed", "failed", "skipped"))
    for step in steps:
        say("%-22s%9.0f%9d%9d%9d   %s" % (step.name, step.seconds, *step.counts.values(), step.state))
    total = {kind: sum(step.counts[kind] for step in steps) for kind in ("passed", "failed", "skipped")}
    say("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % total)
    return 1 if total["failed"] else 0


def main(argv):
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")     # a Windows console may know no check mark
    options = parse(argv)
    venv = ROOT / ".venv"
    python = str(python_of(venv))
    try:
        check_start()
        set_up(venv, ["lab", "test"] if options.command == "test" else ["lab"], ROOT / "constraints.txt")
        if options.command == "test":
            return test(options.suites, options.passed_on)
        if options.command in ("open", "doctor"):
            status = subprocess.call([python, "-m", "course", "doctor"], cwd=str(ROOT), env=environment())
            if status or options.command == "doctor":
                if status and options.command == "open":
                    say("JupyterLab was not opened. To open it all the same: python start.py lab")
                return status
        browser = ["--no-browser"] if options.no_browser else []
        say("Opening JupyterLab; stop it with Ctrl-C.")
        return hand_over([python, "-m", "course", "lab", *browser, *options.passed_on])
    except (Stop, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC):
            raise
        stop = error if isinstance(error, Stop) else cannot_write(error)
        print("\nstart.py had to stop: %s\nWhat to try: %s" % (stop, stop.cure), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run start.py again to go on.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
