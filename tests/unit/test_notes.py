"""Notes reach people and programs, each as they like it, and never look like errors."""

import logging
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from course import notes

SAY = "from course.notes import note; note('%d of %d texts were cut', 1, 3)"


@pytest.mark.parametrize(("before", "shown"), [
    ("", "1 of 3 texts were cut\n"),                                                   # a terminal
    ("logging.basicConfig(level='WARNING')", "1 of 3 texts were cut\n"),
    ("logging.basicConfig(level='INFO')", "INFO:course:1 of 3 texts were cut\n"),      # a program that listens
    ("logging.getLogger('course').setLevel('WARNING')", ""),                           # or wants none
])
def test_what_a_terminal_and_a_program_see(before, shown):
    done = subprocess.run([sys.executable, "-c", f"import logging; {before}\n{SAY}"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", shown)


def test_once_is_once(caplog, monkeypatch):
    monkeypatch.setattr(notes, "said", set())
    for _ in range(3):
        notes.once("an older name")
    assert [(r.name, r.levelno, r.getMessage()) for r in caplog.records] == [("course", logging.INFO, "an older name")]


def test_a_text_with_signs_of_formats_is_said_as_it_is(caplog):
    notes.note("100 % of {them}")
    assert caplog.messages == ["100 % of {them}"]


def test_in_a_notebook_a_quiet_line_and_warnings_stay_warnings(tmp_path):
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in (
        "from course.notes import note, progress; note('cut: %s', '<b onclick=x>')",
        "bar = progress(range(2)); hasattr(bar, 'container')",
        "import logging; logging.getLogger('course.some').warning('this is wrong')")])
    NotebookClient(page, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    note, bar, warning = (cell.outputs for cell in page.cells)
    assert [output.output_type for output in note] == ["display_data"]
    assert note[0].data["text/plain"] == "cut: <b onclick=x>" and "cut: &lt;b onclick=x&gt;" in note[0].data["text/html"]
    assert bar[-1].data["text/plain"] == "True", "a bar of text stands among the errors"
    assert [(output.name, output.text) for output in warning] == [("stderr", "this is wrong\n")]


def test_nobody_prints_notes_himself():
    """What looks like an error in a notebook is one: warnings of the library are about what may be wrong."""
    for file in (Path(notes.__file__).parent).rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "from tqdm" not in text or file.name in ("notes.py", "callbacks.py"), f"{file}: notes.progress makes bars"
