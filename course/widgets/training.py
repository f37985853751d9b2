"""Training dashboard: loss, scores and learning rate while a Trainer works, the time left, and a button that stops and saves.

    Trainer(model, args, …, callbacks=[widgets.training_dashboard()])
"""

import html
import math
from typing import Any

from course.training.callbacks import NotebookCallback, in_notebook

VIEW = "application/vnd.jupyter.widget-view+json"


def training_dashboard() -> "Dashboard":
    """A callback for a Trainer. In a terminal it shows nothing: the Trainer's own bar is there."""
    return Dashboard()


class Dashboard(NotebookCallback):
    """What a notebook shows of a run anyway, with curves for each score and the learning rate, and a stop button.

    Stop ends the run after the step at work and saves a checkpoint, from which train(resume_from_checkpoint=True) goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self.button: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.asked = False
        if state.is_world_process_zero and in_notebook():
            self.show_button()
            super().on_train_begin(args, state, control, **kwargs)

    def show_button(self) -> None:
        try:
            import ipywidgets as w
        except ImportError:                           # then ■ in the bar of the notebook stops, and saves as well
            return
        from IPython.display import display
        self.button = w.Button(description="Stop and save", tooltip="Stops after this step and saves a checkpoint",
                               icon="stop", layout=w.Layout(width="auto"))
        self.button.on_click(lambda _: self.stop())
        view = {"version_major": 2, "version_minor": 0, "model_id": self.button.model_id}
        display({VIEW: view, "text/plain": "(a button that stops the run and saves it)"}, raw=True)
        # JupyterLab sends clicks past the cell that runs ("subshell"). ipykernel 7.4 sends them back behind that cell when the
        # button was made in it, unless it has forgotten so.
        vars(getattr(self.button, "comm", None) or self.button).pop("_reply_subshell_id", None)

    def stop(self) -> None:
        """What the button does; also for programs."""
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_step_end(args, state, control, **kwargs)
        if self.asked:
            control.should_training_stop = control.should_save = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_end(args, state, control, **kwargs)
        if self.button is not None:
            self.button.disabled = True

    def line(self) -> str:
        stopped = ", stopped by hand and saved" if self.asked and self.note else ", stopping …" if self.asked else ""
        return super().line() + stopped

    def _repr_html_(self) -> str:
        curves: dict[str, list[tuple[int, float]]] = {}
        for entry in self.state.log_history:
            for name, value in entry.items():
                if name == "learning_rate" or (name.startswith("eval_") and not name.endswith(("_runtime", "_per_second"))):
                    curves.setdefault(name.removeprefix("eval_").replace("_", " "), []).append((int(entry["step"]), value))
        small = "".join(small_curve(name, points, max(1, self.state.max_steps)) for name, points in curves.items())
        return f'{super()._repr_html_()}<div style="display: flex; flex-wrap: wrap">{small}</div>'


def small_curve(name: str, points: list[tuple[int, float]], steps: int, width: int = 200, height: int = 90) -> str:
    """A line through the values, with the last one in words."""
    points = [(step, value) for step, value in points if isinstance(value, (int, float)) and math.isfinite(value)]
    if not points:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    spots = [(8 + (width - 16) * step / steps, 26 + (height - 36) * (high - value) / ((high - low) or 1.0))
             for step, value in points]
    text, path = html.escape(f"{name} {points[-1][1]:.3g}"), " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    return (f'<svg role="img" aria-label="{text} at step {points[-1][0]}, from {low:.3g} to {high:.3g} so far" width="{width}" '
            f'height="{height}" style="background: white; margin: 4px; border: 1px solid #8888">'
            f'<text x="8" y="15" font-size="12" fill="#333333">{text}</text>'
            f'<polyline fill="none" stroke="#0072b2" stroke-width="2" points="{path}"/>'
            + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#0072b2"/>' for x, y in spots[-40:]) + "</svg>")
