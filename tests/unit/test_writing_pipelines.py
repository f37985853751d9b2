"""The tasks that write: text-generation, text2text-generation, summarization, translation."""

import json

import pytest
import tiny

from course import TextStreamer, pipeline
from course.pipelines.text2text_generation import SummarizationPipeline, Text2TextGenerationPipeline, TranslationPipeline
from course.pipelines.text_generation import TextGenerationPipeline

CHAT = "{% for m in messages %}{{ m.role }} {{ m.content }} . {% endfor %}{% if add_generation_prompt %}the {% endif %}"
TEXTS = ["the council", "good people vote for the new school", "not good", "is it bad?"]


def saved(folder, kind, generation=None, config=None, **settings):
    model = tiny.writer(kind, vocab_size=len(tiny.VOCAB), **settings)
    model.save_pretrained(folder)
    tokenizer = tiny.tokenizer(model_max_length=30)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    return str(folder)


GREEDY = {"do_sample": False, "max_new_tokens": 5, "eos_token_id": None}


@pytest.fixture
def write(tmp_path):
    return pipeline("text-generation", saved(tmp_path / "gpt2", "gpt2"), **GREEDY)


@pytest.fixture
def rewrite(tmp_path):
    return lambda task="summarization", **config: pipeline(task, saved(tmp_path / "bart", "bart", config=config or None), num_beams=1,
                                                           max_new_tokens=6)


def test_a_text_goes_on_as_generate_says(write):
    assert isinstance(write, TextGenerationPipeline)
    (found,) = write("the council vote")
    tokenizer, model = write.tokenizer, write.model
    ids = tokenizer("the council vote", return_tensors="pt")["input_ids"][:, :-1]         # without [SEP]
    wanted = tokenizer.decode(model.generate(ids, **GREEDY)[0], skip_special_tokens=True).removeprefix("the council vote")
    assert found["generated_text"].startswith("the council vote")
    assert found["generated_text"].removeprefix("the council vote").split() == wanted.split()
    assert write("the council vote", return_full_text=False)[0]["generated_text"].split() == wanted.split()
    assert write(text_inputs="the council vote") == [found]
    tokens = write("the council vote", return_tensors=True)[0]["generated_token_ids"]
    assert tokens[:ids.shape[1]] == ids[0].tolist() and len(tokens) == ids.shape[1] + 5


def test_every_prompt_is_written_on_as_if_alone(write):
    alone = [write(text) for text in TEXTS]
    assert write(TEXTS) == alone and write(TEXTS, batch_size=2) == alone
    assert list(write(text for text in TEXTS)) == alone
    drawn = {"do_sample": True, "seed": 3, "num_return_sequences": 2, "top_k": 0}
    assert write(TEXTS, **drawn) == [write(text, **drawn) for text in TEXTS]
    assert len(write(TEXTS[0], **drawn)) == 2


def test_a_text_is_shown_and_ended_as_the_call_says(write, rewrite, capsys):
    (found,) = write("the council vote", streamer=TextStreamer(write.tokenizer, skip_special_tokens=True))
    assert capsys.readouterr().out.split() == found["generated_text"].split()
    (short,) = write("the council vote", stopping_criteria=[lambda ids, scores: True], return_tensors=True)
    assert len(short["generated_token_ids"]) == len(write.tokenizer("the council vote")["input_ids"]) - 1 + 1
    (found,) = rewrite()("the council vote", streamer=TextStreamer(write.tokenizer, skip_special_tokens=True))
    assert capsys.readouterr().out.split() == found["summary_text"].split()
    with pytest.raises(ValueError, match="leave streamer out"):
        write("the council", allowed_outputs=["good", "bad"], streamer=TextStreamer(write.tokenizer))


def test_explain_names_the_format_of_weights(tmp_path, capsys):
    pipe = pipeline("text-generation", saved(tmp_path, "gpt2"), dtype="int8", **GREEDY)
    pipe.explain("the council")
    assert "dtype=torch.int8)" in capsys.readouterr().out


