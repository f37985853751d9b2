"""Hyper-parameter search: several runs with settings that Optuna proposes (an extra: pip install "course[search]")."""

from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple


class BestRun(NamedTuple):
    """The number of the run, what it reached, and with which settings."""

    run_id: str
    objective: float
    hyperparameters: dict[str, Any]


def search(trainer: Any, hp_space: Callable[[Any], dict[str, Any]], n_trials: int, direction: str,
           compute_objective: Callable[[dict[str, float]], float] | None, **options: Any) -> BestRun:
    """hp_space: Optuna's trial -> {"learning_rate": trial.suggest_float("learning_rate", 1e-5, 1e-3, log=True)}.

    compute_objective: the metrics of evaluate() -> a number; without it the loss, or with direction="maximize" the sum of the
    scores of compute_metrics. Runs save nothing; options go to optuna.create_study.
    """
    try:
        import optuna
    except ImportError:
        raise ImportError('a search of hyper-parameters needs Optuna: pip install "course[search]"') from None
    if trainer.model_init is None:
        raise ValueError("each run of a search needs a fresh model: give the Trainer model_init=lambda: …from_pretrained(…), "
                         "not a model")
    if direction not in ("minimize", "maximize"):
        raise ValueError(f"direction must be 'minimize' (a loss) or 'maximize' (a score); got {direction!r}")
    before = trainer.args

    def objective(trial: Any) -> float:
        trainer.args = copy(before)
        trainer.args.save_strategy = "no"
        for name, value in hp_space(trial).items():
            if not hasattr(before, name):
                raise AttributeError(f"hp_space proposes {name!r}, which is no setting of TrainingArguments")
            setattr(trainer.args, name, value)
        trainer.train(trial=trial)
        metrics = trainer.evaluate()
        if compute_objective is not None:
            return compute_objective(metrics)
        scores = [v for n, v in metrics.items() if n.startswith("eval_")
                  and n != "eval_loss" and not n.endswith(("_runtime", "_per_second"))]
        return metrics["eval_loss"] if direction == "minimize" or not scores else sum(scores)

    try:
        options.setdefault("sampler", optuna.samplers.TPESampler(seed=before.seed))
        study = optuna.create_study(direction=direction, **options)  # type: ignore[arg-type]
        study.optimize(objective, n_trials=n_trials)
    finally:
        trainer.args = before
    return BestRun(str(study.best_trial.number), study.best_value, study.best_params)
