"""The Trainer on models of a few thousand weights: what it computes, logs, keeps, refuses."""

import json
import math
import os
import signal
import warnings

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from torch import nn

import course
from course.training.callbacks import NotebookCallback, duration
from course.training.setup import SMALL

WORDS = ["good", "bad", "happy", "new", "school", "council", "people", "vote"]


def examples(count=24, classes=2):
    """Short texts of different length with labels."""
    tokenizer = tiny.tokenizer()
    generator = np.random.default_rng(0)
    return [dict(tokenizer(" ".join(generator.choice(WORDS, 1 + i % 7)))) | {"label": i % classes} for i in range(count)]


def arguments(folder, **more):
    return course.TrainingArguments(**{"output_dir": str(folder), "num_train_epochs": 2, "per_device_train_batch_size": 8,
                                       "learning_rate": 1e-3, "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
                                       "use_cpu": True, "group_by_length": False} | more)


def trainer(folder, model=None, data=None, kind=course.Trainer, **more):
    known = {name: more.pop(name) for name in ("eval_dataset", "compute_metrics", "callbacks", "data_collator", "optimizers",
                                               "compute_loss_func", "preprocess_logits_for_metrics") if name in more}
    torch.manual_seed(0)
    return kind(tiny.model() if model is None else model, arguments(folder, **more), processing_class=tiny.tokenizer(),
                train_dataset=examples() if data is None else data, **known)


def losses(run):
    return [entry["loss"] for entry in run.state.log_history if "loss" in entry]


def listen(model):
    found = []
    model.register_forward_hook(lambda m, i, o: found.append(o[0].item()) if m.training else None)
    return found


@pytest.mark.parametrize("settings", [
    {}, {"group_by_length": True}, {"gradient_accumulation_steps": 2, "max_grad_norm": 0.1},
    {"label_smoothing_factor": 0.2, "warmup_ratio": 0.3, "lr_scheduler_type": "cosine", "max_steps": 5},
    {"weight_decay": 0.3, "optim": "adamw_hf", "dataloader_drop_last": True, "per_device_train_batch_size": 7},
    {"bf16": True, "optim": "sgd", "max_grad_norm": 0}], ids=str)
def test_as_code_gives_the_same_losses(tmp_path, settings):
    """The printed loop is executed, dropout and all."""
    run = trainer(tmp_path, logging_steps=1, **settings)
    run.train()
    torch.manual_seed(0)
    space = {"model": tiny.model(), "tokenizer": tiny.tokenizer(), "train_dataset": examples()}
    exec(run.as_code(), space)
    assert losses(run) == pytest.approx(space["losses"], rel=1e-6) and len(losses(run)) == run.state.max_steps
    assert all(torch.equal(p, q) for p, q in zip(run.model.parameters(), space["model"].parameters(), strict=True))
    assert len(run.as_code().splitlines()) <= 36 and repr(run.as_code()) == str(run.as_code())


