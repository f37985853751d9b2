"""Where this project lives: one line in pyproject.toml, `Repository = "https://github.com/owner/name"`.

`course build` writes it wherever it is needed (badges, clone commands, set-up cells), `course build --check` names a copy
that differs. So an instructor who forks the course changes one line.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

FILES = ("README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "start.py", "course/cli.py",
         "course/doctor.py")
# the ways in which a page names a repository; @ and the like end a name
LINK = re.compile(r"((?:github\.com|mybinder\.org/v2/gh|colab\.research\.google\.com/github|codespaces\.new)/)"
                  r"([\w-]+/[\w-]+(?:\.[\w-]+)*?)(?=\.git\b|\.?(?:[^\w.-]|$))")


def owner_and_name(root: Path) -> str:
    """'owner/name', from the line in pyproject.toml. Raises ValueError when it is no repository on GitHub."""
    with open(root / "pyproject.toml", "rb") as file:
        address = tomllib.load(file).get("project", {}).get("urls", {}).get("Repository", "")
    found = re.fullmatch(r"https://github\.com/([\w-]+/[\w.-]+?)(?:\.git|/)?", address)
    if not found:
        raise ValueError(f"pyproject.toml says Repository = {address!r}. Binder, Colab and the links in README need a "
                         'repository on GitHub, e.g. Repository = "https://github.com/my-university/course"')
    return found[1]


def copies(root: Path) -> Iterator[tuple[Path, str, str]]:
    """(file, what stands in it, what should stand in it) for each file in which the two differ.

    Ours is a link that names our repository, the one written before (CITATION.cff has it) or one called like the package;
    links to the repositories of others stay.
    """
    now = owner_and_name(root)
    cited = root / "CITATION.cff"
    text = cited.read_text("utf-8") if cited.is_file() else ""
    before = re.search(r"^repository-code: https://github\.com/(\S+)$", text, re.M)
    ours = {now.partition("/")[2], "course"}

    def write(link: re.Match[str]) -> str:
        mine = link[2].partition("/")[2] in ours or (before and link[2] == before[1])
        return link[1] + now if mine else link[0]

    for file in (root / name for name in FILES):
        if file.is_file() and (fresh := LINK.sub(write, text := file.read_text("utf-8"))) != text:
            yield file, text, fresh
