"""What surrounds the results of a lesson: the line of the set-up cell, replies in a box."""

import torch

from course import notebook


def test_ready_seeds_and_names_the_versions():
    first = notebook.ready()
    numbers = torch.rand(3)
    second = notebook.ready(42)
    assert torch.equal(torch.rand(3), numbers) and repr(first) == repr(second)
    assert repr(first).startswith("Python 3.") and torch.__version__ in repr(first) and repr(first).endswith("seed 42")
    assert repr(notebook.ready(7)).endswith("seed 7")


def test_hints_open_on_paper():
    assert "@media print" in (page := notebook.ready()._repr_html_()) and "details" in page and "seed 42" in page


def test_a_box_says_with_a_sign_what_its_colour_says():
    for sign in notebook.SIGNS:
        html = notebook.box(sign, "Is <b> a tag?", "Second\nline")
        assert f">{sign}</b> Is &lt;b&gt; a tag?" in html and "Second<br>line" in html
        assert "word-break: normal" in html and "white-space: normal" in html
    assert len(set(notebook.SIGNS.values())) == 3
