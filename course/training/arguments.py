"""TrainingArguments: every setting of a training run, in one place that can be printed, saved and compared."""

import difflib
import functools
import inspect
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

# Other names of our settings; "": a setting that has no effect here and does no harm.
SPELLINGS = {"evaluation_strategy": "eval_strategy", "per_gpu_train_batch_size": "per_device_train_batch_size",
             "per_gpu_eval_batch_size": "per_device_eval_batch_size", "no_cuda": "use_cpu", "lr": "learning_rate",
             "train_batch_size": "per_device_train_batch_size", "eval_batch_size": "per_device_eval_batch_size",
             "early_stopping_patience": "EarlyStoppingCallback", "bf16_full_eval": "", "fp16_full_eval": "",
             "fp16_opt_level": "",
             "fp16_backend": "", "half_precision_backend": "", "overwrite_output_dir": "", "local_rank": "", "log_level": "",
             "log_level_replica": "", "log_on_each_node": "", "logging_nan_inf_filter": "", "save_safetensors": "",
             "skip_memory_metrics": "", "prediction_loss_only": "", "past_index": "", "ddp_backend": "", "debug": "",
             "dataloader_persistent_workers": "", "eval_accumulation_steps": ""}
ABSENT = {"deepspeed": "start the script with accelerate launch and its configuration",
          "fsdp": "start the script with accelerate launch and its configuration",
          "push_to_hub": "nothing leaves this computer: after training, "
          "huggingface_hub.upload_folder(folder_path=…, repo_id=…) does it", "hub_model_id": "see push_to_hub",
          "auto_find_batch_size": "choose per_device_train_batch_size; gradient_accumulation_steps makes up for a small one",
          "neftune_noise_alpha": "add the noise in a compute_loss of your own"}
STRATEGIES = ("no", "steps", "epoch")
OPTIMIZERS = ("adamw_torch_fused", "adamw_torch", "adamw_hf", "sgd", "adagrad", "rmsprop")


