"""What the Trainer's loop needs and a reader of it may skip: checks before a run, devices, weights in and out of files."""

import inspect
import logging
import math
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course import lora
from course.modeling import PreTrainedModel
from course.notes import note
from course.training import checkpoints
from course.training.arguments import TrainingArguments
from course.training.batches import Batches
from course.training.callbacks import TrainerControl, TrainerState
from course.training.collators import LABELS
from course.training.optimization import AdamW, parameter_groups
from course.training.seed import set_seed

log = logging.getLogger(__name__)
SMALL = 5_000_000       # weights; below this, changing number formats costs more than bfloat16 saves


# -- before a run --------------------------------------------------------------------------------------------------------


def call_model_init(model_init: Callable[..., nn.Module], args: TrainingArguments, trial: Any = None) -> nn.Module:
    """A fresh model, the same for the same seed."""
    set_seed(args.seed)
    return model_init(trial) if len(inspect.signature(model_init).parameters) == 1 else model_init()


def make_accelerator(args: TrainingArguments, model: nn.Module) -> Any:
    """The device, number format and processes of this run."""
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState
    cpu = args.use_cpu or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    if cpu and args.fp16:
        raise ValueError("fp16=True needs a graphics card; on a processor bf16=True, or neither")
    bf16 = args.bf16
    if bf16 is None and not args.fp16:
        large = sum(p.numel() for p in model.parameters()) >= SMALL
        if cpu:                                       # without tiles (AMX) autocast costs more than the short numbers save
            bf16 = large and torch.cpu._is_amx_tile_supported()
        else:
            bf16 = large and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    AcceleratorState._reset_state(True)               # it remembers the format of the last Trainer in this program
    return Accelerator(cpu=cpu, mixed_precision="fp16" if args.fp16 else "bf16" if bf16 else "no",
                       kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=args.ddp_find_unused_parameters)])


def steps_of(value: float, total: int) -> int:
    """A number of steps, or a share of them, as a number."""
    return max(1, math.ceil(total * value)) if value < 1 else int(value)


