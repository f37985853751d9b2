"""The record of a run: what it holds repeats the run, and every change that changes numbers changes it."""

import json

import pandas as pd
import pytest
import tiny
import torch

import course

ROWS = [{"input_ids": [2, 4 + i % 5, 3], "label": i % 2} for i in range(8)]


def trainer(folder, rows=ROWS, args=None, adapter=False):
    torch.manual_seed(0)
    model = tiny.model()
    if adapter:
        model.save_pretrained(folder / "base")
        model = course.add_lora(course.AutoModelForSequenceClassification.from_pretrained(folder / "base"), rank=2, alpha=3)
    args = args or course.TrainingArguments(str(folder / "run"), max_steps=3, learning_rate=1e-2, use_cpu=True, report_to="none",
                                            disable_tqdm=True, logging_steps=1, save_strategy="no", seed=3)
    return course.Trainer(model, args, train_dataset=rows, processing_class=tiny.tokenizer())


def test_a_record_repeats_the_run(tmp_path):
    first = trainer(tmp_path)
    made = course.run_record(first, save=tmp_path / "run.json", question="which topic")
    first.train()
    record = json.loads((tmp_path / "run.json").read_text())
    assert record == made and record["question"] == "which topic" and record["train_examples"] == 8 and record["eval_data"] is None
    again = trainer(tmp_path, args=course.TrainingArguments(**record["arguments"]))
    again.train()
    losses = [[entry.get("loss") for entry in run.state.log_history] for run in (first, again)]
    assert losses[0] == losses[1] and len(set(losses[0])) > 2
    assert course.run_record(again)["arguments"] == record["arguments"]
    assert str(tmp_path) not in json.dumps(record["arguments"])          # where a run writes changes no number
    assert record["versions"]["torch"] == torch.__version__ and record["weights"] == record["trained"] > 0


def test_the_record_names_the_weights_and_the_adapter(tmp_path):
    record = course.run_record(trainer(tmp_path, adapter=True))
    assert record["model"] == str(tmp_path / "base") and record["revision"].startswith("sha256 ")
    assert record["adapter"] == {"rank": 2, "alpha": 3, "dropout": 0.0} and 0 < record["trained"] < record["weights"]


@pytest.mark.parametrize("change", [
    lambda rows: rows[::-1], lambda rows: rows[:-1], lambda rows: [{**rows[0], "label": 1}, *rows[1:]],
    lambda rows: [{**rows[0], "input_ids": [2, 4, 4]}, *rows[1:]]], ids=["order", "one less", "label", "word"])
def test_every_change_of_the_data_changes_their_hash(change):
    assert course.data_hash(change(ROWS)) != course.data_hash(ROWS)


def test_the_same_data_in_other_clothes_have_the_same_hash():
    class Own(torch.utils.data.Dataset):
        def __len__(self):
            return len(ROWS)

        def __getitem__(self, number):
            return {name: torch.tensor(value) for name, value in ROWS[number].items()}
    assert course.data_hash(Own()) == course.data_hash(pd.DataFrame(ROWS)) == course.data_hash(ROWS)


def test_a_stream_has_no_hash(tmp_path):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(ROWS)
    record = course.run_record(trainer(tmp_path, rows=Stream()))
    assert record["train_data"] is None and record["train_examples"] is None
