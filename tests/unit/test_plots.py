"""Pictures: what they show is also said in words, and a wrong input is answered with a cure."""

import base64
import io
import itertools
import re
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image

import course
from course import attention_views, plots
from course.research.pictures import MARKS
from course.widgets.embedding import COLOURS

HOSTILE = "<script>hit()</script>&\"'<img src=x onerror=hit()> $\\frac{ $ \x07\x1b\0]]>"
MAP = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]], requires_grad=True)


def svgs(picture):
    return [base64.b64decode(found).decode() for found in re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', picture._repr_html_())]


def every(text):
    """One picture of each kind with this text wherever a text can stand."""
    table, names = np.eye(2), [text, "b"]
    return [plots.bars(names, [1, 2], text, text), plots.attention(table, names, text), plots.attention_arcs(1 - table, names, text),
            plots.heatmap(table, names, names, text, text, text, signed=True), plots.attention_grid(np.ones((2, 3, 2, 2)), [0, 1], [0, 1, 2], text),
            plots.attention_of_a_word(np.ones((1, 2, 2)), 0, names, names, [0], text), plots.before_and_after(names, [0, 1], [1, 0], text),
            plots.flow([(text, text), ("b", "")], text, [(0, 1, text)]), plots.grid([names], [text], text), plots.tree([names], [0.5], text)]


def test_bars_are_said_in_words_and_drawn():
    picture = plots.probabilities(["$5 & <b>", "x_{2}$"], torch.tensor([0.75, 0.125]), 'He said "[MASK]".')
    assert repr(picture) == 'Bar chart. He said "[MASK]". $5 & <b> 0.75, x_{2}$ 0.12.'
    assert 'alt="Bar chart. He said &quot;[MASK]&quot;. $5 &amp; &lt;b&gt; 0.75' in picture.html
    axes = picture.figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.125]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$5 & <b>", "x_{2}$"]
    assert axes.yaxis_inverted()


@pytest.mark.filterwarnings("error")
def test_a_script_that_the_font_lacks_is_no_warning():
    """Its letters are letters in the SVG: a reader's fonts have them."""
    picture = plots.probabilities(["市民"], [0.5])
    assert "市民 0.50" in repr(picture) and ">市民</text>" in svgs(picture)[0]
    assert picture._repr_png_()


def test_equal_labels_keep_their_own_bars():
    assert len(plots.probabilities(["a", "a"], [0.5, 0.25]).figure.axes[0].patches) == 2


def test_attention_is_said_in_words_and_drawn():
    picture = plots.attention(MAP, ["not", "so", "bad"], "Layer 1")
    assert repr(picture) == ("Heat map of attention. Layer 1 not looks most at not (0.70); "
                             "so looks most at bad (0.80); bad looks most at so (0.40).")
    image = picture.figure.axes[0].images[0]
    assert np.allclose(image.get_array(), MAP.detach())
    assert svgs(picture) == svgs(again := plots.attention(MAP.tolist(), ["not", "so", "bad"], "Layer 1"))
    assert picture._repr_png_() == again._repr_png_(), "a notebook that is run again does not change"


def test_each_front_end_finds_what_it_can_show():
    """HTML with an SVG and an alt text; the PNG for LaTeX; words. No image/svg+xml, for which nbconvert wants Inkscape."""
    from nbconvert import LatexExporter

    for picture in every("a")[:6:2] + every("a")[5:6]:
        data, metadata = DisplayFormatter().format(picture)
        assert set(data) == {"text/html", "image/png", "text/plain"} and metadata["image/png"] == {"alt": picture.alt}
        assert data["text/plain"] == picture.alt and len(data["text/html"]) + len(data["image/png"]) < 100_000
        page = picture._repr_html_()
        assert page.count("<img alt=") == page.count("data:image/svg+xml") == len(svgs(picture)) >= 1
        image = Image.open(io.BytesIO(data["image/png"]))
        assert image.width > 150 and len(image.convert("RGB").getcolors(1000)) > 3
    bundle = {name: base64.b64encode(value).decode() if name == "image/png" else value for name, value in data.items()}
    cell = nbformat.v4.new_code_cell("x", outputs=[nbformat.v4.new_output("display_data", bundle, metadata=metadata)])
    latex, resources = LatexExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert resources["outputs"] == {"output_0_0.png": data["image/png"]} and "{output_0_0.png}" in latex


