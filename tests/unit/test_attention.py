"""Attention: the numbers that are drawn are the model's, whatever the model; nothing in a text runs; wrong choices are explained."""

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from test_every_model import KINDS, make

import course
from course import ablate_heads, attention, attention_views, show_attention

TEXT, OTHER = "the council vote was not bad", "is the new school good"
HOSTILE = "good </script><script>alert(1)</script> <img src=x onerror=alert(2)> \u2028 &amp; \"quoted\" 'too'"


@pytest.fixture
def classifier():
    return tiny.model()


@pytest.fixture
def tokenizer():
    return tiny.tokenizer(model_max_length=64)


def params(view):
    """What the frame of a view is given to draw."""
    frame = html.unescape(re.search(r'srcdoc="([^"]*)"', view._repr_html_())[1])
    return json.loads(re.search(r'attentionView\.show\("[\w-]+", ".*?", (\{.*\})\);</script>', frame, re.DOTALL)[1])


def test_what_bertviz_draws_is_what_the_model_computed(classifier, tokenizer):
    drawn = params(show_attention(classifier, tokenizer, TEXT, layers=[1], heads=[2, -1]))
    encoded = tokenizer(TEXT, return_tensors="pt")
    wanted = classifier(**encoded, output_attentions=True).attentions[1][0]
    assert drawn["include_layers"] == [1] and drawn["heads"] == [2, 3] and drawn["scale"] == 1000
    (one,) = drawn["attention"]
    assert one["left_text"] == one["right_text"] == encoded.tokens()
    assert torch.allclose(torch.tensor(one["attn"][0]) / 1000, wanted, atol=6e-4)
    model = params(show_attention(classifier, tokenizer, TEXT, view="model", heads=[2]))
    assert (model["include_layers"], model["include_heads"], model["total_heads"]) == ([0, 1], [2], 4)
    assert model["attention"][0]["attn"][1][0] == one["attn"][0][2]


@pytest.mark.parametrize("view", ["head", "model"])
@pytest.mark.parametrize("case", ["one text", "a pair", "some layers and heads", "encoder and decoder"])
def test_bertviz_itself_is_given_the_same(view, case, classifier, tokenizer):
    """Its own functions, where they are installed, put the same numbers and tokens into the page."""
    bertviz = pytest.importorskip("bertviz", reason="bertviz is not installed: pip install --no-deps bertviz==1.4.1")
    some = {"layers": [1], "heads": [0, 2]} if case.startswith("some") else {}
    names = {"include_layers": some.get("layers")} | ({"heads": some.get("heads")} if view == "head" else {"include_heads": some.get("heads")})
    if case.startswith("encoder"):
        model = make("t5", vocab_size=120)
        encoded = tokenizer(TEXT, return_tensors="pt")
        ids = torch.cat([torch.tensor([[model.config.decoder_start_token_id]]), tokenizer(OTHER, return_tensors="pt")["input_ids"][:, :-1]], 1)
        with torch.inference_mode():
            out = model.eval()(encoded["input_ids"], decoder_input_ids=ids, output_attentions=True)
        given = {"encoder_attention": out.encoder_attentions, "decoder_attention": out.decoder_attentions, "cross_attention": out.cross_attentions,
                 "encoder_tokens": encoded.tokens(), "decoder_tokens": tokenizer.convert_ids_to_tokens(ids[0].tolist())}
        ours = show_attention(model, tokenizer, TEXT, target=OTHER, view=view)
    else:
        b = OTHER if case == "a pair" else None
        encoded = tokenizer(TEXT, b, return_tensors="pt")
        given = {"attention": classifier(**encoded, output_attentions=True).attentions, "tokens": encoded.tokens(),
                 "sentence_b_start": encoded.sequence_ids().index(1) if b else None}
        ours = show_attention(classifier, tokenizer, TEXT, b, view=view, **some)
    page = getattr(bertviz, f"{view}_view")(**given, **{name: value for name, value in names.items() if value}, html_action="return").data
    theirs, mine = json.JSONDecoder().raw_decode(page[re.search(r"params = (?={)|bertviz_params = (?={)", page).end():])[0], params(ours)
    assert [(one["name"], one["left_text"], one["right_text"]) for one in theirs["attention"]] == [
        (one["name"], one["left_text"], one["right_text"]) for one in mine["attention"]]
    for one, other in zip(theirs["attention"], mine["attention"], strict=True):
        assert torch.allclose(torch.tensor(one["attn"]), torch.tensor(other["attn"]) / 1000, atol=6e-4)
    for name in ("include_layers", *(["heads"] if view == "head" and some else ["include_heads"] if view == "model" else [])):
        assert theirs[name] == mine[name]