@pytest.mark.parametrize("task", ["ForTokenClassification", "ForMaskedLM"])
def test_accumulated_batches_count_by_their_labelled_tokens(tmp_path, task):
    """Two batches of four train like one of eight, though their texts have different numbers of labels."""
    rows = [{**row, "labels": [(i % 2) if i % 3 else -100 for i in range(len(row["input_ids"]))]} for row in examples(16)]
    rows = [{k: v for k, v in row.items() if k != "label"} for row in rows]
    after = []
    for size, several in ((8, 1), (4, 2), (2, 4)):
        torch.manual_seed(0)
        model = tiny.model(task, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        collator = course.DataCollatorForTokenClassification(tiny.tokenizer())
        trainer(tmp_path, model, rows, data_collator=collator, per_device_train_batch_size=size,
                gradient_accumulation_steps=several, optim="sgd").train()
        after.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert (after[0] - after[1]).abs().max() < 1e-5 and (after[0] - after[2]).abs().max() < 1e-5


def test_kinds_of_data_give_the_same_run(tmp_path):
    rows = examples()

    class Set(torch.utils.data.Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, i):
            return {k: torch.tensor(v) for k, v in rows[i].items()}
    traces = []
    for data in (rows, pd.DataFrame(rows), Set(), tuple(rows)):
        run = trainer(tmp_path, data=data, logging_steps=1, eval_dataset=data)
        run.train()
        traces.append([*losses(run), run.evaluate()["eval_loss"]])
    assert all(trace == traces[0] for trace in traces) and len(traces[0]) == 7


def test_a_stream_needs_a_number_of_steps(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(examples())
    with pytest.raises(ValueError, match="stream.*max_steps"):
        trainer(tmp_path, data=Stream()).train()
    run = trainer(tmp_path, data=Stream(), max_steps=7, logging_steps=1, eval_dataset=Stream())
    assert run.train().global_step == 7 and len(losses(run)) == 7          # three batches an epoch: it is read three times
    assert math.isfinite(run.evaluate()["eval_loss"])
    with pytest.raises(TypeError, match="generator can be read only once"):
        trainer(tmp_path, data=iter(examples())).train()


def test_evaluation_does_not_depend_on_batches_and_keeps_the_order(tmp_path):
    seen = []
    rows = examples(11)

    def metrics(prediction):
        seen.append(prediction)
        return {"accuracy": (prediction.predictions.argmax(-1) == prediction.label_ids).mean()}
    scores = [trainer(tmp_path, per_device_eval_batch_size=size, eval_dataset=rows, compute_metrics=metrics).evaluate()
              for size in (1, 4, 50)]
    assert seen[0].label_ids.tolist() == [row["label"] for row in rows]
    assert all(np.allclose(seen[0].predictions, other.predictions, atol=1e-5) for other in seen)
    assert all(s["eval_loss"] == pytest.approx(scores[0]["eval_loss"], abs=1e-5) for s in scores)
    assert isinstance(scores[0]["eval_accuracy"], float) and {"eval_runtime", "eval_samples_per_second"} <= set(scores[0])


def test_predictions_of_different_length_are_filled(tmp_path):
    rows = [{"input_ids": r["input_ids"], "labels": [1] * len(r["input_ids"])} for r in examples(9)]
    run = trainer(tmp_path, tiny.model("ForTokenClassification"), rows, per_device_eval_batch_size=2,
                  data_collator=course.DataCollatorForTokenClassification(tiny.tokenizer()))
    out = run.predict(rows)
    longest = max(len(r["input_ids"]) for r in rows)
    assert out.predictions.shape == (9, longest, 2) and out.label_ids.shape == (9, longest)
    assert [int((row == 1).sum()) for row in out.label_ids] == [len(r["input_ids"]) for r in rows]
    assert set(out.metrics) >= {"test_loss", "test_runtime"}
    short = run.predict([{"input_ids": r["input_ids"]} for r in rows])
    assert short.label_ids is None and "test_loss" not in short.metrics
    assert np.array_equal(short.predictions, out.predictions)


def test_two_data_sets_have_names_and_logits_can_be_thinned_out(tmp_path):
    run = trainer(tmp_path, eval_dataset={"dev": examples(5), "test": examples(6)},
                  preprocess_logits_for_metrics=lambda logits, labels: logits.argmax(-1),
                  compute_metrics=lambda p: {"shape": p.predictions.ndim})
    metrics = run.evaluate()
    assert metrics["eval_dev_shape"] == metrics["eval_test_shape"] == 1 and "eval_test_loss" in metrics


def test_own_module_own_loss_own_optimizer(tmp_path):
    class Line(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2))

        def forward(self, x=None, labels=None):
            y = x @ self.w
            return ((y - labels) ** 2).mean(), y

    class Own(course.Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
            loss, y = model(**inputs)
            return (3 * loss, (loss, y)) if return_outputs else 3 * loss
    x = torch.randn(16, 2)
    rows = [{"x": row, "labels": row @ torch.tensor([1.0, -2.0])} for row in x]
    model = Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Own(model, arguments(tmp_path, num_train_epochs=40, lr_scheduler_type="constant", max_grad_norm=0), train_dataset=rows,
              optimizers=(optimizer, None))
    run.train()
    assert torch.allclose(model.w, torch.tensor([1.0, -2.0]), atol=1e-2)
    with pytest.raises(ValueError, match="your own loss or optimizer"):
        run.as_code()
    func = trainer(tmp_path, compute_loss_func=lambda out, labels, num_items_in_batch: out.logits.sum() * 0, logging_steps=1)
    func.train()
    assert losses(func) == [0.0] * 6


def test_frozen_encoder_stays_as_it_is(tmp_path):
    model = tiny.model()
    model.base_model.requires_grad_(False)
    before = {n: p.clone() for n, p in model.named_parameters()}
    trainer(tmp_path, model).train()
    assert {n for n, p in model.named_parameters() if not torch.equal(p, before[n])} == {"classifier.weight", "classifier.bias"}
    assert all(p.grad is None for p in model.base_model.parameters())
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="every weight of the model is frozen"):
        trainer(tmp_path, model).train()


def test_callbacks_hear_everything_and_can_stop(tmp_path):
    heard = []

    class Ear(course.TrainerCallback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                return lambda args, state, control, **kwargs: heard.append(name)
            return object.__getattribute__(self, name)

    class Stop(course.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 4
    run = trainer(tmp_path, callbacks=[Ear(), Stop], eval_strategy="steps", eval_steps=2, save_strategy="epoch", logging_steps=2,
                  eval_dataset=examples(3))
    assert run.train().global_step == 4
    once = ["on_init_end", "on_train_begin", "on_train_end"]
    assert [heard.count(name) for name in once] == [1, 1, 1] and heard.count("on_step_end") == 4
    assert heard.count("on_evaluate") == 2 and heard.count("on_save") == 1 and heard.count("on_epoch_begin") == 2
    run.remove_callback(Stop)
    assert run.train().global_step == 6


def test_early_stopping_and_the_best_model(tmp_path):
    """The scores are made up: the second of five is the best."""
    scores = iter([0.1, 0.9, 0.5, 0.4, 0.3])
    run = trainer(tmp_path, num_train_epochs=9, eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True,
                  metric_for_best_model="accuracy", eval_dataset=examples(4), save_total_limit=1,
                  compute_metrics=lambda p: {"accuracy": next(scores)},
                  callbacks=[course.EarlyStoppingCallback(early_stopping_patience=2)])
    run.train()
    assert run.state.global_step == 12 and run.state.best_metric == 0.9 and run.state.best_global_step == 6
    assert sorted(p.name for p in tmp_path.glob("checkpoint-*")) == ["checkpoint-12", "checkpoint-6"]
    best = course.BertForSequenceClassification.from_pretrained(tmp_path / "checkpoint-6")
    assert tiny.same_weights(best, run.model) and not run.model.training
    assert course.AutoTokenizer.from_pretrained(tmp_path / "checkpoint-6")("good").input_ids == tiny.tokenizer()("good").input_ids


def test_strategies_say_when(tmp_path):
    run = trainer(tmp_path, num_train_epochs=4, logging_strategy="epoch", eval_strategy="steps", eval_steps=0.5,
                  eval_dataset=examples(3), logging_first_step=True, eval_on_start=True)
    run.train()
    history = run.state.log_history
    assert [e["step"] for e in history if "loss" in e] == [1, 3, 6, 9, 12]
    assert [e["step"] for e in history if "eval_loss" in e] == [0, 6, 12]
    assert [e["epoch"] for e in history if "loss" in e] == pytest.approx([0.3333, 1, 2, 3, 4])
    assert history[-1]["train_loss"] == pytest.approx(
        sum(e["loss"] * n for e, n in zip([e for e in history if "loss" in e], (1, 2, 3, 3, 3), strict=True)) / 12)


def test_logs_go_to_tensorboard(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = trainer(tmp_path, report_to=["tensorboard"], logging_steps=1, logging_dir=tmp_path / "logs", eval_strategy="epoch",
                  eval_dataset=examples(3))
    run.train()
    found = accumulator.EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [e.value for e in found.Scalars("train/loss")] == pytest.approx(losses(run), rel=1e-6)
    assert {"train/learning_rate", "train/grad_norm", "eval/loss", "train/epoch"} <= set(found.Tags()["scalars"])


def test_gradient_checkpointing_gives_the_same_losses(tmp_path):
    runs = [trainer(tmp_path, gradient_checkpointing=on, logging_steps=1) for on in (False, True)]
    for run in runs:
        run.train()
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), rel=1e-5)


def test_a_model_is_made_anew_for_each_run(tmp_path):
    args = arguments(tmp_path, logging_steps=1)
    run = course.Trainer(args=args, model_init=tiny.model, train_dataset=examples(), processing_class=tiny.tokenizer())
    run.train()
    first = losses(run)
    run.train()
    assert losses(run) == first
    with pytest.raises(ValueError, match="either a model or a model_init"):
        course.Trainer(args=args)
    with pytest.raises(TypeError, match="args must be TrainingArguments, got list"):
        course.Trainer(tiny.model(), examples())


def test_search_for_settings(tmp_path):
    pytest.importorskip("optuna").logging.set_verbosity(30)
    run = course.Trainer(args=arguments(tmp_path), model_init=tiny.model, train_dataset=examples(), eval_dataset=examples(8),
                         processing_class=tiny.tokenizer())
    best = run.hyperparameter_search(lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e-2, log=True)},
                                     n_trials=3)
    assert set(best.hyperparameters) == {"learning_rate"} and math.isfinite(best.objective) and run.args.learning_rate == 1e-3
    with pytest.raises(AttributeError, match="'learning_rat'"):
        run.hyperparameter_search(lambda trial: {"learning_rat": 1}, n_trials=1)
    with pytest.raises(ValueError, match="model_init=lambda"):
        trainer(tmp_path).hyperparameter_search(dict, n_trials=1)


