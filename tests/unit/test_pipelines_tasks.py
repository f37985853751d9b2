"""The pipelines of single tasks: ner, question-answering, zero-shot-classification, sentence-similarity, tables, bad input."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest
import tiny
import torch

import course
from course import hub, notes, pipeline
from course.pipelines import TASKS
from course.tokenizers.byte_bpe import BYTES

TAGS = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}
TEXT = "the new council is not good. is the school unhappiness bad, people?"
CONTEXT = "the council vote is not good. new people vote in the school!"


def made(tmp_path, task, head, **settings):
    tiny.save(tmp_path / "model", head, **settings)
    return pipeline(task, model=str(tmp_path / "model"))


@pytest.fixture
def ner(tmp_path):
    return made(tmp_path, "ner", "ForTokenClassification", id2label=TAGS)


@pytest.fixture
def qa(tmp_path):
    return made(tmp_path, "question-answering", "ForQuestionAnswering")


@pytest.fixture
def zero(tmp_path):
    return made(tmp_path, "zero-shot-classification", "ForSequenceClassification", id2label=NLI)


@pytest.fixture
def similar(tmp_path):
    return made(tmp_path, "sentence-similarity", "")


def tagged(pipe, labels):
    """Makes the model say these labels, one for each token of the next text (special tokens: O)."""
    def forward(batch, options):
        scores = torch.full((1, len(labels) + 2, len(TAGS)), 0.02)
        for place, label in enumerate(["O", *labels, "O"]):
            scores[0, place, list(TAGS.values()).index(label)] = 0.92 - place / 100
        return list(scores)
    pipe.forward = forward


# -- ner -----------------------------------------------------------------------------------------------------------------------


def test_ner_is_what_the_model_says(ner):
    inputs = ner.tokenizer(TEXT, return_tensors="pt")
    p = ner.model(**inputs).logits[0].softmax(-1)
    found = ner(TEXT, ignore_labels=[])
    assert [one["word"] for one in found] == inputs.tokens()[1:-1] and [one["index"] for one in found] == list(range(1, len(p) - 1))
    for one, scores in zip(found, p[1:-1], strict=True):
        assert list(one) == ["entity", "score", "index", "word", "start", "end"]
        assert one["entity"] == TAGS[int(scores.argmax())] and one["score"] == pytest.approx(scores.max().item(), abs=1e-5)
        assert TEXT[one["start"]:one["end"]] == one["word"].removeprefix("##")
    assert [one for one in found if one["entity"] != "O"] == ner(TEXT)


def test_ner_joins_tokens(ner):
    text = "the council vote unhappiness new."            # pieces: the council vote un ##happi ##ness new .
    tagged(ner, ["B-PER", "I-PER", "B-PER", "B-LOC", "I-LOC", "I-PER", "I-LOC", "O"])

    def groups(strategy):
        return [(one["entity_group"], one["word"], text[one["start"]:one["end"]]) for one in ner(text, aggregation_strategy=strategy)]

    assert groups("simple") == [("PER", "the council", "the council"), ("PER", "vote", "vote"), ("LOC", "unhappi", "unhappi"),
                                ("PER", "##ness", "ness"), ("LOC", "new", "new")]
    for strategy in ("first", "average", "max"):          # the pieces of "unhappiness" agree, "new" goes on with their kind
        assert groups(strategy) == [("PER", "the council", "the council"), ("PER", "vote", "vote"),
                                    ("LOC", "unhappiness new", "unhappiness new")]
    tagged(ner, ["O", "O", "O", "I-PER", "B-LOC", "B-LOC", "O", "O"])
    assert [groups(strategy)[0][0] for strategy in ("first", "average", "max")] == ["PER", "LOC", "PER"]
    tagged(ner, ["B-PER", "I-PER", "B-PER", "B-LOC", "I-LOC", "I-PER", "I-LOC", "O"])
    assert ner(text, grouped_entities=True) == ner(text, aggregation_strategy="simple")
    assert ner(text, grouped_entities=True, ignore_subwords=True) == ner(text, aggregation_strategy="first")
    assert [one["entity_group"] for one in ner(text, aggregation_strategy="simple", ignore_labels=["PER", "O"])] == ["LOC", "LOC"]


def test_ner_of_words(ner):
    words = TEXT.split()
    (found,) = ner([words], is_split_into_words=True, ignore_labels=[])
    assert [(one["start"], one["end"]) for one in found] == [(one["start"], one["end"]) for one in ner(TEXT, ignore_labels=[])]
    with pytest.raises(TypeError, match="is_split_into_words=False asks for texts in one piece"):
        ner([["the", "council"]])


def test_ner_of_a_long_text_loses_nothing(ner):
    long = " ".join([TEXT] * 12)
    for one in ner(long, ignore_labels=[]):
        assert long[one["start"]:one["end"]] == one["word"].removeprefix("##")
    tokens = len(ner.tokenizer(long, add_special_tokens=False)["input_ids"])
    found = ner(long, ignore_labels=[])
    assert [one["index"] for one in found] == list(range(1, tokens + 1)), "every token once, counted through all parts"
    for strategy in ("simple", "first", "average", "max"):
        spans = [(one["start"], one["end"]) for one in ner(long, aggregation_strategy=strategy)]
        assert spans == sorted(spans) and all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    together = ner([TEXT, long, "good"])[1]
    assert [(one["word"], one["start"]) for one in together] == [(one["word"], one["start"]) for one in ner(long)]


def test_ner_mistakes(ner):
    for options, error, message in [({"aggregation_strategy": "best"}, ValueError, "must be one of none, simple, first, average, max"),
                                    ({"ignore_labels": "O"}, TypeError, r"ignore_labels must be a list of labels: \['O'\]")]:
        with pytest.raises(error, match=message):
            ner(TEXT, **options)


# -- question answering ----------------------------------------------------------------------------------------------------------


def best_span(qa, question, context, most=15):
    inputs = qa.tokenizer(question, context, return_tensors="pt")
    with torch.no_grad():
        outputs = qa.model(**inputs)
    inside = torch.tensor([part == 1 for part in inputs.sequence_ids(0)])
    allowed = inside.clone()
    allowed[0] = True
    start, end = (x[0].masked_fill(~allowed, -torch.inf).softmax(-1) for x in (outputs.start_logits, outputs.end_logits))
    return max(float(start[i] * end[j]) for i in range(len(start)) for j in range(i, min(i + most, len(start))) if inside[i] and inside[j])


def test_question_answering_is_what_the_model_says(qa):
    for question in ("is the council good?", "who?"):
        found = qa(question=question, context=CONTEXT, align_to_words=False)
        assert list(found) == ["score", "start", "end", "answer"] and CONTEXT[found["start"]:found["end"]] == found["answer"]
        spans = qa(question=question, context=CONTEXT, align_to_words=False, top_k=50)
        assert spans[0] == found and found["score"] >= best_span(qa, question, CONTEXT) - 1e-6, "the same words twice add up"
        assert [one["score"] for one in spans] == sorted((one["score"] for one in spans), reverse=True)
        assert len({one["answer"].lower() for one in spans}) == len(spans)
        null = qa(question=question, context=CONTEXT, handle_impossible_answer=True, top_k=1000)
        assert [one for one in null if one["answer"] == ""][0].keys() == found.keys()
        words = qa(question=question, context=CONTEXT)["answer"]
        assert words[0] not in " '" and f" {CONTEXT} ".find(words) > 0


def test_question_answering_takes_every_form(qa):
    questions = ["is the council good?", "who?"]
    items = [{"question": question, "context": CONTEXT} for question in questions]
    wanted = [qa(question=question, context=CONTEXT)["answer"] for question in questions]

    def answers(found):
        return [one["answer"] for one in found]

    assert answers(qa(items)) == answers(qa(question=questions, context=CONTEXT)) == answers(qa(iter(items))) == wanted
    assert answers(qa(question=questions, context=[CONTEXT, CONTEXT])) == answers(qa(questions, CONTEXT)) == wanted
    assert qa(questions[0], CONTEXT)["answer"] == qa(items[0])["answer"] == qa([items[0]])["answer"] == wanted[0]
    assert answers(qa(question=questions[0], context=(CONTEXT for _ in range(3)))) == [wanted[0]] * 3
    assert answers(qa(X=items)) == answers(qa(data=items)) == wanted
    assert qa(question="who?", context=CONTEXT, topk=2) == qa(question="who?", context=CONTEXT, top_k=2)


def test_question_answering_reads_long_contexts_to_the_end(qa):
    long = " ".join([CONTEXT] * 10)
    rows = qa.encode([{"question": "who?", "context": long}], qa.options).rows
    assert len(rows) == 5 and {row.source for row in rows} == {0}
    covered = {place for row in rows for (start, end), part in zip(row.offsets, row.sequences, strict=True) if part for place in range(start, end)}
    assert covered == {place for place, char in enumerate(long) if char != " "}, "every letter is read"
    for one in qa(question="who?", context=long, top_k=30):
        assert long[one["start"]:one["end"]] == one["answer"]
    qa(question="who?", context=long, max_seq_len=30, doc_stride=5, max_answer_len=3)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda qa: qa("who?"), TypeError, "needs a question and a context, .* the input has no context"),
    (lambda qa: qa(question="who?"), TypeError, "the input has no context"), (lambda qa: qa(context=CONTEXT), TypeError, "has no question"),
    (lambda qa: qa(question="who?", context=""), ValueError, "the context of the input is empty: leave such rows out"),
    (lambda qa: qa(question=" ", context=CONTEXT), ValueError, "the question of the input is empty"),
    (lambda qa: qa([{"question": "who?", "context": CONTEXT}, {"question": "who?"}]), TypeError, "number 1 .* has no context"),
    (lambda qa: qa(question="who?", context=[CONTEXT, float("nan")]), TypeError, "the context of number 1 .* is a missing value"),
    (lambda qa: qa(question=["a", "b"], context=[CONTEXT]), ValueError, "there are 2 questions and 1 contexts"),
    (lambda qa: qa(question="who?", context=CONTEXT, top_k=0), ValueError, "top_k must be a whole number"),
    (lambda qa: qa(question="who?", context=CONTEXT, max_answer_len=0), ValueError, "max_answer_len must be"),
    (lambda qa: qa("who?", CONTEXT, question="why?"), TypeError, "not both at once"),
    (lambda qa: qa(question="who? " * 70, context=CONTEXT), ValueError, "takes up all 64 tokens .* leaves no room for the other"),
    (lambda qa: qa.frame([CONTEXT]), ValueError, "frame asks one question of every text"),
])
def test_question_answering_mistakes(qa, call, error, message):
    with pytest.raises(error, match=message):
        call(qa)


# -- zero-shot classification ------------------------------------------------------------------------------------------------------


def test_zero_shot_is_what_the_model_says(zero):
    labels = ["school", "new school", "people", "vote"]          # one label is the end of another: each is read in full
    logits = torch.cat([zero.model(**zero.tokenizer(TEXT, f"the {label} is good.", return_tensors="pt")).logits for label in labels])
    for multi, wanted in ((False, logits[:, 2].softmax(0)), (True, logits[:, [0, 2]].softmax(-1)[:, 1])):
        found = zero(TEXT, labels, hypothesis_template="the {} is good.", multi_label=multi)
        assert list(found) == ["sequence", "labels", "scores"] and found["sequence"] == TEXT
        assert found["scores"] == sorted(found["scores"], reverse=True)
        for label, score in zip(found["labels"], found["scores"], strict=True):
            assert score == pytest.approx(wanted[labels.index(label)].item(), abs=1e-5)
    many = zero([TEXT, "good", ""], candidate_labels="school, people")
    assert [one["sequence"] for one in many] == [TEXT, "good", ""] and sum(many[1]["scores"]) == pytest.approx(1)
    assert list(zero(iter([TEXT]), "school"))[0]["labels"] == ["school"] and 0 < zero(TEXT, "school")["scores"][0] < 1
    assert zero(TEXT, labels, multi_class=True)["scores"] == zero(TEXT, labels, multi_label=True)["scores"]
    ready = pipeline("zero-shot-classification", model=zero.model, tokenizer=zero.tokenizer, candidate_labels=labels)
    assert ready(TEXT) == zero(TEXT, labels)


def test_zero_shot_of_a_long_text(zero, caplog):
    long = " ".join([TEXT] * 8)
    zero([TEXT, long], ["school", "people"])
    assert "1 of 2 texts had more than 64 tokens: they were read in parts, and the logits of the parts were averaged" in caplog.text
    end = zero(long + " bad" * 60, ["school", "people"])
    assert end["scores"] != zero(long, ["school", "people"])["scores"], "the end counts as well"


@pytest.mark.parametrize(("labels", "options", "message"), [
    (None, {}, "needs labels to choose from"), ([], {}, "it is empty"), ("", {}, "it is empty"), (["a", "b", "a"], {}, "'a' is there twice"),
    (["a", ""], {}, "'' is no word"), (["a", None], {}, "None is no word"), (["a"], {"hypothesis_template": "about it"}, "needs {} where"),
    (["a"], {"hypothesis_template": "about {label}"}, "needs {} where"),
    (["a"], {"hypothesis_template": "{} " + "good " * 70}, "takes up all 64 tokens that are read at once"),
])
def test_zero_shot_mistakes(zero, labels, options, message):
    with pytest.raises(ValueError, match=message):
        zero(TEXT, candidate_labels=labels, **options)


# -- similarity, features -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_features_of_models_that_read_and_write(tmp_path, kind, caplog):
    """A T5's come from its encoder: its decoder needs a text of its own. A BART reads its text twice, as it always did."""
    model = tiny.writer(kind, vocab_size=len(tiny.VOCAB))
    model.save_pretrained(tmp_path)
    tiny.tokenizer(model_max_length=30).save_pretrained(tmp_path)
    pipe = pipeline("feature-extraction", model=str(tmp_path), return_tensors=True)
    ids = pipe.tokenizer(CONTEXT, return_tensors="pt")["input_ids"]
    states = model.transformer.encode(ids)[0] if kind == "t5" else course.AutoModel.from_pretrained(tmp_path)(ids)[0]
    torch.testing.assert_close(pipe(CONTEXT), states.detach())
    assert pipeline("sentence-similarity", model=str(tmp_path))(CONTEXT, CONTEXT) == pytest.approx(1)



