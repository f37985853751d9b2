"""Trainer: the loop that every fine-tuning repeats, with the settings and the safety of a long run.

The loop itself is `run` and `training_step`; `print(trainer.as_code())` shows it once more without the settings that are off.
What it is made of stands beside it: batches.py (which examples), optimization.py (which step), evaluation.py (scores),
checkpoints.py (going on after a crash), callbacks.py (what is shown), base.py and setup.py (all the rest). Devices, processes
and number formats are accelerate's.
"""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course.training import checkpoints, evaluation, setup
from course.training.base import TrainerBase
from course.training.batches import as_rows
from course.training.callbacks import TrainerControl
from course.training.metrics import PredictionOutput, TrainOutput
from course.training.optimization import label_smoothing_loss
from course.training.seed import set_seed

log = logging.getLogger(__name__)


class Trainer(TrainerBase):
    """Trains and evaluates a model: any of ours, or any module whose forward returns the loss first.

    train_dataset, eval_dataset: lists of dicts, a DataFrame, a torch Dataset, a Dataset of the library datasets, a stream; with
    eval_dataset={"name": data} each is evaluated. processing_class: the tokenizer, which pads the batches and is saved with the
    model. compute_metrics: EvalPrediction -> dict of scores. model_init: makes a fresh model for each train(). Override
    compute_loss for a loss of your own.
    """

    # -- the loop ----------------------------------------------------------------------------------------------------------

    def train(self, resume_from_checkpoint: bool | str | Path | None = None, trial: Any = None) -> TrainOutput:
        """Trains. resume_from_checkpoint: a checkpoint, or True for the newest whole one in output_dir (a new run if there is
        none); on one and the same processor the run then gives the very numbers that it would have given without a stop.

        Raises ValueError for data that do not fit, FloatingPointError when the loss is no number any more, OSError when a
        checkpoint cannot be written. An interrupt (Ctrl-C, the stop button) saves a checkpoint, then raises KeyboardInterrupt.
        """
        args = self.args
        set_seed(args.seed, args.full_determinism)
        if self.model_init is not None and trial is not False:
            self.model = setup.call_model_init(self.model_init, args, trial)
        batches = self.batches = self.get_train_dataloader()
        state = self.state = setup.new_state(args, batches, self.accelerator)
        setup.check_first_batch(self, batches)
        self.model.to(self.accelerator.device).train()
        setup.make_ready(self.model, args)
        self.create_optimizer_and_scheduler(state.max_steps)
        if self.accelerator.is_main_process:
            checkpoints.tidy(args.output_dir)
        found = checkpoints.find(args.output_dir, resume_from_checkpoint) if resume_from_checkpoint else None
        if found is not None:
            state = setup.resume(self, found)
        elif resume_from_checkpoint:
            log.warning("There is no whole checkpoint in %s yet: the run begins anew.", args.output_dir)
        self.wrapped = self.accelerator.prepare_model(self.model) if self.accelerator.num_processes > 1 else self.model
        if args.torch_compile:
            self.wrapped = torch.compile(self.wrapped)  # type: ignore[assignment]
        self.recent = torch.tensor(state.loss_sum, device=self.accelerator.device)
        self.control, began, first = TrainerControl(), time.monotonic(), state.global_step
        setup.announce(self)
        self.call("on_train_begin")
        try:
            with setup.interrupts() as self.interrupt:
                self.run()
        finally:
            self.call("on_train_end")
            if self.accelerator.num_processes > 1:    # the model as it was given, without what accelerate has put around it
                self.accelerator.unwrap_model(self.wrapped, keep_fp32_wrapper=False)
        if args.load_best_model_at_end and state.best_model_checkpoint:
            setup.load_weights(self.model, Path(state.best_model_checkpoint))
        self.model.eval()
        seconds, steps = time.monotonic() - began, max(1, state.global_step - first)
        examples = steps * state.train_batch_size
        metrics = {"train_runtime": round(seconds, 4), "train_samples_per_second": round(examples / seconds, 3),
                   "train_steps_per_second": round(steps / seconds, 3),
                   "train_loss": state.loss_total / max(1, state.global_step)}
        self.log(metrics)
        return TrainOutput(state.global_step, metrics["train_loss"], metrics | {"epoch": state.epoch})

    def run(self) -> None:
        """Steps until the last one, or until a callback stops."""
        args, state, control = self.args, self.state, self.control
        if args.eval_on_start and state.global_step == 0:
            control.should_evaluate = True
            self.after_step(None)
        while state.global_step < state.max_steps and not control.should_training_stop:
            self.call("on_epoch_begin")
            batches = self.batches.epoch(state.epochs_done, skip=state.steps_in_epoch * args.gradient_accumulation_steps)
            control.should_epoch_stop = seen = False
            while group := list(islice(batches, args.gradient_accumulation_steps)):
                seen = True
                self.call("on_step_begin")
                loss, norm = self.training_step(group)
                self.recent += loss
                state.global_step += 1
                setup.count_step(state, self.batches, args)
                setup.due(args, state, control)
                self.call("on_step_end", loss=loss)
                self.after_step(norm)
                if state.global_step >= state.max_steps or state.steps_in_epoch == 0 or control.should_training_stop \
                        or control.should_epoch_stop:
                    break
            else:
                if not seen and state.steps_in_epoch == 0:
                    raise ValueError("train_dataset gave no examples: a stream must be one that can be read in every epoch")
                control.should_epoch_stop = state.steps_in_epoch > 0
            if control.should_epoch_stop:             # a stream has come to its end, or a callback says so
                state.epochs_done, state.steps_in_epoch = state.epochs_done + 1, 0
                setup.due(args, state, control, epoch_only=True)
                self.after_step(None)
            self.call("on_epoch_end")

    def training_step(self, group: list[tuple[list, dict]]) -> tuple[Tensor, Tensor | None]:
        """One step of the optimizer on one batch, or on several whose gradients are added up: (loss, norm of the gradient).

        The loss of each batch counts by what it was averaged over (texts, or tokens with a label), here and in all processes
        together: the sum is the loss of one large batch.
        """
        accelerator = self.accelerator
        self.model.train()
        counts = [setup.count_items(self.model, batch) if places else 0 for places, batch in group]
        total = sum(counts)
        if accelerator.num_processes > 1:
            total = int(accelerator.reduce(torch.tensor(total, device=accelerator.device)).item())
        loss = torch.zeros((), device=accelerator.device)
        for number, ((_, batch), count) in enumerate(zip(group, counts, strict=True)):
            if count == 0 and accelerator.num_processes == 1:
                continue                              # no token of it has a label
            batch = self.to_device(batch)
            with accelerator.no_sync(self.wrapped) if number + 1 < len(group) else nullcontext():
                with accelerator.autocast():
                    part = self.compute_loss(self.wrapped, batch) if count else setup.no_loss(self, batch)
                part = part * (count * accelerator.num_processes / max(1, total))
                accelerator.backward(part)
            loss += part.detach()
        norm = None
        if self.args.max_grad_norm:
            norm = accelerator.clip_grad_norm_(self.wrapped.parameters(), self.args.max_grad_norm)
        if accelerator.scaler is None and not setup.all_finite(loss, norm):
            setup.refuse_nan(self, loss)
        self.call("on_pre_optimizer_step")
        self.rate = self.lr_scheduler.get_last_lr()[0]
        self.optimizer.step()
        if not accelerator.optimizer_step_was_skipped:
            self.lr_scheduler.step()
        self.optimizer.zero_grad()
        return loss, norm

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False) -> Any:
        """The loss of a batch, (loss, outputs) with return_outputs. Override it for a loss of your own."""
        outputs = model(**inputs)
        labels = inputs.get("labels")
        if self.compute_loss_func is not None and labels is not None:
            loss = self.compute_loss_func(outputs, labels, num_items_in_batch=None)
        elif self.args.label_smoothing_factor and labels is not None:
            logits = outputs["logits"] if hasattr(outputs, "keys") else outputs[1]
            if setup.guesses_the_next(self.model):
                logits, labels = logits[:, :-1], labels[:, 1:]
            loss = label_smoothing_loss(logits, labels, self.args.label_smoothing_factor)
        else:
            loss = setup.loss_of(outputs, inputs)
        return (loss, outputs) if return_outputs else loss

    def after_step(self, norm: Tensor | None) -> None:
        """What control asks for after a step: log, evaluate, save; then stop if somebody has interrupted."""
        state, control = self.state, self.control
        if control.should_log and state.global_step > state.last_log:
            mean = self.accelerator.reduce(self.recent, "mean").item()
            logs = {"loss": mean / (state.global_step - state.last_log), "learning_rate": self.rate}
            if norm is not None:
                logs["grad_norm"] = float(norm)
            state.loss_total, state.last_log = state.loss_total + mean, state.global_step
            self.recent.zero_()
            self.log(logs)
        if control.should_evaluate:
            metrics = self.evaluate()
            control.should_save |= setup.note_best(self.args, state, metrics)
        if control.should_save:
            self.save_checkpoint()
        control.should_log = control.should_evaluate = control.should_save = False
        if setup.somebody(self.interrupt.asked, self.accelerator):
            raise KeyboardInterrupt(f"stopped at step {state.global_step}, saved in {self.save_checkpoint()}; "
                                    "trainer.train(resume_from_checkpoint=True) goes on from there")

    # -- scores --------------------------------------------------------------------------------------------------------------

    def evaluate(self, eval_dataset: Any = None, metric_key_prefix: str = "eval", **generation: Any) -> dict[str, float]:
        """Loss and compute_metrics on eval_dataset, named eval_…; with several data sets eval_name_…."""
        data = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(data, dict):
            found: dict[str, float] = {}
            for name, part in data.items():
                found |= self.evaluate(part, f"{metric_key_prefix}_{name}", **generation)
            return found
        if data is None:
            raise ValueError("there is nothing to evaluate on: trainer.evaluate(data), or Trainer(…, eval_dataset=data)")
        metrics = evaluation.predict(self, as_rows(data, "eval_dataset"), metric_key_prefix, **generation).metrics
        self.log(metrics)
        self.call("on_evaluate", metrics=metrics)
        return metrics | {"epoch": self.state.epoch}

    def predict(self, test_dataset: Any, metric_key_prefix: str = "test", **generation: Any) -> PredictionOutput:
        """(predictions, label_ids, metrics); arrays in the order of the data, rows of different length filled with -100."""
        output = evaluation.predict(self, as_rows(test_dataset, "test_dataset"), metric_key_prefix, **generation)
        self.call("on_predict", metrics=output.metrics)
        return output

    def as_code(self) -> str:
        """The plain loop that does what this Trainer does with these settings."""
        from course.training.plain import loop
        return loop(self, own_loss=type(self).compute_loss is not Trainer.compute_loss)

    def hyperparameter_search(self, hp_space: Callable, n_trials: int = 20, direction: str = "minimize",
                              compute_objective: Callable | None = None, **options: Any) -> Any:
        """Trains n_trials times with settings that Optuna proposes; returns the best (run_id, objective, hyperparameters)."""
        from course.training.search import search
        return search(self, hp_space, n_trials, direction, compute_objective, **options)


class Seq2SeqTrainer(Trainer):
    """Trainer, by the name that scripts for encoder-decoders use: TrainingArguments(predict_with_generate=True) says it all."""