def test_chats(write):
    chat = [{"role": "user", "content": "is the school good?"}]
    (found,) = write(chat)
    assert found["generated_text"][:1] == chat and found["generated_text"][1]["role"] == "assistant"
    answer = write([chat, "the council"], return_full_text=False)
    assert answer[0][0]["generated_text"] == found["generated_text"][1]["content"]
    assert isinstance(answer[1][0]["generated_text"], str)
    begun = [*chat, {"role": "assistant", "content": "the"}]
    (found,) = write(begun)
    assert len(found["generated_text"]) == 2 and found["generated_text"][1]["content"].startswith("the")


def test_settings_and_where_they_come_from(tmp_path, caplog):
    folder = saved(tmp_path / "a", "gpt2", {"max_new_tokens": 7, "num_beams": 2, "eos_token_id": None},
                   {"task_specific_params": {"text-generation": {"num_beams": 3, "prefix": "good "}}})
    pipe = pipeline("text-generation", folder, do_sample=False)
    settings = pipe.settings(pipe.options, 4)
    assert settings["num_beams"] == 3 and "max_new_tokens" not in settings and "temperature" not in settings
    ids = pipe("the", return_tensors=True)[0]["generated_token_ids"]
    assert len(ids) == 3 + 7 and ids[1] == tiny.VOCAB["good"]
    assert len(pipe("the", return_tensors=True, prefix="", max_length=6)[0]["generated_token_ids"]) == 6
    free = pipeline("text-generation", saved(tmp_path / "b", "gpt2"))
    assert free.settings(free.options, 10) == {"max_new_tokens": 30, "do_sample": True, "temperature": 0.7}
    with pytest.raises(TypeError, match="Did you mean max_new_tokens"):
        free("the", max_new_token=3)
    assert free("the", max_length=5, seed=1, return_tensors=True)[0]["generated_token_ids"].__len__() <= 5
    assert not caplog.text


def test_prompts_that_cannot_be_written_on(write, caplog):
    for empty in ("", "   "):
        with pytest.raises(ValueError, match="is empty"):
            write(["the", empty])
    with pytest.raises(ValueError, match="room for 40"):
        write("the council " * 30)
    with pytest.raises(TypeError, match="text-generation needs a text"):
        write(3)
    (found,) = write("[SEP] the", return_tensors=True)
    assert tiny.VOCAB["[SEP]"] not in found["generated_token_ids"][:4]
    assert write("[SEP] the", split_special_tokens=False, return_tensors=True)[0]["generated_token_ids"][1] == tiny.VOCAB["[SEP]"]


def test_legal_answers(write):
    texts = [f"the new school is {word}" for word in ("good", "bad", "not", "people")]
    found = write(texts, allowed_outputs=["good", "not good people", "bad"])
    for (answer,) in found:
        shares = answer["probabilities"]
        assert list(shares) == ["good", "not good people", "bad"] and sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert answer["score"] == max(shares.values()) == shares[answer["generated_text"]]
    for text, answer in zip(texts, found, strict=True):
        assert write(text, allowed_outputs=["good", "not good people", "bad"])[0]["probabilities"] == \
            pytest.approx(answer[0]["probabilities"], abs=1e-5)
    for wrong, message in ((["good", "Good"], "'good' and 'Good' are the same"), (["not", "not good"], "is how 'not good' begins"),
                           ("good", "list of legal answers"), ([], "list of legal answers"), (["good", 3], "list of texts")):
        with pytest.raises((ValueError, TypeError), match=message):
            write(texts, allowed_outputs=wrong)


def test_summaries(rewrite):
    pipe = rewrite()
    assert isinstance(pipe, SummarizationPipeline)
    (one,) = pipe("the council vote was good.")
    assert set(one) == {"summary_text"}
    assert pipe(["the council vote was good.", "bad school"])[0] == one
    assert len(pipe(["the council", "bad"], num_beams=2, num_return_sequences=2)[1]) == 2
    assert pipe("the council", return_tensors=True)[0]["summary_token_ids"]
    with pytest.raises(ValueError, match="is empty"):
        pipe(["good", " "])


