"""`course build`: one source, two notebooks.

lessons/src/NN_name.py (py:percent, solutions in place) is the only file an author edits. From it come
lessons/NN_name.ipynb (exercises as stubs, no outputs), solutions/NN_name.ipynb (executed), lessons/index.ipynb and, with
the entries of course/terms.py, lessons/glossary.ipynb. The address of the project goes from pyproject.toml to where it is
named (course/place.py):

    a cell tagged `solution`                    is only in the solution
    ### BEGIN SOLUTION … ### END SOLUTION       lines between them are only in the solution
    a line that ends in `# your code here`      is only in the lesson
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

try:
    import jupytext
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
except ModuleNotFoundError as error:
    raise SystemExit(f'course build needs {error.name}. Try: pip install "course[lab]"') from None

from course import place
from course.terms import TERMS

ROOT = Path(__file__).parents[1]
MAX_LINES, MAX_COLUMNS, CELL_SECONDS = 20, 80, 300        # 80 columns fit a laptop, and paper
STUB, BEGIN, END = "# your code here", "### BEGIN SOLUTION", "### END SOLUTION"
KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
          "language_info": {"name": "python"}}
CARD = re.compile(r"(glossary\.ipynb)#([\w-]+)")
WIDGET = "application/vnd.jupyter.widget-view+json"
PEAK = """import resource, sys
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10))"""

SETUP = '''\
# Set-up, the same in every lesson. Run it first; twice does no harm.
import importlib.metadata, importlib.util, subprocess, sys

if importlib.util.find_spec("course") is None:  # on Colab: keep its torch
    keep = [f"{name}=={importlib.metadata.version(name)}"
            for name in ("torch", "numpy")]
    source = "course @ git+https://github.com/OWNER/NAME"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q",
                    *keep, source], check=True)

import pandas as pd
import torch
from course.notebook import ready

ready(seed=42)'''


class LessonError(Exception):
    """A source that cannot become a lesson; the message says where and what to do."""


def read(path: Path) -> list[Any]:
    """The cells of a source, with the set-up cell after the title."""
    cells = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells
    setup = SETUP.replace("OWNER/NAME", place.owner_and_name(ROOT))
    return [*cells[:1], nbformat.v4.new_code_cell(setup, metadata={"tags": ["setup"]}), *cells[1:]]


def cut(source: str, solution: bool, where: str) -> str:
    """The lines of a code cell that belong to one of the two notebooks."""
    lines, inside = [], False
    for line in source.splitlines():
        if line.strip() in (BEGIN, END):
            if inside == (line.strip() == BEGIN):
                raise LessonError(f"{where}: {BEGIN} and {END} have to come in turn")
            inside = not inside
        elif not (inside and not solution) and not (line.rstrip().endswith(STUB) and solution):
            lines.append(line)
    if inside:
        raise LessonError(f"{where}: {BEGIN} without {END}")
    if BEGIN in source and STUB not in source:
        raise LessonError(f"{where}: a solution needs a stub for the lesson, e.g. `answer = ...  {STUB}`")
    return "\n".join(lines)


def card_link(link: re.Match[str]) -> str:
    """glossary.ipynb#token -> #cell-id=glossary-token: JupyterLab finds a cell the first time, a heading once it was drawn."""
    return f"{link[1]}#cell-id={card_id(link[2])}"


def card_id(term: str) -> str:
    return "glossary-" + re.sub(r"[^\w-]", "-", term)


def twin(name: str, cells: list[Any], solution: bool) -> Any:
    """One of the two notebooks, not executed. A cell has the same id in both, made from its place in the source."""
    kept = []
    for number, cell in enumerate(cells):
        tags = cell.metadata.get("tags", [])
        if solution or "solution" not in tags:
            where = f"{name}, cell {number}"
            source = cut(cell.source, solution, where) if cell.cell_type == "code" else CARD.sub(card_link, cell.source)
            if cell.cell_type == "code" and len(source.splitlines()) > MAX_LINES:
                raise LessonError(f"{where} has {len(source.splitlines())} lines; {MAX_LINES} is what a room follows. "
                                  "Can a part of it move into the package?")
            if cell.cell_type == "code" and (wide := [line for line in source.splitlines() if len(line) > MAX_COLUMNS]):
                raise LessonError(f"{where} has a line of {len(wide[0])} columns; {MAX_COLUMNS} can be read on a laptop and on "
                                  f"paper: {wide[0].strip()[:60]} …")
            new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
            kept.append(new(source, id=f"{name}-{number:02d}", metadata={"tags": tags} if tags else {}))
    return nbformat.v4.new_notebook(cells=kept, metadata=KERNEL)


