"""Widgets: their values, their pictures and what they do when a control moves, without a browser (tests/browser has one)."""

import re
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

import course
from course import widgets
from course.pipelines.fill_mask import FillMaskPipeline
from course.pipelines.text_classification import TextClassificationPipeline
from course.pipelines.text_generation import TextGenerationPipeline

HOSTILE = '<img src=x onerror="window.hit=1">'


@pytest.fixture(scope="module")
def writer():
    torch.manual_seed(1)
    model = course.AutoModelForCausalLM.from_config(course.AutoConfig.for_model(
        "gpt2", vocab_size=len(tiny.VOCAB), n_embd=16, n_layer=1, n_head=2, n_positions=64, eos_token_id=3))
    return TextGenerationPipeline(model, tiny.tokenizer())


@pytest.fixture(scope="module")
def unmask():
    torch.manual_seed(1)
    return FillMaskPipeline(tiny.model("ForMaskedLM"), tiny.tokenizer())


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(1)
    return TextClassificationPipeline(tiny.model(), tiny.tokenizer())


@pytest.fixture
def everything(writer, unmask, classifier):
    """One of each, with a hostile text in it."""
    vectors = np.random.default_rng(0).normal(size=(4, 6))
    texts = [HOSTILE, "the council", "good", "bad"]
    return [
        widgets.token_explorer(tiny.tokenizer(), text=HOSTILE),
        widgets.padding_explorer(tiny.tokenizer(), texts),
        widgets.next_token_explorer(writer, HOSTILE),
        widgets.beam_explorer(writer, HOSTILE),
        widgets.fill_mask_explorer(unmask, f"{HOSTILE} is [MASK]"),
        widgets.prediction_explorer(classifier, f"the {HOSTILE} council", HOSTILE, f"good, {HOSTILE}{HOSTILE}"),
        widgets.confusion_explorer([HOSTILE, "b", "b", "b"], ["b", "b", HOSTILE, "b"], texts),
        widgets.embedding_map(vectors, texts, [HOSTILE, "b", "b", "c"]),
    ]