def test_an_encoder_decoder_is_scored_by_what_it_writes(tmp_path):
    config = course.T5Config(vocab_size=40, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0,
                             pad_token_id=0, eos_token_id=1)
    rows = [{"input_ids": [5, 6, 7, 1][i % 3:], "labels": [6, 7, 1][i % 3:]} for i in range(7)]
    args = course.Seq2SeqTrainingArguments(
        str(tmp_path), predict_with_generate=True, generation_max_length=6, generation_num_beams=2, per_device_eval_batch_size=2,
        use_cpu=True, report_to="none", disable_tqdm=True)
    run = course.Seq2SeqTrainer(course.T5ForConditionalGeneration(config), args, course.DataCollatorForSeq2Seq(tiny.tokenizer()),
                                rows, rows, compute_metrics=lambda p: {"written": p.predictions.shape[1], "labels": p.label_ids.shape[1]})
    metrics = run.evaluate()
    assert metrics["eval_written"] <= 6 and metrics["eval_labels"] == 3 and math.isfinite(metrics["eval_loss"])
    output = run.predict(rows, max_length=4)
    model = run.model.eval()
    for row, written in zip(rows, output.predictions, strict=True):            # each as if it were alone
        alone = model.generate(torch.tensor([row["input_ids"]]), max_length=4, num_beams=2)[0].tolist()
        assert [n for n in written.tolist() if n not in (0, -100)] == [n for n in alone if n != 0]


