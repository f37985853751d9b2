"""Pictures: what they show is also said in words, and a wrong input is answered with a cure."""

import base64
import re

import numpy as np
import pytest
import torch

from course import plots

MAP = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]], requires_grad=True)


def png(picture):
    return base64.b64decode(re.search(r'base64,([^"]+)"', picture._repr_html_())[1])


def test_bars_are_said_in_words_and_drawn():
    picture = plots.probabilities(["$5 & <b>", "x_{2}$"], torch.tensor([0.75, 0.125]), 'He said "[MASK]".')
    assert repr(picture) == 'Bar chart. He said "[MASK]". $5 & <b> 0.75, x_{2}$ 0.12.'
    assert 'alt="Bar chart. He said &quot;[MASK]&quot;. $5 &amp; &lt;b&gt; 0.75' in picture.html
    axes = picture.figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.125]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$5 & <b>", "x_{2}$"]
    assert axes.yaxis_inverted() and png(picture).startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
def test_a_script_that_the_font_lacks_is_no_warning():
    assert "市民 0.50" in repr(plots.probabilities(["市民"], [0.5]))


def test_equal_labels_keep_their_own_bars():
    assert len(plots.probabilities(["a", "a"], [0.5, 0.25]).figure.axes[0].patches) == 2


def test_attention_is_said_in_words_and_drawn():
    picture = plots.attention(MAP, ["not", "so", "bad"], "Layer 1")
    assert repr(picture) == ("Heat map of attention. Layer 1 not looks most at not (0.70); "
                             "so looks most at bad (0.80); bad looks most at so (0.40).")
    image = picture.figure.axes[0].images[0]
    assert np.allclose(image.get_array(), MAP.detach())
    assert png(picture) == png(plots.attention(MAP.tolist(), ["not", "so", "bad"], "Layer 1"))


def test_attention_to_another_text_has_its_tokens_as_columns():
    picture = plots.attention(torch.tensor([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]]), ["le", "loyer"], "", ["the", "rent", "."])
    assert "le looks most at rent (0.70); loyer looks most at the (0.60)." in repr(picture)
    assert [label.get_text() for label in picture.figure.axes[0].get_xticklabels()] == ["the", "rent", "."]
    with pytest.raises(ValueError, match="2 tokens that look at 3 others"):
        plots.attention(MAP, ["a", "b"], "", ["a", "b", "c"])


@pytest.mark.parametrize(("weights", "tokens", "cure"), [
    (torch.zeros(1, 2, 3, 3), ["a"] * 3, r"attentions\[-1\]\[0, 0\]"),
    (torch.zeros(3, 3), ["a"] * 2, "convert_ids_to_tokens"),
    (torch.zeros(41, 41), ["a"] * 41, "40 or fewer"),
])
def test_what_is_no_map_is_refused_with_a_cure(weights, tokens, cure):
    with pytest.raises(ValueError, match=cure):
        plots.attention(weights, tokens)


@pytest.mark.parametrize(("labels", "scores"), [(["a"], [0.1, 0.2]), ([], [])])
def test_labels_and_scores_have_to_match(labels, scores):
    with pytest.raises(ValueError, match="each bar needs one of both"):
        plots.probabilities(labels, scores)


def test_a_flow_tells_its_steps_and_jumps():
    picture = plots.flow([("text", "The rent <is> $high$."), ("model", ""), ("label", "NEGATIVE")], "A pipeline", [(0, 2, "add")])
    assert repr(picture) == ("Diagram. A pipeline text: The rent <is> $high$.; model; label: NEGATIVE. "
                             "An arrow called add leads from text to label.")
    assert "&lt;is&gt;" in picture.html and "width=" in picture.html


def test_a_grid_tells_its_rows():
    picture = plots.grid([["[CLS]", "late"], ["1", "0", "0"]], ["tokens", "mask"], "Batch", quiet=["0"])
    assert repr(picture) == "Diagram. Batch tokens: [CLS] late; mask: 1 0 0."
    with pytest.raises(ValueError, match="1 rows and 2 names"):
        plots.grid([["a"]], ["one", "two"])


def test_pictures_stand_in_a_row():
    row = plots.Row(plots.grid([["a"]], ["x"], "one"), plots.grid([["b"]], ["y"], "two"))
    assert row._repr_html_().count("<img") == 2 and repr(row) == "Diagram. one x: a.\nDiagram. two y: b."


def test_spans_are_marked_in_words():
    spans = plots.Spans("Anna <b> left Tamsin.", [{"start": 14, "end": 20, "entity_group": "LOC"},
                                                  {"start": 0, "end": 4, "entity": "B-PER"}])
    assert repr(spans) == "[Anna B-PER] <b> left [Tamsin LOC]."
    assert "&lt;b&gt; left" in (page := spans._repr_html_()) and page.count("<mark") == 2 and "<b>LOC</b>" in page
    assert repr(plots.Spans("nobody", [])) == "nobody"
    nested = [{"start": 0, "end": 9, "entity": "A"}, {"start": 2, "end": 4, "entity": "B"}, {"start": 6, "end": 12, "entity": "C"}]
    assert repr(plots.Spans("Anna Berg left", nested)) == "[Anna Berg A][ B][ le C]ft"         # no letter twice, no span lost
