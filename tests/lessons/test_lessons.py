"""The lessons as they are committed: fresh, run without a network, solved in the solutions, inside their budgets."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from course import build
from course.pipelines import ALIASES, TASKS

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "lessons/src").glob("*.py"))
TAUGHT = [name for name in NAMES if "capstone" not in name]         # which is a frame for one's own texts, without exercises
# the trainings of this lesson take minutes: its solution runs them whole, the unfinished one only to see that it ends
SHORTER = {"09_fine_tuning_for_research": ("{8: 6, 32: 10, 128: 16, 512: 32}", "{8: 1, 32: 1, 128: 1, 512: 1}")}
WORDS, CELLS, MEDIAN, P90 = range(900, 1301), range(12, 19), 4, 10


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """No process started from here reaches the network; returns the file where attempts are written."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "no_network"), prepend=os.pathsep)
    monkeypatch.setenv("REFUSED", str(tmp_path / "refused.txt"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return tmp_path / "refused.txt"


def notebook(folder, name):
    return nbformat.read(ROOT / folder / f"{name}.ipynb", as_version=4)


def code(page, tag=None):
    return [cell for cell in page.cells
            if cell.cell_type == "code" and (tag is None or tag in cell.metadata.get("tags", []))]


def text(cell):
    """What a cell shows, as text."""
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def test_there_is_a_lesson():
    assert NAMES


def test_the_network_is_really_refused(refused):
    call = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/')"
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    assert "no network in this test" in done.stderr
    assert "192.0.2.1" in refused.read_text()


def test_every_notebook_is_fresh(capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_solution_runs_and_shows_what_it_shows_here(name, refused):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env",
         "--nbval-cell-timeout", "300", "--nbval-sanitize-with", Path(__file__).parent / "nbval_sanitize.cfg",
         ROOT / "solutions" / f"{name}.ipynb"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-5000:]
    assert f"{len(code(notebook('solutions', name)))} passed" in done.stdout
    assert not refused.exists(), refused.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_unfinished_lesson_runs_to_its_end(name, refused, tmp_path):
    page = notebook("lessons", name)
    if name in SHORTER:
        long, short = SHORTER[name]
        cell, = [cell for cell in code(page) if long in cell.source]
        cell.source = cell.source.replace(long, short)
    (tmp_path / "room").mkdir()
    NotebookClient(page, timeout=300, resources={"metadata": {"path": str(tmp_path / "room")}}).execute()
    for number, cell in enumerate(code(page, "check"), 1):
        assert text(cell).endswith(f"Exercise {number}: not done yet."), cell.source
    assert not refused.exists(), refused.read_text()
    assert not list((tmp_path / "room").iterdir()), "the lesson left files behind"


def test_the_lesson_about_other_programs_says_what_is_not_installed(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")      # the lesson sets it
    names = {}
    for cell in code(notebook("solutions", "13_the_same_model_elsewhere")):
        if any(part in cell.source for part in ("find_spec", "with_keras", "survey =")):
            exec(cell.source, names)
            names |= {"find_spec": lambda name: None, "pd": None}
    said = capsys.readouterr().out
    assert "there" not in names and "back" not in names
    assert 'Not run here: pip install "course[onnx]"' in said and 'Try: pip install "course[keras]"' in said


@pytest.mark.parametrize("name", TAUGHT)
def test_every_check_of_the_solution_is_passed(name):
    page = notebook("solutions", name)
    exercises = re.findall(r"^### Exercise (\d+)", "\n".join(cell.source for cell in page.cells), re.MULTILINE)
    assert exercises == [str(number) for number in range(1, len(exercises) + 1)]
    assert 3 <= len(exercises) == len(code(page, "check"))
    for number, cell in zip(exercises, code(page, "check"), strict=True):
        assert f"✓ Exercise {number}: " in text(cell), text(cell)


@pytest.mark.parametrize("name", NAMES)
def test_lesson_has_nothing_from_a_run(name):
    page = notebook("lessons", name)
    assert not [cell.id for cell in code(page) if cell.outputs or cell.execution_count]
    assert not any("solution" in cell.metadata.get("tags", []) for cell in page.cells)


@pytest.mark.parametrize("name", NAMES)
def test_solution_shows_no_folder_of_its_maker(name):
    shown = "".join(str(cell.outputs) for cell in code(notebook("solutions", name)))
    shown = re.sub(r"base64,[^\"]+|'image/png': '[^']+'", "", shown)
    assert not re.findall(r".{0,40}(?:site-packages|/home/|/tmp/|/root/|[A-Z]:\\\\).{0,40}", shown)


@pytest.mark.parametrize("folder", ["lessons", "solutions"])
@pytest.mark.parametrize("name", NAMES)
def test_headings_and_pictures_can_be_read_aloud(folder, name):
    page = notebook(folder, name)
    prose = "\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")
    prose = re.sub(r"```.*?```", "", prose, flags=re.DOTALL)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False)), levels
    assert not re.findall(r"!\[\]\(", prose)
    for cell in code(page):
        for data in (output.get("data", {}) for output in cell.outputs):
            assert "image/png" not in data or "<img" in data.get("text/html", ""), f"{cell.id}: a picture without alt text; course.plots gives one"
            for image in re.findall(r"<img[^>]*>", data.get("text/html", "")):
                assert re.search(r'alt="[^"]{20,}"', image), f"{cell.id}: a picture without alt text"


@pytest.mark.parametrize("name", TAUGHT)
def test_budget(name):
    cells = build.read(ROOT / "lessons/src" / f"{name}.py")
    row = build.budget(name, *(build.twin(name, cells, full) for full in (False, True)))
    words, count, median, p90, longest = (float(figure) for figure in row.split()[1:])
    assert words in WORDS and count in CELLS and median <= MEDIAN and p90 <= P90 and longest <= build.MAX_LINES, row


@pytest.mark.parametrize("name", NAMES)
def test_what_is_named_runs_or_is_to_come(name):
    """A lesson that is named exists, and so does the small model of a task; else the text says "to come"."""
    prose = "\n\n".join(cell.source for cell in notebook("lessons", name).cells if cell.cell_type == "markdown")
    numbers = {int(other[:2]) for other in NAMES}
    for found in re.finditer(r"[Ll]essons? (\d+)(.{0,40})", prose, re.DOTALL):
        assert int(found[1]) in numbers or "to come" in found[2], found[0]
    for paragraph in re.split(r"\n\s*\n", prose):
        for task in re.findall(r"`([\w-]+)`", paragraph):
            if known := TASKS.get(ALIASES.get(task, task)):
                assert (ROOT / "course" / known.pocket).is_dir() or "to come" in paragraph, task
