"""One line in pyproject.toml says where the project lives; `course build` writes it everywhere, `--check` finds the rest."""

import re
import shutil
from pathlib import Path

import pytest

from course import build, place

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fork(tmp_path):
    for name in place.FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "lessons/src").mkdir(parents=True)
    (tmp_path / "lessons/src/07_count.py").write_text(
        "# %% [markdown]\n# # Counting\n#\n# > Who?\n#\n# - count\n#\n# 45 minutes\n\n# %%\n1 + 1\n")
    return tmp_path


def move(folder, address):
    file = folder / "pyproject.toml"
    file.write_text(re.sub(r'^Repository = .*$', f'Repository = "{address}"', file.read_text(), flags=re.M))


def test_every_copy_is_the_line_of_pyproject():
    assert list(place.copies(ROOT)) == []
    now = place.owner_and_name(ROOT)
    for name in ("README.md", "CITATION.cff", "start.py", "course/cli.py", "course/doctor.py"):
        assert now in (ROOT / name).read_text(encoding="utf-8"), name


def test_no_file_outside_the_list_names_the_project():
    now, texts = place.owner_and_name(ROOT), (".py", ".md", ".toml", ".cff", ".yml", ".json", "")
    folders = ("course", "binder", ".devcontainer", ".github", "docs", "recipes", "benchmarks", "datasets")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix in texts]
    files += [file for file in ROOT.iterdir() if file.is_file() and file.suffix in texts]
    strays = [file.relative_to(ROOT).as_posix() for file in files if now in file.read_text(encoding="utf-8", errors="replace")]
    assert set(strays) <= set(place.FILES)


@pytest.mark.parametrize("address", ["https://github.com/my-university/course", "https://github.com/anna/llm.course-2027/"])
def test_a_fork_changes_one_line(fork, address, capsys):
    now, new = place.owner_and_name(fork), address.removeprefix("https://github.com/").rstrip("/")
    readme = fork / "README.md"
    readme.write_text(readme.read_text() + "\nhttps://github.com/pytorch/pytorch\n")
    move(fork, address)
    assert build.main(["--root", str(fork), "--check"]) == 1
    said = capsys.readouterr().err
    for name in ("README.md", "CITATION.cff", "start.py", "course/cli.py", "course/doctor.py"):
        assert f"{name} names another repository than pyproject.toml, first in line" in said
    assert build.main(["--root", str(fork), "--no-execute"]) == 0
    assert list(place.copies(fork)) == []
    for name in place.FILES:
        text = (fork / name).read_text()
        assert now not in text and (new in text or name == "CHANGELOG.md"), name
    assert "github.com/pytorch/pytorch" in readme.read_text()          # the repositories of others stay
    assert f"mybinder.org/v2/gh/{new}/main" in readme.read_text()
    assert f"git clone https://github.com/{new}\n" in readme.read_text()


def test_one_copy_that_differs_is_named(fork, capsys):
    readme = fork / "README.md"
    readme.write_text(readme.read_text().replace("codespaces.new/course-llm/course", "codespaces.new/somebody/course"))
    assert build.main(["--root", str(fork), "--check"]) == 1
    assert "README.md names another repository" in (said := capsys.readouterr().err) and "CITATION" not in said


@pytest.mark.parametrize("address", ["", "https://gitlab.com/a/b", "github.com/a/b", "https://github.com/a"])
def test_an_address_that_cannot_be_written_everywhere_is_refused(fork, address, capsys):
    move(fork, address)
    assert build.main(["--root", str(fork), "--no-execute"]) == 1
    assert "need a repository on GitHub" in " ".join(capsys.readouterr().err.split())
