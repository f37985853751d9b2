"""What happens around the loop: callbacks, the progress that is shown, TensorBoard files, early stopping.

    class Shout(TrainerCallback):
        def on_evaluate(self, args, state, control, metrics, **kwargs):
            print("step", state.global_step, metrics)

A callback gets the settings, the state of the run, and control: set control.should_training_stop = True and the run stops.
"""

import html
import importlib.util
import json
import logging
import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


@dataclass
class TrainerState:
    """Where a run is. log_history: what was logged and evaluated, ready for pandas."""

    epoch: float = 0.0
    global_step: int = 0
    max_steps: int = 0
    num_train_epochs: int = 0
    train_batch_size: int = 0
    num_examples: int = 0
    log_history: list[dict[str, float]] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_world_process_zero: bool = True
    loss_sum: float = 0.0                             # since the last log
    loss_total: float = 0.0                           # since the first step, logs included
    last_log: int = 0
    last_save: int = -1
    announcement: str = ""                            # what is going to be done, where
    epochs_done: int = 0
    steps_in_epoch: int = 0
    every: dict[str, int] = field(default_factory=dict)     # logging_steps, eval_steps, save_steps as numbers of steps
    callbacks: dict[str, Any] = field(default_factory=dict)

    @property
    def is_local_process_zero(self) -> bool:
        return self.is_world_process_zero

    def save_to_json(self, path: str | Path) -> None:
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load_from_json(cls, path: str | Path) -> "TrainerState":
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


@dataclass
class TrainerControl:
    """What the loop is to do next; callbacks may change it."""

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False


