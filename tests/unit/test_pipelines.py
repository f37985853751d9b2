"""pipeline(task): every shape of input, options, order, laziness, explain(), threads."""

import contextlib
import io
import json
import re
import threading

import numpy as np
import pytest
import tiny
import torch

import course
from course import AutoModelForSequenceClassification, AutoTokenizer, pipeline
from course.pipelines import base

TEXTS = ["the council vote was not bad.", "good", "", "is the new school good or is it bad?", "people vote, people vote! " * 3, "unhappiness",
         "not good", "a b c d e f g h i j k l m"]
GAPS = ["the [MASK] was good.", "[MASK]", "the school is not [MASK]!"]


@pytest.fixture
def classify(folder):
    return pipeline("sentiment-analysis", model=str(folder))


@pytest.fixture
def fill(tmp_path):
    tiny.save(tmp_path / "fill", "ForMaskedLM")
    return pipeline("fill-mask", model=str(tmp_path / "fill"))


@pytest.fixture
def embed(tmp_path):
    tiny.save(tmp_path / "embed", "")
    return pipeline("feature-extraction", model=str(tmp_path / "embed"))


def probabilities(pipe, texts):
    """What the pipeline should say, one text at a time, with tokenizer and model alone."""
    with torch.no_grad():
        return [pipe.model(**pipe.tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0] for text in texts]


# -- every shape of input ----------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_model(classify):
    wanted = probabilities(classify, TEXTS)
    for answer, p in zip(classify(TEXTS), wanted, strict=True):
        assert answer["label"] == f"LABEL_{p.argmax()}" and answer["score"] == pytest.approx(p.max().item(), abs=1e-5)
        assert isinstance(answer["score"], float)
    assert len({answer["score"] for answer in classify(TEXTS)}) == len(TEXTS), "each text has its own answer"


def test_one_text_a_list_an_empty_list(classify):
    (one,) = classify("good")
    assert set(one) == {"label", "score"}
    near = {"label": one["label"], "score": pytest.approx(one["score"], abs=1e-5)}
    assert classify(["good"]) == [one] and classify(("good", "good")) == [near, near]
    assert classify([]) == [] and list(classify(iter([]))) == []
    assert json.loads(json.dumps(classify(TEXTS))) == classify(TEXTS), "plain Python values"


def test_columns_of_tables(classify):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": TEXTS, "year": range(len(TEXTS))})
    wanted = classify(TEXTS)
    for column in (table["text"], table["text"].astype("string"), table["text"].iloc[::-1].iloc[::-1], np.array(TEXTS), np.array(TEXTS, dtype=object)):
        assert classify(column) == wanted
    scored = table.assign(label=[answer["label"] for answer in classify(table["text"])])
    assert list(scored["label"]) == [answer["label"] for answer in wanted]


class Lines:
    """Something to iterate over that does not know its length."""

    def __iter__(self):
        return iter(TEXTS)


def test_generators_stream(classify, tmp_path):
    wanted = classify(TEXTS)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    with open(tmp_path / "texts.txt") as file:
        for source in ((text for text in TEXTS), map(str, TEXTS), Lines(), (line.rstrip("\n") for line in file)):
            found = classify(source)
            assert not isinstance(found, list) and list(found) == wanted