# -- what goes wrong ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "settings", "message"), [
    ([], {}, "train_dataset is empty"), (pd.DataFrame({"input_ids": []}), {}, "train_dataset is empty"),
    ([{"text": "good", "label": 1}], {}, "are called text, label, and the model takes attention_mask"),
    (examples(4), {"dataloader_drop_last": True}, "4 examples, fewer than one batch"),
    ([*examples(3), {"input_ids": [2, 3], "label": 2}], {}, "example 3 has the label 2, and the model has 2 classes.*num_labels=3"),
    ([{"input_ids": [2, 3], "label": "yes"}], {}, "the label 'yes' is a word"),
    ([{"input_ids": [2, 3]}], {}, "returned no loss.*need a column label"),
    ([{"input_ids": [2, 3], "label": 1, "party": 3}], {"remove_unused_columns": False}, "does not take the column 'party'"),
], ids=["empty", "empty table", "texts", "too few", "label", "word", "no label", "column"])
def test_data_that_do_not_fit(tmp_path, rows, settings, message):
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path, data=rows, **settings).train()


def test_columns_that_the_model_does_not_take_are_dropped(tmp_path):
    rows = [row | {"party": "green", "id": i, "note": None} for i, row in enumerate(examples())]
    plain, more = trainer(tmp_path, logging_steps=1), trainer(tmp_path, data=rows, logging_steps=1)
    plain.train(), more.train()
    assert losses(plain) == losses(more)
    torch.manual_seed(0)
    space = {"model": tiny.model(), "tokenizer": tiny.tokenizer(), "train_dataset": rows}
    exec(more.as_code(), space)
    assert space["losses"] == pytest.approx(losses(more), rel=1e-6)