@dataclass
class TrainingArguments:
    """What a Trainer does, when, and for how long. Steps are steps of the optimizer; a step sees
    per_device_train_batch_size * gradient_accumulation_steps * processes examples.

    logging_steps, eval_steps and save_steps may be shares of the run (0.1: ten times). None means: chosen for you; a run logs
    about fifty times, group_by_length is on where the data lie in memory, bf16 where the machine is faster with it.
    """

    output_dir: str = "trainer_output"                # checkpoints, one folder each
    # how long, how much at once
    num_train_epochs: float = 3.0
    max_steps: int = -1                               # above 0: overrides num_train_epochs
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    # optimizer and schedule
    learning_rate: float = 5e-5
    weight_decay: float = 0.0                         # not for biases and norms
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0                        # 0: no clipping
    optim: str = "adamw_torch_fused"
    lr_scheduler_type: str = "linear"
    lr_scheduler_kwargs: dict[str, Any] | None = None
    warmup_ratio: float = 0.0                         # share of the steps; warmup_steps goes first
    warmup_steps: float = 0
    label_smoothing_factor: float = 0.0
    # when to look, when to save
    eval_strategy: str = "no"                         # "no", "steps", "epoch"
    eval_steps: float | None = None                   # None: as often as logging_steps
    eval_on_start: bool = False
    logging_strategy: str = "steps"
    logging_steps: float | None = None
    logging_first_step: bool = False
    logging_dir: str | None = None                    # None: output_dir/runs
    report_to: str | list[str] | None = None          # None: TensorBoard where it is installed; "none": nowhere
    save_strategy: str = "steps"                      # "no", "steps", "epoch", "best"
    save_steps: float = 500
    save_total_limit: int | None = None               # how many checkpoints are kept; the best one is kept beside them
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None          # None: the loss
    greater_is_better: bool | None = None             # None: unless the metric is a loss
    resume_from_checkpoint: str | None = None         # for scripts that read it; train() has an argument of this name
    # repeatability, speed
    seed: int = 42
    data_seed: int | None = None                      # None: seed
    full_determinism: bool = False
    group_by_length: bool | None = None
    length_column_name: str = "length"
    bf16: bool | None = None
    fp16: bool = False
    gradient_checkpointing: bool = False
    gradient_checkpointing_kwargs: dict[str, Any] | None = None
    torch_compile: bool = False
    ddp_find_unused_parameters: bool = False          # several processes: True where a step does not use every weight
    use_cpu: bool = False
    # data
    dataloader_drop_last: bool = False
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = True
    remove_unused_columns: bool = True
    label_names: list[str] | None = None
    # evaluation by writing, for encoder-decoders
    predict_with_generate: bool = False
    generation_max_length: int | None = None
    generation_num_beams: int | None = None
    # for scripts
    do_train: bool = False
    do_eval: bool = False
    do_predict: bool = False
    disable_tqdm: bool = False
    run_name: str | None = None

    def __post_init__(self) -> None:
        self.output_dir = str(self.output_dir)
        self.logging_dir = str(self.logging_dir) if self.logging_dir else f"{self.output_dir}/runs"
        for name in ("eval_strategy", "logging_strategy", "save_strategy"):
            value = getattr(self, name)
            value = getattr(value, "value", value)    # transformers' enumerations
            allowed = (*STRATEGIES, "best") if name == "save_strategy" else STRATEGIES
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
            setattr(self, name, value)
        for name, least in (("per_device_train_batch_size", 1), ("per_device_eval_batch_size", 1),
                            ("gradient_accumulation_steps", 1), ("save_total_limit", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or int(value) != value or value < least):
                raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}")
        for name in ("learning_rate", "weight_decay", "max_grad_norm", "warmup_steps", "num_train_epochs"):
            value = getattr(self, name)
            if value is None and name == "max_grad_norm":
                self.max_grad_norm = 0.0
            elif isinstance(value, str) or not value >= 0:
                raise ValueError(f"{name} must be a number, at least 0; got {value!r}"
                                 + (f": write {name}={float(value)}" if isinstance(value, str) else ""))
        for name in ("logging_steps", "eval_steps", "save_steps"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and (value < 1 or int(value) == value)):
                raise ValueError(f"{name} must be a number of steps, or a share of the run below 1; got {value!r}")
        if not 0 <= self.label_smoothing_factor < 1 or not 0 <= self.warmup_ratio <= 1:
            raise ValueError("label_smoothing_factor and warmup_ratio are shares between 0 and 1; got "
                             f"{self.label_smoothing_factor} and {self.warmup_ratio}")
        if self.optim not in OPTIMIZERS:
            raise ValueError(f"optim must be one of {', '.join(OPTIMIZERS)}; got {self.optim!r}. Any other optimizer: "
                             "Trainer(…, optimizers=(your_optimizer, None))")
        if self.fp16 and self.bf16:
            raise ValueError("fp16 and bf16 are two formats for the same numbers: choose one")
        if self.load_best_model_at_end:
            if self.eval_strategy == "no":
                raise ValueError("load_best_model_at_end needs evaluations to compare: set eval_strategy='epoch'")
            if self.save_strategy not in (self.eval_strategy, "best"):
                raise ValueError(f"load_best_model_at_end loads a checkpoint, so each evaluation (eval_strategy="
                                 f"{self.eval_strategy!r}) needs one: set save_strategy={self.eval_strategy!r} or 'best'")
        if self.metric_for_best_model is None and (self.load_best_model_at_end or self.save_strategy == "best"):
            self.metric_for_best_model = "loss"
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = not self.metric_for_best_model.endswith("loss")

    @property
    def train_batch_size(self) -> int:
        return self.per_device_train_batch_size

    @property
    def eval_batch_size(self) -> int:
        return self.per_device_eval_batch_size

    def get_warmup_steps(self, steps: int) -> int:
        """How many of `steps` warm up."""
        share = self.warmup_steps if 0 < self.warmup_steps < 1 else 0 if self.warmup_steps else self.warmup_ratio
        return -int(-steps * share // 1) if share else int(self.warmup_steps)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_json_string(self) -> str:
        return json.dumps(self.to_dict(), indent=2)


def modern(options: dict[str, Any]) -> dict[str, Any]:
    """Old and new spellings -> ours; what has no effect here is dropped."""
    if options.pop("evaluate_during_training", False):
        options.setdefault("eval_strategy", "steps")
    known = {field.name for field in fields(TrainingArguments)}
    for name in [name for name in options if name not in known]:
        value, ours = options.pop(name), SPELLINGS.get(name)
        if ours == "EarlyStoppingCallback":
            raise TypeError(f"{name} belongs to a callback: Trainer(…, callbacks=[EarlyStoppingCallback({name}={value})])")
        if ours:
            if ours in options:
                raise TypeError(f"{name} and {ours} say the same: give one of them")
            options[ours] = value
        elif ours is None and name in ABSENT:
            if value:
                raise TypeError(f"TrainingArguments has no {name} here: {ABSENT[name]}")
        elif ours is None:
            close = difflib.get_close_matches(name, [*known, *filter(None, SPELLINGS)], n=2)
            raise TypeError(f"TrainingArguments has no setting {name!r}; "
                            + (f"did you mean {' or '.join(close)}?" if close else "help(TrainingArguments) lists them"))
    return options


def with_old_spellings(init: Any) -> Any:
    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **modern(kwargs))
    __init__.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]
    return __init__


TrainingArguments.__init__ = with_old_spellings(TrainingArguments.__init__)  # type: ignore[method-assign]


class Seq2SeqTrainingArguments(TrainingArguments):
    """TrainingArguments, by the name that scripts for encoder-decoders use."""