def test_a_generator_is_read_one_window_ahead_at_most(classify, monkeypatch):
    monkeypatch.setattr(base, "WINDOW", 16)
    taken = []

    def source():
        for number in range(100):
            taken.append(number)
            yield f"good {number % 3}"

    answers = classify(source())
    assert taken == []
    for number, answer in enumerate(answers):
        assert answer["label"]
        assert len(taken) <= (number // 16 + 1) * 16
    assert len(taken) == 100 and number == 99
    endless = classify("good" for _ in iter(int, 1))
    assert [next(endless)["label"] for _ in range(40)]


def test_answers_come_in_the_order_of_the_texts(classify, monkeypatch):
    lengths = [3, 50, 1, 20, 2, 40, 7, 1, 33, 5, 12] * 4
    texts = [" ".join("abcdefgh"[(i + k) % 8] for k in range(n)) for i, n in enumerate(lengths)]
    wanted = [classify(text)[0]["score"] for text in texts]
    for window, size in ((1024, None), (1024, 1), (1024, 7), (5, None), (5, 3)):
        monkeypatch.setattr(base, "WINDOW", window)
        found = [answer["score"] for answer in classify(texts, batch_size=size)]
        assert found == pytest.approx(wanted, abs=1e-5), "neither order nor neighbours change an answer"


def test_batches_are_sorted_by_length_and_bounded(classify, monkeypatch):
    sizes = []
    compute = classify.compute
    monkeypatch.setattr(classify, "compute", lambda encoding, rows, options: sizes.append(
        [len(encoding["input_ids"][row]) for row in rows]) or compute(encoding, rows, options))
    classify(["good " * n for n in (1, 30, 5, 30, 1, 30, 7)], batch_size=3)
    assert sizes == [[32, 32, 32], [9], [7], [3, 3]], "a batch holds texts of one length"


@pytest.mark.parametrize(("inputs", "message"), [
    (None, "the input is None. It is a missing value"), (5, "the input is int '5'. Numbers become text with str"), (3.5, "is float '3.5'. Numbers"),
    (b"good", r"Decode it first: text.decode\('utf-8'\)"), (float("nan"), "It is a missing value: pipe.frame"),
    (["good", None], r"number 1 \(counting from 0\) is None. It is a missing value"), (["good", 3], "number 1 .* is int '3'"),
    ([["good", "bad"]], "number 0 .* is list"), ({"a": 1}, "is dict"), (np.array("good"), "is ndarray"), (np.array([["a", "b"]]), "is ndarray"),
    (np.array(["a", np.nan], dtype=object), "number 1 .* is float 'nan'. It is a missing value"),
])
def test_inputs_that_are_no_texts(classify, inputs, message):
    with pytest.raises(TypeError, match="text.* needs a text, a list of texts, a column of a table or a generator of texts; |sentiment-analysis needs") as caught:
        classify(inputs)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_tables_with_gaps(classify):
    pandas = pytest.importorskip("pandas")
    for column in (pandas.Series(["good", None]), pandas.Series(["good", pandas.NA], dtype="string"), [pandas.NaT]):
        with pytest.raises(TypeError, match=r"It is a missing value: pipe.frame\(column\) leaves such rows empty"):
            classify(column)
    with pytest.raises(TypeError, match=r"is DataFrame .*Choose the column that holds the texts, table\['…'\]"):
        classify(pandas.DataFrame({"text": TEXTS}))


def test_a_bad_item_in_a_generator_is_named_by_its_number(classify, monkeypatch):
    monkeypatch.setattr(base, "WINDOW", 2)
    answers = classify(iter(["good", "bad", "good", None]))
    assert next(answers) and next(answers)
    with pytest.raises(TypeError, match="number 3"):
        next(answers)


# -- options -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path):
    tiny.save(tmp_path / "three", id2label={0: "AGAINST", 1: "NEUTRAL", 2: "FOR"})
    return pipeline("text-classification", model=str(tmp_path / "three"))


def test_top_k_and_all_scores(three):
    every = three("good", top_k=None)
    assert [one["score"] for one in every] == sorted((one["score"] for one in every), reverse=True) and len(every) == 3
    assert sum(one["score"] for one in every) == pytest.approx(1, abs=1e-5)
    assert three("good", top_k=2) == every[:2] and three("good", top_k=1) == every[:1] == three("good") and three("good", top_k=9) == every
    two = [[(one["label"], pytest.approx(one["score"], abs=1e-5)) for one in three(text, top_k=2)] for text in ("good", "bad")]
    assert [[(one["label"], one["score"]) for one in answer] for answer in three(["good", "bad"], top_k=2)] == two
    (model_order,) = three("good", return_all_scores=True)
    assert [one["label"] for one in model_order] == ["AGAINST", "NEUTRAL", "FOR"]
    assert three(["good"], return_all_scores=True) == [model_order]
    assert pipeline("text-classification", model=three.model, tokenizer=three.tokenizer, top_k=2)("good") == every[:2], "an option of the pipeline"


def test_functions_of_the_scores(three):
    logits = three.model(**three.tokenizer("good", return_tensors="pt")).logits[0]
    for name, wanted in (("none", logits), ("sigmoid", logits.sigmoid()), ("softmax", logits.softmax(-1))):
        (found,) = three("good", function_to_apply=name, return_all_scores=True)
        assert [one["score"] for one in found] == pytest.approx(wanted.tolist(), abs=1e-5)
    three.model.config.problem_type = "multi_label_classification"
    assert three("good")[0]["score"] == pytest.approx(logits.sigmoid().max().item(), abs=1e-5)
    three.model.config.problem_type = "regression"
    assert three("good")[0]["score"] == pytest.approx(logits.max().item(), abs=1e-5)


def test_a_single_label(tmp_path):
    model = tiny.save(tmp_path, num_labels=1)
    pipe = pipeline("text-classification", model=str(tmp_path))
    logit = model(**pipe.tokenizer("good", return_tensors="pt")).logits[0, 0]
    assert pipe("good") == [{"label": "LABEL_0", "score": pytest.approx(logit.sigmoid().item(), abs=1e-5)}]


def test_pairs(three):
    pair = {"text": "the council vote", "text_pair": "not good"}
    wanted = three.model(**three.tokenizer("the council vote", "not good", return_tensors="pt")).logits.softmax(-1).max().item()
    assert three(pair)["score"] == pytest.approx(wanted, abs=1e-5)
    assert three([pair, pair])[1]["score"] == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(TypeError, match="with pairs every item needs both"):
        three([pair, "good"])
    assert three([{"text": "good", "label": 1}]) == three(["good"])          # a row of a data set: its text alone


def test_counts_that_numpy_made(three, fill):
    assert len(three("good", top_k=np.int64(2))) == len(fill("a [MASK]", top_k=np.int64(2), batch_size=np.int64(1))) == 2


def test_features_can_be_trained_on(embed):
    torch.nn.Linear(embed.model.config.hidden_size, 2)(embed("good", return_tensors=True)).sum().backward()


def test_mistakes_in_the_options(classify, fill, embed):
    for pipe, options, error, message in [
            (classify, {"topk": 3}, TypeError, "sentiment-analysis has no option 'topk'. Did you mean top_k"),
            (classify, {"colour": 3}, TypeError, "has no option 'colour'. It has: truncation, max_length, stride"),
            (classify, {"top_k": 0}, ValueError, "top_k must be a whole number of at least 1"),
            (classify, {"top_k": "all"}, ValueError, "top_k must be a whole number"),
            (classify, {"function_to_apply": "relu"}, ValueError, "function_to_apply must be 'softmax', 'sigmoid' or 'none'"),
            (classify, {"batch_size": 0}, ValueError, "batch_size must be a whole number of at least 1, got 0"),
            (classify, {"batch_size": -1}, ValueError, "batch_size must be"), (classify, {"batch_size": "8"}, ValueError, "batch_size must be"),
            (classify, {"max_length": 0}, ValueError, "max_length must be"), (classify, {"max_length": "x"}, ValueError, "max_length must be"),
            (classify, {"max_length": 2}, ValueError, "max_length=2 leaves no room"),
            (fill, {"top_k": 0}, ValueError, "top_k must be"), (fill, {"targets": []}, ValueError, "targets is empty"),
            (fill, {"targets": ["  "]}, ValueError, "the target '  ' holds no piece"),
            (fill, {"targets": 5}, TypeError, "targets must be a word or a list of words, got '5'"),
            (fill, {"targets": ["good", None]}, TypeError, "targets must be"), (fill, {"targets": iter(["good"])}, TypeError, "targets must be"),
            (embed, {"pooling": "max"}, ValueError, "pooling must be 'mean', 'cls' or None, got 'max'")]:
        with pytest.raises(error, match=message):
            pipe("good [MASK]", **options)
    for settings, error, message in [({"batch_size": 0}, ValueError, "batch_size must be"), ({"topk": 1}, TypeError, "Did you mean top_k"),
                                     ({"device": "gpu"}, ValueError, "device must be 'cpu', 'cuda'"),
                                     ({"device": 1.5}, ValueError, "device must be"),
                                     ({"device": "xla"}, ValueError, "torch cannot use device='xla' on this computer"),
                                     ({"dtype": "int8"}, ValueError, "belong to a model given by name")]:
        with pytest.raises(error, match=message):
            pipeline("text-classification", model=classify.model, tokenizer=classify.tokenizer, **settings)


# -- long texts ----------------------------------------------------------------------------------------------------------------


def test_long_texts_are_read_in_parts_and_that_is_said(classify, embed, caplog):
    words = ["good"] * 62 + ["bad"] * 62 + ["council"] * 31                      # 62 words and two special tokens fit
    whole, *parts = classify([" ".join(words), *(" ".join(words[i:i + 62]) for i in (0, 62, 124))], top_k=None)
    assert "1 of 4 texts had more than 64 tokens: they were read in parts, and their scores are averages over the parts" in caplog.text
    scores = [{one["label"]: one["score"] for one in answer} for answer in (whole, *parts)]
    wanted = (64 * scores[1]["LABEL_0"] + 64 * scores[2]["LABEL_0"] + 33 * scores[3]["LABEL_0"]) / 161
    assert scores[0]["LABEL_0"] == pytest.approx(wanted, abs=1e-5)
    (vectors,), vector = embed(" ".join(words)), embed(" ".join(words), pooling="mean")
    assert len(vectors) == 161 and vector == pytest.approx(np.mean(vectors, 0).tolist(), abs=1e-5)


def test_long_texts_are_cut_where_that_is_asked_for(classify, caplog):
    long = "good " * 100
    found = classify(["bad", long, long + "bad"], truncation=True)
    assert "2 of 3 texts had more than 64 tokens and were cut at the end, by up to 39 tokens" in caplog.text
    alone = classify("good " * 62)[0]["score"]
    assert [one["score"] for one in found[1:]] == pytest.approx([alone] * 2, abs=1e-6)
    caplog.clear()
    classify(["good", "bad"])
    assert caplog.text == ""
    classify("good " * 20, max_length=10, truncation=True)
    assert "1 of 1 texts had more than 10 tokens" in caplog.text
    with pytest.raises(ValueError, match="a text has 102 tokens and this model reads at most 64: leave truncation=False out"):
        classify(long, truncation=False)


def test_a_very_long_text(classify):
    assert classify("good bad " * 12_500)[0]["label"].startswith("LABEL_")
    assert classify("x" * 100_000)[0]["label"].startswith("LABEL_")


# -- fill-mask -----------------------------------------------------------------------------------------------------------------


def test_fill_mask(fill):
    found = fill(GAPS[0])
    assert len(found) == 5 and [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    ids = fill.tokenizer(GAPS[0], return_tensors="pt")
    p = fill.model(**ids).logits[0, 2].softmax(-1)
    for one in found:
        assert one["score"] == pytest.approx(p[one["token"]].item(), abs=1e-5)
        assert one["token_str"] == fill.tokenizer.convert_ids_to_tokens(one["token"])
    assert found[0]["token"] == p.argmax().item()
    word = next(one for one in fill(GAPS[0], top_k=len(tiny.VOCAB)) if one["token_str"] == "council")
    assert word["sequence"] == "the council was good."
    assert len(fill(GAPS[0], top_k=3)) == 3 and len(fill(GAPS[0], top_k=10**6)) == len(tiny.VOCAB)
    assert fill(GAPS) == [fill(gap) for gap in GAPS] or all(
        a["score"] == pytest.approx(b["score"], abs=1e-5) for a, b in zip(fill(GAPS)[0], found, strict=True))


def test_several_gaps(fill):
    text = "the [MASK] is not [MASK]"
    first, second = fill(text, top_k=2)
    p = fill.model(**fill.tokenizer(text, return_tensors="pt")).logits[0].softmax(-1)
    assert [first[0]["token"], second[0]["token"]] == [p[2].argmax().item(), p[5].argmax().item()]
    assert first[0]["sequence"].count("[MASK]") == 1 == second[0]["sequence"].count("[MASK]"), "the other gap stays open"


def test_targets(fill):
    with pytest.warns(UserWarning, match="the target 'unhappiness' is cut into 3 pieces .* the score is that of 'un'"):
        found = fill(GAPS[0], targets=["good", "bad", "unhappiness"])
    assert sorted(one["token_str"] for one in found) == ["bad", "good", "un"], "a word of several pieces counts with its first"
    p = fill.model(**fill.tokenizer(GAPS[0], return_tensors="pt")).logits[0, 2].softmax(-1)
    assert found[0]["score"] == pytest.approx(max(p[tiny.VOCAB[w]].item() for w in ("good", "bad", "un")), abs=1e-6)
    assert fill(GAPS[0], targets="good")[0]["token"] == tiny.VOCAB["good"]
    assert len(fill(GAPS[0], targets=["good", "good"])) == 1


def test_texts_without_a_gap(fill):
    with pytest.raises(ValueError, match=r"there is no gap to fill in 'good': write \[MASK\] where a word is missing"):
        fill("good")
    with pytest.raises(ValueError, match="it stands behind the 64 tokens that truncation=True keeps"):
        fill("good " * 100 + "[MASK]", truncation=True)


def test_special_tokens_in_a_text_count_only_where_they_must(classify, embed):
    """A text cannot smuggle the end of a text into a classifier."""
    odd = "good [SEP] bad"
    ids = classify.tokenizer(odd, split_special_tokens=True, return_tensors="pt")
    assert ids["input_ids"][0].tolist().count(classify.tokenizer.sep_token_id) == 1
    wanted = classify.model(**ids).logits.softmax(-1).max().item()
    assert classify(odd)[0]["score"] == pytest.approx(wanted, abs=1e-6)
    assert len(embed("[MASK]")[0]) == len(embed.tokenizer("[MASK]", split_special_tokens=True)["input_ids"]) > 3


def test_padding_leaves_no_trace(fill, embed):
    shapes = [len(one[0]) for one in embed(TEXTS)]
    for side in ("left", "right"):
        fill.tokenizer.padding_side = embed.tokenizer.padding_side = side
        for gap, found in zip(GAPS, fill(GAPS, top_k=len(tiny.VOCAB)), strict=True):
            (council,) = [one["sequence"] for one in found if one["token_str"] == "council"]
            assert council == gap.replace("[MASK]", "council"), side
        assert [len(one[0]) for one in embed(TEXTS)] == shapes


# -- feature-extraction ----------------------------------------------------------------------------------------------------------


def test_features(embed):
    lengths = [len(embed.tokenizer(text)["input_ids"]) for text in TEXTS]
    found = embed(TEXTS)
    assert [(len(one), len(one[0]), len(one[0][0])) for one in found] == [(1, length, 24) for length in lengths]
    with torch.no_grad():
        alone = [embed.model(**embed.tokenizer(text, return_tensors="pt")).last_hidden_state for text in TEXTS]
    for one, wanted in zip(embed(TEXTS, return_tensors=True), alone, strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-5, atol=1e-5)
    for one, wanted in zip(embed(TEXTS, return_tensors=True, pooling="mean"), alone, strict=True):
        torch.testing.assert_close(one, wanted[0].mean(0), rtol=1e-5, atol=1e-5)
    for one, wanted in zip(embed(TEXTS, pooling="cls"), alone, strict=True):
        torch.testing.assert_close(torch.tensor(one), wanted[0, 0], rtol=1e-5, atol=1e-5)
    assert np.array(embed(TEXTS, pooling="mean")).shape == (len(TEXTS), 24)


# -- how a pipeline is made --------------------------------------------------------------------------------------------------------


def test_by_name_and_by_objects(folder, monkeypatch):
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder, use_fast=False)
    wanted = pipeline("text-classification", model=folder)(TEXTS)
    for pipe in (pipeline("text-classification", model=model, tokenizer=tokenizer), pipeline("sentiment-analysis", str(folder), str(folder)),
                 pipeline("text-classification", model=model, tokenizer=folder), pipeline("text-classification", folder, use_fast=False, framework="pt")):
        assert [one["score"] for one in pipe(TEXTS)] == pytest.approx([one["score"] for one in wanted], abs=1e-5)
    assert not pipe.tokenizer.is_fast and not pipe.model.training
    assert pipeline("text-classification", model=model.train(), tokenizer=tokenizer).model.training is False
    assert pipeline("text-classification", folder, model_kwargs={"num_labels": 7}).model.config.num_labels == 7
    assert pipeline("text-classification", folder, dtype="bfloat16").model.dtype == torch.bfloat16
    assert "device='cpu'" in repr(pipeline("text-classification", folder, device=-1))


def test_the_pocket_model_is_the_default_and_says_so(folder, monkeypatch, caplog):
    monkeypatch.setattr(course.hub, "POCKET", folder.parent)
    folder.rename(folder.parent / "sentiment")
    pipe = pipeline("sentiment-analysis")
    assert pipe("good")[0]["label"].startswith("LABEL") and pipe.model.name_or_path == "pocket/sentiment"
    (record,) = caplog.records
    assert "pocket/sentiment" in record.getMessage() and "distilbert-base-uncased-finetuned-sst-2-english" in record.getMessage()
    assert "\n" not in record.getMessage()
    monkeypatch.setenv("COURSE_DEFAULTS", "hub")
    with pytest.raises(FileNotFoundError, match="config.json of 'distilbert-base-uncased-finetuned-sst-2-english' is not on this computer"):
        pipeline("sentiment-analysis")


@pytest.mark.parametrize(("task", "error", "message"), [
    ("sentiment", ValueError, "there is no task 'sentiment'. Did you mean 'sentiment-analysis'"), ("fill_mask", ValueError, "Did you mean 'fill-mask'"),
    ("Text Classification", ValueError, "Did you mean 'text-classification'"), ("xyz", ValueError, "Tasks: .*feature-extraction, fill-mask"),
    (None, TypeError, "pipeline needs a task: "), (["fill-mask"], TypeError, "pipeline needs a task"), (5, TypeError, "pipeline needs a task"),
])
def test_tasks_that_do_not_exist(task, error, message):
    with pytest.raises(error, match=message):
        pipeline(task)


def test_parts_that_do_not_fit(folder, classify):
    model, tokenizer = classify.model, classify.tokenizer
    for task, arguments, error, message in [
            ("text-classification", {"model": model}, ValueError, "a loaded model does not know its tokenizer: pass tokenizer=…"),
            ("text-classification", {"model": 5}, TypeError, "model must be a name, a folder or a loaded model, got int"),
            ("text-classification", {"model": tokenizer, "tokenizer": model}, TypeError, "loaded model, got BertTokenizerFast"),
            ("text-classification", {"model": model, "tokenizer": 5}, TypeError, "tokenizer must be a name"),
            ("fill-mask", {"model": model, "tokenizer": tokenizer}, TypeError, "fill-mask needs a model loaded with AutoModelForMaskedLM, this one is"),
            ("feature-extraction", {"model": model, "tokenizer": tokenizer}, TypeError, "its body is model.base_model"),
            ("text-classification", {"model": model.bert, "tokenizer": tokenizer}, TypeError, "this one is a BertModel")]:
        with pytest.raises(error, match=message):
            pipeline(task, **arguments)
    assert pipeline("feature-extraction", model=model.base_model, tokenizer=tokenizer)("good")


# -- explain -----------------------------------------------------------------------------------------------------------------------


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?|-?\d+", re.sub(r"\(\d+ in all\)|dtype=\S+|grad_fn=\S+", "", text))]


def explained(pipe, text, capsys):
    """Runs what explain() prints; returns [(comment, output)] of its print lines."""
    capsys.readouterr()
    pipe.explain(text)
    code = capsys.readouterr().out
    pairs, space = [], {"pipe": pipe}
    block: list[str] = []
    for line in [*code.splitlines(), "None"]:
        if block and not line.startswith(" "):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec("\n".join(block), space)
            if block[-1].startswith("print("):
                pairs.append((block[-1].rpartition("  # ")[2], out.getvalue()))
            block = []
        block.append(line)
    assert len(pairs) >= 4 and all(comment.strip() for comment, _ in pairs)
    return code, pairs


def same_numbers(pairs):
    for comment, output in pairs:
        mine, real = numbers(comment), numbers(output)
        if "…" in comment:                            # the middle of a long list is left out
            half = len(mine) // 2
            real = real[:half] + real[len(real) - (len(mine) - half):]
        assert mine == pytest.approx(real, abs=2e-4), (comment, output)


@pytest.mark.parametrize("text", ["the council vote was not bad.", "it's [SEP] \"odd\" \\ \n text", "", "good bad " * 100], ids=["plain", "odd", "empty", "long"])
def test_explain_prints_code_that_gives_its_numbers(classify, text, capsys):
    code, pairs = explained(classify, text, capsys)
    same_numbers(pairs)
    answer = classify(text, truncation=True)[0]
    label, score = pairs[-1][1].split()
    assert label == answer["label"] and float(score) == pytest.approx(answer["score"], abs=1e-4)
    assert f"from_pretrained({classify.model.name_or_path!r})" in code and "pipe." not in code


def test_explain_of_other_kinds_of_classifiers(tmp_path, capsys):
    for number, settings in enumerate([{"num_labels": 1}, {"num_labels": 3, "problem_type": "multi_label_classification"},
                                       {"num_labels": 1, "problem_type": "regression"}]):
        tiny.save(tmp_path / str(number), **settings)
        same_numbers(explained(pipeline("text-classification", model=str(tmp_path / str(number))), "good", capsys)[1])
    pipe = pipeline("text-classification", model=str(tmp_path / "1"), function_to_apply="softmax")
    same_numbers(explained(pipe, "good", capsys)[1])


def test_explain_of_a_model_that_was_not_loaded_by_a_name(folder, capsys):
    """A model in the hands of its user may have been trained since: then only the pipeline's own has the numbers."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.weight.mul_(-3)
    pipe = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder))
    code, pairs = explained(pipe, "the vote was good", capsys)
    same_numbers(pairs)
    assert "model = pipe.model" in code
    exact = pipeline("text-classification", model=folder, dtype="bfloat16")
    code, pairs = explained(exact, "good", capsys)
    assert "dtype=torch.bfloat16" in code
    assert "pipe.model" in explained(pipeline("text-classification", model=folder, model_kwargs={"num_labels": 4}), "good", capsys)[0]


def test_explain_of_a_tokenizer_without_a_limit(folder, capsys):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("model_max_length")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    code, pairs = explained(pipeline("text-classification", model=str(folder)), "good " * 100, capsys)
    same_numbers(pairs)
    assert "max_length=64" in code


def test_explain_of_gaps_and_features(fill, embed, capsys):
    code, pairs = explained(fill, "the [MASK] was good.", capsys)
    same_numbers(pairs)
    tokens = [one["token_str"] for one in fill("the [MASK] was good.")]
    assert str(tokens) in code and pairs[-2][1].strip() == str(tokens)
    with pytest.raises(ValueError, match="one gap at a time"):
        fill.explain("[MASK] [MASK]")
    with pytest.raises(ValueError, match="there is no gap"):
        fill.explain("good")
    same_numbers(explained(embed, "the council vote was good.", capsys)[1])
    for wrong in (None, ["good"], 5):
        with pytest.raises(TypeError, match="the input of explain is"):
            embed.explain(wrong)


# -- threads, progress -------------------------------------------------------------------------------------------------------------


def test_two_pipelines_in_threads_answer_as_alone(classify, fill):
    texts = [f"{a} {b}" for a in tiny.WORDS[:12] for b in tiny.WORDS[:12]]
    gaps = [f"{text} [MASK]" for text in texts]
    wanted = [one["score"] for one in classify(texts)], [one[0]["score"] for one in fill(gaps)]
    found: dict[int, list] = {}

    def work(number):
        pipe, inputs = ((classify, texts), (fill, gaps))[number % 2]
        answers = list(pipe(iter(inputs)) if number > 3 else pipe(inputs, batch_size=10))
        found[number] = [one["score"] if number % 2 == 0 else one[0]["score"] for one in answers]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(6))
    for number, scores in found.items():
        assert scores == pytest.approx(wanted[number % 2], abs=1e-5)


def test_one_tokenizer_in_threads():
    for fast in (True, False):
        tokenizer = tiny.tokenizer(fast)
        texts = TEXTS * 20
        wanted, split = tokenizer(texts)["input_ids"], tokenizer(["[SEP]"], split_special_tokens=True)["input_ids"]
        wrong = []

        def work(number, tokenizer=tokenizer, wanted=wanted, split=split, wrong=wrong):
            for _ in range(5):
                if number % 2 and tokenizer(texts)["input_ids"] != wanted:
                    wrong.append(number)
                if tokenizer(["[SEP]"], split_special_tokens=True)["input_ids"] != split:
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_the_progress_bar_comes_only_with_long_work(classify, capsys, monkeypatch):
    classify(TEXTS)
    assert capsys.readouterr().err == ""
    ticks = iter(range(0, 10_000, 3))                 # a clock in which every look costs three seconds
    monkeypatch.setattr("tqdm.std.time", lambda: next(ticks))
    monkeypatch.setattr(classify.tokenizer, "model_max_length", 64)
    classify(TEXTS * 5, batch_size=2)
    assert "sentiment-analysis" in capsys.readouterr().err
