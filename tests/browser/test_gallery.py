"""The pictures of docs/gallery.md: pytest tests/browser/test_gallery.py --gallery docs/gallery"""

import io
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import sign

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "solutions").glob("*.ipynb"))
# The cell whose result says most: a view or a widget, else the last picture; its place in the notebook.
TO_THE_BEST = """() => {
    window.jupyterapp.shell.collapseLeft();
    const content = window.jupyterapp.shell.currentWidget.content;
    const shown = [...content.model.cells].map(cell => cell.type === 'code' ? JSON.stringify(cell.toJSON().outputs) : '');
    const found = ['<iframe', 'widget-view', '<img', '<table', 'text/html'].map(what => shown.findLastIndex(
        output => output.includes(what))).find(place => place >= 0);
    return content.scrollToItem(found, 'start').then(() => found);
}"""


def test_the_gallery_shows_lessons_that_exist():
    shown = re.findall(r"!\[.{20,}\]\(gallery/(\w+)\.png\)", (ROOT / "docs/gallery.md").read_text(encoding="utf-8"))
    files = list((ROOT / "docs/gallery").glob("*.png"))
    assert shown == sorted(path.stem for path in files) and set(shown) <= set(NAMES)
    assert sum(path.stat().st_size for path in files) < 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_picture_for_the_gallery(name, open_notebook, jupyter, request):
    folder = request.config.getoption("--gallery")
    if folder is None:
        pytest.skip("pictures are made with --gallery DIR")
    from PIL import Image

    page = nbformat.read(jupyter.root / f"solutions/{name}.ipynb", as_version=4)
    sign.NotebookNotary(data_dir=str(jupyter.root.parent / "data")).sign(page)       # or frames of attention stay hidden
    notebook = open_notebook(f"solutions/{name}.ipynb")
    notebook.page.set_viewport_size({"width": 1024, "height": 768})
    for _ in range(3):                                       # cells above get their height while the page scrolls
        notebook.page.evaluate(TO_THE_BEST)
        notebook.page.wait_for_timeout(700)
    picture = notebook.page.locator(".jp-WindowedPanel-outer").first.screenshot()
    folder.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(picture)).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(folder / f"{name}.png", optimize=True)
