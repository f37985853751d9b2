"""start.py: what it understands, when it installs, what it says when it cannot."""

import errno
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

spec = importlib.util.spec_from_file_location("start", Path(__file__).parents[2] / "start.py")
start = importlib.util.module_from_spec(spec)
spec.loader.exec_module(start)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder like the repository's, with a blank in its name; `lab` needs json there, `test` nothing that exists."""
    root = tmp_path / "the course"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]")
    (root / "constraints.txt").write_text("torch==1.0")
    monkeypatch.setattr(start, "ROOT", root)
    monkeypatch.setattr(start, "NEEDED", {"lab": ["json"], "test": ["no_such_module"], "parity": ["json"]})
    return root


def make_venv(venv):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)


@pytest.fixture
def installed(place):
    """An environment in that folder whose installation came to its end."""
    venv = place / ".venv"
    make_venv(venv)
    version, _ = start.inspect(venv, ["lab"])
    start.write_stamp(venv, start.fingerprint(place / "constraints.txt", version), ["lab"])
    return venv


def why(venv, *extras):
    return start.ready(venv, extras or ["lab"], venv.parent / "constraints.txt")


# -- the command line ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("line, command, suites, passed_on", [
    ("", "open", [], []),
    ("doctor", "doctor", [], []),
    ("lab --no-browser -- --port 9999", "lab", [], ["--port", "9999"]),
    ("test", "test", [], []),
    ("test unit parity -- -k tokenizer -- x", "test", ["unit", "parity"], ["-k", "tokenizer", "--", "x"]),
    ("-- --port 1", "open", [], ["--port", "1"]),
])
def test_arguments(line, command, suites, passed_on):
    options = start.parse(line.split())
    assert (options.command, options.suites, options.passed_on) == (command, suites, passed_on)
    assert options.no_browser == ("--no-browser" in line)