def test_long_documents_are_read_in_parts(rewrite, caplog):
    pipe = rewrite()
    sentences = [f"the {word} council is not {word}." for word in ("good", "bad", "new", "happy", "good", "bad", "new")]
    document = " ".join(sentences)
    parts = pipe.split(document, "", 30)
    assert len(parts) > 1 and " ".join(parts) == document and all(part in document and part.endswith(".") for part in parts)
    assert all(len(pipe.tokenizer(part)["input_ids"]) <= 30 for part in parts)
    (found,) = pipe(document)
    assert found["summary_text"] == " ".join(pipe(part)[0]["summary_text"] for part in parts)
    assert "1 of 1 texts had more than 30 tokens: they were read in parts" in caplog.text
    without = pipe.split("good " * 100, "", 30)                                           # no sentence ends
    assert all(len(pipe.tokenizer(part)["input_ids"]) <= 30 for part in without)
    assert " ".join(without).split() == ["good"] * 100
    with pytest.raises(ValueError, match="the prefix alone"):
        pipe.split(document, "good " * 40, 30)
    caplog.clear()
    pipe(document, truncation=True)
    assert "were cut at the end" in caplog.text


def test_translation_knows_its_languages(rewrite):
    known = {"translation_en_to_de": {"prefix": "good "}, "translation_en_to_fr": {"prefix": "bad "}}
    pipe = rewrite("translation_en_to_de", task_specific_params=known)
    assert isinstance(pipe, TranslationPipeline) and pipe.prefix(pipe.options) == "good "
    assert set(pipe("the council")[0]) == {"translation_text"}
    assert pipe("the council", prefix="bad ") == pipe("the council", src_lang="en", tgt_lang="fr")
    with pytest.raises(ValueError, match="does not know the pair 'translation_en_to_ro'. It has: translation_en_to_de"):
        pipe("the council", src_lang="en", tgt_lang="ro")
    with pytest.raises(ValueError, match="does not know the pair 'translation_de_to_en'"):
        rewrite("translation_de_to_en", task_specific_params=known)("the council")
    with pytest.raises(ValueError, match="does not know the pair 'translation_en_to_xx'"):
        rewrite("translation_en_to_xx", task_specific_params=known)                       # before there is a text
    with pytest.raises(ValueError, match="does not know the pair 'translation'"):
        rewrite("translation", task_specific_params=known)("the council")
    assert rewrite("translation", task_specific_params=dict([*known.items()][:1]))("the council")
    assert rewrite("translation_de_to_en")("the council")                                 # it says nothing of languages


def test_text_to_text(rewrite, caplog):
    pipe = rewrite("text2text-generation")
    assert isinstance(pipe, Text2TextGenerationPipeline) and set(pipe("the council")[0]) == {"generated_text"}
    pipe("good", max_length=8)
    assert not caplog.text
    plain = type(pipe)(pipe.model, pipe.tokenizer)
    assert plain.settings(plain.options | {"max_length": 8}, 1)["max_new_tokens"] == 39
    assert "max_length=8 has no effect" in caplog.text


@pytest.mark.parametrize("task", ["text-generation", "summarization"])
def test_explain_is_code_that_runs(tmp_path, capsys, task):
    kind = "gpt2" if task == "text-generation" else "bart"
    pipe = pipeline(task, saved(tmp_path, kind), do_sample=False, max_new_tokens=4, eos_token_id=None, num_beams=1)
    pipe.explain("the council vote")
    printed = capsys.readouterr().out
    space = {"pipe": pipe}
    exec(printed, space)
    shown = capsys.readouterr().out.splitlines()[2:]
    assert len(shown) == 2 and f"# {shown[0]}" in printed and f"# {shown[1]!r}" in printed
    with pytest.raises(TypeError, match="explain"):
        pipe.explain(3)
