"""GenerationConfig: every setting of generate() in one place, with what it does.

A checkpoint brings its own values, in generation_config.json or, in files of 2019 and 2020, in config.json; a GenerationConfig
given to generate() counts more, a keyword of the call most.
"""

import difflib
import logging
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Self

from course import hub

log = logging.getLogger(__name__)

# settings of other libraries' generate() that change its result and are not written here: named in a warning, never ignored
OTHERS = {"penalty_alpha": (None, 0.0), "guidance_scale": (None, 1.0), "dola_layers": (None,), "watermarking_config": (None,),
          "constraints": (None,), "force_words_ids": (None,), "sequence_bias": (None,), "token_healing": (None, False),
          "encoder_repetition_penalty": (None, 1.0), "encoder_no_repeat_ngram_size": (None, 0),
          "exponential_decay_length_penalty": (None,), "forced_decoder_ids": (None,), "low_memory": (None, False)}
# what None means where it is not the default
OFF = {"max_length": 20, "min_length": 0, "do_sample": False, "num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0,
       "length_penalty": 1.0, "early_stopping": False, "num_return_sequences": 1, "use_cache": True, "temperature": 1.0,
       "top_k": 0, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "repetition_penalty": 1.0,
       "no_repeat_ngram_size": 0, "renormalize_logits": False, "remove_invalid_values": False,
       "return_dict_in_generate": False, "output_scores": False, "output_logits": False}
BIG = 1e9
RANGES: dict[str, tuple[Any, float, float]] = {
    **dict.fromkeys(("max_length", "max_new_tokens", "num_beams", "num_beam_groups", "num_return_sequences",
                     "prompt_lookup_num_tokens", "max_matching_ngram_size"), (Integral, 1, BIG)),
    **dict.fromkeys(("min_length", "min_new_tokens", "top_k", "no_repeat_ngram_size"), (Integral, 0, BIG)),
    **dict.fromkeys(("top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"), (Real, 0, 1)),
    **dict.fromkeys(("temperature", "max_time", "diversity_penalty"), (Real, 0, BIG)),
    "repetition_penalty": (Real, 1e-9, BIG), "length_penalty": (Real, -BIG, BIG),
}


