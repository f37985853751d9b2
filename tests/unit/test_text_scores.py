"""ROUGE and BLEU: counted by kept libraries, used by a Trainer that scores what a model writes."""

import sys

import numpy as np
import pytest
import tiny

import course

pytest.importorskip("rouge_score", reason="rouge-score is not installed here")
pytest.importorskip("sacrebleu", reason="sacrebleu is not installed here")

WRITTEN, WANTED = ["The council builds a new school.", "Nobody came."], ["The council built a school.", "Nobody came."]


def test_scores_by_hand():
    # rouge1 of the first pair: the, council, a, school; 4 of 6 words and of 5
    assert course.rouge(WRITTEN[:1], WANTED[:1])["rouge1"] == pytest.approx(2 * (4 / 6) * (4 / 5) / (4 / 6 + 4 / 5))
    assert course.rouge(WANTED, WANTED) == {"rouge1": 1, "rouge2": 1, "rougeL": 1, "rougeLsum": 1}
    same = [*WANTED[:1], "Tax is too high for most of us."]
    assert course.bleu(same, same)["bleu"] == pytest.approx(100) and course.bleu(WRITTEN, WANTED)["bleu"] < 60
    assert course.rouge(["no"], [""])["rouge1"] == 0


@pytest.mark.parametrize("score", [course.rouge, course.bleu])
def test_what_cannot_be_scored_is_said(score):
    for written, wanted in (("a text", "a text"), (["a"], []), ([], [])):
        with pytest.raises(ValueError, match="two lists of the same length"):
            score(written, wanted)


def test_rouge_refuses_other_scripts():
    with pytest.raises(ValueError, match="in another script: use bleu"):
        course.rouge(["学校很好"], ["学校不好"])
    assert course.rouge(["Übergänge für Fußgänger"], ["Übergänge für Fußgänger"])["rouge1"] == 1


def test_a_trainer_scores_what_is_written_in_two_lines(tmp_path):
    tokenizer = tiny.tokenizer()
    config = course.T5Config(vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0,
                             pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.sep_token_id)
    rows = [dict(tokenizer(text)) | {"labels": tokenizer(text)["input_ids"]} for text in ("good school", "bad council people", "vote")]
    args = course.TrainingArguments(str(tmp_path), predict_with_generate=True, generation_max_length=5, use_cpu=True, report_to="none",
                                    disable_tqdm=True)
    run = course.Trainer(course.T5ForConditionalGeneration(config), args, course.DataCollatorForSeq2Seq(tokenizer), rows, rows,
                         compute_metrics=course.text_scores(tokenizer, "rouge", "bleu"))
    found = run.evaluate()
    assert {"eval_rouge1", "eval_rougeLsum", "eval_bleu", "eval_gen_len", "eval_loss"} <= set(found) and 0 <= found["eval_gen_len"] <= 5
    perfect = run.compute_metrics(course.EvalPrediction(*(np.array([row["labels"] + [-100] * (6 - len(row["labels"])) for row in rows]),) * 2))
    assert perfect["rouge1"] == 1 and perfect["gen_len"] == 2
    with pytest.raises(ValueError, match="predict_with_generate=True"):
        run.compute_metrics(course.EvalPrediction(np.zeros((3, 4, 9)), np.zeros((3, 4), int)))


@pytest.mark.parametrize(("name", "module"), [("rouge", "rouge_score.rouge_scorer"), ("bleu", "sacrebleu.metrics")])
def test_a_missing_library_is_said_before_anything_is_trained(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "course\[metrics\]"'):
        course.text_scores(tiny.tokenizer(), name)


def test_other_names_are_refused():
    for names in ((), ("rouge", "meteor")):
        with pytest.raises(ValueError, match="one or more of 'rouge', 'bleu'"):
            course.text_scores(tiny.tokenizer(), *names)