def test_a_pair_can_be_seen_sentence_by_sentence(classifier, tokenizer):
    every, aa, bb, ab, ba = params(show_attention(classifier, tokenizer, TEXT, OTHER))["attention"]
    assert aa["left_text"][0] == "[CLS]" and bb["left_text"][:2] == ["is", "the"] and ba["name"] == "Sentence B -> Sentence A"
    assert every["left_text"] == aa["left_text"] + bb["left_text"]
    assert [row[len(aa["left_text"]):] for row in every["attn"][0][0][:len(aa["left_text"])]] == ab["attn"][0][0]


def test_the_neuron_view_has_queries_and_keys_whose_products_are_the_attention(classifier, tokenizer):
    drawn = params(show_attention(classifier, tokenizer, TEXT, view="neuron", layers=[1]))
    one = drawn["attention"]["all"]
    q, k, weights = (torch.tensor(one[name]) / 1000 for name in ("queries", "keys", "attn"))
    assert drawn["bidirectional"] and drawn["names"] == {"layer": [1], "att_head": [0, 1, 2, 3]}
    assert torch.allclose((q @ k.mT / q.shape[-1]**0.5).softmax(-1), weights, atol=0.01)
    writer = params(show_attention(make("gpt2", vocab_size=120), tokenizer, TEXT, view="neuron"))
    assert not writer["bidirectional"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture(kind, tokenizer):
    model = make(kind, vocab_size=120, **({"cutoffs": [40, 80]} if kind == "transfo-xl" else {}))
    short = "the new school"                        # of Reformer's chunks, one
    if kind == "reformer":
        short = "new good"
    before = model.training
    drawn = params(show_attention(model, tokenizer, short))
    parts = {one["name"] for one in drawn["attention"]}
    assert parts == ({"Encoder", "Decoder", "Cross"} if kind in ("bart", "t5") else {None}) and model.training is before
    for one in drawn["attention"]:
        for row in torch.tensor(one["attn"]).flatten(0, 2):
            assert abs(row.sum().item() - 1000) <= len(row)
    assert 'alt="Grid of 2 layers' in show_attention(model, tokenizer, short, view="grid")._repr_html_()
    assert "Bar chart. Without layer 0 head 1" in repr(ablate_heads(model, tokenizer, short, heads=(0, 1)))
    if kind in ("t5", "llama", "qwen2", "transfo-xl", "xlnet", "reformer", "bart"):
        with pytest.raises(ValueError, match="queries times keys.*choose view='head'"):
            show_attention(model, tokenizer, short, view="neuron")


def test_the_memory_of_transformer_xl_is_seen(tokenizer):
    model = make("transfo-xl", vocab_size=120, cutoffs=[40, 80], mem_len=12)
    mems = model(tokenizer(OTHER, return_tensors="pt")["input_ids"]).mems
    drawn = params(view := show_attention(model, tokenizer, TEXT, mems=mems))
    (one,) = drawn["attention"]
    assert one["right_text"][:2] == ["memory -8", "memory -7"] and one["right_text"][8:] == one["left_text"]
    assert "of their attention goes to tokens that are not" in repr(view)
    with pytest.raises(ValueError, match="tokens of one look at those of another: choose view='grid' or 'word'"):
        show_attention(model, tokenizer, TEXT, view="arcs", mems=mems)


def test_the_two_streams_of_xlnet_are_two_parts(tokenizer):
    model = make("xlnet", vocab_size=120)
    length = len(tokenizer(TEXT)["input_ids"])
    target = torch.zeros(1, 1, length)
    target[0, 0, 3] = 1
    content, query = params(show_attention(model, tokenizer, TEXT, target_mapping=target))["attention"]
    assert content["name"] == "Content" and len(content["left_text"]) == length
    assert query["name"] == "Query" and query["left_text"] == ["guess: vote"] and len(query["right_text"]) == length


def test_the_chunks_of_reformer_are_put_in_their_places(tokenizer):
    model = make("reformer", vocab_size=120, attn_layers=["local", "local"])
    encoded = tokenizer(TEXT, return_tensors="pt")
    drawn = params(show_attention(model, tokenizer, TEXT))
    weights = torch.tensor(drawn["attention"][0]["attn"])[0, 0] / 1000
    chunks = model(encoded["input_ids"], output_attentions=True).attentions[0]            # (B, H, C, 4, 8): one chunk before
    assert weights.shape == (8, 8) and torch.allclose(weights[4:8, 0:8], chunks[0, 0, 1], atol=6e-4)
    assert not weights.triu(1).any() and torch.allclose(weights.sum(1), torch.ones(8), atol=0.01)
    sorted_ = make("reformer", vocab_size=120)
    with pytest.raises(ValueError, match="layer 1 of this Reformer sorts 8 tokens into buckets.*at most 4 tokens"):
        show_attention(sorted_, tokenizer, TEXT)


def test_long_texts_are_cut_to_a_window_and_that_is_said(classifier, tokenizer):
    view = show_attention(classifier, tokenizer, "good " * 500)
    assert "The model reads at most 64 tokens" in repr(view) and "25 of 64 tokens are shown; " in view._repr_html_()
    assert len(params(view)["attention"][0]["left_text"]) == 25
    later = show_attention(classifier, tokenizer, "good " * 30 + "council vote", view="arcs", start=99 - 80)
    assert "(from number 9)" in repr(later) and "vote" in repr(later.table) + later.alt
    pair = params(show_attention(classifier, tokenizer, "good " * 40, "bad " * 10))["attention"]
    assert [len(one["left_text"]) for one in pair[:3]] == [25, 14, 11]
    with pytest.raises(IndexError, match="start=64: the text has the tokens 0 to 63"):
        show_attention(classifier, tokenizer, "good " * 500, start=64)
    large = tiny.model(num_hidden_layers=30, num_attention_heads=12)
    assert len(params(view := show_attention(large, tokenizer, "good " * 60))["include_layers"]) == 20
    assert "Of 30 layers 0, 1, 2" in repr(view)
    assert len(view._repr_html_()) < 800_000


@pytest.mark.parametrize("view", ["rollout", "arcs"])
def test_pictures_through_layers_and_between_tokens(view, classifier, tokenizer):
    shown = show_attention(classifier, tokenizer, TEXT, view=view, layers=[0, 1], heads=2)
    assert re.search(r'<img alt="[^"]*2 layers and head 2[^"]*council', shown._repr_html_())


@pytest.mark.parametrize("view", attention.VIEWS)
def test_nothing_in_a_text_runs(view, classifier, tokenizer):
    shown = show_attention(classifier, tokenizer, HOSTILE, view=view, word="good", layers=0, inline=True)._repr_html_()
    framed = show_attention(classifier, tokenizer, HOSTILE, view=view, word="good", layers=0)._repr_html_()
    frame = html.unescape("".join(re.findall(r'srcdoc="([^"]*)"', framed)))
    assert bool(frame) is (view in ("head", "model", "neuron"))
    for page in (shown, framed, frame):
        assert "<img src=x" not in page and "<script>alert" not in page
        assert page.count("</script") <= 1                        # that of the drawing itself
    assert "\u2028" not in "".join(re.findall(r"<script>.*?</script>", frame, re.DOTALL))


def test_a_view_is_the_same_every_time_and_loads_nothing(classifier, tokenizer):
    one, two = (show_attention(classifier, tokenizer, TEXT)._repr_html_() for _ in range(2))
    assert one == two and "default-src &#x27;none&#x27;" in one, "a notebook that is run again does not change"
    first, second = (show_attention(classifier, tokenizer, TEXT, inline=True)._repr_html_() for _ in range(2))
    assert first != second and "<iframe" not in first, "two views in one page need names of their own"
    for file in attention_views.ASSETS.glob("*.js"):
        text = file.read_text(encoding="utf-8")
        assert "</script" not in text and not re.search(r"https?://(?!www\.w3\.org/)", text), file
    licences = (attention_views.ASSETS / "LICENSES.txt").read_text(encoding="utf-8")
    assert "bertviz==1.4.1 (Apache-2.0)" in licences and "d3-selection 1.4.2 (BSD-3-Clause)" in licences


@pytest.mark.parametrize(("view", "still"), [("head", "Heat map of attention. layer 0, mean of 4 heads"), ("model", "Grid of 2 layers and 4 heads"),
                                             ("neuron", "Heat map of attention"), ("word", "Heat map. 'council', mean of 4 heads"), ("grid", "Grid")])
def test_where_no_script_runs_a_picture_stands(view, still, classifier, tokenizer):
    """A frame hides the picture beside it by a <style>, which goes where frames go: from pages that are cleaned."""
    shown = show_attention(classifier, tokenizer, TEXT, view=view, word="council")
    page, (png, metadata) = shown._repr_html_(), shown._repr_png_()
    cleaned = re.sub(r"<style>.*?</style>|<iframe.*?</iframe>", "", page, flags=re.DOTALL)
    assert f'<img alt="{html.escape(still)}' in cleaned and "<summary>The same as a table" in cleaned
    assert page.count(attention_views.LIVE) == page.count("<iframe") == page.count('class="attention-still"') == (view in ("head", "model", "neuron"))
    assert png.startswith(b"\x89PNG") and metadata["alt"].startswith(still) and len(page) + len(png) < 200_000


def test_what_is_seen_is_said_too(classifier, tokenizer):
    view = show_attention(classifier, tokenizer, TEXT)
    weights = torch.stack(classifier(**tokenizer(TEXT, return_tensors="pt"), output_attentions=True).attentions)[:, 0]
    weights.diagonal(dim1=2, dim2=3).zero_()
    assert view.table[0]["attention"] == pytest.approx(weights.max().item(), abs=1e-3)
    assert "<table>" in view._repr_html_() and '<th scope="col">looks at</th>' in view._repr_html_()
    for said in (repr(view), view._repr_html_(), repr(ablate_heads(classifier, tokenizer, TEXT))):
        assert "Attention is not explanation" in said


def test_rollout_of_two_layers_by_hand():
    one, two = torch.tensor([[0.5, 0.5], [0, 1.0]]), torch.tensor([[1.0, 0], [1.0, 0]])
    layers = torch.stack([torch.stack([one, one]), torch.stack([two, torch.eye(2)])])        # (2, 2 heads, 2, 2)
    # layer 0: [[.75, .25], [0, 1]]; layer 1: mean of heads [[1, 0], [.5, .5]], with the residual [[1, 0], [.25, .75]]
    assert torch.allclose(attention.rollout(layers), torch.tensor([[0.75, 0.25], [0.1875, 0.8125]]))


def test_a_word_may_have_several_tokens(classifier, tokenizer):
    view = show_attention(classifier, tokenizer, "the unhappiness is not new", view="word", word="unhappiness")
    assert "un looks at" in view.alt and "where it looks" in view.alt and "who looks at it" in view.alt
    assert "'vote', layer 1, mean of" not in view.alt
    for word, error, message in (("rent", ValueError, "'rent' is not among the tokens shown: .CLS., the"), (None, TypeError, "needs word="),
                                 (99, IndexError, "numbers 0 to 7")):
        with pytest.raises(error, match=message):
            show_attention(classifier, tokenizer, TEXT, view="word", word=word)
    late = "good " * 40 + "council vote"
    with pytest.raises(ValueError, match="'council' is token 41, and 25 tokens are shown: start=31 shows it"):
        show_attention(classifier, tokenizer, late, view="word", word="council")
    assert "council looks at" in show_attention(classifier, tokenizer, late, view="word", word="council", start=31).alt


# -- what a head does ----------------------------------------------------------------------------------------------------------


def test_ablation_is_what_a_head_mask_changes(classifier, tokenizer):
    encoded = tokenizer(TEXT, return_tensors="pt")
    before = classifier(**encoded).logits[0].softmax(-1)
    mask = torch.ones(2, 4)
    mask[1, 2] = 0
    after = classifier(**encoded, head_mask=mask).logits[0].softmax(-1)
    every = ablate_heads(classifier, tokenizer, TEXT)
    change = {(row["layer"], row["head"]): row["change"] for row in every.table}
    assert len(change) == 8 and change[1, 2] == pytest.approx((after - before)[before.argmax()].item(), abs=1e-4)
    assert abs(every.table[0]["change"]) == max(map(abs, change.values()))
    some = ablate_heads(classifier, tokenizer, TEXT, heads=[(1, -2)])
    assert some.table[0]["with all heads"] == pytest.approx(before.max().item(), abs=0.5) and "Without layer 1 head 2" in repr(some)
    assert {row["answer"]: row["without"] for row in some.table} == {
        classifier.config.id2label[i]: pytest.approx(after[i].item(), abs=1e-4) for i in range(2)}


@pytest.mark.parametrize(("task", "text", "answer"), [
    ("ForMaskedLM", "the council [MASK] was not bad", None), ("ForTokenClassification", TEXT, " at "), ("ForQuestionAnswering", TEXT, "the answer begins at"),
])
def test_other_heads_have_answers_too(task, text, answer, tokenizer):
    view = ablate_heads(tiny.model(task), tokenizer, text, heads=(0, 1))
    assert len(view.table) == 5 and (answer or "") in view.table[0]["answer"]


# -- bad input -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"view": "heads"}, ValueError, "there is no view 'heads': choose head, model, neuron, grid"),
    ({"layers": 2}, IndexError, "there is no layer 2: this model has 2, numbered from 0 to 1"),
    ({"heads": [0, 7]}, IndexError, "there is no head 7"), ({"heads": []}, ValueError, r"heads=\[\] chooses nothing"),
    ({"layers": "all"}, TypeError, "layers are whole numbers from 0 to 1, got 'all'"), ({"part": "cross"}, ValueError, "no part 'cross', it has self"),
    ({"sentence_b": 5}, TypeError, "sentence_b must be one text, got int"), ({"target": "x"}, ValueError, "has no such pair"),
    ({"include_layers": [0]}, TypeError, r"include_layers= is bertviz's own: here write layers=\[0, 5\]"),
    ({"html_action": "return"}, TypeError, r"write show_attention\(…\)\._repr_html_"), ({"sentence_b_start": 3}, TypeError, "sentence_b='…'"),
])
def test_wrong_choices_are_explained(options, error, message, classifier, tokenizer):
    with pytest.raises(error, match=message):
        show_attention(classifier, tokenizer, TEXT, **options)


