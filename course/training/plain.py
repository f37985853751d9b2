"""Trainer.as_code(): the loop without the Trainer, for these very settings, as a text that runs."""

from collections.abc import Mapping
from typing import Any

from course.training.arguments import TrainingArguments
from course.training.collators import DataCollatorWithPadding, default_data_collator
from course.training.setup import Collate, guesses_the_next, new_state


class Code(str):
    """A text that a notebook shows as it is."""

    def __repr__(self) -> str:
        return str(self)


def optimizer(args: TrainingArguments) -> str:
    start = f"(course.parameter_groups(model, {args.weight_decay}), lr={args.learning_rate}"
    if not args.optim.startswith("adamw"):
        return "torch.optim." + {"sgd": "SGD", "adagrad": "Adagrad", "rmsprop": "RMSprop"}[args.optim] + f"{start})"
    settings = f"{start}, betas=({args.adam_beta1}, {args.adam_beta2}), eps={args.adam_epsilon}"
    if args.optim == "adamw_hf":
        return f"course.AdamW{settings})"
    return f"torch.optim.AdamW{settings}, fused={args.optim.endswith('fused')})"


def loop(trainer: Any, own_loss: bool) -> Code:
    """The text. It needs model, train_dataset and what the first line names, and leaves `losses`, one for each step."""
    args, device = trainer.args, trainer.accelerator.device.type
    batches = trainer.get_train_dataloader()
    if batches.is_stream or trainer.accelerator.num_processes > 1 or args.fp16:
        raise ValueError("as_code() shows the loop of one process over data with a length, in float32 or bfloat16")
    if trainer.compute_loss_func is not None or own_loss or any(x is not None for x in trainer.given_optimizers):
        raise ValueError("as_code() does not know your own loss or optimizer: put them into the text that it gives without "
                         "them")
    state, size, several = new_state(args, batches, trainer.accelerator), batches.size, args.gradient_accumulation_steps
    needs, collator = "model, train_dataset and data_collator", "data_collator"
    if isinstance(trainer.data_collator, DataCollatorWithPadding) and type(trainer.data_collator) is DataCollatorWithPadding:
        needs, collator = "model, tokenizer and train_dataset", "course.DataCollatorWithPadding(tokenizer)"
    elif trainer.data_collator is default_data_collator:
        needs, collator = "model and train_dataset", "course.default_data_collator"
    row, keep = batches.rows[0], Collate(trainer).keep
    drop = keep and isinstance(row, Mapping) and [name for name in row if name not in keep | {"label", "label_ids"}]
    examples = "[rows[i] for i in batch]"
    if drop:
        examples = f"[{{k: v for k, v in rows[i].items() if k not in {drop}}} for i in batch]"
    move = f"{{k: v.to({device!r}) for k, v in collate({examples}).items()}}" if device != "cpu" else f"collate({examples})"
    loss = ["loss = model(**inputs).loss"]
    if args.label_smoothing_factor:
        both = ("outputs.logits[:, :-1], inputs['labels'][:, 1:]" if guesses_the_next(trainer.model)
                else "outputs.logits, inputs['labels']")
        loss = ["outputs = model(**inputs)", f"loss = label_smoothing_loss({both}, {args.label_smoothing_factor})"]
    if trainer.accelerator.mixed_precision == "bf16":
        loss = [f"with torch.autocast({device!r}, torch.bfloat16):", *(f"    {line}" for line in loss)]
    lines = [
        f"# needs {needs}, as the Trainer got them",
        "import torch", "import course",
        *["from course.training.batches import length_groups"] * bool(batches.lengths),
        *["from course.training.optimization import label_smoothing_loss"] * bool(args.label_smoothing_factor),
        *["from course.training.setup import count_items"] * (several > 1), "",
        f"course.set_seed({args.seed}{', deterministic=True' if args.full_determinism else ''})",
        f"model.to({device!r}).train()",
        *["model.gradient_checkpointing_enable()"] * args.gradient_checkpointing,
        "rows = " + ("train_dataset.to_dict('records')" if hasattr(trainer.train_dataset, "columns") else "train_dataset"),
        *["lengths = [len(row['input_ids']) for row in rows]"] * bool(batches.lengths),
        f"collate = {collator}",
        f"optimizer = {optimizer(args)}",
        f"scheduler = course.get_scheduler({args.lr_scheduler_type!r}, optimizer, {args.get_warmup_steps(state.max_steps)}, "
        f"{state.max_steps}" + (f", {args.lr_scheduler_kwargs})" if args.lr_scheduler_kwargs else ")"),
        "losses = []",
        f"for epoch in range({state.num_train_epochs}):",
        f"    generator = torch.Generator().manual_seed({batches.seed} + epoch)",
        "    order = torch.randperm(len(rows), generator=generator).tolist()",
        *[f"    order = length_groups(order, lengths, {size}, generator)"] * bool(batches.lengths)]
    stop = f"len(order){f' - {size - 1}' * args.dataloader_drop_last}"
    lines.append(f"    batches = [order[i:i + {size}] for i in range(0, {stop}, {size})]")
    left = f"[:({state.max_steps} - len(losses)) * {several}]" if state.max_steps % -(-len(batches) // several) else ""
    clip = [f"torch.nn.utils.clip_grad_norm_(model.parameters(), {args.max_grad_norm})"] * bool(args.max_grad_norm)
    step = [*clip, "optimizer.step()", "scheduler.step()", "optimizer.zero_grad()"]
    if several == 1:
        lines += [f"    for batch in batches{left}:", *(f"        {line}" for line in [
            f"inputs = {move}", *loss, "loss.backward()", *step, "losses.append(loss.item())"])]
    else:                                             # each batch counts by how many texts, or tokens with a label, it has
        lines += [f"    batches = batches{left}"] * bool(left) + [
            f"    for start in range(0, len(batches), {several}):",
            f"        group = [{move} for batch in batches[start:start + {several}]]",
            "        counts = [count_items(model, inputs) for inputs in group]",
            "        losses.append(0.0)",
            "        for inputs, count in zip(group, counts):", *(f"            {line}" for line in [
                *loss, "loss = loss * (count / sum(counts))", "loss.backward()", "losses[-1] += loss.item()"]),
            *(f"        {line}" for line in step)]
    return Code("\n".join(lines) + "\n")