@pytest.mark.parametrize("line, said", [
    ("test units", "there is no suite called units; choose from: checks unit"),
    ("lab 9999", "put arguments for JupyterLab behind --"),
    ("serve", "invalid choice"),
])
def test_arguments_not_understood(line, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        start.parse(line.split())
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


# -- when is there something to do? ----------------------------------------------------------------------------------
def test_nothing_to_do_the_second_time(installed):
    assert why(installed) is None


def test_every_reason_to_install(installed, place, monkeypatch):
    assert why(place / ".venv-parity", "parity") == "new"
    assert why(installed, "lab", "test") == "more packages are needed"
    monkeypatch.setattr(start, "NEEDED", {"lab": ["json", "no_such_module"]})
    assert why(installed) == "it lacks no_such_module"
    (place / "pyproject.toml").write_text("[project]\n[tool.ruff]\nline-length = 120")
    assert why(installed) == "it lacks no_such_module"          # a setting of another program is no requirement
    (place / "pyproject.toml").write_text("[project]\ndependencies = ['torch']")
    assert why(installed) == "the requirements have changed"
    (place / "pyproject.toml").write_text("[project]")
    (place / "constraints.txt").write_text("torch==2.0")
    assert why(installed) == "the requirements have changed"
    (installed / "course-stamp.json").write_text('{"fingerprint": ')
    assert why(installed) == "its installation was not finished"


def test_a_moved_folder_is_made_anew(installed, place, monkeypatch):
    monkeypatch.setattr(start, "ROOT", place.rename(place.with_name("elsewhere")))
    reason = why(place.with_name("elsewhere") / ".venv")
    assert reason == "the folder has been moved"
    assert reason.startswith(start.REBUILD)


def test_a_python_that_is_gone_is_made_anew(installed):
    python = start.python_of(installed)
    python.unlink()
    python.write_text("not a program")
    reason = why(installed)
    assert reason == "its Python does not start"
    assert reason.startswith(start.REBUILD)


def test_set_up(place, monkeypatch):
    done = []
    monkeypatch.setattr(start, "make", lambda venv: (make_venv(venv), done.append("made")))
    monkeypatch.setattr(start, "install", lambda venv, extras, constraints: done.append("installed"))
    venv, limits = place / ".venv", place / "constraints.txt"
    start.set_up(venv, ["lab"], limits)
    assert done == ["made", "installed"]
    start.set_up(venv, ["lab"], limits)
    assert done == ["made", "installed"]                                        # nothing to do
    limits.write_text("torch==2.0")
    start.set_up(venv, ["lab"], limits)
    assert done == ["made", "installed", "installed"]                           # packages only
    start.python_of(venv).unlink()
    start.set_up(venv, ["lab"], limits)
    assert done == ["made", "installed", "installed", "made", "installed"]      # all of it
    with pytest.raises(start.Stop, match="no_such_module cannot be found"):     # installed, and yet not there
        start.set_up(venv, ["lab", "test"], limits)
    assert why(venv, "lab", "test") == "more packages are needed"


def test_an_installation_that_failed_is_repeated(place, monkeypatch):
    def fail(*arguments):
        raise start.Stop("no", "try")

    monkeypatch.setattr(start, "make", make_venv)
    monkeypatch.setattr(start, "install", fail)
    with pytest.raises(start.Stop):
        start.set_up(place / ".venv", ["lab"], place / "constraints.txt")
    assert why(place / ".venv") == "its installation was not finished"
    monkeypatch.setattr(start, "ROOT", place.rename(place.with_name("elsewhere")))
    assert why(place.with_name("elsewhere") / ".venv") == "the folder has been moved"


def test_an_environment_that_was_only_half_made_is_made_anew(place, monkeypatch):
    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(start.subprocess, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            start.set_up(place / ".venv", ["lab"], place / "constraints.txt")
    make_venv(place / ".venv")                                  # its Python starts, and there is no pip
    assert why(place / ".venv") == "it was only half made"
    assert why(place / ".venv").startswith(start.REBUILD)


def test_one_at_a_time(place):
    with start.locked(), open(place / ".start.lock", "a") as other:
        assert not start.take(other)
    with open(place / ".start.lock", "a") as other:
        assert start.take(other)


def test_variables_that_lead_astray(monkeypatch):
    for name in ("PYTHONHOME", "PYTHONPATH", "PIP_USER"):
        monkeypatch.setenv(name, "x")
    assert not {"PYTHONHOME", "PYTHONPATH", "PIP_USER"} & set(start.environment())
    assert start.environment()["PATH"] == os.environ["PATH"]


# -- which torch? ----------------------------------------------------------------------------------------------------
def report(*names):
    return {"install": [{"metadata": {"name": name}} for name in names]}


@pytest.mark.parametrize("names, cuda", [
    (["torch", "sympy", "setuptools"], False),
    ([], False),                                                # torch is installed already
    (["torch", "nvidia-cublas-cu12", "triton"], True),
    (["torch", "cuda-bindings"], True),
])
def test_pip_says_whether_cuda_comes_along(names, cuda):
    assert start.brings_cuda(report(*names)) is cuda


@pytest.mark.parametrize("system, gpu, names, asked, cpu_build", [
    ("Linux", False, ["torch", "nvidia-cudnn"], True, True),
    ("Linux", False, ["torch"], True, False),
    ("Linux", True, ["torch", "nvidia-cudnn"], False, False),
    ("Windows", False, ["torch"], False, False),
    ("Darwin", False, ["torch"], False, False),
])
def test_cuda_is_left_out_where_there_is_no_gpu(place, monkeypatch, system, gpu, names, asked, cpu_build):
    calls = []

    def pip(venv, arguments):
        calls.append(" ".join(arguments))
        return "WARNING: a line before\n" + start.json.dumps(report(*names))

    monkeypatch.setattr(start, "pip", pip)
    monkeypatch.setattr(start, "has_nvidia", lambda: gpu)
    monkeypatch.setattr(start.platform, "system", lambda: system)
    start.install(place / ".venv", ["lab", "test"], place / "constraints.txt")
    assert any("--dry-run" in call for call in calls) is asked
    assert any(start.CPU_INDEX in call for call in calls) is cpu_build
    assert f"-e {place}[lab,test] -c {place / 'constraints.txt'}" in calls[-1]
    assert start.CPU_INDEX not in calls[-1]                     # PyTorch's index is for torch only
    assert "announcements" in (place / ".venv/etc/jupyter/labconfig/page_config.json").read_text()
    assert '"lineWrap": true' in (place / ".venv/share/jupyter/lab/settings/overrides.json").read_text()


def test_pytorchs_index_out_of_reach(place, monkeypatch):
    def pip(venv, arguments):
        if start.CPU_INDEX in arguments:
            raise start.Stop("pip could not", "Check the connection.")
        return start.json.dumps(report("torch", "nvidia-cudnn"))

    monkeypatch.setattr(start, "pip", pip)
    monkeypatch.setattr(start, "has_nvidia", lambda: False)
    monkeypatch.setattr(start.platform, "system", lambda: "Linux")
    with pytest.raises(start.Stop) as stopped:
        start.install(place / ".venv", ["lab"], place / "constraints.txt")
    assert stopped.value.cure.startswith("Check the connection.") and "-m pip install torch -c" in stopped.value.cure


# -- what it says when it cannot -------------------------------------------------------------------------------------
@pytest.mark.parametrize("output, said", [
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
    ("Failed to establish a new connection: [Errno 111] Connection refused\nERROR: ResolutionImpossible", "connection"),
    ("Temporary failure in name resolution'\nERROR: No matching distribution found for torch", "connection"),
    ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "PIP_CERT"),
    ("ProxyError('Cannot connect to proxy.')", "HTTPS_PROXY"),
    ("ERROR: No matching distribution found for torch==2.13.0", "does not exist for this Python"),
    ("have no matching distributions available for your environment:\n    torch", "does not exist for this Python"),
    ("PermissionError: [WinError 5] Access is denied", "Close JupyterLab"),
    ("HINT: This error might have occurred since this system does not have Windows Long Path support", "short folder"),
    ("something nobody has seen", "open an issue"),
])
def test_every_failure_of_pip_has_a_cure(output, said):
    assert said in start.cure_for(output)


@pytest.mark.parametrize("changes, said", [
    ({"version_info": (3, 9, 1)}, "This is Python 3.9; the course needs Python 3.11 or newer"),
    ({"maxsize": 2**31 - 1}, "32-bit"),
])
def test_a_python_that_cannot_do_it(monkeypatch, changes, said):
    monkeypatch.setattr(start, "sys", SimpleNamespace(**{"version_info": (3, 12, 0), "maxsize": 2**63, **changes}))
    with pytest.raises(start.Stop, match=said) as stopped:
        start.check_start()
    assert "ython" in stopped.value.cure


def test_a_machine_that_cannot_do_it(monkeypatch):
    monkeypatch.setattr(start.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(start.platform, "machine", lambda: "x86_64")
    with pytest.raises(start.Stop, match="Intel") as stopped:
        start.check_start()
    assert "Colab" in stopped.value.cure


def test_debian_without_ensurepip(monkeypatch):
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else name)
    with pytest.raises(start.Stop, match="ensurepip") as stopped:
        start.check_start()
    assert "apt install python3" in stopped.value.cure


def test_start_alone_in_a_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(start, "ROOT", tmp_path)
    with pytest.raises(start.Stop, match="lies alone") as stopped:
        start.check_start()
    assert "git clone" in stopped.value.cure


def test_a_full_disk(place, monkeypatch):
    monkeypatch.setattr(start.shutil, "disk_usage", lambda path: SimpleNamespace(free=1.2e9))
    with pytest.raises(start.Stop, match="1.2 GB left; the installation needs 3 GB"):
        start.make(place / ".venv")
    assert not (place / ".venv").exists()


@pytest.mark.parametrize("error, said", [
    (start.Stop("it rains", "take an umbrella"), "it rains\nWhat to try: take an umbrella"),
    (PermissionError(errno.EACCES, "Permission denied"), "What to try: Copy the folder to a place of your own"),
])
def test_main_stops_with_a_cure_and_without_a_traceback(monkeypatch, capsys, error, said):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(start, "set_up", fail)
    assert start.main(["doctor"]) == 1
    shown = capsys.readouterr().err
    assert "start.py had to stop" in shown and said in shown and "Traceback" not in shown


# -- the tests -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("line, passed, failed, skipped", [
    ("12 passed in 0.31s", 12, 0, 0),
    ("====== 1 failed, 12 passed, 3 skipped, 2 warnings, 1 error in 64.02s (0:01:04) ======", 12, 2, 3),
    ("2 errors in 0.10s", 0, 2, 0),
    ("no tests ran in 0.01s", 0, 0, 0),
    ("nothing of the sort", 0, 0, 0),
])
def test_counts_are_read_from_the_closing_line(line, passed, failed, skipped):
    counted = start.count(["3 passed in a different way", line])
    assert counted == {"passed": passed, "failed": failed, "skipped": skipped}


