"""Pages on which nothing is computed: a notebook that is not trusted, one that became a web page, and paper."""

import base64

import nbformat
import pytest
import torch
from conftest import ROOT
from IPython.core.formatters import DisplayFormatter
from nbconvert import HTMLExporter, SlidesExporter

from course import AutoModelForSequenceClassification, AutoTokenizer, ablate_heads, notebook, plots, show_attention, widgets

HOSTILE = "the <img src=x onerror='top.hit=1'><script>top.hit=2</script></script> bank"
OF_NBCONVERT = ("/require.js/", "/mathjax/", "/mermaid", "/jquery/", "/reveal.js@")    # what its templates ask for, whatever they show
LIVE = ("head", "model", "neuron")


@pytest.fixture(scope="module")
def shown():
    """A notebook of every kind of picture, as a run leaves it."""
    tokenizer = AutoTokenizer.from_pretrained("pocket/sentiment")
    model = AutoModelForSequenceClassification.from_pretrained("pocket/sentiment")
    views = [show_attention(model, tokenizer, HOSTILE, view=view, layers=[0, 5], word="the")
             for view in (*LIVE, "grid", "arcs", "rollout", "word")]
    everything = [notebook.ready(), *views, ablate_heads(model, tokenizer, "The rent is too high.", heads=(0, 1)),
                  plots.Row(plots.bars(["a"], [1], HOSTILE), plots.attention(torch.eye(2), [HOSTILE[:5], "b"])),
                  plots.Spans(HOSTILE, []), widgets.token_explorer("pocket/sentiment", text=HOSTILE)]
    page = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    for number, value in enumerate(everything):
        data, metadata = DisplayFormatter().format(value)
        data.pop("application/vnd.jupyter.widget-view+json", None)             # as `course build` leaves it
        data = {name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in data.items()}
        page.cells.append(nbformat.v4.new_code_cell(f"x{number}  # " + "long " * 30, outputs=[nbformat.v4.new_output(
            "execute_result", data, metadata=metadata, execution_count=number)]))
    return page


@pytest.fixture
def opened(chromium, tmp_path, request):
    """opened(exporter, notebook): the page that nbconvert makes of it, in a browser without a network."""
    pages = []

    def open_one(exporter, content):
        file = tmp_path / "page.html"
        file.write_text(exporter.from_notebook_node(content)[0], encoding="utf-8")
        page = chromium.new_page(viewport={"width": 1000, "height": 900})
        page.asked = []
        page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else page.asked.append(asked.url))
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield open_one
    folder = request.config.getoption("--screenshot", default=None)
    for page in pages:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=folder / f"{request.node.name}.png", full_page=True)
            page.pdf(path=folder / f"{request.node.name}.pdf", format="A4")
        page.close()


def seen(page, what):
    """What of it has a size on the page, and, where it is a picture, could be decoded."""
    return page.locator(what).evaluate_all("all => all.filter(e => e.clientWidth > 100 && e.clientHeight > 30 && e.naturalWidth !== 0).length")


def test_untrusted_pages_show_pictures(shown, open_notebook, jupyter):
    nbformat.write(shown, jupyter.root / "untrusted.ipynb")
    notebook = open_notebook("untrusted.ipynb")
    notebook.page.set_viewport_size({"width": 1000, "height": 8000})
    pictures = notebook.pictures()
    assert len(pictures) == 11 and seen(notebook.page, ".jp-OutputArea img") == 11
    assert all(len(picture.get_attribute("alt")) > 20 for picture in pictures)
    assert notebook.page.locator(".jp-OutputArea iframe").count() == 0 and notebook.page.locator("summary").count() == 8
    notebook.page.locator("summary").first.click()
    assert notebook.page.locator(".jp-OutputArea td").first.is_visible()
    text = notebook.page.locator(".jp-Notebook").inner_text()
    assert "attentionView" not in text and "<style" not in text and "display: none" not in text, "what was cleaned away leaves no rest"
    assert notebook.page.evaluate("() => window.hit") is None and notebook.complaints == []


@pytest.mark.parametrize("exporter", [HTMLExporter, SlidesExporter])
def test_a_page_made_by_nbconvert_shows_all_and_loads_nothing(exporter, shown, opened):
    page = opened(exporter(), shown)
    for number in range(3):
        page.locator("iframe").nth(number).content_frame.locator("svg line").first.wait_for(state="attached")
    assert seen(page, "iframe") == 3 and seen(page, "img") == 8, "each frame hides the still picture in its place"
    assert page.locator(".attention-still:visible").count() == 0 and page.get_by_text("A line runs under each word").is_visible()
    assert [url for url in page.asked if not any(part in url for part in OF_NBCONVERT)] == []
    assert page.evaluate("() => window.hit") is None


@pytest.mark.parametrize("source", ["every picture", "solution 7"])
def test_paper_shows_what_a_screen_folds_away(source, shown, opened):
    content = shown
    if source == "solution 7":
        content = nbformat.read(ROOT / "solutions/07_inside_a_transformer.ipynb", as_version=4)
        next(cell for cell in content.cells if "setup" in cell.metadata.get("tags", [])).outputs = shown.cells[0].outputs
    page = opened(HTMLExporter(), content)
    frames = page.locator("iframe").count()
    page.set_viewport_size({"width": 700, "height": 1000})                # A4 between its margins
    page.emulate_media(media="print")
    page.locator("iframe").last.content_frame.locator("svg line").first.wait_for(state="attached")
    assert seen(page, "iframe") == frames >= 1 and seen(page, "img") == page.locator("img:visible").count() >= 3
    assert page.locator("details td:visible").count() == page.locator("details td").count() > 10
    assert set(page.locator("details code, details b").evaluate_all("all => all.map(e => getComputedStyle(e).display)")) <= {"inline"}
    wide = page.locator("img:visible, iframe, pre").evaluate_all("all => all.filter(e => e.scrollWidth > e.clientWidth + 2"
                                                                 " || e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 200))")
    assert wide == []
