"""The command line: `course …`, the same as `python -m course …`.

Each command imports what it needs when it runs, so that `course --help` answers at once.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]  # the repository, when the package is installed from one


def lab(arguments: list[str]) -> int:
    """Start JupyterLab on the learner's copies of the lessons; `arguments` go to it as they are."""
    if not (ROOT / "lessons").is_dir():
        print(
            "There are no lessons here: pip installs the library, not the notebooks.\n"
            "Get the repository (https://github.com/course-llm/course) and run `python start.py` in it.",
            file=sys.stderr,
        )
        return 1
    if importlib.util.find_spec("jupyterlab") is None:
        print('JupyterLab is not installed. Try: pip install "course[lab]"', file=sys.stderr)
        return 1
    from jupyterlab.labapp import LabApp

    # The root is the repository, so that solutions/ and datasets/ can be reached from the file browser.
    ours = [f"--ServerApp.root_dir={ROOT}", "--log-level=WARN", "--LanguageServerManager.autodetect=False"]
    from course import copies

    try:
        for line in copies.prepare(ROOT):
            print(line, flush=True)
        folder = copies.FOLDER
    except OSError as error:
        print(f"No copies could be made in {ROOT} ({error.strerror}); opening lessons/ itself.", file=sys.stderr)
        folder = "lessons"
    if (ROOT / folder / "index.ipynb").is_file():
        ours.append(f"--LabApp.default_url=/lab/tree/{folder}/index.ipynb")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        ours.append("--allow-root")  # containers; the server answers to this machine only, and to its token
    # `course reset 04` in JupyterLab's terminal means this installation
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    LabApp.launch_instance(ours + arguments)
    return 0


def reset(names: list[str]) -> int:
    """Bring lessons back as the course has them; the old copies are kept."""
    from course import copies

    if not names:
        print("Say which lesson: course reset 04", file=sys.stderr)
        return 2
    for name in names:
        try:
            print(copies.reset(ROOT, name))
        except (copies.NoLesson, OSError) as error:
            print(f"course reset: {error}", file=sys.stderr)
            return 1
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course", description="Transformers and LLMs for the social sciences.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("lab", help="open the lessons in JupyterLab; what follows goes to JupyterLab", add_help=False)
    commands.add_parser("build", help="make the notebooks from lessons/src (see: course build --help)", add_help=False)
    commands.add_parser("reset", help="bring a lesson of my-lessons/ back (course reset 04); the old copy is kept")
    commands.add_parser("annotate", help="label a large file (see: course annotate --help)", add_help=False)
    commands.add_parser("export", help="write a model for other programs (see: course export --help)", add_help=False)
    commands.add_parser("doctor", help="check this machine; every failure comes with a cure")
    options, rest = parser.parse_known_args(argv)
    if options.command == "lab":
        return lab(rest[1:] if rest[:1] == ["--"] else rest)
    if options.command == "build":
        from course.build import main as build

        return build(rest) or 0
    if options.command == "annotate":
        from course.corpus import main as annotate

        return annotate(rest)
    if options.command == "export":
        from course.browser import write_page
        from course.export import main as export

        return export(rest, write_page)
    if options.command == "reset":
        return reset(rest)
    if rest:
        parser.error(f"doctor takes no arguments, got: {' '.join(rest)}")
    from course.doctor import main as doctor

    return doctor()
