"""`course build` on small lessons made here."""

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import tomllib

import nbformat
import pytest

from course import build
from course.terms import TERMS

LESSON = '''\
# %% [markdown]
# # Counting
#
# > How many people answered?
#
# - count the rows
# - trust nobody's count
#
# 45 minutes

# %%
answers = ["yes", "no", "yes"]

# %% tags=["exercise", "check"]
count = ...  # your code here
### BEGIN SOLUTION
count = len(answers)
### END SOLUTION
print("counted:", count)

# %% [markdown] tags=["solution"]
# Three.
'''


def lesson_in(folder, patch):
    """A folder with one lesson; its set-up cell needs no torch."""
    patch.setattr(build, "SETUP", "import sys")
    (folder / "lessons/src").mkdir(parents=True)
    (folder / "lessons/src/07_count.py").write_text(LESSON)
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    return lesson_in(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    """The lesson built once: starting a kernel takes a second or two."""
    folder = tmp_path_factory.mktemp("master")
    with pytest.MonkeyPatch.context() as patch:
        lesson_in(folder, patch)
        assert build.main(["--root", str(folder)]) == 0
    return folder


@pytest.fixture
def built(master, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SETUP", "import sys")
    shutil.copytree(master, tmp_path, dirs_exist_ok=True)
    return tmp_path


def read(root, name):
    return nbformat.read(root / f"{name}.ipynb", as_version=4)


def edit(root, name, change):
    page = read(root, name)
    change(page)
    nbformat.write(page, root / f"{name}.ipynb")


def check(root, capsys):
    capsys.readouterr()
    return build.main(["--root", str(root), "--check"]), capsys.readouterr().err


def test_twins_differ_where_the_source_says(built):
    lesson, solution = read(built, "lessons/07_count"), read(built, "solutions/07_count")
    assert [cell.source for cell in lesson.cells[1:]] == [
        "import sys", 'answers = ["yes", "no", "yes"]', 'count = ...  # your code here\nprint("counted:", count)']
    assert solution.cells[3].source == 'count = len(answers)\nprint("counted:", count)'
    assert solution.cells[4].source == "Three."
    assert solution.cells[3].outputs[0].text == "counted: 3\n"
    assert [cell.execution_count for cell in solution.cells[1:4]] == [1, 2, 3]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in lesson.cells)


def test_ids_tags_and_metadata_are_stable(built):
    lesson, solution = read(built, "lessons/07_count"), read(built, "solutions/07_count")
    assert [cell.id for cell in solution.cells] == [f"07_count-0{number}" for number in range(5)]
    assert [cell.id for cell in lesson.cells] == [cell.id for cell in solution.cells[:4]]
    assert lesson.cells[3].metadata == {"tags": ["exercise", "check"]} and lesson.cells[2].metadata == {}
    assert lesson.metadata == solution.metadata == build.KERNEL


def test_building_twice_gives_the_same_files(built):
    before = {path: path.read_bytes() for path in built.rglob("*.ipynb")}
    assert len(before) == 4
    assert build.main(["--root", str(built), "07"]) == 0
    assert {path: path.read_bytes() for path in built.rglob("*.ipynb")} == before


def test_index_says_what_a_lesson_asks_and_takes(built):
    page = read(built, "lessons/index").cells[1].source
    for part in ("[07 · Counting](07_count.ipynb)", "> How many people answered?", "- trust nobody's count",
                 "45 minutes", "(../solutions/07_count.ipynb)"):
        assert part in page
    assert "[glossary](glossary.ipynb)" in read(built, "lessons/index").cells[0].source


def test_glossary_page_has_every_term_and_links_to_lessons_and_terms(built):
    text = "\n".join(cell.source for cell in read(built, "lessons/glossary").cells)
    assert all(f"\n## {term.name}\n" in text and term.meaning in text for term in TERMS)
    assert "[lesson 7](07_count.ipynb)" in text and "lesson 1]" not in text
    headings = {line[3:].replace(" ", "-") for line in text.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_fresh_notebooks_pass_the_check_with_other_outputs(built, capsys):
    edit(built, "solutions/07_count", lambda page: page.cells[3].outputs[0].update(text="counted: three\n"))
    edit(built, "lessons/07_count", lambda page: page.cells[1].update(outputs=[], execution_count=4))
    assert check(built, capsys) == (0, "")


@pytest.mark.parametrize(("name", "change", "complaint"), [
    ("lessons/07_count", lambda page: page.cells[3].update(source="count = 3"), "first in the cell 07_count-03"),
    ("lessons/07_count", lambda page: page.cells[3].metadata.update(tags=["check"]), "first in the cell 07_count-03"),
    ("lessons/07_count", lambda page: page.cells.pop(), "first in the cell 07_count-03"),
    ("solutions/07_count", lambda page: page.cells[4].update(source="Four."), "first in the cell 07_count-04"),
    ("solutions/07_count", lambda page: page.cells[2].update(execution_count=None), "never run"),
    ("solutions/07_count", lambda page: page.cells[2].outputs.append(
        nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])), "shows an error"),
    ("solutions/07_count", lambda page: page.metadata.update(widgets={}), "state of widgets"),
    ("lessons/index", lambda page: page.cells[1].update(source="## Something else"), "first in the cell index-01"),
])
def test_a_stale_notebook_is_named(built, capsys, name, change, complaint):
    edit(built, name, change)
    status, said = check(built, capsys)
    assert status == 1
    assert len(said.splitlines()) == 2 and f"{name}.ipynb" in said and complaint in said and "course build" in said


def test_a_changed_source_makes_both_twins_stale(built, capsys):
    source = built / "lessons/src/07_count.py"
    source.write_text(source.read_text().replace('"no"', '"maybe"'))
    status, said = check(built, capsys)
    assert status == 1 and said.count("is stale") == 2
    assert build.main(["--root", str(built)]) == 0 and check(built, capsys) == (0, "")