class TrainerCallback:
    """Base class: override the events that matter. kwargs hold model, processing_class, optimizer, lr_scheduler,
    train_dataloader, and logs or metrics where there are any."""

    def on_init_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_pre_optimizer_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_prediction_step(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_predict(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...
    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any: ...


class EarlyStoppingCallback(TrainerCallback):
    """Stops when metric_for_best_model has not become better, by more than the threshold, in `patience` evaluations."""

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0):
        self.patience, self.threshold = early_stopping_patience, early_stopping_threshold
        self.best: float | None = None
        self.waited = 0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if args.eval_strategy == "no":
            raise ValueError("early stopping looks at evaluations: set eval_strategy='epoch' or 'steps'")
        saved = state.callbacks.get("EarlyStoppingCallback") or {"best": None, "waited": 0}
        self.best, self.waited = saved["best"], saved["waited"]

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        metrics = kwargs["metrics"]
        name = "eval_" + (args.metric_for_best_model or "loss").removeprefix("eval_")
        if name not in metrics:
            raise KeyError(f"early stopping looks at {name}, and the evaluation gave {', '.join(metrics)}: set "
                           "metric_for_best_model to one of them")
        sign = 1 if args.greater_is_better else -1
        better = self.best is None or sign * (metrics[name] - self.best) > self.threshold
        self.best, self.waited = (metrics[name], 0) if better else (self.best, self.waited + 1)
        control.should_training_stop |= self.waited >= self.patience
        state.callbacks["EarlyStoppingCallback"] = {"best": self.best, "waited": self.waited}


class TensorBoardCallback(TrainerCallback):
    """Writes what is logged as event files into args.logging_dir: `%tensorboard --logdir …` or the program draws them."""

    def __init__(self) -> None:
        self.writer: Any = None

    @staticmethod
    def is_available() -> bool:
        return importlib.util.find_spec("tensorboard") is not None

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter
            self.writer = SummaryWriter(args.logging_dir)
        for name, value in kwargs["logs"].items():
            if isinstance(value, (int, float)):
                group, _, rest = name.partition("_")
                tag = f"{group}/{rest}" if group in ("eval", "test") and rest else f"train/{name}"
                self.writer.add_scalar(tag, value, state.global_step)
        self.writer.flush()

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class ProgressCallback(TrainerCallback):
    """What a terminal shows: a bar with the loss and the time that is left; a line for each evaluation."""

    def __init__(self) -> None:
        self.bar: Any = None

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            from tqdm import tqdm
            print(state.announcement, file=sys.stderr)
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, unit="step", dynamic_ncols=True)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs = kwargs["logs"]
        if self.bar is None:
            return
        if "loss" in logs:
            self.bar.set_postfix({"epoch": f"{logs['epoch']:.2f}", "loss": f"{logs['loss']:.4f}"})
        elif any(name.startswith("eval_") for name in logs):
            self.bar.write(f"step {state.global_step}: " + "  ".join(
                f"{name.removeprefix('eval_')} {value:.4f}" for name, value in logs.items()
                if isinstance(value, float) and not name.endswith(("_per_second", "_runtime", "epoch"))))

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class NotebookCallback(TrainerCallback):
    """What a notebook shows, one display that is renewed: how far, how long still, the curve of the loss, a table of the
    evaluations. It needs no widgets, and what stands there at the end is saved with the notebook."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.points: list[tuple[int, float]] = []
        self.shown = 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            from IPython.display import display
            self.state, self.began, self.first = state, time.monotonic(), state.global_step
            self.points, self.note = [], ""
            self.handle = display(self, display_id=True)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.handle is not None:
            self.points.append((state.global_step, float(kwargs["loss"])))
            if time.monotonic() - self.shown > 0.5:   # twice a second: drawing costs less than a hundredth of the time
                self.renew()

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.handle is not None:
            self.renew()

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.handle is not None:
            self.note = f"done in {duration(time.monotonic() - self.began)}"
            self.renew()
            self.handle = None

    def renew(self) -> None:
        self.shown = time.monotonic()
        self.handle.update(self)

    def line(self) -> str:
        done, steps = self.state.global_step, self.state.max_steps
        left = ""
        if done > self.first and not self.note:
            left = f", about {duration((time.monotonic() - self.began) / (done - self.first) * (steps - done))} left"
        loss = f", loss {mean(self.points[-10:]):.4f}" if self.points else ""
        return f"step {done} of {steps}, epoch {self.state.epoch:.2f}{loss}{left}" + (f", {self.note}" if self.note else "")

    def __repr__(self) -> str:
        return "\n".join([self.line(), *("  ".join(f"{k} {v}" for k, v in row.items()) for row in self.table())])

    def table(self) -> list[dict[str, Any]]:
        """One row for each evaluation, with the loss on the training data before it."""
        rows, loss = [], None
        for entry in self.state.log_history:
            loss = entry.get("loss", loss)
            scores = {name.removeprefix("eval_"): value for name, value in entry.items() if name.startswith("eval_")
                      and not name.endswith(("_runtime", "_per_second"))}
            if scores:
                rows.append({"step": entry["step"], "epoch": f"{entry['epoch']:.2f}",
                             "training loss": "" if loss is None else f"{loss:.4f}",
                             **{k: f"{v:.4f}" if isinstance(v, float) else str(v) for k, v in scores.items()}})
        return rows

    def _repr_html_(self) -> str:
        rows = self.table()
        table = ""
        if rows:
            names = list(rows[-1])
            cells = "".join("<tr>" + "".join(f"<td>{html.escape(str(row.get(n, '')))}</td>" for n in names) + "</tr>"
                            for row in rows)
            table = "<table><tr>" + "".join(f"<th>{html.escape(n)}</th>" for n in names) + f"</tr>{cells}</table>"
        steps = max(1, self.state.max_steps)
        return (f"<div>{html.escape(self.state.announcement)}</div>"
                f'<div><progress value="{self.state.global_step}" max="{steps}" style="width: 300px"></progress> '
                f"{html.escape(self.line())}</div>{curve(self.points, steps)}{table}")


def curve(points: list[tuple[int, float]], steps: int, width: int = 480, height: int = 140) -> str:
    """The loss of each step (grey) and its running mean (blue) as SVG."""
    points = [(step, loss) for step, loss in points if loss is not None and math.isfinite(loss)]
    if len(points) < 2:
        return ""
    stride = max(1, len(points) // 400)
    smooth = [(points[i][0], mean(points[max(0, i - max(5, len(points) // 20)):i + 1])) for i in range(len(points))][::stride]
    points = points[::stride]
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    span = high - low or 1.0

    def path(line: list[tuple[int, float]]) -> str:
        return " ".join(f"{40 + (width - 50) * step / steps:.1f},{10 + (height - 30) * (high - loss) / span:.1f}"
                        for step, loss in line)
    text = f"loss over {steps} steps: {smooth[0][1]:.3f} at first, {smooth[-1][1]:.3f} now"
    return (f'<svg role="img" aria-label="{text}" width="{width}" height="{height}" style="background: white">'
            f'<title>{text}</title>'
            f'<polyline fill="none" stroke="#bbbbbb" points="{path(points)}"/>'
            f'<polyline fill="none" stroke="#0072b2" stroke-width="2" points="{path(smooth)}"/>'
            f'<g font-size="11" fill="#333333"><text x="2" y="14">{high:.2f}</text>'
            f'<text x="2" y="{height - 20}">{low:.2f}</text>'
            f'<text x="{width - 10}" y="{height - 4}" text-anchor="end">step {steps}</text>'
            f'<text x="40" y="{height - 4}">loss</text></g></svg>')


def mean(points: list[tuple[int, float]]) -> float:
    return sum(loss for _, loss in points) / len(points)


def duration(seconds: float) -> str:
    """75 -> '1 min 15 s'."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this program; a terminal with IPython is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell" and hasattr(shell, "kernel")


def default_callbacks(args: Any) -> list[TrainerCallback]:
    """Progress for where the program runs, and the places that args.report_to names."""
    found: list[TrainerCallback] = []
    if not args.disable_tqdm:
        found.append(NotebookCallback() if in_notebook() else ProgressCallback())
    asked = [args.report_to] if isinstance(args.report_to, str) else args.report_to
    for name in asked if asked is not None else ["tensorboard"] * TensorBoardCallback.is_available():
        if name in ("all", "tensorboard"):
            if TensorBoardCallback.is_available():
                found.append(TensorBoardCallback())
            elif name == "tensorboard":
                raise ImportError("report_to='tensorboard' needs the package tensorboard: pip install tensorboard")
        elif name != "none":
            raise ValueError(f"report_to={name!r}: course writes for 'tensorboard'; for anything else add a TrainerCallback "
                             "with an on_log of its own")
    return found