def test_similarity_is_a_cosine(similar):
    texts = ["the council vote", "good", TEXT]
    vectors = torch.stack([similar.model(**similar.tokenizer(text, return_tensors="pt"))[0][0].mean(0) for text in texts])
    wanted = torch.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    assert np.allclose(similar(texts), wanted.detach(), atol=1e-5)
    assert similar(texts[0], texts[1:]) == pytest.approx(wanted[0, 1:].tolist(), abs=1e-5)
    assert similar(texts[0], texts[1]) == pytest.approx(wanted[0, 1].item(), abs=1e-5)
    assert similar({"source_sentence": texts[0], "sentences": texts}) == pytest.approx(wanted[0].tolist(), abs=1e-5)
    assert np.shape(similar(texts, texts[:2])) == (3, 2) and similar([], texts) == []
    with pytest.raises(ValueError, match="give a second text or a list"):
        similar("good")


def test_a_decoder_without_a_padding_token_answers(tmp_path):
    torch.manual_seed(0)
    vocab = {letter: number for number, letter in enumerate([*BYTES.values(), "<|endoftext|>"])}
    sizes = {"vocab_size": len(vocab), "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 64}
    tokenizer = course.GPT2Tokenizer(vocab=vocab, merges=[])
    for made, task in ((course.GPT2Model, "feature-extraction"), (course.GPT2ForSequenceClassification, "text-classification")):
        pipe = pipeline(task, model=made(course.GPT2Config(**sizes)), tokenizer=tokenizer)
        texts = ["good", "the council vote", "", "bad", "the school is new"]
        alone = [pipe(text) for text in texts]
        alone = alone if task == "feature-extraction" else [one for (one,) in alone]
        for together in (pipe(texts), pipe(texts, batch_size=1)):
            for a, b in zip(alone, together, strict=True):
                assert np.allclose(a, b, atol=1e-5) if task == "feature-extraction" else b["score"] == pytest.approx(a["score"], abs=1e-5)
    vectors = pipeline("feature-extraction", model=course.GPT2Model(course.GPT2Config(**sizes)), tokenizer=tokenizer, pooling="mean")(texts)
    assert np.isfinite(vectors).all(), "an empty text is read as the token that starts a text"


# -- what all have in common -----------------------------------------------------------------------------------------------------------


def test_tables_give_tables_with_their_index(ner, qa, zero, similar, tmp_path):
    pandas = pytest.importorskip("pandas")
    survey = pandas.DataFrame({"answer": ["good", None, TEXT, "bad"]}, index=[10, 20, 20, "x"])
    classify = made(tmp_path, "text-classification", "ForSequenceClassification")
    found = classify.frame(survey["answer"])
    assert list(found.index) == [10, 20, 20, "x"] and list(found.columns) == ["label", "score"]
    assert found["label"].isna().tolist() == [False, True, False, False]
    assert found["score"].tolist()[2] == pytest.approx(classify(TEXT)[0]["score"], abs=1e-5)
    assert classify.frame(survey["answer"][:0]).empty
    one = survey["answer"][:2]                        # tasks that answer a list of one without a list
    assert qa.frame(one, question="who?").iloc[0].to_dict() == qa(question="who?", context="good")
    fill = made(tmp_path / "fill", "fill-mask", "ForMaskedLM")
    assert fill.frame(["the [MASK] is new"], top_k=2)["token_str"].tolist() == [g["token_str"] for g in fill("the [MASK] is new", top_k=2)]
    assert classify.frame(survey["answer"], top_k=None).shape == (7, 2), "an answer with two entries has two lines"
    assert set(ner.frame(survey["answer"], ignore_labels=[]).index) == {10, 20, "x"}
    assert qa.frame(survey["answer"], question="who?")["answer"].isna().tolist() == [False, True, False, False]
    frame = zero.frame(survey["answer"], candidate_labels=["a", "b"])
    assert set(frame.columns) == {"label", "score", "a", "b"} and frame.iloc[0]["score"] == max(frame.iloc[0][["a", "b"]])
    features = pipeline("feature-extraction", model=similar.model, tokenizer=similar.tokenizer)
    assert features.frame(survey["answer"], pooling="mean").shape == (4, 24)
    with pytest.raises(ValueError, match="a line of a table holds one vector: pass pooling='mean'"):
        features.frame(survey["answer"])
    with pytest.raises(TypeError, match=r"It is a missing value: pipe.frame\(column\) leaves such rows empty"):
        classify(survey["answer"])
    names = similar.frame(survey["answer"].dropna(), ["good", "bad"])
    assert list(names.columns) == ["good", "bad"] and list(names.index) == [10, 20, "x"]


def test_answers_depend_on_no_neighbour_and_no_side(ner, qa, zero):
    others = ["good", TEXT, "a b c", " ".join([TEXT] * 9), ""]
    calls = [(ner, lambda pipe, texts: pipe(texts, ignore_labels=[])), (zero, lambda pipe, texts: pipe(texts, ["school", "vote"])),
             (qa, lambda pipe, texts: pipe(question="who?", context=[text or "good" for text in texts]))]
    for pipe, call in calls:
        wanted = [score_list(call(pipe, [text])[0] if pipe is not qa else call(pipe, [text])) for text in others]
        for side in ("left", "right"):
            pipe.tokenizer.padding_side = side
            for a, b in zip(wanted, map(score_list, call(pipe, others)), strict=True):
                assert a == pytest.approx(b, abs=1e-5)


def score_list(answer):
    if isinstance(answer, dict):
        return answer["scores"] if "scores" in answer else [answer["score"]]
    return [one["score"] for one in answer]


def test_special_tokens_in_texts_are_text(ner, qa, zero):
    odd = "the [SEP] council [MASK] is [PAD] good"
    places = [place for one in ner(odd, ignore_labels=[]) for place in range(one["start"], one["end"])]
    assert "".join(odd[place] for place in places) == odd.replace(" ", ""), "every letter, none of them as a special token"
    found = qa(question="what is [SEP]?", context=odd, top_k=5)
    assert all(odd[one["start"]:one["end"]] == one["answer"] for one in found)
    assert zero(odd, ["[SEP]", "good"])["labels"]


def test_scores_that_are_no_numbers(ner, qa, zero, similar):
    for pipe, call in ((ner, lambda: ner(TEXT)), (qa, lambda: qa("who?", CONTEXT)), (zero, lambda: zero(TEXT, ["a", "b"])),
                       (similar, lambda: similar("a", "b"))):
        with torch.no_grad():
            for weight in pipe.model.parameters():
                weight.fill_(float("nan"))
        with pytest.raises(ValueError, match="the model gives NaN or infinity instead of scores"):
            call()


def test_keywords_of_tutorials(ner, tmp_path, caplog):
    notes.said.clear()
    classify = made(tmp_path, "text-classification", "ForSequenceClassification")
    wanted = classify("good " * 9, truncation=True, max_length=5)
    assert classify("good " * 9, padding=True, num_workers=2, truncation=True, max_length=5) == wanted
    caplog.clear()
    for _ in range(2):
        assert classify("good " * 9, tokenizer_kwargs={"truncation": True, "max_length": 5, "padding": "max_length"}) == wanted
    assert [r.getMessage() for r in caplog.records if "is called" in r.getMessage()] == [
        "tokenizer_kwargs is called tokenize_kwargs now; both work here."], "said once"
    plain = classify.model(**classify.tokenizer("good", add_special_tokens=False, return_tensors="pt")).logits.softmax(-1).max()
    assert classify("good", tokenize_kwargs={"add_special_tokens": False})[0]["score"] == pytest.approx(plain.item(), abs=1e-6)
    with pytest.raises(TypeError, match="tokenize_kwargs must be a dict"):
        classify("good", tokenize_kwargs=5)


def test_keywords_of_loading(ner, tmp_path):
    folder = ner.model.name_or_path
    config = course.AutoConfig.from_pretrained(folder)
    config.id2label = {number: f"KIND_{number}" for number in range(5)}
    found = pipeline("ner", model=folder, config=config, device_map="auto", framework="pt", torchscript=False, tokenizer=folder)
    assert {one["entity"] for one in found(TEXT)} <= set(config.id2label.values())
    with pytest.raises(ValueError, match="belong to a model given by name"):
        pipeline("ner", model=ner.model, tokenizer=ner.tokenizer, config=config)


def test_a_pipeline_looks_for_each_file_once(ner, monkeypatch):
    found = []
    look_for = hub.look_for
    monkeypatch.setattr(hub, "look_for", lambda name, filename, **options: found.append(filename) or look_for(name, filename, **options))
    pipeline("ner", model=ner.model.name_or_path)
    assert {"config.json", "tokenizer_config.json"} <= set(found) and len(found) == len(set(found))
    with hub.each_file_once():
        assert hub.find_file(ner.model.name_or_path, "none.json", required=False) is None
        with pytest.raises(FileNotFoundError):
            hub.find_file(ner.model.name_or_path, "none.json")


def test_saved_and_made_by_the_name_of_the_class(ner, zero, tmp_path):
    ner.save_pretrained(tmp_path / "saved")
    again = pipeline("token-classification", model=str(tmp_path / "saved"))
    assert again(TEXT) == ner(TEXT)
    assert course.NerPipeline(ner.model, ner.tokenizer)(TEXT) == ner(TEXT)
    by_name = course.TokenClassificationPipeline(model=ner.model, tokenizer=ner.tokenizer)
    assert by_name(TEXT) == ner(TEXT) and by_name.task == "token-classification" and isinstance(by_name, course.Pipeline)
    assert course.ZeroShotClassificationPipeline(zero.model, zero.tokenizer)(TEXT, ["a", "b"]) == zero(TEXT, ["a", "b"])


def test_explain_shows_each_task(ner, qa, zero, similar, capsys):
    for call, wanted in ((lambda: ner.explain(TEXT), "labels = [model.config.id2label"),
                         (lambda: qa.explain(question="who?", context=CONTEXT), "start, end ="), (lambda: qa.explain("who?", CONTEXT), "question = 'who?'"),
                         (lambda: zero.explain(TEXT, candidate_labels=["a", "b"]), "hypothesis = 'This example is a.'"),
                         (lambda: similar.explain("good"), "vector = outputs[0][0].mean(0)")):
        capsys.readouterr()
        call()
        code = capsys.readouterr().out
        assert wanted in code
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, "explained", "exec"), {})
        assert len(printed.getvalue().splitlines()) >= 2


def test_explain_on_a_console_that_knows_few_characters(tmp_path):
    tiny.save(tmp_path / "model")
    code = f"from course import pipeline; pipeline('text-classification', {str(tmp_path / 'model')!r}).explain('good \\U0001F600')"
    for encoding in ("cp1252", "ascii"):
        done = subprocess.run([sys.executable, "-c", f"import sys; sys.stdout.reconfigure(encoding={encoding!r}); {code}"],
                              capture_output=True, text=True, encoding="latin-1", check=True)
        assert "text = 'good \\U0001f600'" in done.stdout


def test_every_task_is_listed_and_what_is_missing_is_said(monkeypatch):
    assert {task.auto for task in TASKS.values()} <= set(dir(course))
    monkeypatch.setattr("course.hub.pocket_names", lambda: [])
    with pytest.raises(FileNotFoundError, match=r"pocket/ner, the small model for ner, is not part of this version .* pipeline\('ner', model='dbmdz"):
        pipeline("ner")
    with pytest.raises(ValueError, match="there is no task 'nerd'. Did you mean 'ner'"):
        pipeline("nerd")
