"""What a model returns: one small dataclass per kind of task.

An output can be read in three ways: `out.logits`, `out["logits"]`, and as a tuple of the values that are present,
so `loss, logits = model(**batch, labels=labels)` and `out[0]` work as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from course.nn import KeyValueCache


@dataclass(eq=False)
class ModelOutput:
    """Base class: fields that are None count as absent."""

    def keys(self) -> list[str]:
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]

    def values(self) -> list[Any]:
        return [getattr(self, name) for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.keys()]

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default

    def to_tuple(self) -> tuple:
        return tuple(self.values())

    def __iter__(self) -> Iterator:
        return iter(self.values())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __getitem__(self, key: int | slice | str) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(f"{key!r} is not in this output; it has {', '.join(self.keys())}"
                           + (f". Call the model with output_{key}=True to get it"
                              if key in ("hidden_states", "attentions") else ""))
        return getattr(self, key)


@dataclass(eq=False)
class BaseModelOutput(ModelOutput):
    """A model without a head. hidden_states: one (B, T, D) before the first and after each layer; attentions:
    one (B, H, T, T) per layer."""

    last_hidden_state: Tensor | None = None         # (B, T, D)
    pooler_output: Tensor | None = None             # (B, D)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class SequenceClassifierOutput(ModelOutput):
    """One label for a whole text."""

    loss: Tensor | None = None                      # ()
    logits: Tensor | None = None                    # (B, L)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class TokenClassifierOutput(SequenceClassifierOutput):
    """One label for each token: logits (B, T, L)."""


@dataclass(eq=False)
class MaskedLMOutput(SequenceClassifierOutput):
    """One score for each word of the vocabulary at each position: logits (B, T, V)."""


@dataclass(eq=False)
class BertForPreTrainingOutput(ModelOutput):
    """Hidden words, and whether the second text of a pair followed the first."""

    loss: Tensor | None = None                      # ()
    prediction_logits: Tensor | None = None         # (B, T, V)
    seq_relationship_logits: Tensor | None = None   # (B, 2): it followed, it is another text
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class QuestionAnsweringModelOutput(ModelOutput):
    """Where the answer starts and where it ends."""

    loss: Tensor | None = None                      # ()
    start_logits: Tensor | None = None              # (B, T)
    end_logits: Tensor | None = None                # (B, T)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class BaseModelOutputWithPast(ModelOutput):
    """The body of a decoder. past_key_values: what it remembers, to go on with the next token."""

    last_hidden_state: Tensor | None = None         # (B, T, D)
    past_key_values: "KeyValueCache | None" = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class CausalLMOutputWithPast(ModelOutput):
    """One score for each word of the vocabulary: which comes after this position?"""

    loss: Tensor | None = None                      # ()
    logits: Tensor | None = None                    # (B, T, V)
    past_key_values: "KeyValueCache | None" = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class Seq2SeqModelOutput(ModelOutput):
    """An encoder that has read a text, and a decoder that looks at it. cross_attentions: one (B, H, T, S) per layer."""

    last_hidden_state: Tensor | None = None         # (B, T, D), of the decoder
    past_key_values: "KeyValueCache | None" = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None     # (B, S, D)
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None

    def after(self, output: type, loss: Tensor | None, *logits: Tensor) -> Any:
        """What a task class returns: loss and logits in the place of last_hidden_state."""
        return output(loss, *logits, *(getattr(self, f.name) for f in fields(self)[1:]))


@dataclass(eq=False)
class Seq2SeqLMOutput(ModelOutput):
    """One score for each word of the vocabulary at each position of the decoder."""

    loss: Tensor | None = None                      # ()
    logits: Tensor | None = None                    # (B, T, V)
    past_key_values: "KeyValueCache | None" = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None     # (B, S, D)
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class Seq2SeqSequenceClassifierOutput(Seq2SeqLMOutput):
    """One label for a whole text: logits (B, L)."""


@dataclass(eq=False)
class Seq2SeqQuestionAnsweringModelOutput(ModelOutput):
    """Where the answer starts and where it ends, as the decoder sees it."""

    loss: Tensor | None = None                      # ()
    start_logits: Tensor | None = None              # (B, T)
    end_logits: Tensor | None = None                # (B, T)
    past_key_values: "KeyValueCache | None" = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor, ...] | None = None
    cross_attentions: tuple[Tensor, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None     # (B, S, D)
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class MemoryModelOutput(ModelOutput):
    """A body that remembers. mems: one (M, B, D) per layer, the length first, to be given back with the next segment."""

    last_hidden_state: Tensor | None = None         # (B, T, D)
    mems: list[Tensor] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None    # (B, H, T, M + T) each


@dataclass(eq=False)
class MemoryHeadOutput(ModelOutput):
    """A task class that remembers: logits (B, L), (B, T, L) or (B, T, V)."""

    loss: Tensor | None = None                      # ()
    logits: Tensor | None = None
    mems: list[Tensor] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class AdaptiveLMOutput(MemoryHeadOutput):
    """logits (B, T, V) are logarithms of probabilities. With labels they are absent, since most of the vocabulary was not
    looked at: losses has one number for each token that was to be guessed."""

    losses: Tensor | None = None                    # (B, T - 1), 0 where the label is -100

    @property
    def prediction_scores(self) -> Tensor | None:
        """The older name of logits."""
        return self.logits


@dataclass(eq=False)
class MemoryQuestionAnsweringOutput(ModelOutput):
    """Where the answer starts and where it ends."""

    loss: Tensor | None = None                      # ()
    start_logits: Tensor | None = None              # (B, T)
    end_logits: Tensor | None = None                # (B, T)
    mems: list[Tensor] | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(eq=False)
class GenerateOutput(ModelOutput):
    """What generate(return_dict_in_generate=True) returns: N texts (those of one prompt follow each other), W new tokens."""

    sequences: Tensor | None = None                 # (N, S), with the prompts
    sequences_scores: Tensor | None = None          # (N,), of beams: the sum of their scores / length ** length_penalty
    log_probs: Tensor | None = None                 # (N, W): of each new token as the model itself sees it, 0 after the end
    scores: tuple[Tensor, ...] | None = None        # W times (rows, V): what was chosen from (output_scores=True)
    logits: tuple[Tensor, ...] | None = None        # W times (rows, V): the model's own (output_logits=True)
    beam_indices: Tensor | None = None              # (N, W): the row of scores that each token is from, -1 after the end


@dataclass(eq=False)
class AllowedOutput(ModelOutput):
    """Which of A legal answers each of B prompts gets, and how probable each of them is."""

    answers: list[str] | None = None                # B times the most probable one, as it was given
    indices: Tensor | None = None                   # (B,): its number
    probabilities: Tensor | None = None             # (B, A): shares among the legal answers, they sum to 1
    log_probs: Tensor | None = None                 # (B, A): of the whole answer among all texts; a longer one tends to less
    legal: list[str] | None = None                  # the A answers