def test_every_widget_shows_itself_with_and_without_a_front_end(everything, monkeypatch):
    for explorer in everything:
        bundle = explorer._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in bundle
        assert bundle["text/html"] and bundle["text/plain"] == repr(explorer)
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    again = widgets.token_explorer(tiny.tokenizer(), text="good")
    assert set(again._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_no_text_becomes_a_tag(everything):
    for explorer in everything:
        for page in (explorer.still(), explorer._repr_mimebundle_()["text/html"], explorer.shown.value):
            assert "<img" not in page, type(explorer).__name__


def test_nothing_hangs_a_runner():
    """`interact` and `Output` stop nbclient for ever now and then; an Explorer does what they do."""
    root = Path(course.__file__).parents[1]
    files = [*root.glob("course/**/*.py"), *root.glob("lessons/src/*.py")]
    calls = re.compile(r"\binteract(?:ive(?:_output)?)?\(|\b(?:ipywidgets|widgets|w)\.Output\(|import .*\b(?:Output|interact)\b")
    assert len(files) > 100 and calls.search("x = w.Output()") and calls.search("@interact(a=1)")
    assert [path.name for path in files if calls.search(path.read_text(encoding="utf-8"))] == []


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(AttributeError, match="token_explorer"):
        widgets.token_viewer  # noqa: B018
    assert course.widgets is widgets and "beam_explorer" in dir(widgets)


# -- tokens ------------------------------------------------------------------------------------------------------------------

def test_tokens_are_counted_and_words_are_groups():
    explorer = widgets.token_explorer(tiny.tokenizer(), text="Unhappiness is  bad.")
    assert repr(explorer) == "BertTokenizerFast: [CLS] un|happi|ness is bad|. [SEP]  (6 tokens for 3 words, 2.00 a word, and 2 special)"
    explorer.widget.children[0].children[0].value = "中 good"
    assert "2 tokens for 2 words, 1.00 a word" in explorer.shown.value and "id " in explorer.shown.value
    explorer.parts["text"].value = ""
    assert "0 tokens for 0 words" in explorer.shown.value
    explorer.parts["text"].value = "[CLS] good"                        # what is typed is text, not a special token
    assert "special" in explorer.say() and explorer.say().count("[CLS]") == 1


def test_blanks_and_bytes_are_shown_as_what_they_are():
    trained = course.train_byte_bpe(["the rent is high the rent"] * 3, vocab_size=270)
    shown = repr(widgets.token_explorer(trained, text="the rent\n is 🙂"))
    assert "Ġ" not in shown and "↵" in shown and "🙂 (byte)" in shown


def test_several_tokenizers_stand_below_each_other():
    explorer = widgets.token_explorer(tiny.tokenizer(), tiny.tokenizer(fast=False), tiny.tokenizer(), text="good")
    assert list(explorer.tokenizers) == ["BertTokenizerFast", "BertTokenizer", "BertTokenizerFast (3)"]


# -- padding -----------------------------------------------------------------------------------------------------------------

def test_padding_and_truncation_are_what_the_tokenizer_makes_of_them():
    explorer = widgets.padding_explorer(tiny.tokenizer(), ["good", "the council is not bad"])
    assert explorer.say() == "2 rows of 7 tokens: 14 places, 4 of them padding (29%), mask 0; 0 tokens are cut off."
    explorer.widget  # noqa: B018
    explorer.parts["padding"].value = False
    assert "they make no tensor" in explorer.shown.value
    explorer.parts["padding"].value, explorer.parts["truncation"].value = "max_length", True
    explorer.parts["max_length"].value = 5
    assert "2 rows of 5 tokens" in explorer.shown.value and "2 cut off" in explorer.shown.value
    right = explorer.shown.value
    explorer.parts["side"].value = "left"
    assert explorer.shown.value.index("[PAD]") < right.index("[PAD]")


def test_a_batch_nobody_can_read_is_refused():
    with pytest.raises(ValueError, match="8 or fewer"):
        widgets.padding_explorer(tiny.tokenizer(), ["good"] * 9)
    with pytest.raises(TypeError, match="list of texts"):
        widgets.padding_explorer(tiny.tokenizer(), "good")
    without = tiny.tokenizer()
    without.pad_token = None
    with pytest.raises(ValueError, match="padding token"):
        widgets.padding_explorer(without, ["good"])


# -- the next token ----------------------------------------------------------------------------------------------------------

def test_settings_reshape_as_generate_does(writer):
    explorer = widgets.next_token_explorer(writer, "the council is")
    explorer.values |= {"temperature": 0.7, "top_k": 5, "top_p": 0.8, "repetition_penalty": 1.3}
    ids = torch.tensor([explorer.ids("the council is")])
    found = writer.model.generate(ids, do_sample=True, temperature=0.7, top_k=5, top_p=0.8, repetition_penalty=1.3, max_new_tokens=1,
                                  output_scores=True, return_dict_in_generate=True)
    assert torch.allclose(found.scores[0][0].softmax(-1), explorer.shares()[1], atol=1e-6)


def test_the_model_reads_a_text_once_however_often_a_slider_moves(writer, monkeypatch):
    explorer = widgets.next_token_explorer(writer, "the council is")
    explorer.widget  # noqa: B018
    monkeypatch.setattr(type(writer.model), "forward", None)
    before = explorer.shown.value
    explorer.parts["temperature"].value = 0.2
    assert explorer.shown.value != before
    explorer.parts["top_k"].value = 1
    assert "1 of" in explorer.shown.value and "cut (was" in explorer.shown.value
    assert [button.disabled for button in explorer.buttons] == [False] + [True] * 7


def test_a_click_writes_and_undo_takes_it_back(writer):
    explorer = widgets.next_token_explorer(writer, "the council")
    explorer.widget  # noqa: B018
    name = explorer.buttons[0].description
    explorer.buttons[0].click()
    assert explorer.parts["text"].value == f"the council {name}".replace(" ‿", "") and not explorer.back.disabled
    explorer.chance.click()
    explorer.back.click()
    explorer.back.click()
    assert explorer.parts["text"].value == "the council" and explorer.back.disabled
    explorer.parts["text"].value = ""
    assert "Write a word" in explorer.shown.value and explorer.chance.disabled
    with pytest.raises(ValueError, match="Write a word"):
        widgets.next_token_explorer(writer, "")


def test_a_gap_is_filled_as_the_pipeline_fills_it(unmask):
    text = "the [MASK] is good"
    explorer = widgets.fill_mask_explorer(unmask, text)
    best = unmask(text, top_k=3)
    assert [token for token, *_ in explorer.best()[:3]] == [one["token"] for one in best]
    assert explorer.best()[0][2] == pytest.approx(best[0]["score"], abs=1e-5)
    explorer.widget  # noqa: B018
    explorer.buttons[1].click()
    assert explorer.parts["text"].value == text.replace("[MASK]", best[1]["token_str"])
    assert "Write [MASK] once" in explorer.shown.value and explorer.buttons[0].disabled


def test_beams_are_those_of_generate(writer):
    explorer = widgets.beam_explorer(writer, "the council")
    explorer.values |= {"tokens": 4}
    ids = torch.tensor([explorer.names.ids("the council")])
    found = writer.model.generate(ids, num_beams=3, max_new_tokens=4, min_new_tokens=4, num_return_sequences=3,
                                  return_dict_in_generate=True, length_penalty=0.0)
    last = sorted(explorer.search()[4].items(), key=lambda pair: -pair[1])
    assert [list(start) for start, _ in last] == found.sequences[:, ids.shape[1]:].tolist()
    assert [score for _, score in last] == pytest.approx(found.sequences_scores.tolist(), abs=1e-4)
    page = explorer.draw()
    assert page.count("<rect") > 5 and "stroke-dasharray" in page and 'aria-label="Tree of beam search.' in page


# -- predictions -------------------------------------------------------------------------------------------------------------

def test_a_word_moves_the_label_by_what_its_absence_changes(classifier):
    explorer = widgets.prediction_explorer(classifier, "the council is good", "council", "school, people")
    label = explorer.values["label"]
    score = {text: {one["label"]: one["score"] for one in classifier(text, top_k=None)}[label]
             for text in ("the council is good", "the council is", "the school is good")}
    assert explorer.moved()[3] == pytest.approx(score["the council is good"] - score["the council is"], abs=1e-5)
    assert set(explorer.swapped()) == {"council", "school", "people"}
    explorer.widget  # noqa: B018
    explorer.toggles[3].value = True
    assert explorer.without(explorer.dropped) == "the council is" and "line-through" in explorer.shown.value
    for toggle in explorer.toggles[:3]:
        toggle.value = True
    assert "take a word back in" in explorer.shown.value
    explorer.parts["text"].value = "good council"                      # other words: all are in again
    assert explorer.dropped == set() and not explorer.toggles[3].value and explorer.toggles[5].layout.display == "none"
    explorer.parts["word"].value = "nobody"
    assert explorer.swapped() == {}


def test_what_was_read_is_not_read_again(classifier):
    explorer, calls = widgets.prediction_explorer(classifier, "the council is good"), []
    explorer.pipe = lambda texts, **options: calls.append(texts) or classifier(texts, **options)
    explorer.draw()
    assert calls == []
    explorer.dropped = {3}
    explorer.draw()
    assert len(calls) == 1 and "the council is" not in calls[0]


# -- tables and maps ---------------------------------------------------------------------------------------------------------

def test_a_cell_of_the_confusion_shows_its_texts():
    explorer = widgets.confusion_explorer([0, 1, 1, 0, 1], [0, 1, 0, 0, 0], list("abcde"), ["no", "yes"])
    assert explorer.behind() == ["c", "e"] and "<td" in explorer.draw()
    explorer.widget  # noqa: B018
    explorer.buttons["no", "no"].click()
    assert "2 texts with label no, predicted no</b> (the same)" in explorer.shown.value and explorer.buttons["no", "yes"].disabled
    with pytest.raises(ValueError, match="each label needs its text"):
        widgets.confusion_explorer([0], [0], [])
    with pytest.raises(ValueError, match="20 or fewer"):
        widgets.confusion_explorer(range(21), range(21), ["a"] * 21)


def test_two_coders_are_named_and_a_missing_text_is_none():
    explorer = widgets.confusion_explorer([True, False, True], [False, False, True], [float("nan"), None, "c"], ["no", "yes"],
                                          sides=("coder <A>", "coder B"))
    assert explorer.behind() == ["(no text)"] and "1 text with coder <A> yes, coder B no" in repr(explorer)
    assert "coder &lt;A&gt; ↓ coder B →" in explorer.draw() and "<A>" not in explorer.draw()


def test_a_map_is_the_plane_of_the_main_directions():
    table = np.random.default_rng(0).normal(size=(20, 5)) * [5, 3, 1, 1, 1]
    first = widgets.embedding_map(torch.tensor(table), [f"text {n}" for n in range(20)])
    second = widgets.embedding_map(table.tolist(), [f"text {n}" for n in range(20)])
    assert first.draw() == second.draw() and np.allclose(first.places, second.places)
    centred = table - table.mean(0)
    assert np.sort(np.linalg.eigvalsh(centred.T @ centred))[-2:].sum() == pytest.approx((first.places**2).sum())
    first.widget  # noqa: B018
    first.parts["text"].value = 7
    assert "<b>text 7</b>" in first.shown.value and first.nearest()[0][0] >= first.nearest()[1][0]
    assert len(re.findall("<title>", first.draw())) == 20


@pytest.mark.parametrize(("vectors", "texts", "labels", "cure"), [
    ([[1.0], [2.0]], ["a", "b", "c"], None, "one vector"), ([[1.0], [2.0]], ["a", "b"], None, "3 to 500"),
    ([[1.0]] * 3, list("abc"), ["x"], "one of both"), ([[1.0], [2.0], [float("nan")]], list("abc"), None, "NaN"),
])
def test_what_is_no_map_is_refused(vectors, texts, labels, cure):
    with pytest.raises(ValueError, match=cure):
        widgets.embedding_map(vectors, texts, labels)


def test_vectors_of_one_direction_or_all_the_same_make_a_map_too():
    assert "100% of the variance" in widgets.embedding_map([[1.0], [2.0], [4.0]], list("abc")).draw()
    assert "0% of the variance" in widgets.embedding_map([[1.0, 2.0]] * 3, list("abc")).draw()


# -- training ----------------------------------------------------------------------------------------------------------------

def test_stop_really_stops_and_saves(tmp_path, monkeypatch):
    from course.training import callbacks
    from course.widgets import training
    shown = []
    monkeypatch.setattr(callbacks, "in_notebook", lambda: True)
    monkeypatch.setattr(training, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda thing, **options: shown.append(thing) or type("", (), {"update": shown.append})())
    dashboard = widgets.training_dashboard()

    class AfterThree(course.TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 3:
                dashboard.button.click()

    rows = [{"input_ids": [2, 31 + n, 3], "labels": n % 2} for n in range(8)]
    args = course.TrainingArguments(str(tmp_path), num_train_epochs=3, per_device_train_batch_size=2, report_to="none", logging_steps=1,
                                    eval_strategy="steps", eval_steps=3, save_strategy="no")
    trainer = course.Trainer(tiny.model(), args, train_dataset=rows, eval_dataset=rows, processing_class=tiny.tokenizer(),
                             callbacks=[dashboard, AfterThree], compute_metrics=lambda p: {"accuracy<b>": 0.5})
    assert [type(c).__name__ for c in trainer.callbacks] == ["Dashboard", "AfterThree"]
    trainer.train()
    assert trainer.state.global_step == 4 and (tmp_path / "checkpoint-4" / "model.safetensors").is_file()
    page = dashboard._repr_html_()
    assert "stopped by hand and saved" in repr(dashboard) and "learning rate" in page and "accuracy&lt;b&gt; 0.5" in page
    assert dashboard.button.disabled and shown[0]["text/plain"].startswith("(a button") and "<b>" not in page
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 12


def test_in_a_terminal_the_bar_stays():
    args = course.TrainingArguments("unused", report_to="none")
    trainer = course.Trainer(tiny.model(), args, train_dataset=[{"input_ids": [2, 3], "labels": 0}], callbacks=[widgets.training_dashboard()])
    assert [type(c).__name__ for c in trainer.callbacks] == ["ProgressCallback", "Dashboard"]
