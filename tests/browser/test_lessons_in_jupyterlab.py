"""What a learner sees: the notebooks in JupyterLab, without a network."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# what is wider than its place, and by how many pixels
TOO_WIDE = """() => [...document.querySelectorAll('.jp-CodeCell .cm-scroller, .jp-OutputArea-output div')]
    .map(e => [e.textContent.slice(0, 60), e.scrollWidth - e.clientWidth])"""
FURTHER = """() => {
    const page = document.querySelector('.jp-WindowedPanel-outer'), before = page.scrollTop;
    page.scrollTop += 500;
    return page.scrollTop > before;
}"""
SPARE = 50          # 80 columns beside an open file list: the last six; Ctrl+B closes the list
NAMES = sorted(path.stem for path in (ROOT / "lessons/src").glob("*.py"))
TAUGHT = [name for name in NAMES if "capstone" not in name]         # which is a frame for one's own texts, without exercises


@pytest.mark.parametrize("name", NAMES)
def test_lesson_runs_from_top_to_bottom(open_notebook, name):
    notebook = open_notebook(f"lessons/{name}.ipynb")
    notebook.run_all()
    assert notebook.complaints == []
    shown = " ".join(str(cell["outputs"]) for cell in notebook.cells())
    assert ("Exercise 1: not done yet." in shown) is (name in TAUGHT)


@pytest.mark.parametrize("name", TAUGHT)
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
    assert "children" in before and notebook.complaints == []
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


def test_a_click_on_a_term_leads_to_it_the_first_time(open_notebook):
    notebook = open_notebook("lessons/02_glossary_and_model_inputs.ipynb")
    notebook.page.locator(".jp-MarkdownOutput a[href*='glossary.ipynb']", has_text="NLG").first.click()
    notebook.page.get_by_role("tab", name="glossary.ipynb").wait_for()
    heading = notebook.page.locator(".jp-MarkdownOutput h2", has_text="NLG").first
    for _ in range(40):
        box = heading.bounding_box() if heading.count() else None
        if box and 0 <= box["y"] <= 1000:
            break
        notebook.page.wait_for_timeout(250)
    assert box and 0 <= box["y"] <= 1000, box


@pytest.mark.parametrize("name", TAUGHT)
def test_nothing_is_cut_on_a_small_screen(open_notebook, name):
    """1024 x 768, the file list open: no line of code and no reply is wider than its place."""
    notebook = open_notebook(f"solutions/{name}.ipynb")
    notebook.page.set_viewport_size({"width": 1024, "height": 768})
    notebook.page.get_by_text("Exercise 1: ").first.wait_for()
    seen = {}
    for _ in range(40):                                  # only cells near the window are on the page
        seen |= dict(notebook.page.evaluate(TOO_WIDE))
        if not notebook.page.evaluate(FURTHER):
            break
        notebook.page.wait_for_timeout(150)
    assert {text: pixels for text, pixels in seen.items() if pixels > SPARE} == {}
