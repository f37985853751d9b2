"""A training script as a user would write it; test_two_processes.py starts it under torchrun, and alone.

    python two_processes.py FOLDER BATCH_SIZE
"""

import json
import sys
from pathlib import Path

import killing
import tiny
import torch

import course


def main(folder, size):
    tokenizer = tiny.tokenizer()
    rows = [{"input_ids": row["input_ids"], "labels": [(n % 2) if n % 3 else -100 for n in row["input_ids"]]} for row in
            (tokenizer(" ".join(killing.WORDS[i % 8 - i % 5:i % 8 + 2] or ["vote"])) for i in range(21))]
    torch.manual_seed(0)
    model = tiny.model("ForTokenClassification", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    args = course.TrainingArguments(
        folder, num_train_epochs=2, per_device_train_batch_size=size, per_device_eval_batch_size=size, learning_rate=0.3, optim="sgd",
        gradient_accumulation_steps=2, group_by_length=True, use_cpu=True, report_to="none", disable_tqdm=True, logging_steps=1,
        save_steps=2, eval_strategy="epoch")      # sgd: Adam makes steps of the noise where a gradient is 0, in the bias of a key
    trainer = course.Trainer(model, args, course.DataCollatorForTokenClassification(tokenizer), rows, rows[:7],
                             compute_metrics=lambda p: {"rows": len(p.label_ids), "labels": int(p.label_ids.sum())})
    trainer.train()
    if trainer.is_world_process_zero():
        (Path(folder) / "result.json").write_text(json.dumps(
            {"logs": trainer.state.log_history, "weights": [p.sum().item() for p in model.parameters()],
             "processes": trainer.accelerator.num_processes}))
    print("end of", trainer.accelerator.process_index)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