def index(sources: dict[str, list[Any]]) -> Any:
    """lessons/index.ipynb: what each lesson asks, teaches and takes."""
    parts = ["# Lessons\n\nOpen a lesson, run its cells from the top (Shift+Enter), and try its exercises before you look at "
             "the solution. New to notebooks? Begin with lesson 0. Words that a lesson does not explain stand in the "
             "[glossary](glossary.ipynb).\n\nThese copies are yours: write into them as you like. `course reset 04` (in a "
             "terminal: File → New → Terminal) brings lesson 4 back as it was and keeps yours beside it."]
    for name, cells in sources.items():
        head = cells[0].source
        title, question, minutes = (re.search(pattern, head, re.MULTILINE)
                                    for pattern in (r"^# (.+)$", r"^> .+(\n> .+)*", r"(\d+) minutes"))
        objectives = re.findall(r"^- .+(?:\n  .+)*", head, re.MULTILINE)
        if not (title and question and minutes and objectives):
            raise LessonError(f"{name}: the first cell needs a title (# …), a question (> …), objectives (- …) "
                              "and '… minutes'")
        parts.append(f"## [{name[:2]} · {title[1]}]({name}.ipynb)\n\n{question[0]}\n\n" + "\n".join(objectives)
                     + f"\n\n{minutes[1]} minutes · [solution](../solutions/{name}.ipynb)")
    cells = [nbformat.v4.new_markdown_cell(part, id=f"index-{number:02d}") for number, part in enumerate(parts)]
    return nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)


def terms_page(sources: dict[str, list[Any]]) -> Any:
    """lessons/glossary.ipynb, to which the lessons link: glossary.ipynb#attention-mask is a heading in it."""
    def link(name: str) -> str:
        return f"[{name}](#{name.replace(' ', '-')})"

    cells = [nbformat.v4.new_markdown_cell(
                 "# Glossary\n\nRun the next cell for a table with a box to search in. `course.glossary(\"token\")` shows one "
                 "term and runs its example.", id="glossary-00"),
             nbformat.v4.new_code_cell("import course\n\ncourse.glossary()", id="glossary-01")]
    for term in TERMS:
        also = " · ".join(f"[lesson {int(name[:2])}]({name}.ipynb)" for name in sources if int(name[:2]) in term.lessons)
        cells.append(nbformat.v4.new_markdown_cell(
            f"## {term.name}\n\n{term.meaning}\n\n```python\n{term.example}\n```\n\n"
            f"See also: {', '.join(map(link, term.related))}" + (f" · used in {also}" if also else ""),
            id=card_id(term.name)))
    return nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)


def execute(notebook: Any, name: str) -> str:
    """Runs the cells in an empty folder, offline; returns seconds and memory for the table."""
    # The last cell is ours; it fails on Windows, where the column stays empty.
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK, metadata={"tags": ["raises-exception"]}))
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=CELL_SECONDS, record_timing=False,
                                resources={"metadata": {"path": folder}})
        with client.setup_kernel(env=os.environ | {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}):
            for number, cell in enumerate(notebook.cells):
                start = time.perf_counter()
                try:
                    client.execute_cell(cell, number)
                except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
                    raise LessonError(f"{name}: the cell {cell.id} failed\n{problem}") from None
                seconds.append(time.perf_counter() - start)
    peak = notebook.cells.pop().outputs[0].get("text", "").strip()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # A live widget cannot be shown without its saved state: 100 KB a lesson, different in each run. Its picture can.
            shown = [(output, output.get("data", {})) for output in cell.outputs]
            cell.outputs = [output for output, data in shown if WIDGET not in data or "text/html" in data]
            for _, data in shown:
                data.pop(WIDGET, None)
    notebook.metadata = KERNEL
    return f"{sum(seconds):8.1f} {max(seconds):8.1f} {peak:>7}"


def keep_results(solution: Any, path: Path) -> None:
    """Without a run, each cell whose code is the same keeps what it showed; the set-up cell may have another address."""
    old = {cell.get("id"): cell for cell in nbformat.read(path, as_version=4).cells} if path.is_file() else {}
    for cell in solution.cells:
        before = old.get(cell.id)
        if before and cell.cell_type == before.cell_type == "code" and (
                before.source == cell.source or "setup" in cell.metadata.get("tags", [])):
            cell.outputs, cell.execution_count = before.outputs, before.execution_count


