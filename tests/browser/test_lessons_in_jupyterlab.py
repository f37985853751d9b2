"""What a learner sees: the notebooks in JupyterLab, without a network."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# what is wider than its place, and by how many pixels; not what scrolls by itself (without trust a page loses its role)
TOO_WIDE = """() => [...document.querySelectorAll('.jp-CodeCell .cm-scroller, .jp-OutputArea-output div:not([role=region])')]
    .filter(e => e.style.overflowX !== 'auto')
    .map(e => [e.textContent.slice(0, 60), e.scrollWidth - e.clientWidth])"""
FURTHER = """() => {
    const page = document.querySelector('.jp-WindowedPanel-outer'), before = page.scrollTop;
    page.scrollTop += 500;
    return page.scrollTop > before;
}"""
SPARE = 50          # 80 columns beside an open file list: the last six; Ctrl+B closes the list
NAMES = sorted(path.stem for path in (ROOT / "lessons/src").glob("*.py"))
TAUGHT = [name for name in NAMES if "capstone" not in name]         # which is a frame for one's own texts, without exercises

MINUTES = ["09_fine_tuning_for_research"]                           # of training: tests/lessons run it


@pytest.mark.parametrize("name", NAMES)
def test_solution_is_whole_as_it_is_saved_and_when_it_is_run(open_notebook, name):
    """One opening, three looks: what is saved, whether it fits 1024 x 768 with the file list open, every cell run anew."""
    notebook = open_notebook(f"solutions/{name}.ipynb")
    if name in TAUGHT:
        notebook.page.get_by_text("✓ Exercise 1: ").first.wait_for()
    pictures = notebook.pictures()
    assert pictures or name not in TAUGHT or notebook.page.locator(".jp-OutputArea td span").count()     # or a widget's still
    for picture in pictures:
        assert picture.get_attribute("alt")
        assert picture.evaluate("image => image.naturalWidth") > 300
    notebook.page.set_viewport_size({"width": 1024, "height": 768})
    assert too_wide(notebook) == {}
    if name not in MINUTES:
        notebook.run_all()
    assert notebook.complaints == []


def too_wide(notebook):
    """{text: pixels} of code and replies that are wider than their place. Only cells near the window are on the page."""
    seen = {}
    for _ in range(40):
        seen |= dict(notebook.page.evaluate(TOO_WIDE))
        if not notebook.page.evaluate(FURTHER):
            break
        notebook.page.wait_for_timeout(100)
    return {text: pixels for text, pixels in seen.items() if pixels > SPARE}


def test_the_gap_of_the_quick_tour_answers_to_typing(open_notebook):
    notebook = open_notebook("lessons/01_quick_tour.ipynb")
    notebook.run_all()
    box = notebook.page.locator(".jp-OutputArea .widget-text input").first
    box.fill("The engineer said that [MASK] was tired.")
    notebook.page.locator(".widget-html th:text-is('he')").wait_for()
    box.fill("No gap here.")
    notebook.page.locator(".widget-html", has_text="Write [MASK] once").wait_for()
    assert notebook.complaints == []


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
