"""Writing: what every language model can do beside predicting the next token."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor

from course.generation_config import GenerationConfig

if TYPE_CHECKING:
    from course.config import ModelConfig


class LanguageModel:
    """Mixed into each class that predicts what comes next.

    A language model says with next_inputs() what it is fed next. There are three kinds: those that remember keys and values
    (the way written here), those that remember states (mems), and those that read everything anew.
    """

    config: "ModelConfig"
    reads_padding = False                           # whether padding before a text would change what is written after it

    @cached_property
    def generation_config(self) -> GenerationConfig:
        """The settings that generate() starts from."""
        return GenerationConfig.from_model_config(self.config)

    def next_inputs(self, ids: Tensor, mask: Tensor | None, memory: Any = None) -> dict[str, Any]:
        """Keywords of the model's next call. ids (B, S): all tokens so far; mask (B, S): which of them are text, None = all;
        memory: what the last call gave back to remember. Positions are counted from the first token of the text."""
        past = 0 if memory is None else memory.length
        inputs: dict[str, Any] = {"input_ids": ids[:, past:], "past_key_values": memory, "use_cache": True}
        if mask is not None:
            positions = (mask.cumsum(1) - 1).clamp(min=0)                                 # (B, S)
            inputs |= {"attention_mask": mask, "position_ids": positions[:, past:]}
        return inputs


class EncoderDecoder(LanguageModel):
    """A language model that writes while it looks at another text."""

    def next_inputs(self, ids: Tensor, mask: Tensor | None, memory: Any = None) -> dict[str, Any]:
        """ids (B, T): all tokens that the decoder has written."""
        past = 0 if memory is None else memory.length
        inputs: dict[str, Any] = {"decoder_input_ids": ids[:, past:], "past_key_values": memory, "use_cache": True}
        return inputs if mask is None else inputs | {"decoder_attention_mask": mask}
