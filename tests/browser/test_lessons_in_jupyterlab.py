"""What a learner sees: the notebooks in JupyterLab, without a network."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "lessons/src").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_lesson_runs_from_top_to_bottom(open_notebook, name):
    notebook = open_notebook(f"lessons/{name}.ipynb")
    notebook.run_all()
    assert notebook.complaints == []
    shown = " ".join(str(cell["outputs"]) for cell in notebook.cells())
    assert "Exercise 1: not done yet." in shown


@pytest.mark.parametrize("name", NAMES)
def test_solution_shows_its_results_before_anything_is_run(open_notebook, name):
    notebook = open_notebook(f"solutions/{name}.ipynb")
    notebook.page.get_by_text("✓ Exercise 1: ").first.wait_for()
    pictures = notebook.pictures()
    assert pictures and notebook.complaints == []
    for picture in pictures:
        assert picture.get_attribute("alt")
        assert picture.evaluate("image => image.naturalWidth") > 300


def test_quick_tour_panel_answers_to_typing(open_notebook):
    notebook = open_notebook("lessons/01_quick_tour.ipynb")
    notebook.run_all()
    picture = notebook.page.locator(".jp-OutputArea .widget-html img")
    before = picture.get_attribute("alt")
    box = notebook.page.locator(".jp-OutputArea .widget-text input")
    box.fill("The engineer said that [MASK] was tired.")
    notebook.page.locator(".widget-html img[alt*='engineer']").wait_for()
    assert "nurse" in before and notebook.complaints == []
    box.fill("No gap here.")
    notebook.page.locator(".widget-html", has_text="Write [MASK] once.").wait_for()


def test_index_leads_to_the_lessons(open_notebook):
    notebook = open_notebook("lessons/index.ipynb")
    for name in NAMES:
        links = notebook.page.locator(f".jp-MarkdownOutput a[href*='{name}.ipynb']")
        links.nth(1).wait_for(state="attached")
        assert links.count() == 2
    notebook.page.locator(".jp-MarkdownOutput h2 a").first.click()
    notebook.page.get_by_role("tab", name=f"{NAMES[0]}.ipynb").wait_for()
    notebook.page.get_by_role("tab", name="index.ipynb").click()
    assert notebook.complaints == []
