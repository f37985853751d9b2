"""What a Trainer has beside its loop: data and optimizer on one side, files, reports and callbacks on the other."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course.training import checkpoints, setup
from course.training.arguments import TrainingArguments
from course.training.batches import Batches, as_rows, lengths_of
from course.training.callbacks import (
    NotebookCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    default_callbacks,
    duration,
)
from course.training.collators import DataCollatorWithPadding, default_data_collator
from course.training.optimization import get_scheduler


class TrainerBase:
    """See course.Trainer."""

    compute_loss: Callable[..., Any]

    def __init__(self, model: nn.Module | None = None, args: TrainingArguments | None = None,
                 data_collator: Callable[[list], dict] | None = None, train_dataset: Any = None, eval_dataset: Any = None,
                 processing_class: Any = None, model_init: Callable[..., nn.Module] | None = None,
                 compute_loss_func: Callable | None = None, compute_metrics: Callable | None = None,
                 callbacks: Sequence[TrainerCallback | type] | None = None,
                 optimizers: tuple[torch.optim.Optimizer | None, Any] = (None, None),
                 preprocess_logits_for_metrics: Callable | None = None, tokenizer: Any = None):
        if (model is None) == (model_init is None):
            raise ValueError("give the Trainer either a model or a model_init that makes one"
                             + (", not both" if model is not None else ": Trainer(model=model, args=args, train_dataset=…)"))
        if args is not None and not isinstance(args, TrainingArguments):
            raise TypeError(f"args must be TrainingArguments, got {type(args).__name__}: name what you give, "
                            "Trainer(model=…, args=…, train_dataset=…)")
        self.args = args or TrainingArguments()
        self.model_init = model_init
        self.model: Any = model if model is not None else setup.call_model_init(model_init, self.args)
        self.wrapped: Any = self.model                # with what accelerate puts around it for several processes
        self.processing_class = self.tokenizer = processing_class if processing_class is not None else tokenizer
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        self.data_collator = data_collator or (
            DataCollatorWithPadding(self.tokenizer) if hasattr(self.tokenizer, "pad") else default_data_collator)
        self.compute_metrics, self.compute_loss_func = compute_metrics, compute_loss_func
        self.preprocess_logits_for_metrics = preprocess_logits_for_metrics
        self.given_optimizers = optimizers
        self.optimizer: Any = optimizers[0]
        self.lr_scheduler: Any = optimizers[1]
        self.accelerator = setup.make_accelerator(self.args, self.model)
        self.state, self.control = TrainerState(is_world_process_zero=self.accelerator.is_main_process), TrainerControl()
        self.recent = torch.zeros(())                 # sum of the losses since the last log
        self.interrupt = setup.Interrupt()
        self.callbacks = default_callbacks(self.args)
        for callback in callbacks or []:
            self.add_callback(callback)
        self.call("on_init_end")

    # -- data, optimizer -----------------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> Batches:
        """The batches of this process; `next(iter(…))` shows one."""
        args = self.args
        if self.train_dataset is None:
            raise ValueError("there is nothing to train on: Trainer(…, train_dataset=data)")
        rows = as_rows(self.train_dataset, "train_dataset")
        lengths = None
        if args.group_by_length is not False and hasattr(rows, "__len__"):
            lengths = lengths_of(rows, args.length_column_name, bool(args.group_by_length))
        return Batches(rows, args.per_device_train_batch_size, setup.Collate(self), lengths=lengths,
                       seed=args.seed if args.data_seed is None else args.data_seed, drop_last=args.dataloader_drop_last,
                       rank=self.accelerator.process_index, world=self.accelerator.num_processes,
                       workers=args.dataloader_num_workers, pin=args.dataloader_pin_memory and torch.cuda.is_available())

    def create_optimizer_and_scheduler(self, num_training_steps: int) -> None:
        """AdamW (or args.optim) without decay on biases and norms, under args.lr_scheduler_type. Override it for others."""
        args, (given, schedule) = self.args, self.given_optimizers
        optimizer = given if given is not None else setup.make_optimizer(args, self.model)
        self.lr_scheduler = schedule if schedule is not None else get_scheduler(
            args.lr_scheduler_type, optimizer, args.get_warmup_steps(num_training_steps), num_training_steps,
            args.lr_scheduler_kwargs)
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)

    def to_device(self, batch: Any) -> dict[str, Any]:
        return {k: v.to(self.accelerator.device) if isinstance(v, Tensor) else v for k, v in batch.items()}

    # -- files, reports --------------------------------------------------------------------------------------------------------

    def save_model(self, output_dir: str | Path | None = None) -> None:
        """Model and tokenizer as from_pretrained reads them."""
        if self.accelerator.is_main_process:
            folder = Path(output_dir or self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            setup.save_weights(self.model, folder)
            if hasattr(self.tokenizer, "save_pretrained"):
                self.tokenizer.save_pretrained(folder)
            (folder / "training_args.json").write_text(self.args.to_json_string() + "\n", encoding="utf-8")

    def save_checkpoint(self) -> Path:
        """All that a run needs to go on, in output_dir/checkpoint-STEP."""
        args, state = self.args, self.state
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        state.loss_sum = self.recent.item()
        if state.best_global_step == state.global_step:
            state.best_model_checkpoint = str(folder)
        if not (state.last_save == state.global_step and folder.is_dir()):
            state.last_save = state.global_step
            checkpoints.write(folder, lambda part: setup.fill_checkpoint(self, part), self.accelerator)
            if self.accelerator.is_main_process:
                checkpoints.rotate(args.output_dir, args.save_total_limit, state.best_model_checkpoint)
            self.call("on_save")
        return folder

    def log(self, logs: dict[str, float]) -> None:
        """Into state.log_history, and to the callbacks."""
        logs = logs | {"epoch": round(self.state.epoch, 4)}
        self.state.log_history.append(logs | {"step": self.state.global_step})
        self.call("on_log", logs=logs)

    def log_metrics(self, split: str, metrics: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            print(f"***** {split} metrics *****")
            for name, value in sorted(metrics.items()):
                print(f"  {name:<30} = {duration(value) if name.endswith('_runtime') else round(value, 4)}")

    def save_metrics(self, split: str, metrics: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            Path(self.args.output_dir).mkdir(parents=True, exist_ok=True)
            (Path(self.args.output_dir) / f"{split}_results.json").write_text(json.dumps(metrics, indent=2) + "\n")

    def add_callback(self, callback: TrainerCallback | type) -> None:
        callback = callback() if isinstance(callback, type) else callback
        if isinstance(callback, NotebookCallback):    # one that shows the run replaces ours
            self.remove_callback(NotebookCallback)
        self.callbacks.append(callback)

    def remove_callback(self, callback: TrainerCallback | type) -> None:
        self.callbacks = [c for c in self.callbacks if c is not callback and type(c) is not callback]

    def call(self, event: str, **more: Any) -> None:
        """Calls every callback that knows the event."""
        for callback in self.callbacks:
            getattr(callback, event, lambda *_, **__: None)(
                self.args, self.state, self.control, model=self.model, processing_class=self.tokenizer,
                optimizer=self.optimizer, lr_scheduler=self.lr_scheduler, train_dataloader=getattr(self, "batches", None),
                **more)

    def is_world_process_zero(self) -> bool:
        return self.accelerator.is_main_process