def test_a_collator_of_ones_own_gets_every_column(tmp_path):
    tokenizer, seen = tiny.tokenizer(), []

    def collate(rows):
        seen.extend(rows)
        return tokenizer([r["text"] for r in rows], padding=True, return_tensors="pt") | {
            "labels": torch.tensor([r["label"] for r in rows]), "id": [1]}
    trainer(tmp_path, data=[{"text": "good", "label": 1, "id": 7}] * 8, data_collator=collate, num_train_epochs=1).train()
    assert seen == [{"text": "good", "label": 1, "id": 7}] * 8


def test_nan_stops_before_the_weights_are_spoilt(tmp_path):
    for poison in ("loss", "gradient"):
        model = tiny.model()
        run = trainer(tmp_path, model, save_strategy="steps", save_steps=1)

        def step(state=run.state, run=run, poison=poison, plain=run.compute_loss):
            def compute_loss(model, inputs, return_outputs=False):
                loss = plain(model, inputs)
                if run.state.global_step == 2:
                    root = (model.classifier.weight - model.classifier.weight.detach()).sum()
                    return loss * float("nan") if poison == "loss" else loss + torch.sqrt(root)
                return loss
            return compute_loss
        run.compute_loss = step()
        with pytest.raises(FloatingPointError, match="at step 3 the (loss is nan|gradient).*try learning_rate=1e-04.*checkpoint-2"):
            run.train()
        assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_stops(tmp_path, number):
    class Interrupt(course.TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 3:
                os.kill(os.getpid(), number)
    run = trainer(tmp_path, logging_steps=1, callbacks=[Interrupt])
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 4, saved in .*checkpoint-4.*resume_from_checkpoint=True"):
        run.train()
    assert signal.getsignal(number) is before
    again, whole = trainer(tmp_path, logging_steps=1), trainer(tmp_path / "whole", logging_steps=1)
    again.train(resume_from_checkpoint=True), whole.train()
    assert losses(again) == losses(whole) and tiny.same_weights(again.model, whole.model)


# -- settings ------------------------------------------------------------------------------------------------------------------


def test_old_and_new_spellings():
    args = course.TrainingArguments("out", evaluation_strategy="epoch", no_cuda=True, per_gpu_train_batch_size=4, warmup_ratio=0.1)
    assert (args.eval_strategy, args.use_cpu, args.per_device_train_batch_size, args.train_batch_size) == ("epoch", True, 4, 4)
    assert course.TrainingArguments("out", evaluate_during_training=True).eval_strategy == "steps"
    assert args.get_warmup_steps(95) == 10 and course.TrainingArguments(warmup_steps=0.5).get_warmup_steps(9) == 5
    assert course.TrainingArguments(warmup_steps=7, warmup_ratio=0.5).get_warmup_steps(100) == 7
    assert json.loads(args.to_json_string())["learning_rate"] == 5e-5 and args.logging_dir == "out/runs"
    assert course.Seq2SeqTrainingArguments("out", predict_with_generate=True).predict_with_generate
    assert course.TrainingArguments("out", push_to_hub=False, overwrite_output_dir=True).output_dir == "out"
    assert course.Trainer(tiny.model(), arguments("out"), tokenizer=tiny.tokenizer()).processing_class is not None


@pytest.mark.parametrize(("settings", "message"), [
    ({"learning_rte": 1}, "no setting 'learning_rte'; did you mean learning_rate"),
    ({"eval_strategy": "epochs"}, "eval_strategy must be one of 'no', 'steps', 'epoch'"),
    ({"learning_rate": "5e-5"}, "learning_rate must be a number.*write learning_rate=5e-05"),
    ({"per_device_train_batch_size": 0}, "at least 1"), ({"optim": "adam"}, "optim must be one of"),
    ({"load_best_model_at_end": True}, "eval_strategy='epoch'"), ({"fp16": True, "bf16": True}, "choose one"),
    ({"load_best_model_at_end": True, "eval_strategy": "epoch"}, "save_strategy='epoch'"),
    ({"push_to_hub": True}, "nothing leaves this computer"), ({"deepspeed": "x.json"}, "accelerate launch"),
    ({"no_cuda": True, "use_cpu": True}, "say the same"), ({"early_stopping_patience": 3}, "EarlyStoppingCallback"),
    ({"label_smoothing_factor": 2}, "between 0 and 1")])
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        course.TrainingArguments("out", **settings)


def test_reduced_numbers_only_where_they_pay(tmp_path):
    assert trainer(tmp_path).accelerator.mixed_precision == "no" and SMALL > 1e6       # small models: float32 everywhere
    assert trainer(tmp_path, bf16=True).accelerator.mixed_precision == "bf16"
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="fp16=True needs a graphics card"):
            trainer(tmp_path, fp16=True)