@pytest.mark.filterwarnings("error")
def test_nothing_in_a_picture_runs_or_loads():
    for picture in every(HOSTILE):
        assert "<script" not in picture.html and "<img src" not in picture.html
        for text in svgs(picture):
            root = ElementTree.fromstring(text)                     # XML has no place for a bell: such a picture would be empty
            for node in root.iter():
                assert node.tag.rpartition("}")[2] not in ("script", "foreignObject", "a") and "hit" not in str(node.keys())
                assert all(value.startswith(("#", "data:image/png")) for name, value in node.items() if name.endswith("href")), node.items()
            assert "hit()" in "".join(root.itertext())
            assert set(re.findall(r"https?://[^\"]+", text)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
            assert not re.search(r"url\((?!#)|@import", text)


# Machado, Oliveira and Fernandes 2009, full severity, for linear RGB
SEEN_BY = {"all": np.eye(3), "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
           "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
           "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]}


def as_lab(colour, who):
    """A colour (R, G, B) between 0 and 1, as somebody sees it, in CIE L*a*b*, where a difference of 10 is plain to see."""
    rgb = np.asarray(colour[:3], dtype=float)
    linear = np.clip(SEEN_BY[who] @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("who", SEEN_BY)
def test_colours_can_be_told_apart(who):
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    heads = re.findall(r'"(#\w{6})"', (Path(course.__file__).parents[1] / "recipes/bertviz/frame.js").read_text(encoding="utf-8"))
    assert len(heads) == 10 and all(",".join(f'"{colour}"' for colour in heads) in (attention_views.ASSETS / f"{view}.js").read_text(encoding="utf-8")
                                    for view in ("head", "model", "neuron"))
    for colours in (heads, ["#0072b2", "#d55e00"], ["#0072b2", "#e69f00"], [colour for _, colour in MARKS.values()], COLOURS):
        labs = [as_lab(to_rgb(colour), who) for colour in (*colours, colours[0])]
        assert min(np.linalg.norm(a - b) for a, b in itertools.pairwise(labs)) > 15, colours
    steps = np.linspace(0, 1, 11)
    light = np.array([as_lab(colormaps["cividis"](step), who)[0] for step in steps])
    assert (np.diff(light) > 4).all(), "more is lighter, for everybody"
    low, middle, high = (as_lab(colormaps["PuOr"](step), who) for step in (0.1, 0.5, 0.9))
    assert np.linalg.norm(low - high) > 30 and middle[0] > max(low[0], high[0]) + 15


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
    assert Image.open(io.BytesIO(row._repr_png_()[0])).width == sum(plots.image_of(one.figure).width for one in row.pictures)
    assert row._repr_html_().count("<img") == 2 and repr(row) == "Diagram. one x: a.\nDiagram. two y: b."


def test_spans_are_marked_in_words():
    spans = plots.Spans("Anna <b> left Tamsin.", [{"start": 14, "end": 20, "entity_group": "LOC"},
                                                  {"start": 0, "end": 4, "entity": "B-PER"}])
    assert repr(spans) == "[Anna B-PER] <b> left [Tamsin LOC]."
    assert "&lt;b&gt; left" in (page := spans._repr_html_()) and page.count("<mark") == 2 and "<b>LOC</b>" in page
    assert repr(plots.Spans("nobody", [])) == "nobody"
    nested = [{"start": 0, "end": 9, "entity": "A"}, {"start": 2, "end": 4, "entity": "B"}, {"start": 6, "end": 12, "entity": "C"}]
    assert repr(plots.Spans("Anna Berg left", nested)) == "[Anna Berg A][ B][ le C]ft"         # no letter twice, no span lost