def test_wrong_things_are_explained(classifier, tokenizer):
    with pytest.raises(TypeError, match=r"text must be one text, got list: choose one of them, texts\[0\]"):
        show_attention(classifier, tokenizer, [TEXT])
    with pytest.raises(TypeError, match="of a pipeline they are pipe.model and pipe.tokenizer"):
        show_attention("pocket/sentiment", tokenizer, TEXT)
    with pytest.raises(TypeError, match="ablate_heads needs a model with a head"):
        ablate_heads(tiny.model(""), tokenizer, TEXT)
    with pytest.raises(TypeError, match=r"pairs \(layer, head\), like"):
        ablate_heads(classifier, tokenizer, TEXT, heads=[1, 2])
    with pytest.raises(IndexError, match="there is no layer 9"):
        ablate_heads(classifier, tokenizer, TEXT, heads=[(9, 0)])
    with pytest.raises(ValueError, match="part='cross'"):
        ablate_heads(classifier, tokenizer, TEXT, part="cross")
    with pytest.raises(IndexError, match="Do tokenizer and model belong together"):
        show_attention(tiny.model(vocab_size=20), tokenizer, TEXT)
    with pytest.raises(ValueError, match="3 tokens look at 3"):
        attention.stack([torch.zeros(1, 2, 4, 4)], ["a", "b", "c"], ["a", "b", "c"])


def test_a_model_that_returns_no_attentions_says_so(classifier, tokenizer):
    class Silent(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config, self.weight = classifier.config, torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, attention_mask, output_attentions=False):
            return {"last_hidden_state": input_ids}

    with pytest.raises(ValueError, match="Silent returned no attentions: load it with attn_implementation='eager'"):
        show_attention(Silent(), tokenizer, TEXT)


def test_dropout_is_off_while_looking_and_on_again_after(tokenizer):
    model = tiny.model(attention_probs_dropout_prob=0.5).train()
    one, two = (show_attention(model, tokenizer, TEXT).table for _ in range(2))
    assert one == two and model.training


def test_the_names_are_public_and_light():
    assert {"show_attention", "ablate_heads"} <= set(course.__all__)
    done = subprocess.run([sys.executable, "-c", "import course, sys; print('torch' in sys.modules, 'matplotlib' in sys.modules)"],
                          capture_output=True, text=True)
    assert done.stdout == "False False\n"
    assert {"assets/*"} <= set(re.findall(r'"([^"]+)"', re.search(r"\ncourse = (\[.*\])", (Path(course.__file__).parents[1] / "pyproject.toml").read_text())[1]))
