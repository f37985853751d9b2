"""`course doctor` finds what is wrong, says how to mend it, and fails only where the lessons would."""

import http.server
import importlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny

from course import cli, doctor, hub, pipelines, threads


@pytest.fixture
def pocket(tmp_path, monkeypatch):
    """A package with one small pocket model."""
    tiny.save(tmp_path / "pocket/tiny")
    monkeypatch.setattr(hub, "POCKET", tmp_path / "pocket")
    monkeypatch.setattr(pipelines, "TASKS", {"any": ("file", "class", "auto", "pocket/tiny", "classic")})
    return tmp_path / "pocket/tiny"


@pytest.fixture
def online(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")


def test_this_machine_passes():
    """Everything but the pocket models is what start.py has just installed."""
    for name in ("Python", "torch", "numpy", "memory", "model cache", "Jupyter", "widgets"):
        found = doctor.CHECKS[name]()
        assert found.state in ("ok", "note"), f"{name}: {found}"
        assert found.value


def test_memory_is_plausible():
    total, free = doctor.memory()
    assert 2**28 < free <= total < 2**45


@pytest.mark.skipif(sys.platform != "linux", reason="containers with a limit of their own are Linux's")
def test_memory_of_a_container(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text(f"{2**28}\n")
    (tmp_path / "memory.current").write_text(f"{2**27}\n")
    monkeypatch.setattr(threads, "CONTAINER", tmp_path)
    assert doctor.memory() == (2**28, 2**27)
    assert doctor.check_memory().state == "failure"
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor.memory()[0] > 2**28


def test_pocket_models(pocket):
    assert doctor.check_pocket().state == "ok"
    assert "tiny" in doctor.check_pocket().value


@pytest.mark.parametrize("damage, said", [
    (lambda folder: os.truncate(folder / "model.safetensors", 1000), "damaged or cut off"),
    (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    (lambda folder: (folder / "config.json").write_text('{"model_type": '), "damaged or not JSON"),
    (lambda folder: [file.unlink() for file in folder.glob("*") if file.name in ("vocab.txt", "tokenizer.json")], "no vocab.txt"),
    (lambda folder: shutil.rmtree(folder), "pocket/tiny: is missing"),
])
def test_damaged_pocket_models(pocket, damage, said):
    damage(pocket)
    found = doctor.check_pocket()
    assert found.state == "failure" and said in found.value and found.cure


def test_a_missing_package_is_not_blamed_on_the_models(pocket, monkeypatch):
    monkeypatch.setattr("course.AutoModel.from_pretrained", lambda name: importlib.import_module("no_such_package"))
    with pytest.raises(ModuleNotFoundError):
        doctor.check_pocket()


@pytest.mark.parametrize("place", ["a file", "a file/below it"])
def test_a_cache_that_cannot_be_is_a_note_with_a_cure(tmp_path, monkeypatch, place):
    (tmp_path / "a file").write_text("")
    monkeypatch.setattr(hub, "cache_folder", lambda: tmp_path / place)
    found = doctor.check_cache()
    assert found.state == "note" and "cannot be written" in found.value and "HF_HOME" in found.value


def test_a_cache_on_a_drive_that_is_gone(monkeypatch):
    monkeypatch.setattr(doctor.os.path, "exists", lambda path: False)
    assert "HF_HOME" in doctor.check_cache().value


def test_little_disk_is_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "cache_folder", lambda: tmp_path / "hub")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=4e8))
    found = doctor.check_cache()
    assert found.state == "note" and found.value.startswith("0.4 GB free") and "larger disk" in found.value


