"""my-lessons/: made on first use, never overwritten, brought back by `course reset`; an update says what is new."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from course import cli, copies


def page(*sources):
    cells = [{"cell_type": "code", "source": source, "outputs": [], "execution_count": None, "metadata": {}} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def root(tmp_path):
    (tmp_path / "lessons/src").mkdir(parents=True)
    for name in ("index", "glossary", "01_tour", "04_preprocessing"):
        (tmp_path / f"lessons/{name}.ipynb").write_text(page(name, "x = ..."))
    (tmp_path / "lessons/src/01_tour.py").write_text("# solutions")
    return tmp_path


def test_copies_are_made_once_and_hold_no_solutions(root):
    (line,) = copies.prepare(root)
    assert "Your copies of the lessons are in" in line and "my-lessons" in line
    assert {file.name for file in (root / "my-lessons").iterdir()} == {
        "index.ipynb", "glossary.ipynb", "01_tour.ipynb", "04_preprocessing.ipynb", copies.KNOWN}
    assert copies.prepare(root) == []


def test_what_a_learner_wrote_is_never_overwritten(root):
    copies.prepare(root)
    mine = root / "my-lessons/04_preprocessing.ipynb"
    mine.write_text(written := page("04", "x = 3"))
    (root / "my-lessons/index.ipynb").write_text(index := page("my own notes"))
    for name in ("index", "04_preprocessing"):
        (root / f"lessons/{name}.ipynb").write_text(page(name, "x = ...", "a new cell"))
    (line,) = copies.prepare(root)
    assert "Changed in the course since you copied them: 04_preprocessing. `course reset 04`" in line
    assert mine.read_text() == written and (root / "my-lessons/index.ipynb").read_text() == index
    assert copies.prepare(root) == []                                   # said once


def test_an_update_brings_new_lessons_and_the_index(root):
    copies.prepare(root)
    opened = json.loads((root / "my-lessons/index.ipynb").read_text())
    opened["cells"][0]["execution_count"] = 7                           # opened and run, nothing written
    (root / "my-lessons/index.ipynb").write_text(json.dumps(opened))
    (root / "lessons/05_training.ipynb").write_text(page("05"))
    (root / "lessons/index.ipynb").write_text(page("index with lesson 5"))
    assert copies.prepare(root) == ["New lessons: 05_training."]
    assert (root / "my-lessons/05_training.ipynb").is_file()
    assert "with lesson 5" in (root / "my-lessons/index.ipynb").read_text()
    (root / "my-lessons/05_training.ipynb").unlink()
    assert copies.prepare(root) == [] and (root / "my-lessons/05_training.ipynb").is_file()


@pytest.mark.parametrize("damaged", ["", "{", '{"cells": 3}', "[]"])
def test_damaged_copies_and_notes_stop_nothing(root, damaged):
    copies.prepare(root)
    for name in ("01_tour.ipynb", "index.ipynb", copies.KNOWN):
        (root / "my-lessons" / name).write_text(damaged)
    (root / "lessons/01_tour.ipynb").write_text(page("new"))
    copies.prepare(root)
    assert (root / "my-lessons/01_tour.ipynb").read_text() == damaged


@pytest.mark.parametrize("name", ["04", "4", "04_preprocessing", "lessons/04_preprocessing.ipynb"])
def test_reset_brings_a_lesson_back_and_keeps_the_old_copy(root, name):
    copies.prepare(root)
    mine = root / "my-lessons/04_preprocessing.ipynb"
    kept = []
    for written in ("x = 3", "x = 4", "x = 5"):
        mine.write_text(page(written))
        kept.append(page(written))
        assert "04_preprocessing.ipynb is as the course has it. Your old copy is 04_preprocessing_before_" in copies.reset(root, name)
        assert mine.read_text() == (root / "lessons/04_preprocessing.ipynb").read_text()
    assert sorted(file.read_text() for file in (root / "my-lessons").glob("*_before_*")) == sorted(kept)
    assert copies.prepare(root) == []


def test_reset_without_a_copy_makes_one(root):
    assert "Your old copy" not in copies.reset(root, "01") and (root / "my-lessons/01_tour.ipynb").is_file()


@pytest.mark.parametrize("name", ["99", "", "0", "index", "nonsense"])
def test_reset_of_an_unknown_lesson_names_those_there_are(root, name, monkeypatch, capsys):
    monkeypatch.setattr(cli, "ROOT", root)
    assert cli.main(["reset", name]) == 1
    assert "01_tour, 04_preprocessing. Try: course reset 04" in capsys.readouterr().err
    assert cli.main(["reset"]) == 2


def test_lab_opens_the_copies(root, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(cli, "ROOT", root)
    monkeypatch.setenv("PATH", "/usr/bin")
    lab = pytest.importorskip("jupyterlab.labapp")
    monkeypatch.setattr(lab.LabApp, "launch_instance", classmethod(lambda cls, arguments: started.append(arguments)))
    assert cli.lab(["--no-browser"]) == 0
    assert "--LabApp.default_url=/lab/tree/my-lessons/index.ipynb" in started[0] and started[0][-1] == "--no-browser"
    assert "Your copies" in capsys.readouterr().out
    assert os.environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)      # `course` in its terminal
    shutil.rmtree(root / "my-lessons")
    monkeypatch.setattr(copies, "prepare", lambda root: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    assert cli.lab([]) == 0
    assert "--LabApp.default_url=/lab/tree/lessons/index.ipynb" in started[1]
    assert "opening lessons/ itself" in capsys.readouterr().err
