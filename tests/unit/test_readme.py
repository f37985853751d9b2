"""What the project's pages promise is there, and the first cell prints what README says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_first_cell(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    cell, output = re.search(r"```python\n(.*?)```\n```\n(.*?)```", text, re.DOTALL).groups()
    exec(cell, {})
    assert capsys.readouterr().out == output


def test_one_version():
    import course

    for page in ("pyproject.toml", "CITATION.cff"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert re.search(rf'^version[ =:]+"?{re.escape(course.__version__)}"?$', text, re.MULTILINE), page