@dataclass
class GenerationConfig:
    """The settings of generate(). None, or the default: without effect."""

    # how long
    max_length: int = 20                            # tokens with the prompt; the default 20 means 20 new ones
    max_new_tokens: int | None = None               # tokens without the prompt; counts more than max_length
    min_length: int = 0                             # no end token before
    min_new_tokens: int | None = None
    max_time: float | None = None                   # seconds after which no further token is begun
    stop_strings: str | list[str] | None = None     # a text ends with the first of these; needs tokenizer=…
    # which way to choose
    do_sample: bool = False                         # draw by chance; False: take the most probable
    num_beams: int = 1                              # beginnings that are followed side by side
    num_beam_groups: int = 1                        # groups of beams that must differ (Vijayakumar et al. 2016)
    diversity_penalty: float = 0.0                  # taken off a token's score for each earlier group that took it
    length_penalty: float = 1.0                     # a beam's score is divided by its length to this power
    early_stopping: bool | str = False              # True: enough finished beams end the search; "never": go on to the end
    num_return_sequences: int = 1
    prompt_lookup_num_tokens: int | None = None     # guess so many next tokens from what stands in the text already
    max_matching_ngram_size: int | None = None      # by the last so many tokens (None: 2)
    use_cache: bool = True
    # what changes the scores of the next token (course.scores)
    temperature: float = 1.0                        # below 1 the probable gets more probable
    top_k: int = 50                                 # draw among so many; 0: all
    top_p: float = 1.0                              # draw among the most probable that have this share together
    min_p: float | None = None                      # and that have this share of the most probable one's
    typical_p: float = 1.0                          # draw among the least surprising that have this share together
    epsilon_cutoff: float = 0.0                     # draw among those with at least this probability
    eta_cutoff: float = 0.0                         # the same, less strict where the distribution is flat
    repetition_penalty: float = 1.0                 # above 1 makes what stands in the text less probable
    no_repeat_ngram_size: int = 0                   # no sequence of so many tokens comes twice
    bad_words_ids: list[list[int]] | None = None    # sequences that never come
    suppress_tokens: list[int] | None = None        # tokens that never come
    begin_suppress_tokens: list[int] | None = None  # tokens that do not come first
    forced_bos_token_id: int | None = None          # the first token
    forced_eos_token_id: int | list[int] | None = None     # the last token, when max_length is reached
    renormalize_logits: bool = False                # scores become logarithms of probabilities again
    remove_invalid_values: bool = False             # NaN counts as 0, infinity as a large number, instead of an error
    # tokens
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None     # any of these ends a text
    pad_token_id: int | None = None                 # fills up finished texts; None: the first end token
    decoder_start_token_id: int | None = None
    # what comes back
    return_dict_in_generate: bool = False
    output_scores: bool = False                     # the scores of every step, after all changes
    output_logits: bool = False                     # and before them

    others: dict[str, Any] = field(default_factory=dict, repr=False)     # what a file says besides, kept for saving

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """From the contents of a generation_config.json; what is no setting of generate() is kept for saving."""
        known = {f.name for f in fields(cls)} - {"others"}
        made = cls(others={name: value for name, value in settings.items() if name not in known})
        return made.with_settings({name: value for name, value in settings.items() if name in known})

    @classmethod
    def from_model_config(cls, config: Any) -> Self:
        """What a model's config says about writing."""
        return cls.from_dict({name: value for f in fields(cls) if (value := getattr(config, name := f.name, None)) is not None})

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike, config: Any = None, **options: Any) -> Self:
        """The settings of a checkpoint: its generation_config.json, or what its config (course.AutoConfig) says."""
        path = hub.find_file(name, "generation_config.json", required=config is None, **options)
        return cls.from_model_config(config) if path is None else cls.from_dict(hub.read_json(path))

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Writes generation_config.json."""
        hub.write_json(hub.make_folder(folder) / "generation_config.json", self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """What generation_config.json holds."""
        return self.others | self.changed()

    def changed(self) -> dict[str, Any]:
        """What differs from the defaults."""
        default = asdict(type(self)())
        return {n: v for n, v in asdict(self).items() if n != "others" and v != default[n]}

    def with_settings(self, settings: dict[str, Any]) -> Self:
        """A copy with new values. Raises TypeError for names that there are not."""
        known = {f.name for f in fields(self)} - {"others"}
        for name in settings:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=3)
                raise TypeError(f"generate has no setting {name!r}." + (f" Did you mean {' or '.join(close)}?" if close else
                                                                        " course.GenerationConfig lists them"))
        new: dict[str, Any] = {name: OFF.get(name) if value is None else value for name, value in settings.items()}
        return replace(self, **new)

    def check(self, given: Collection[str] = ()) -> None:
        """Raises ValueError for what no text can be written with. given: the names that the call itself set; a setting among
        them that has no effect is named in a note."""
        for name, (kind, low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high):
                what = "a whole number" if kind is Integral else "a number"
                raise ValueError(f"{name} must be {what} from {low:g}" + (f" to {high:g}" if high < BIG else " on")
                                 + f", got {value!r}")
        if self.temperature <= 0 and (self.do_sample or "temperature" in given):
            raise ValueError("temperature divides the scores and must be above 0. For the most probable token every time, "
                             "which is what 0 would mean, say do_sample=False")
        if not (isinstance(self.early_stopping, bool) or self.early_stopping == "never"):
            raise ValueError(f"early_stopping must be True, False or 'never', got {self.early_stopping!r}")
        for less, more in (("min_new_tokens", "max_new_tokens"), ("min_length", "max_length")):
            low, high = getattr(self, less), getattr(self, more)
            if low and high and low > high and (more == "max_new_tokens" or self.max_new_tokens is None and (
                    high != type(self)().max_length or "max_length" in given)):
                raise ValueError(f"{less}={low} is more than {more}={high}")
        if self.num_return_sequences > 1 and not self.do_sample and self.num_beams == 1:
            raise ValueError(f"num_return_sequences={self.num_return_sequences}: without chance and beams there is only one "
                             "most probable text. Say do_sample=True, or num_beams=… of at least as many")
        if 1 < self.num_beams < self.num_return_sequences:
            raise ValueError(f"num_return_sequences={self.num_return_sequences} is more than num_beams={self.num_beams}")
        if self.num_beam_groups > 1 and (self.num_beams % self.num_beam_groups or self.do_sample or not self.diversity_penalty):
            raise ValueError(f"num_beam_groups={self.num_beam_groups} must divide num_beams={self.num_beams}, needs a "
                             "diversity_penalty above 0, and do_sample=False")
        if self.prompt_lookup_num_tokens and (self.num_beams > 1 or self.num_return_sequences > 1):
            raise ValueError("prompt_lookup_num_tokens guesses how one text goes on: leave num_beams and "
                             "num_return_sequences out")
        for name in ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"):
            if name in given and not self.do_sample and getattr(self, name) not in (OFF.get(name), getattr(type(self), name)):
                log.warning("%s=%s has no effect without do_sample=True.", name, getattr(self, name))
        for name in ("length_penalty", "early_stopping"):
            if name in given and self.num_beams == 1 and getattr(self, name) != getattr(type(self), name):
                log.warning("%s=%s has no effect without num_beams.", name, getattr(self, name))
        for name, without in OTHERS.items():
            if self.others.get(name) not in without:
                log.warning("The checkpoint asks for %s=%s, which generate() here does not have.", name, self.others[name])

    @property
    def ends(self) -> list[int]:
        """The tokens that end a text."""
        ends: Any = self.eos_token_id
        return [int(ends)] if isinstance(ends, Integral) else [] if ends is None else list(ends)