def budget(name: str, lesson: Any, solution: Any) -> str:
    """Words, code cells, lines that are not blank a cell of the lesson; the longest cell of the solution, as it is."""
    prose = "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    words = len(re.findall(r"[\w’'-]*\w", re.sub(r"```.*?```|<[^>]+>|\]\([^)]*\)", " ", prose, flags=re.DOTALL)))
    lines = sorted(sum(bool(line.strip()) for line in cell.source.splitlines())
                   for cell in lesson.cells if cell.cell_type == "code")
    longest = max(len(cell.source.splitlines()) for cell in solution.cells if cell.cell_type == "code")
    p90 = lines[-(-9 * len(lines) // 10) - 1]
    return f"{name:24} {words:8} {len(lines):8} {statistics.median(lines):14.1f} {p90:3} {longest:3}"


def flaws(path: Path, fresh: Any, executed: bool) -> Iterator[str]:
    """What is wrong with a notebook on disk: cells and tags have to be those of the source; outputs may differ."""
    if not path.is_file():
        yield "is missing"
        return
    notebook = nbformat.read(path, as_version=4)
    ours, theirs = ([(cell.get("id"), cell.cell_type, cell.source, cell.metadata.get("tags", []))
                     for cell in side.cells] for side in (notebook, fresh))
    if ours != theirs:
        first = next((right or left)[0] for left, right in zip_longest(ours, theirs) if left != right)
        yield f"is stale: it differs from its source, first in the cell {first}"
    if "widgets" in notebook.metadata:
        yield "holds the state of widgets"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if executed and any(cell.execution_count is None for cell in code):
        yield "has cells that were never run"
    if executed and any(output.output_type == "error" for cell in code for output in cell.outputs):
        yield "shows an error"


def build(root: Path, names: tuple[str, ...], check: bool, run: bool) -> int:
    lessons, solutions = root / "lessons", root / "solutions"
    sources = {path.stem: read(path) for path in sorted((lessons / "src").glob("*.py"))}
    chosen = [name for name in sources if name.startswith(names or ("",))]
    if not chosen:
        raise LessonError(f"no lesson {' or '.join(names)} in {lessons / 'src'}; "
                          f"there are: {', '.join(sources) or 'none'}")
    print("lesson                     words    cells    lines: median p90 max  seconds  slowest     MiB")
    pages = {lessons / "index.ipynb": index(sources), lessons / "glossary.ipynb": terms_page(sources)}
    for name in chosen:
        lesson, solution = (twin(name, sources[name], full) for full in (False, True))
        measured = execute(solution, name) if run and not check else ""
        if not run:
            keep_results(solution, solutions / f"{name}.ipynb")
        print(budget(name, lesson, solution), measured, flush=True)
        pages |= {lessons / f"{name}.ipynb": lesson, solutions / f"{name}.ipynb": solution}
    copies = list(place.copies(root)) if (root / "pyproject.toml").is_file() else []
    if not check:
        solutions.mkdir(exist_ok=True)
        for path, notebook in pages.items():
            nbformat.write(notebook, path)
        for path, _, fresh in copies:
            path.write_text(fresh, encoding="utf-8", newline="\n")
            print(f"{path.relative_to(root)}: now names the repository of pyproject.toml")
        return 0
    problems = [f"{path.relative_to(root)} {flaw}" for path, notebook in pages.items()
                for flaw in flaws(path, notebook, path.parent == solutions)]
    problems += [f"{path.relative_to(root)} has no source in lessons/src" for folder in (lessons, solutions)
                 for path in sorted(folder.glob("*.ipynb")) if path.stem not in {*sources, "index", "glossary"}]
    problems += [f"{path.relative_to(root)} names another repository than pyproject.toml, first in line "
                 f"{next(n for n, (a, b) in enumerate(zip(was.splitlines(), fresh.splitlines(), strict=True), 1) if a != b)}"
                 for path, was, fresh in copies]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("Edit only lessons/src, then run: course build", file=sys.stderr)
    return 1 if problems else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course build", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only lessons whose name starts like this, e.g. 01")
    parser.add_argument("--check", action="store_true", help="write nothing; fail and name what is stale")
    parser.add_argument("--execute", action=argparse.BooleanOptionalAction, default=True,
                        help="run the solutions (--no-execute keeps the results of cells that did not change)")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds lessons/ and solutions/")
    options = parser.parse_args(argv)
    try:
        return build(options.root, tuple(options.names), options.check, options.execute)
    except (LessonError, ValueError) as problem:
        print(f"course build: {problem}", file=sys.stderr)
        return 1