def test_missing_and_orphaned_notebooks_are_named(built, capsys):
    (built / "solutions/07_count.ipynb").rename(built / "solutions/08_gone.ipynb")
    status, said = check(built, capsys)
    assert status == 1
    assert "solutions/07_count.ipynb is missing" in said and "solutions/08_gone.ipynb has no source" in said


@pytest.mark.parametrize(("mistake", "complaint"), [
    ("len(nothing)", "name 'nothing' is not defined"), ("__import__('time').sleep(60)", "A cell timed out")])
def test_a_failing_cell_is_shown_and_nothing_is_written(root, capsys, monkeypatch, mistake, complaint):
    monkeypatch.setattr(build, "CELL_SECONDS", 1)
    (root / "lessons/src/07_count.py").write_text(LESSON.replace("len(answers)", mistake))
    assert build.main(["--root", str(root)]) == 1
    assert "07_count-03" in (said := capsys.readouterr().err) and complaint in said
    assert not list(root.rglob("*.ipynb"))


def test_a_live_widget_is_left_out_of_the_solution(root):
    bundle = {build.WIDGET: {}, "text/plain": "a panel"}
    show = f"from IPython.display import display\none = {bundle}\ndisplay(one, raw=True)\nprint('beside it')"
    (root / "lessons/src/07_count.py").write_text(LESSON.replace('print("counted:", count)', show))
    assert build.main(["--root", str(root)]) == 0
    (output,) = read(root, "solutions/07_count").cells[3].outputs
    assert output.text == "beside it\n"
    (root / "lessons/src/07_count.py").write_text(LESSON.replace('print("counted:", count)', show.replace("one, raw", "STILL | one, raw")
                                                                 .replace("one =", "STILL = {'text/html': '<b>still</b>'}\none =")))
    assert build.main(["--root", str(root)]) == 0
    picture, _ = read(root, "solutions/07_count").cells[3].outputs
    assert picture.data == {"text/html": "<b>still</b>", "text/plain": "a panel"}       # what a page on paper shows


def test_solutions_that_did_not_run_are_not_fresh(root, capsys):
    assert build.main(["--root", str(root), "--no-execute"]) == 0
    status, said = check(root, capsys)
    assert status == 1 and "solutions/07_count.ipynb has cells that were never run" in said


def test_without_a_run_unchanged_cells_keep_their_results(built, capsys):
    source = built / "lessons/src/07_count.py"
    source.write_text(source.read_text().replace("Three.", "It is three."))
    assert build.main(["--root", str(built), "--no-execute"]) == 0
    assert read(built, "solutions/07_count").cells[3].outputs[0].text == "counted: 3\n"
    assert check(built, capsys) == (0, "")
    source.write_text(source.read_text().replace('"counted:"', '"there are"'))
    assert build.main(["--root", str(built), "--no-execute"]) == 0
    status, said = check(built, capsys)
    assert status == 1 and "solutions/07_count.ipynb has cells that were never run" in said


@pytest.mark.parametrize(("old", "new", "complaint"), [
    ("### END SOLUTION\n", "", "### BEGIN SOLUTION without ### END SOLUTION"),
    ("### BEGIN SOLUTION\n", "", "have to come in turn"),
    ("count = ...  # your code here\n", "", "a solution needs a stub"),
    (LESSON, "", "the first cell needs a title"),
    ("# 45 minutes", "#", "the first cell needs a title"),
    ("# > How many", "# How many", "the first cell needs a title"),
    ('print("counted:", count)', "\n".join(f"print({i})" for i in range(21)), "22 lines; 20"),
    ('print("counted:", count)', f"print({'1' * 75})", "82 columns; 80"),
])
def test_a_source_that_breaks_a_rule_is_refused(root, capsys, old, new, complaint):
    assert old in LESSON
    (root / "lessons/src/07_count.py").write_text(LESSON.replace(old, new))
    assert build.main(["--root", str(root), "--no-execute"]) == 1
    assert complaint in (said := capsys.readouterr().err) and "07_count" in said


def test_an_unknown_lesson_is_answered_with_the_known_ones(root, capsys):
    assert build.main(["--root", str(root), "99"]) == 1
    assert "no lesson 99" in (said := capsys.readouterr().err) and "07_count" in said


def test_the_budget_is_reported(built, capsys):
    build.main(["--root", str(built)])
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["lesson", "words", "cells", "lines:", "median", "p90", "max", "seconds", "slowest", "MiB"]
    name, words, cells, median, p90, longest, seconds, slowest, *_ = row.split()
    # the prose of the lesson: Counting, How many people answered, count the rows, trust nobody's count, 45 minutes
    assert (name, words, cells, median, p90, longest) == ("07_count", "13", "3", "1.0", "2", "2")
    assert 0 <= float(slowest) <= float(seconds)


def test_set_up_cell_installs_what_is_missing_and_keeps_torch_and_numpy(monkeypatch, capsys):
    commands, find = [], importlib.util.find_spec
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    setup = build.read(next((build.ROOT / "lessons/src").glob("*.py")))[1].source
    exec(setup, {})
    assert commands == []                                                   # course is here: no pip
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "course" else find(name))
    exec(setup, {})
    versions = {f"{name}=={importlib.metadata.version(name)}" for name in ("torch", "numpy")}
    (command,) = commands
    urls = tomllib.loads((build.ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert versions < set(command) and command[-1] == f"course @ git+{urls['Repository']}"
    assert setup.endswith("\nready(seed=42)") and max(map(len, setup.splitlines())) <= build.MAX_COLUMNS
    assert len(build.SETUP.splitlines()) <= build.MAX_LINES