def test_a_step_shows_and_counts(capsys):
    good = start.Step("good", [sys.executable, "-c", "print('all is well')"]).run()
    bad = start.Step("bad", [sys.executable, "-c", "raise SystemExit('line 3 is wrong')"]).run()
    assert (good.state, good.counts["passed"]) == ("passed", 1)
    assert (bad.state, bad.counts["failed"]) == ("FAILED", 1)
    shown = capsys.readouterr().out
    assert "all is well" in shown and "line 3 is wrong" in shown


def test_the_run_goes_on_after_a_failure_and_ends_with_the_counts(monkeypatch, capsys):
    ran = []

    def run(step):
        ran.append(step.name)
        step.counts["failed" if step.name == "unit" else "passed"] = 3
        return step

    def no_network(*arguments):
        raise start.Stop("pip could not", "Check the connection.")

    monkeypatch.setattr(start.Step, "run", run)
    monkeypatch.setattr(start, "set_up", no_network)
    assert start.test([], []) == 1
    assert ran == ["ruff", "mypy", "notebooks up to date", "unit", "lessons", "browser"]
    lines = capsys.readouterr().out.splitlines()
    assert any("skipped: transformers could not be installed. Check the connection." in line for line in lines)
    assert lines[-1] == "15 passed, 3 failed, 0 skipped"
    assert start.test(["lessons"], []) == 0


def test_a_test_that_reaches_for_the_network_is_found_out(no_network):
    with socket.socket() as one, pytest.raises(OSError, match="tests have no network"):
        one.connect(("192.0.2.1", 80))
    with pytest.raises(OSError, match="tests have no network"):
        socket.create_connection(("example.org", 80))
    assert no_network == ["('192.0.2.1', 80)", "example.org"]
    no_network.clear()