def test_hub_that_is_not_there_is_a_note(online, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        found = doctor.check_hub()
    assert found.state == "note" and "refused" in found.value


def test_hub_that_never_answers_is_a_note(online, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        found = doctor.check_hub(seconds=0.2)
    assert found.state == "note"


def test_hub_that_answers_is_ok_whatever_it_says(online, monkeypatch):
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        assert doctor.check_hub().state == "ok"
        server.shutdown()


def test_hub_is_left_alone_when_offline(monkeypatch):
    monkeypatch.setattr(doctor.urllib.request, "urlopen", lambda *arguments, **options: pytest.fail("it asked"))
    found = doctor.check_hub()
    assert found.state == "note" and "HF_HUB_OFFLINE" in found.value


def test_notebooks_that_would_run_with_another_python(monkeypatch, tmp_path):
    from jupyter_client.kernelspec import KernelSpecManager

    spec = SimpleNamespace(argv=[str(tmp_path / "bin/python"), "-m", "ipykernel"], resource_dir=str(tmp_path))
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: spec)
    found = doctor.check_jupyter()
    assert found.state == "failure" and "kernelspec remove" in found.cure
    spec.argv[0] = "python"
    assert doctor.check_jupyter().state == "ok"


@pytest.mark.parametrize("in_repository, state", [(True, "failure"), (False, "note")])
def test_without_jupyter_only_the_lessons_are_lost(monkeypatch, in_repository, state):
    monkeypatch.setattr(doctor, "IN_REPOSITORY", in_repository)
    monkeypatch.setattr(doctor, "version", lambda package: None)
    assert doctor.check_jupyter().state == doctor.check_widgets().state == state


def test_widgets_too_old(monkeypatch):
    monkeypatch.setattr(doctor, "version", {"ipywidgets": "7.6.5"}.get)
    found = doctor.check_widgets()
    assert found.state == "failure" and "7.7" in found.cure


def test_torch_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = doctor.check_torch()
    assert found.state == "failure" and found.cure
    monkeypatch.setattr(doctor.sys, "platform", "win32")
    assert "Visual C++" in doctor.check_torch().cure


def test_torch_whose_libraries_windows_does_not_find(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('[WinError 126] The specified module could not be found.')")
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor.sys, "platform", "win32")
    found = doctor.check_torch()
    assert found.state == "failure" and "WinError 126" in found.value and "Visual C++" in found.cure


def test_torch_too_old(monkeypatch):
    monkeypatch.setattr("torch.__version__", "2.5.1+cpu")
    found = doctor.check_torch()
    assert found.state == "failure" and "2.5.1+cpu is too old" in found.value
    assert found.cure == doctor.REINSTALL       # start.py alone would find nothing to do
    monkeypatch.setattr(doctor, "IN_REPOSITORY", False)
    assert "torch>=2.6" in doctor.check_torch().cure


def test_the_table(monkeypatch, capsys):
    def broken():
        raise RuntimeError("smoke")

    monkeypatch.setattr(doctor, "CHECKS", {"one": lambda: doctor.Finding("ok", "fine"),
                                           "two": lambda: doctor.Finding("note", "slow")})
    assert doctor.main() == 0
    assert "This machine is ready." in capsys.readouterr().out
    doctor.CHECKS.update(three=lambda: doctor.Finding("failure", "gone", "fetch it"), four=broken)
    assert doctor.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("course 0.")
    assert [" ".join(line.split()) for line in lines[1:6]] == [
        "✓ one fine", "note two slow", "✗ three gone", "→ fetch it", "✗ four RuntimeError: smoke"]
    assert lines[-1] == "2 of 4 checks failed; see the arrows."


# -- the command line ------------------------------------------------------------------------------------------------
def test_help_loads_nothing_heavy():
    code = "import sys, course.cli; assert not {'torch', 'jupyterlab', 'jupytext'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_doctor_takes_no_arguments(capsys):
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--fast"])
    assert "doctor takes no arguments, got: --fast" in capsys.readouterr().err


def test_lab_passes_arguments_on(monkeypatch):
    seen = []
    app = SimpleNamespace(LabApp=SimpleNamespace(launch_instance=seen.extend))
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", app)
    assert cli.main(["lab", "--", "--port", "9999", "--no-browser"]) == 0
    assert seen[-3:] == ["--port", "9999", "--no-browser"]
    assert f"--ServerApp.root_dir={Path(cli.__file__).parents[1]}" in seen


def test_lab_without_lessons_says_where_they_are(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    assert cli.main(["lab"]) == 1
    assert "python start.py" in capsys.readouterr().err
