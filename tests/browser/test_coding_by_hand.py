"""The editor for coding by hand, with the keyboard alone, in JupyterLab."""

import csv

import nbformat
import pytest

from course import build

HOSTILE = "<img src=x onerror='window.hit=1'>"
CELL = f"""import pandas as pd
from course import Codebook, code_by_hand
book = Codebook("topics", "What is it <b>about</b>?", {{"rent": "what housing costs {HOSTILE}", "buses": "how people get around", {HOSTILE!r}: "the rest"}})
code_by_hand(pd.DataFrame({{"answer": [{HOSTILE!r}, "Buses are late.", "The rent is high.", "No bus at all.", "Rent!"]}}), "answer", book, coder="anna")"""
KERNEL = "() => window.jupyterapp.shell.currentWidget.context.sessionContext"


@pytest.fixture
def editor(open_notebook, jupyter):
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL), nbformat.v4.new_code_cell("1")], metadata=build.KERNEL)
    nbformat.write(page, jupyter.root / "coding.ipynb")
    notebook = open_notebook("coding.ipynb")
    notebook.run_all()
    assert notebook.complaints == []
    notebook.page.set_default_timeout(40_000)
    return notebook


def test_texts_are_coded_by_keyboard_and_jupyter_keeps_its_hands_off(editor, jupyter):
    page = editor.page
    output = page.locator(".jp-OutputArea").first
    box = output.locator("input[type=text]")
    box.focus()
    for key, then in (("1", 2), ("?", 2), ("2", 3), ("s", 4), ("u", 3), ("2", 4)):
        page.keyboard.press(key)
        output.get_by_text(f"Text {then} of 5").wait_for()
        if key == "?":
            output.locator("input[type=checkbox]:checked").wait_for()
    # on a button: Enter codes; keys that JupyterLab would take for cutting, deleting, changing the cell do nothing
    output.locator("button", has_text="1 rent").focus()
    page.keyboard.press("Enter")
    output.get_by_text("Text 5 of 5").wait_for()
    for key in ("x", "1", "m", "a", "d", "d", "ArrowDown", "y", "r"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert [cell["outputs"] != [] for cell in editor.cells()] == [True, True], "both cells are there, and cells of code"
    assert output.get_by_text("Text 5 of 5").is_visible()
    # what was typed is text
    assert page.evaluate("() => window.hit") is None and output.locator("img").count() == 0
    assert output.locator("button", has_text="3 <img").count() == 1 and output.get_by_text("What is it <b>about</b>?").is_visible()
    with open(jupyter.root / "codes_anna.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["unsure"]) for row in rows] == [("rent", "False"), ("buses", "True"), ("buses", "False"), ("rent", "False")]
    # a kernel that is gone: what was shown stays
    page.evaluate(f"({KERNEL})().shutdown()")
    page.wait_for_timeout(500)
    assert output.get_by_text("Text 5 of 5").is_visible()
    assert editor.complaints == []
