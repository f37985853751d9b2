"""Attention in a real browser without a network: drawn at once, drawn again, reopened, in both themes, by keyboard, inert."""

import io

import nbformat
import pytest
from PIL import Image

from course import build

HOSTILE = "the <img src=x onerror='top.hit=1'><script>top.hit=2</script></script> bank"
CELLS = (
    "from course import AutoModelForSequenceClassification, AutoTokenizer\n"
    "from course import ablate_heads, pipeline, show_attention\n"
    "tokenizer = AutoTokenizer.from_pretrained('pocket/sentiment')\n"
    "model = AutoModelForSequenceClassification.from_pretrained('pocket/sentiment')\n"
    "text = 'The bank refused my loan.'",
    "show_attention(model, tokenizer, text)",
    "show_attention(model, tokenizer, text, 'We sat on the bank.', view='model', layers=[0, 5])",
    "show_attention(model, tokenizer, text, view='neuron', layers=2)",
    f"show_attention(model, tokenizer, {HOSTILE!r})",
    f"show_attention(model, tokenizer, {HOSTILE!r}, inline=True)",
    "show_attention(model, tokenizer, text, inline=True)",
    f"show_attention(model, tokenizer, {HOSTILE!r}, view='arcs', layers=2, heads=8)",
    "classify = pipeline('sentiment-analysis')",
)


@pytest.fixture
def notebook(open_notebook, jupyter):
    """A notebook of views in a window so high that JupyterLab keeps all of them on the page."""
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS], metadata=build.KERNEL)
    nbformat.write(page, jupyter.root / "attention.ipynb")
    return high(open_notebook("attention.ipynb"))


def high(notebook):
    notebook.page.set_viewport_size({"width": 1000, "height": 5000})
    notebook.page.set_default_timeout(60_000)
    return notebook


def frames(notebook, expected=4):
    """The frames of the views, as soon as they are drawn."""
    shown = notebook.page.locator(".jp-OutputArea iframe")
    for number in range(expected):
        shown.nth(number).content_frame.locator("svg line").first.wait_for(state="attached")
    assert shown.count() == expected
    return [shown.nth(number).content_frame for number in range(expected)]


def drawn(notebook):
    """Lines and paths in each view, those in the page last."""
    counts = [(frame.locator("svg line").count(), frame.locator("svg path").count()) for frame in frames(notebook)]
    return [*counts, notebook.page.locator(".jp-OutputArea .attention-view svg line").count()]


def test_attention_is_drawn_again_and_again(notebook, open_notebook):
    notebook.run_all()
    head, model, neuron, hostile, inline = drawn(notebook)
    tokens = 8
    assert head == (tokens**2 * 12, 0) and model == (15**2 * 12 * 2, 0)
    assert neuron[1] >= tokens**2 and neuron[0] > tokens**2, "the queries and keys are joined by paths"
    assert inline == hostile[0] + head[0], "two views in one page, each in its own place"

    # nothing that a text holds has run, and notes are no errors
    assert notebook.page.evaluate("() => window.hit") is None
    assert notebook.page.get_by_text("No model was named: sentiment-analysis uses pocket/sentiment").count()
    assert not notebook.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count(), "a red box"

    # by keyboard: the first head of twelve is switched off and on
    frame = frames(notebook)[0]
    button = frame.locator("rect[role=button]").first
    on = button.get_attribute("fill")
    button.focus()
    notebook.page.keyboard.press("Enter")
    assert button.get_attribute("fill") != on
    assert frame.locator("#attention .headAttention").first.locator("line").first.get_attribute("stroke-opacity") == "0"
    notebook.page.keyboard.press(" ")
    assert button.get_attribute("fill") == on
    frame.get_by_label("Layer").select_option("3")
    assert frame.locator("svg line").count() == head[0]
    frame.locator("text").nth(1).hover()
    assert frame.locator("line[visibility=visible]").count() == tokens * 12

    # dark and light: the letters are light on the dark page, and dark again
    def letters():
        return frames(notebook)[0].locator("text").first.evaluate("e => parseInt(getComputedStyle(e).fill.match(/\\d+/)[0])")
    light = letters()
    for theme, mode in (("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")):
        notebook.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        frames(notebook)[0].locator(f".attention-view.{mode}").wait_for(state="attached")
        assert (letters() > 180) is (mode == "dark"), theme
        ground = Image.open(io.BytesIO(notebook.page.locator("iframe[srcdoc]").first.screenshot())).convert("L").histogram()
        assert (ground.index(max(ground)) < 60) is (mode == "dark"), theme
    assert light < 80

    # run again, saved, opened again without a run
    before = drawn(notebook)
    notebook.run_all()
    assert drawn(notebook) == before
    notebook.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    again = high(open_notebook("attention.ipynb"))
    assert drawn(again) == before and not again.page.evaluate("() => window.hit")
    assert notebook.complaints == [] and again.complaints == []
