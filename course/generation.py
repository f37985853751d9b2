"""Writing: what every language model can do beside predicting the next token.

generate() prepares (prompts, settings, the functions that change scores of course.scores) and hands over to one of the two
loops of course.decoding.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from functools import cached_property, partial
from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from course.decoding import Writing, beam_search, search
from course.generation_config import GenerationConfig
from course.notes import note
from course.outputs import AllowedOutput, GenerateOutput
from course.scores import score_functions
from course.speed import packed

if TYPE_CHECKING:
    from course.config import ModelConfig

log = logging.getLogger(__name__)

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

    def generate(self, inputs: Tensor | None = None, generation_config: GenerationConfig | None = None, *,
                 tokenizer: Any = None, allowed_outputs: Sequence[str] | None = None, seed: int | None = None,
                 logits_processor: Sequence[Callable[[Tensor, Tensor], Tensor]] | None = None,
                 stopping_criteria: Sequence[Callable[[Tensor, Tensor], Any]] | None = None, streamer: Any = None,
                 **settings: Any) -> Tensor | GenerateOutput | AllowedOutput:
        """Texts that go on from the prompts input_ids (B, S), or in an encoder-decoder answer them: ids (N, S + W).

        model.generate(**tokenizer("Trust in", return_tensors="pt"), max_new_tokens=30, do_sample=True, seed=1)

        settings: see course.GenerationConfig; attention_mask, and other inputs of the model. Prompts of different length may
        stand in one batch, padded on either side; each text is what it would be alone. seed: what is drawn follows from seed
        and prompt alone. tokenizer: for stop_strings and allowed_outputs. logits_processor: further functions on (ids, scores).
        stopping_criteria: functions on (ids, scores) that say whether texts end here, True or (N,) of them. streamer: sees the
        prompt and each token as it comes, see course.streamers. inputs_embeds (B, S, D): vectors in the place of the prompt's
        tokens; then the new tokens alone come back, unless input_ids are given as well. allowed_outputs: legal answers; then
        comes an AllowedOutput, see course.legal_answers. return_dict_in_generate=True: a GenerateOutput with scores and
        log-probabilities. Raises TypeError or ValueError for what cannot be written.
        """
        functions = {"logits_processor": logits_processor, "stopping_criteria": stopping_criteria, "streamer": streamer}
        if streamer is not None and not (hasattr(streamer, "put") and hasattr(streamer, "end")):
            raise TypeError("a streamer has the methods put and end, like course.TextStreamer(tokenizer); got "
                            f"{str(streamer)[:60]}")
        if allowed_outputs is not None:
            from course.legal_answers import choose
            return choose(self, inputs, allowed_outputs, tokenizer, **functions, **settings)
        with ExitStack() as at_the_end:
            if streamer is not None:                  # also after an error: nobody waits for a text that does not come
                at_the_end.callback(streamer.end)
            given, chosen = self.sort_out(inputs, generation_config, settings)
            unnamed = "input_ids" not in given
            ids, mask = self.prompt(given, chosen)
            unnamed = unnamed and "inputs_embeds" in given
            write = partial(self.write, given=given, settings=chosen, asked="max_length" in settings, tokenizer=tokenizer,
                            seed=seed, **functions)
            if mask is not None and self.reads_padding:
                return one_length_at_a_time(write, ids, mask, chosen, self.padding(chosen))
            found = write(ids, mask)
        if unnamed:
            found.sequences = cast(Tensor, found.sequences)[:, ids.shape[1]:]
        return found if chosen.return_dict_in_generate else cast(Tensor, found.sequences)

    def write(self, ids: Tensor, mask: Tensor | None, streamer: Any = None, **options: Any) -> GenerateOutput:
        """The texts of prompts that are prepared; see prepare."""
        writing = self.prepare(ids, mask, **options)
        if streamer is not None:
            if writing.settings.num_beams > 1:
                raise ValueError("a streamer shows a text while it is written, and which of several beams it will be is known "
                                 "at the end: leave num_beams or streamer out")
            streamer.put(writing.ids.cpu())
        with packed(cast(Any, self), len(writing.ids)):
            if writing.settings.num_beams > 1:
                return copied(beam_search(self, writing))
            found = GenerateOutput()
            for so_far in search(self, writing, found):
                if streamer is not None:
                    streamer.put(so_far[:, -1].cpu())
        return copied(found)

    def stream(self, inputs: Tensor | None = None, generation_config: GenerationConfig | None = None, *, tokenizer: Any,
               skip_special_tokens: bool = True, **settings: Any) -> Iterator[str]:
        """The text of one prompt piece by piece, as it is written: `for piece in model.stream(ids, tokenizer=tokenizer): …`.

        The pieces together are the new text, without the prompt. Interrupting (Ctrl-C, the square in Jupyter) ends the text
        with what is there. settings as in generate().
        """
        ways = {name: settings.pop(name) for name in ("seed", "logits_processor", "stopping_criteria") if name in settings}
        given, chosen = self.sort_out(inputs, generation_config, settings)
        ids, mask = self.prompt(given, chosen)
        writing = self.prepare(ids, mask, given, chosen, "max_length" in settings, tokenizer, **ways)
        if len(writing.ids) > 1 or chosen.num_beams > 1:
            raise ValueError("stream shows one text while it is written: give it one prompt, without num_beams and "
                             "num_return_sequences; generate() writes several")
        start, shown = writing.ids.shape[1], ""
        try:
            for ids in search(self, writing, GenerateOutput()):
                text = tokenizer.decode(ids[0, start:], skip_special_tokens=skip_special_tokens,
                                        clean_up_tokenization_spaces=False)
                if not text.endswith("\N{REPLACEMENT CHARACTER}"):                        # half of a character so far
                    yield text[len(shown):]
                    shown = text
        except KeyboardInterrupt:
            note("Interrupted: the text ends here.")

    def compute_transition_scores(self, sequences: Tensor, scores: Sequence[Tensor], beam_indices: Tensor | None = None,
                                  normalize_logits: bool = False) -> Tensor:
        """The score of each new token, (N, W), out of what generate(output_scores=True, return_dict_in_generate=True) returned.
        normalize_logits: as logarithms of probabilities."""
        steps = torch.stack(list(scores), 1)                                              # (rows, W, V)
        steps = steps.log_softmax(-1) if normalize_logits else steps
        if beam_indices is None:
            beam_indices = torch.arange(len(steps), device=steps.device)[:, None].expand(-1, steps.shape[1])
        width = beam_indices.shape[1]
        tokens, places = sequences[:, sequences.shape[1] - width:], torch.arange(width, device=steps.device)
        return steps[beam_indices.clamp(min=0), places, tokens].masked_fill(beam_indices < 0, 0.0)

    # -- before the first token ----------------------------------------------------------------------------------------------

    def sort_out(self, inputs: Any, generation_config: GenerationConfig | None,
                 options: dict[str, Any]) -> tuple[dict[str, Any], GenerationConfig]:
        """The inputs of the model, and all settings. Raises TypeError or ValueError for what cannot be written with."""
        if isinstance(inputs, (str, list)):
            raise TypeError(f"generate needs ids, got a {type(inputs).__name__}: model.generate(**tokenizer(text, "
                            "return_tensors='pt')), or pipeline('text-generation', model)(text)")
        if isinstance(inputs, Mapping):
            raise TypeError("give generate the tokenizer's output with two stars: model.generate(**inputs)")
        options = options if inputs is None else {"input_ids": inputs} | options
        model = cast(Any, self)
        settings = {f.name for f in fields(GenerationConfig)}
        accepted = {"attention_mask", "token_type_ids", *signature(model.forward).parameters,
                    *signature(model.base_model.forward).parameters} - settings
        given = {name: value for name, value in options.items() if name in accepted and value is not None}
        for name in ("output_attentions", "output_hidden_states", "labels", "position_ids", "past_key_values"):
            if given.pop(name, None) is not None:
                raise TypeError(f"generate takes no {name}: call the model itself with the sequences that generate returned")
        given.pop("token_type_ids", None)             # what is written has no type
        called = {name: value for name, value in options.items() if name not in accepted}
        chosen = self.generation_config
        if generation_config is not None:
            chosen = chosen.with_settings(generation_config.changed())
        chosen = chosen.with_settings(called)
        chosen.check(called)
        return given, chosen

    def prepare(self, ids: Tensor, mask: Tensor | None, given: dict[str, Any], settings: GenerationConfig, asked: bool,
                tokenizer: Any = None, seed: int | None = None, logits_processor: Sequence[Callable] | None = None,
                stopping_criteria: Sequence[Callable] | None = None) -> Writing:
        """Everything that the loops need. asked: whether the call says how long a text may get."""
        if settings.stop_strings and tokenizer is None:
            raise ValueError("stop_strings are found in the text: give generate the tokenizer, tokenizer=tokenizer")
        if cast(Any, self).training:
            log.warning("The model is in training mode, so dropout changes what it writes: call model.eval() first.")
        times = max(settings.num_beams, settings.num_return_sequences)
        if times > 1:
            ids, mask = ids.repeat_interleave(times, 0), None if mask is None else mask.repeat_interleave(times, 0)
            given = {name: repeat(value, times) for name, value in given.items()}
        embeds = given.pop("inputs_embeds", None)
        if embeds is not None and settings.prompt_lookup_num_tokens:
            raise ValueError("prompt_lookup_num_tokens looks for words of the prompt, and inputs_embeds are none: leave it out")
        own = torch.full_like(ids[:, :1], ids.shape[1]) if mask is None else mask.sum(1, keepdim=True)      # (N, 1)
        room = self.room(own, settings, asked)
        ends = torch.tensor(settings.ends, dtype=torch.long, device=ids.device)
        functions = [*score_functions(settings, own, own + room, ends), *functions_in("logits_processor", logits_processor)]
        generators = [torch.Generator(ids.device).manual_seed(seed + row % settings.num_return_sequences)
                      for row in range(len(ids))] if seed is not None else []
        return Writing(settings, ids, mask, given, functions, room[:, 0], ends, self.padding(settings), times, tokenizer,
                       generators, functions_in("stopping_criteria", stopping_criteria), embeds)

    def prompt(self, given: dict[str, Any], settings: GenerationConfig) -> tuple[Tensor, Tensor | None]:
        """ids (B, S) and mask (B, S), padding first, taken out of what is given; without a prompt the begin token. Where
        vectors are given instead of tokens, ids hold a number that is no token."""
        ids, mask, embeds = given.pop("input_ids", None), given.pop("attention_mask", None), given.get("inputs_embeds")
        if embeds is not None:
            if type(self).next_inputs is not LanguageModel.next_inputs:
                raise TypeError(f"a {type(self).__name__} does not go on from inputs_embeds: give generate input_ids")
            check_embeds(embeds, ids, self.config.hidden_size)
            ids = ids if ids is not None else torch.full(embeds.shape[:2], self.config.vocab_size, device=embeds.device)
            given["inputs_embeds"] = embeds if mask is None else on_one_side(embeds, mask, "left")[0]
        if ids is None:
            if settings.bos_token_id is None:
                raise ValueError("generate needs a prompt, input_ids: this model has no token that begins a text")
            ids = torch.full((1, 1), settings.bos_token_id, device=cast(Any, self).device)
        return on_one_side(*checked(ids, mask, settings), "left")

    def room(self, own: Tensor, settings: GenerationConfig, asked: bool) -> Tensor:
        """own (N, 1) tokens of each prompt -> how many may follow, (N, 1). asked: whether the call says it."""
        most, longest = self.config.max_tokens, int(own.max())
        if settings.max_new_tokens is not None:
            room, asked = torch.full_like(own, settings.max_new_tokens), True
        elif settings.max_length == GenerationConfig.max_length and not asked:
            room = torch.full_like(own, settings.max_length)
        else:
            room, asked = settings.max_length - own, True
            if settings.max_length <= longest:
                raise ValueError(f"the prompt has {longest} tokens and max_length={settings.max_length} counts them as well, "
                                 "so nothing can follow: set max_new_tokens instead")
        if most is None or longest + int(room.max()) <= most:
            return room
        if longest >= most:
            raise ValueError(f"the prompt has {longest} tokens, and this model has room for {most} together with what it "
                             "writes: shorten the prompt")
        if asked:
            note("This model has room for %d tokens, prompt and text together: a text gets at most %d new ones.", most,
                 most - longest)
        return room.clamp(max=most - own)

    @staticmethod
    def padding(settings: GenerationConfig) -> int:
        """The token that fills up finished texts."""
        return settings.pad_token_id if settings.pad_token_id is not None else (settings.ends or [0])[0]


class EncoderDecoder(LanguageModel):
    """A language model that writes while it looks at another text."""

    def next_inputs(self, ids: Tensor, mask: Tensor | None, memory: Any = None) -> dict[str, Any]:
        """ids (B, T): all tokens that the decoder has written."""
        past = 0 if memory is None else memory.length
        inputs: dict[str, Any] = {"decoder_input_ids": ids[:, past:], "past_key_values": memory, "use_cache": True}
        return inputs if mask is None else inputs | {"decoder_attention_mask": mask}

    @torch.inference_mode()
    def prompt(self, given: dict[str, Any], settings: GenerationConfig) -> tuple[Tensor, Tensor | None]:
        """The encoder reads, once; the decoder starts with its start token or with decoder_input_ids (B, T)."""
        model = cast(Any, self)
        start = next((token for token in (settings.decoder_start_token_id, settings.bos_token_id,
                                          getattr(self.config, "decoder_start_token_id", None),
                                          getattr(self.config, "pad_token_id", None)) if token is not None), None)
        if given.get("encoder_outputs") is None:
            ids, mask, embeds = given.get("input_ids"), given.pop("attention_mask", None), given.get("inputs_embeds")
            if (ids is None) == (embeds is None):
                raise ValueError("generate needs the text that the encoder reads: one of input_ids, inputs_embeds and "
                                 "encoder_outputs")
            if embeds is None:
                ids, mask = on_one_side(*checked(ids, mask, settings), "right")
            given["encoder_outputs"] = model.base_model.encode(ids, mask, given.pop("head_mask", None), embeds)
            if mask is not None:
                given["attention_mask"] = mask
        given.pop("input_ids", None), given.pop("inputs_embeds", None)
        states = given["encoder_outputs"][0]
        ids = given.pop("decoder_input_ids", None)
        if ids is None or (ids[:, 0] != start).all():
            begin = torch.full((len(states), 1), start, device=states.device)
            ids = begin if ids is None else torch.cat([begin, ids], 1)
        return ids, None


def one_length_at_a_time(write: Callable[[Tensor, None], GenerateOutput], ids: Tensor, mask: Tensor, settings: GenerationConfig,
                         fill: int) -> Tensor:
    """Where padding would be read as text, prompts of the same length are written on together. Returns ids (N, S + W)."""
    if settings.return_dict_in_generate:
        raise ValueError("this model reads padding as if it were text, so prompts of different length are written on one after "
                         "the other: leave return_dict_in_generate out, or give prompts of one length")
    own, times = mask.sum(1), settings.num_return_sequences
    texts: list[Tensor] = [ids] * (len(ids) * times)
    for length in own.unique().tolist():
        rows = (own == length).nonzero()[:, 0].tolist()
        found = cast(Tensor, write(ids[rows, ids.shape[1] - length:], None).sequences)[:, length:]
        for number, text in enumerate(found):
            texts[rows[number // times] * times + number % times] = text
    written = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=fill)
    return torch.cat([ids.masked_fill(mask == 0, fill).repeat_interleave(times, 0), written], 1)


def checked(ids: Any, mask: Any, settings: GenerationConfig) -> tuple[Tensor, Tensor | None]:
    """ids (B, S) and mask (B, S), None where all is text. Without a mask padding tokens count as padding, unless they also end
    a text."""
    if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.is_floating_point():
        found = f"{ids.dtype} {tuple(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
        raise TypeError("input_ids must be a tensor of whole numbers with the shape (batch, length), which tokenizer(text, "
                        f"return_tensors='pt') makes; got {found}")
    if ids.shape[1] == 0 or len(ids) == 0:
        raise ValueError("the prompt is empty: write at least one word, or begin with the tokenizer's bos_token")
    if mask is None and settings.pad_token_id is not None and settings.pad_token_id not in settings.ends:
        mask = (ids != settings.pad_token_id).long()
    if mask is not None and mask.shape != ids.shape:
        raise ValueError(f"attention_mask has the shape {tuple(mask.shape)}, the prompts {tuple(ids.shape)}: take both from "
                         "the same call of the tokenizer")
    if mask is None or mask.all():
        return ids, None
    if not mask.any(1).all():
        raise ValueError("one of the prompts is empty: it is all padding. Write at least one word")
    return ids, mask.long()


def check_embeds(embeds: Any, ids: Tensor | None, width: int) -> None:
    if not isinstance(embeds, Tensor) or embeds.dim() != 3 or 0 in embeds.shape or embeds.shape[2] != width or (
            not embeds.is_floating_point()):
        found = f"{embeds.dtype} {tuple(embeds.shape)}" if isinstance(embeds, Tensor) else type(embeds).__name__
        raise TypeError(f"inputs_embeds must be a tensor of vectors with the shape (batch, length, {width}), which "
                        f"model.get_input_embeddings()(input_ids) makes; got {found}")
    if ids is not None and ids.shape != embeds.shape[:2]:
        raise ValueError(f"input_ids have the shape {tuple(ids.shape)} and inputs_embeds {tuple(embeds.shape)}: a vector for "
                         "each token, or leave input_ids out")


def functions_in(name: str, given: Any) -> list[Callable]:
    """A list of functions, which one function is not."""
    if given is not None and (not isinstance(given, Sequence) or not all(map(callable, given))):
        raise TypeError(f"{name} is a list of functions on (ids, scores), even of one: {name}=[…]; got {str(given)[:60]}")
    return list(given or ())


def on_one_side(x: Tensor, mask: Tensor | None, side: str) -> tuple[Tensor, Tensor | None]:
    """The same texts, ids (B, S) or vectors (B, S, D), with all padding on the left, or on the right."""
    if mask is None:
        return x, None
    order = (mask if side == "left" else 1 - mask).argsort(dim=1, stable=True)
    return x[torch.arange(len(x), device=x.device)[:, None], order], mask.gather(1, order)


def repeat(value: Any, times: int) -> Any:
    """Every row of an input `times` times."""
    if isinstance(value, Tensor) and value.dim() > 1:
        return value.repeat_interleave(times, 0)
    if hasattr(value, "last_hidden_state"):
        return type(value)(value.last_hidden_state.repeat_interleave(times, 0))
    return value


def copied(found: GenerateOutput) -> GenerateOutput:
    """Tensors made in inference mode can have no gradient later; copies can."""
    def copy(value: Any) -> Any:
        return tuple(x.clone() for x in value) if isinstance(value, tuple) else value.clone() if value is not None else None
    return GenerateOutput(*(copy(getattr(found, f.name)) for f in fields(found)))
