"""The learner's own copies of the lessons: my-lessons/ beside lessons/, ignored by git.

Opening a notebook changes its file, so a learner who works in lessons/ could not `git pull` on the second day. `course lab`
makes the copies when they are missing, never writes over one, and says what an update of the course has brought; `course
reset 04` brings a lesson back and keeps the old copy under another name.
"""

import hashlib
import json
import shutil
import time
from pathlib import Path

FOLDER, KNOWN, PAGES = "my-lessons", ".known.json", ("index", "glossary")


class NoLesson(Exception):
    """There is no such lesson; the message says which there are."""


def content(path: Path) -> str:
    """A hash of what a reader writes: the sources of the cells, not outputs and numbers."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def prepare(root: Path) -> list[str]:
    """Makes what is missing in my-lessons/; returns lines for the learner: what is new, what has changed since."""
    mine, known_file = root / FOLDER, root / FOLDER / KNOWN
    first = not mine.is_dir()
    mine.mkdir(exist_ok=True)
    known = read(known_file)
    new, changed = [], []
    for lesson in sorted((root / "lessons").glob("*.ipynb")):
        copy, now = mine / lesson.name, content(lesson)
        if not copy.is_file():
            if lesson.stem not in known:                  # a copy that the learner has deleted comes back, but is no news
                new.append(lesson.stem)
            put(lesson, copy)
            known[lesson.stem] = now
        elif known.get(lesson.stem) != now:
            if lesson.stem not in PAGES:
                changed += [] if holds(copy, now) else [lesson.stem]
            elif holds(copy, known.get(lesson.stem)):
                put(lesson, copy)                         # the table of contents; nobody has written into it
            known[lesson.stem] = now                      # said once
    write(known_file, known)
    lines = []
    if first:
        lines.append(f"Your copies of the lessons are in {mine}; write into them as you like.")
    elif fresh := [name for name in new if name not in PAGES]:
        lines.append(f"New lessons: {', '.join(fresh)}.")
    if changed:
        lines.append(f"Changed in the course since you copied them: {', '.join(changed)}. `course reset {changed[0][:2]}` "
                     "brings the new lesson and keeps your copy beside it.")
    return lines


def holds(copy: Path, known: str | None) -> bool:
    """Whether a copy has that content."""
    try:
        return content(copy) == known
    except (OSError, ValueError, KeyError, TypeError):    # a damaged file is the learner's as well
        return False


def reset(root: Path, name: str) -> str:
    """Brings one lesson back as the course has it; the old copy stays under a name with the date. Returns what was done."""
    lessons = [path for path in sorted((root / "lessons").glob("*.ipynb")) if path.stem not in PAGES]
    stem = Path(name).name.removesuffix(".ipynb")
    found = [path for path in lessons if stem and path.stem.startswith(f"{stem:0>2}" if stem.isdecimal() else stem)]
    if len(found) != 1:
        raise NoLesson(f"there is no lesson {name!r}; there are: {', '.join(path.stem for path in lessons)}. "
                       "Try: course reset 04")
    mine = root / FOLDER
    mine.mkdir(exist_ok=True)
    copy, lesson = mine / found[0].name, found[0]
    kept = ""
    if copy.is_file():
        stamp = time.strftime("%Y-%m-%d_%H%M")
        old = mine / f"{lesson.stem}_before_{stamp}.ipynb"
        for number in range(2, 1000):
            if not old.exists():
                break
            old = mine / f"{lesson.stem}_before_{stamp}_{number}.ipynb"
        copy.rename(old)
        kept = f" Your old copy is {old.name}."
    put(lesson, copy)
    write(mine / KNOWN, read(mine / KNOWN) | {lesson.stem: content(lesson)})
    return f"{copy.name} is as the course has it.{kept} If it is open in JupyterLab: File, Reload Notebook from Disk."


def put(lesson: Path, copy: Path) -> None:
    """Whole or not at all, and without the permissions of a shared folder."""
    half = copy.with_name(copy.name + ".half")
    shutil.copyfile(lesson, half)
    half.replace(copy)


def read(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        return {}


def write(file: Path, known: dict[str, str]) -> None:
    half = file.with_name(file.name + ".half")
    half.write_text(json.dumps(known, indent=1), encoding="utf-8")
    half.replace(file)
