"""Nothing is lost: a killed run goes on bit for bit, checkpoints are whole or not there, damage is noticed.

The unit tests kill a few times. COURSE_KILLS=20 kills every kind of run twenty times and more; it takes some minutes.
"""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import killing
import pytest
import tiny
import torch

import course
from course.training import checkpoints

KILLS = int(os.environ.get("COURSE_KILLS", "0"))
FEW = {"every step": 2, "two processes": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks, which Windows cannot")
@pytest.mark.parametrize("mode", killing.MODES if KILLS else FEW)
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, mode):
    command = [sys.executable, killing.__file__, str(tmp_path), mode, str(KILLS or FEW[mode])]
    here = {"PYTHONPATH": os.pathsep.join([str(Path(course.__file__).parents[1]), str(Path(killing.__file__).parent)]),
            "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | here, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["differences"] == [] and found["kills"] >= max(1, KILLS // 2), found
    if KILLS:
        print(f"\n{mode}: {found['kills']} kills, {found['half written']} while a checkpoint was written, after the steps "
              f"{sorted(found['steps'])}")


def run(folder, epochs=2, **more):
    settings = killing.MODES["plain"] | more
    made = killing.make(folder, "plain")
    made.args = course.TrainingArguments(**(made.args.to_dict() | settings | {"num_train_epochs": epochs}))
    return made


def test_a_resumed_run_logs_what_an_uninterrupted_one_does(tmp_path):
    whole, again = run(tmp_path / "whole"), run(tmp_path / "again")
    whole.train()
    again.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-2"))
    assert killing.trace(again)["weights"] == killing.trace(whole)["weights"]
    assert [e for e in again.state.log_history if "loss" in e] == [e for e in whole.state.log_history if "loss" in e]


def test_everything_in_a_checkpoint_is_read_without_running_code(tmp_path):
    run(tmp_path).train()
    folder = tmp_path / "checkpoint-8"
    assert {p.name for p in folder.iterdir()} >= {"config.json", "model.safetensors", "vocab.txt", "optimizer.pt", "scheduler.pt",
                                                  "random_0.pt", "trainer_state.json", "training_args.json", "manifest.json"}
    for path in folder.glob("*.pt"):
        torch.load(path, weights_only=True)
    assert set(json.loads((folder / "manifest.json").read_text())) == {p.name for p in folder.iterdir()} - {"manifest.json"}
    assert course.get_last_checkpoint(tmp_path) == str(folder) and course.get_last_checkpoint(tmp_path / "no") is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "no manifest"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_taken(tmp_path, caplog, damage):
    whole = run(tmp_path)
    whole.train()
    newest = tmp_path / "checkpoint-8"
    file = newest / "optimizer.pt"
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-7])
    elif damage == "flipped":
        file.write_bytes(content[:-50] + bytes([content[-50] ^ 1]) + content[-49:])
    elif damage == "gone":
        file.unlink()
    else:
        (newest / "manifest.json").unlink()
    again = run(tmp_path)
    again.train(resume_from_checkpoint=True)
    assert "checkpoint-8 is not used" in caplog.text and "The checkpoint before it is taken" in caplog.text
    assert killing.trace(again)["weights"] == killing.trace(whole)["weights"]
    assert checkpoints.damage(newest) is None         # it was written once more
    with pytest.raises(FileNotFoundError, match="there is no checkpoint .*in .*: checkpoint-8, checkpoint-6"):
        run(tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-9"))
    file.write_bytes(content[:-7])
    with pytest.raises(OSError, match="cannot be used: optimizer.pt is damaged"):
        run(tmp_path).train(resume_from_checkpoint=str(newest))


@pytest.mark.parametrize("where", ["optimizer.pt", "model.safetensors", "manifest.json", "trainer_state.json"])
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, where):
    made = run(tmp_path)

    def limited(plain):
        def write(*args, **kwargs):
            if made.state.global_step == 6 and any(where in str(a) for a in args if isinstance(a, (str, Path))):
                raise OSError(errno.ENOSPC, "No space left on device")
            return plain(*args, **kwargs)
        return write
    for owner, name in ((torch, "save"), (course.checkpoint, "save_file"), (Path, "write_text")):
        monkeypatch.setattr(owner, name, limited(getattr(owner, name)))
    with pytest.raises(OSError, match="checkpoint-6 could not be written.*the last checkpoint is .*checkpoint-4.*disk full"):
        made.train()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-4"]
    assert checkpoints.damage(tmp_path / "checkpoint-4") is None


def test_the_number_of_checkpoints_is_limited(tmp_path):
    run(tmp_path, save_steps=1, save_total_limit=2).train()
    assert [p.name for p in checkpoints.folders(tmp_path)] == ["checkpoint-8", "checkpoint-7"]


def test_other_data_than_before_are_said(tmp_path, caplog):
    run(tmp_path, max_steps=4).train()
    again = run(tmp_path, epochs=3, per_device_train_batch_size=5)
    again.train(resume_from_checkpoint=True)
    assert "made with 20 examples in steps of 6, now there are 20 in steps of 5" in caplog.text


def test_own_modules_go_on_too(tmp_path):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.line = torch.nn.Linear(2, 1)
            self.drop = torch.nn.Dropout(0.5)

        def forward(self, x=None, labels=None):
            y = self.line(self.drop(x)).squeeze(-1)
            return ((y - labels) ** 2).mean(), y
    rows = [{"x": [float(i), 1.0], "labels": float(i % 3)} for i in range(10)]
    traces = []
    for stops in ((None,), (3, None)):
        for steps in stops:
            args = course.TrainingArguments(str(tmp_path / str(len(stops))), max_steps=6, save_steps=1, logging_steps=1, use_cpu=True,
                                            report_to="none", disable_tqdm=True, per_device_train_batch_size=2)
            stop = type("Stop", (course.TrainerCallback,), {"on_step_end": lambda self, args, state, control, steps=steps, **k:
                                                            setattr(control, "should_training_stop", state.global_step == steps)})
            made = course.Trainer(Own(), args, train_dataset=rows, callbacks=[stop])
            made.train(resume_from_checkpoint=True)
        traces.append(killing.trace(made)["weights"])
    assert traces[0] == traces[1]


def test_a_best_model_survives_a_stop(tmp_path):
    made = run(tmp_path, eval_strategy="steps", eval_steps=2, load_best_model_at_end=True, metric_for_best_model="score",
               save_total_limit=1)
    made.compute_metrics = lambda p: {"score": -made.state.global_step}
    made.train()
    assert made.state.best_global_step == 2 and {p.name for p in checkpoints.folders(tmp_path)} == {"checkpoint-2", "checkpoint-8"}
    assert tiny.same_weights(made.model, course.BertForSequenceClassification.from_pretrained(tmp_path / "checkpoint-2"))


def test_workers_that_prepare_batches_draw_the_same_masks_after_a_stop(tmp_path):
    """Each batch has its own random numbers, so it does not matter which worker makes it, and how many it made before."""
    def made(folder):
        found = killing.make(folder, "masked words")
        found.args.dataloader_num_workers = 2
        return found
    whole, again = made(tmp_path / "whole"), made(tmp_path / "again")
    whole.train()
    again.train(resume_from_checkpoint=str(tmp_path / "whole/checkpoint-3"))
    assert killing.trace(again)["weights"] == killing.trace(whole)["weights"]
    first, other = ([batch["input_ids"].tolist() for _, batch in whole.get_train_dataloader().epoch(epoch)] for epoch in (0, 1))
    assert first != other and first == [batch["input_ids"].tolist() for _, batch in again.get_train_dataloader().epoch(0)]