def new_state(args: TrainingArguments, batches: Batches, accelerator: Any) -> TrainerState:
    """How many steps and epochs there will be."""
    state = TrainerState(is_world_process_zero=accelerator.is_main_process)
    state.train_batch_size = args.per_device_train_batch_size * args.gradient_accumulation_steps * accelerator.num_processes
    if batches.is_stream:
        if args.max_steps <= 0:
            raise ValueError("a stream does not say how long it is: set TrainingArguments(max_steps=…)")
        state.max_steps, state.num_train_epochs = args.max_steps, 1
    else:
        if len(batches) == 0:
            raise ValueError(f"train_dataset has {len(batches.rows)} examples, fewer than one batch, and dataloader_drop_last "
                             "drops those: make the batch smaller")
        state.num_examples = len(batches.rows)
        each = -(-len(batches) // args.gradient_accumulation_steps)
        state.max_steps = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * each)
        state.num_train_epochs = math.ceil(state.max_steps / each)
    often = max(1, min(500, state.max_steps // 50))
    for name, value in (("logging_steps", args.logging_steps or often), ("save_steps", args.save_steps),
                        ("eval_steps", args.eval_steps or args.logging_steps or often)):
        state.every[name] = steps_of(value, state.max_steps)
    return state


def count_step(state: TrainerState, batches: Batches, args: TrainingArguments) -> None:
    """state.global_step is one more: where in which epoch is that?"""
    state.steps_in_epoch += 1
    if batches.is_stream:
        state.epoch = state.global_step / state.max_steps
        return
    each = -(-len(batches) // args.gradient_accumulation_steps)
    if state.steps_in_epoch == each:
        state.epochs_done, state.steps_in_epoch = state.epochs_done + 1, 0
    state.epoch = state.epochs_done + state.steps_in_epoch / each


def due(args: TrainingArguments, state: TrainerState, control: TrainerControl, epoch_only: bool = False) -> None:
    """Sets in control what the strategies ask for after this step."""
    end, last = state.steps_in_epoch == 0, state.global_step >= state.max_steps
    for what, strategy, every in (("log", args.logging_strategy, "logging_steps"),
                                  ("evaluate", args.eval_strategy, "eval_steps"), ("save", args.save_strategy, "save_steps")):
        wanted = end if strategy == "epoch" else False if strategy in ("no", "best") or epoch_only else \
            state.global_step % state.every[every] == 0
        if strategy == "steps" and last and what != "evaluate":
            wanted = True                             # the end of a run is logged, and saved
        if what == "log" and args.logging_first_step and state.global_step == 1:
            wanted = True
        if wanted:
            setattr(control, f"should_{what}", True)


def note_best(args: TrainingArguments, state: TrainerState, metrics: dict[str, float]) -> bool:
    """Remembers the best evaluation; True where it is to be saved for that."""
    if args.metric_for_best_model is None:
        return False
    name = "eval_" + args.metric_for_best_model.removeprefix("eval_")
    if name not in metrics:
        raise KeyError(f"metric_for_best_model={args.metric_for_best_model!r} is not among the scores of the evaluation: "
                       f"{', '.join(n.removeprefix('eval_') for n in metrics)}. compute_metrics has to return it")
    value, sign = metrics[name], 1 if args.greater_is_better else -1
    if state.best_metric is None or sign * value > sign * state.best_metric:
        state.best_metric, state.best_global_step = value, state.global_step
        return args.save_strategy == "best"
    return False


class Collate:
    """Rows -> batch, without the columns that the model does not take."""

    def __init__(self, trainer: Any):
        self.collator, self.model = trainer.data_collator, trainer.model
        names = taken(trainer.model)
        self.keep = names | {"labels"} if names and trainer.args.remove_unused_columns else None
        self.ours = getattr(type(self.collator), "__module__", "").startswith("course.") or \
            getattr(self.collator, "__module__", "").startswith("course.")

    def __call__(self, rows: list) -> Any:
        # a collator of the user's own may need the other columns; ours would turn them into tensors
        if self.keep and self.ours and all(isinstance(row, Mapping) for row in rows):
            names = [name for name in rows[0] if name in self.keep or name in LABELS or name == "special_tokens_mask"]
            if not set(names) - set(LABELS):
                raise ValueError(f"no column of the data is an input of {type(self.model).__name__}: they are called "
                                 f"{', '.join(map(str, rows[0]))}, and the model takes {', '.join(sorted(self.keep))}. A text "
                                 "becomes input_ids with [dict(tokenizer(text, truncation=True)) | {'label': label} for text, "
                                 "label in …]")
            rows = [{name: row[name] for name in names if name in row} for row in rows]
        batch = self.collator(rows)
        if self.keep and isinstance(batch, Mapping):
            batch = {name: value for name, value in batch.items() if name in self.keep}
        return batch


def taken(model: nn.Module) -> set[str]:
    """The names of the inputs of a model; empty where it takes any."""
    forward = inspect.signature(type(model).forward).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in forward.values()):
        return set(forward) - {"self"}
    body = getattr(model, "base_model", model)
    if body is model:
        return set()
    own = {n for n, p in forward.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    return taken(body) and (taken(body) | own) - {"self"}


def check_first_batch(trainer: Any, batches: Batches) -> None:
    """Raises ValueError, before anything is computed, for data that the model cannot take."""
    model, config = trainer.model, getattr(trainer.model, "config", None)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("every weight of the model is frozen (requires_grad is False), so there is nothing to train")
    rows, classes = batches.rows, getattr(config, "num_labels", None)
    if isinstance(rows, list) and type(model).__name__.endswith("ForSequenceClassification") and (classes or 0) > 1:
        name = next((n for n in LABELS if isinstance(rows[0], Mapping) and n in rows[0]), None)
        for number, row in enumerate(rows if name else ()):
            label = row[name]
            label = label.item() if hasattr(label, "item") and getattr(label, "size", 1) in (1,) else label
            if isinstance(label, int) and not isinstance(label, bool) and not (0 <= label < classes or label == -100):
                raise ValueError(f"example {number} has the label {label}, and the model has {classes} classes, 0 to "
                                 f"{classes - 1}. Load it with num_labels={max(int(r[name]) for r in rows) + 1}, or count the "
                                 "labels from 0")
    if isinstance(rows, list) and not trainer.args.remove_unused_columns and taken(model) and isinstance(rows[0], Mapping):
        alien = [name for name in rows[0] if name not in taken(model) and name not in LABELS]
        if alien and Collate(trainer).ours:
            raise ValueError(f"{type(model).__name__} does not take the column {alien[0]!r} (it takes "
                             f"{', '.join(sorted(taken(model)))}); remove_unused_columns=True drops what it does not take")


def make_ready(model: nn.Module, args: TrainingArguments) -> None:
    if args.gradient_checkpointing:
        if not hasattr(model, "gradient_checkpointing_enable"):
            raise ValueError(f"{type(model).__name__} has no gradient checkpointing: set gradient_checkpointing=False")
        model.gradient_checkpointing_enable(args.gradient_checkpointing_kwargs)  # type: ignore[operator]


def make_optimizer(args: TrainingArguments, model: nn.Module) -> torch.optim.Optimizer:
    groups, lr = parameter_groups(model, args.weight_decay), args.learning_rate
    betas: Any = {"betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
    if args.optim == "adamw_hf":
        return AdamW(groups, lr=lr, **betas)
    if args.optim.startswith("adamw_torch"):
        return torch.optim.AdamW(groups, lr=lr, **betas, fused=args.optim.endswith("fused"))
    return {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad, "rmsprop": torch.optim.RMSprop}[args.optim](groups, lr=lr)


def announce(trainer: Any) -> None:
    """Where, how much and how long, before it begins."""
    state, accelerator = trainer.state, trainer.accelerator
    weights = sum(p.numel() for p in trainer.model.parameters())
    learned = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    part = f"{learned / 1e6:.2f} of" if learned < weights else "all"
    format_ = {"no": "float32", "bf16": "bfloat16", "fp16": "float16"}[accelerator.mixed_precision]
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    state.announcement = (
        f"{state.num_examples or 'a stream of'} examples, {state.max_steps} steps of {state.train_batch_size} on "
        f"{accelerator.device.type} in {format_}{processes}; {part} {weights / 1e6:.1f} M weights are trained")
    log.info("%s", state.announcement)


# -- one step ------------------------------------------------------------------------------------------------------------


def guesses_the_next(model: nn.Module) -> bool:
    """Whether position t is to guess the token at t + 1, so that labels are shifted by one."""
    return re.search(r"(?<!XLNet)(LMHeadModel|ForCausalLM|ModelWithLMHead)$", type(model).__name__) is not None


def count_items(model: nn.Module, batch: Mapping) -> int:
    """What the loss of a batch is the mean of: tokens that have a label, else examples."""
    labels = batch.get("labels")
    if isinstance(labels, Tensor) and labels.dim() > 1 and not labels.is_floating_point():
        return int((labels[:, 1:] if guesses_the_next(model) else labels).ne(-100).sum())
    first = next(v for v in batch.values() if isinstance(v, Tensor) and v.dim())
    return len(first)


def loss_of(outputs: Any, inputs: Mapping) -> Tensor:
    if isinstance(outputs, dict):
        loss = outputs.get("loss")
    elif hasattr(outputs, "to_tuple"):
        loss = outputs.loss
    else:
        loss = outputs if isinstance(outputs, Tensor) else outputs[0]
    if not isinstance(loss, Tensor) or loss.dim():
        raise ValueError(f"the model returned no loss for a batch with {', '.join(inputs)}. Data to learn from need a column "
                         "label or labels (answers: start_positions and end_positions); an own model returns the loss first")
    return loss


def no_loss(trainer: Any, batch: dict) -> Tensor:
    """Zero, with a (zero) gradient for every weight that the model used: for a process that has no share in a batch."""
    _, outputs = trainer.compute_loss(trainer.wrapped, batch, return_outputs=True)
    values = outputs.values() if hasattr(outputs, "values") else outputs
    used = [v.float().sum() for v in values if isinstance(v, Tensor) and v.requires_grad and v.dim()]
    return torch.stack(used).sum() * 0.0


def all_finite(loss: Tensor, norm: Tensor | None) -> bool:
    return bool(torch.isfinite(loss if norm is None else loss + norm.to(loss.device)))


def refuse_nan(trainer: Any, loss: Tensor) -> None:
    """Before the weights are spoilt."""
    args, last = trainer.args, checkpoints.get_last_checkpoint(trainer.args.output_dir)
    what = f"the loss is {loss.item()}" if not math.isfinite(loss.item()) else "the gradient is no number any more"
    rate = trainer.lr_scheduler.get_last_lr()[0]
    raise FloatingPointError(
        f"at step {trainer.state.global_step + 1} {what}; the weights were not changed by it. Usually the learning rate is too "
        f"high: it is {rate:.1e}, try learning_rate={args.learning_rate / 10:.0e} with warmup_ratio=0.1"
        + ("" if args.max_grad_norm else ", and max_grad_norm=1.0") + "; or the data hold nan. "
        + (f"The last checkpoint is {last}" if last else "No checkpoint was saved yet"))


# -- interrupts ----------------------------------------------------------------------------------------------------------


class Interrupt:
    asked = False


@contextmanager
def interrupts() -> Iterator[Interrupt]:
    """The first Ctrl-C (or stop button, or kill) is remembered until the step is done, the second one stops at once."""
    found, before = Interrupt(), {}

    def handler(number: int, frame: Any) -> None:
        if found.asked:
            raise KeyboardInterrupt
        found.asked = True
        note("The run stops after this step, with a checkpoint. Once more, and it stops at once without one.")

    if threading.current_thread() is threading.main_thread():      # the only one that may
        before = {n: signal.signal(n, handler) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield found
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def somebody(here: bool, accelerator: Any) -> bool:
    """Whether it is so in any process."""
    if accelerator.num_processes == 1:
        return here
    return bool(accelerator.reduce(torch.tensor(int(here), device=accelerator.device)).item())


# -- weights in and out ------------------------------------------------------------------------------------------------------


def save_weights(model: nn.Module, folder: Path) -> None:
    if isinstance(model, PreTrainedModel):            # with an adapter: that alone
        try:
            model.save_pretrained(folder)
            return
        except ValueError:                            # a part of the user's own has no name on the Hub
            note("%s has parts of its own: its weights are saved as pytorch_model.bin", type(model).__name__)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def load_weights(model: nn.Module, folder: Path) -> None:
    file = folder / "pytorch_model.bin"
    if file.is_file():
        model.load_state_dict(checkpoints.load(file))
    elif vars(model).get("adapter"):
        lora.load_adapter(model, folder)
    else:
        saved = type(model).from_pretrained(folder, dtype=model.dtype)  # type: ignore[attr-defined]
        model.load_state_dict(saved.state_dict())


def fill_checkpoint(trainer: Any, folder: Path) -> None:
    """Writes what this process knows of the run."""
    accelerator = trainer.accelerator
    if accelerator.is_main_process:
        trainer.save_model(folder)
        torch.save(trainer.optimizer.state_dict(), folder / "optimizer.pt")
        torch.save(trainer.lr_scheduler.state_dict(), folder / "scheduler.pt")
        if accelerator.scaler is not None:
            torch.save(accelerator.scaler.state_dict(), folder / "scaler.pt")
        trainer.state.save_to_json(folder / "trainer_state.json")
    torch.save(checkpoints.random_states(), folder / f"random_{accelerator.process_index}.pt")


def resume(trainer: Any, folder: Path) -> TrainerState:
    """Everything as it was when the checkpoint was written. The last thing to be set are the random numbers."""
    accelerator, plan = trainer.accelerator, trainer.state
    load_weights(trainer.model, folder)
    trainer.model.to(accelerator.device)
    trainer.optimizer.load_state_dict(checkpoints.load(folder / "optimizer.pt"))
    trainer.lr_scheduler.load_state_dict(checkpoints.load(folder / "scheduler.pt"))
    if accelerator.scaler is not None and (folder / "scaler.pt").is_file():
        accelerator.scaler.load_state_dict(checkpoints.load(folder / "scaler.pt"))
    state = trainer.state = TrainerState.load_from_json(folder / "trainer_state.json")
    if (state.train_batch_size, state.num_examples) != (plan.train_batch_size, plan.num_examples):
        log.warning("%s was made with %d examples in steps of %d, now there are %d in steps of %d: the place in the epoch is "
                    "not exact", folder, state.num_examples, state.train_batch_size, plan.num_examples, plan.train_batch_size)
    for name in ("max_steps", "num_train_epochs", "train_batch_size", "num_examples", "every", "is_world_process_zero"):
        setattr(state, name, getattr(plan, name))
    mine = folder / f"random_{accelerator.process_index}.pt"
    if mine.is_file():
        checkpoints.set_random_states(checkpoints.load(mine))
    log.info("The run goes on from %s, step %d of %d", folder, state.global_step, state.max_steps)
    return state