# -- what is shown -----------------------------------------------------------------------------------------------------------------


def test_a_terminal_shows_a_bar(tmp_path, capsys):
    trainer(tmp_path, disable_tqdm=False, logging_steps=1, eval_strategy="epoch", eval_dataset=examples(3)).train()
    shown = capsys.readouterr()
    assert "24 examples, 6 steps of 8 on cpu in float32; all 0.0 M weights are trained" in shown.err
    assert "6/6" in shown.err and "loss=" in shown.err and "step 3: loss " in shown.out + shown.err


def test_a_notebook_shows_a_curve_and_a_table(tmp_path, monkeypatch):
    pytest.importorskip("IPython")
    shown = []

    class Handle:
        def update(self, what):
            shown.append(what._repr_html_())
    monkeypatch.setattr("IPython.display.display", lambda what, display_id: Handle())
    callback = NotebookCallback()
    trainer(tmp_path, callbacks=[callback], logging_steps=1, eval_strategy="epoch", eval_dataset=examples(3)).train()
    last = shown[-1]
    assert '<progress value="6" max="6"' in last and "<svg role=\"img\" aria-label=\"loss over 6 steps" in last
    assert last.count("<tr>") == 3 and "training loss" in last and "done in" in last
    assert "step 6 of 6, epoch 2.00, loss" in repr(callback)
    assert [duration(x) for x in (3.4, 75, 3700)] == ["3 s", "1 min 15 s", "1 h 1 min"]


def test_nothing_is_said_that_looks_like_an_error(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(tmp_path, eval_dataset=examples(3), gradient_accumulation_steps=2).train()
