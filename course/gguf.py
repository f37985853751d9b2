"""GGUF: a whole model in one file, settings, vocabulary and weights of a few bits each, as llama.cpp and the programs built on
it use them (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

    GGUF, version, how many | name = value, …: settings and vocabulary | name, shape, format, place, …: tensors | numbers

Weights become floating-point numbers again when they are read: what rounding them to few bits has lost stays lost. The
formats of weights are the business of the library gguf; the table of contents before them is read here, because the library
takes seconds for a vocabulary.
"""

import math
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken

from course.notes import progress

SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}          # number of a type -> its letter for struct
TEXT, LIST = 8, 9
NORMAL, UNKNOWN, CONTROL, USER = 1, 2, 3, 4                                   # kinds of tokens
ARCHITECTURES = ("llama", "qwen2")

SETTINGS = {                                        # name in the file, after the architecture's -> name in config.json
    "block_count": "num_hidden_layers", "context_length": "max_position_embeddings", "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta", "attention.key_length": "head_dim", "vocab_size": "vocab_size"}
NAMES = {                                           # of weights: in the file -> on the Hub
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


class File:
    """The table of contents of a GGUF file: `settings` {name: value}, `tensors` {name: (shape, format, where it starts)}."""

    def __init__(self, path: Path):
        self.path, self.at = path, 0
        with path.open("rb") as file:
            self.data = np.memmap(file, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        self.view = self.data.data
        if bytes(self.view[:4]) != b"GGUF":
            raise ValueError(f"{path} is no GGUF file: it should begin with the letters GGUF")
        try:
            _, version, tensors, settings = self.take("4sIQQ")
            if version not in (2, 3):
                raise ValueError(f"{path} has version {version if version < 1e6 else 'for big-endian computers'} of the GGUF "
                                 "format; course reads 2 and 3")
            self.settings = {self.value(TEXT): self.value(*self.take("I")) for _ in range(settings)}
            self.tensors = {}
            for _ in range(tensors):
                name, (dimensions,) = self.value(TEXT), self.take("I")
                shape = self.take(f"{dimensions}Q")[::-1]
                self.tensors[name] = (shape, *self.take("IQ"))
        except (struct.error, UnicodeDecodeError, KeyError, RecursionError) as error:
            raise self.damaged(f"{type(error).__name__} at byte {self.at}") from None
        step = self.settings.get("general.alignment", 32)
        if not isinstance(step, int) or step < 1:
            raise self.damaged(f"general.alignment is {step!r}, which should be a number of bytes")
        self.start = -(-self.at // step) * step

    def take(self, kinds: str) -> tuple:
        values = struct.unpack_from(f"<{kinds}", self.view, self.at)
        self.at += struct.calcsize(f"<{kinds}")
        return values

    def value(self, kind: int) -> Any:
        """The value that stands here; a list says the kind of its parts and how many there are."""
        if kind == TEXT:
            length, = self.take("Q")
            return self.take(f"{length}s")[0].decode()
        if kind == LIST:
            kind, length = self.take("IQ")
            return [self.value(kind) for _ in range(length)] if kind in (TEXT, LIST) else \
                list(self.take(f"{length}{SCALARS[kind]}"))
        return self.take(SCALARS[kind])[0]

    def tensor(self, name: str) -> np.ndarray:
        """A tensor as float32, whatever its format."""
        try:
            from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize
        except ImportError:
            raise ImportError("GGUF files are read with the package gguf, which is not installed: pip install gguf") from None
        shape, number, place = self.tensors[name]
        try:
            kind = GGMLQuantizationType(number)
            block, size = GGML_QUANT_SIZES[kind]                     # so many numbers take so many bytes
            length = math.prod(shape) // block * size
            numbers = self.data[self.start + place:self.start + place + length]
            if len(numbers) < length:
                raise self.damaged(f"{name} ends after it")
            return np.array(dequantize(numbers.reshape(*shape[:-1], -1), kind), dtype=np.float32).reshape(shape)
        except (NotImplementedError, ValueError):
            raise ValueError(f"{name} in {self.path} has a format (number {number}) that the installed gguf library cannot "
                             "turn into floating-point numbers: pip install -U gguf, or take a file in Q4_K_M, Q8_0 or F16") \
                from None

    def damaged(self, where: str) -> OSError:
        return OSError(f"{self.path} is damaged or cut off ({where}). Download it again with force_download=True, or copy "
                       "the file once more")

    @property
    def architecture(self) -> str:
        found = self.settings.get("general.architecture")
        if found not in ARCHITECTURES or self.settings.get(f"{found}.expert_count"):
            what = f"a mixture of experts of the architecture {found!r}" if found in ARCHITECTURES else \
                f"a model of the architecture {found!r}"
            raise ValueError(f"{self.path} holds {what}; of GGUF files course reads {' and '.join(ARCHITECTURES)} models")
        if self.settings.get("split.count", 1) > 1:
            raise ValueError(f"{self.path} is one of {self.settings['split.count']} parts: join them first, with llama.cpp's "
                             "llama-gguf-split --merge")
        return found


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a GGUF file as a config.json has them."""
    file = File(path)
    kind, read = file.architecture, file.settings
    config = {ours: read[f"{kind}.{theirs}"] for theirs, ours in SETTINGS.items() if f"{kind}.{theirs}" in read}
    for theirs, ours in list(SETTINGS.items())[:5]:
        if not isinstance(config.get(ours), int) or config[ours] < 1:
            raise ValueError(f"{path} lacks a number {kind}.{theirs}: it holds no model, or only a part of one")
    config |= {"model_type": kind, "tie_word_embeddings": "output.weight" not in file.tensors,
               "attention_bias": kind == "llama" and "blk.0.attn_q.bias" in file.tensors}
    config.setdefault("vocab_size", len(read.get("tokenizer.ggml.tokens", ())) or 32000)
    for role in ("bos", "eos", "padding"):
        config[f"{role[:3]}_token_id"] = read.get(f"tokenizer.ggml.{role}_token_id")
    width = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    if read.get(f"{kind}.rope.dimension_count", width) != width:
        raise ValueError(f"{path} turns {read[f'{kind}.rope.dimension_count']} of {width} numbers of a head by its position; "
                         "course turns all or none")
    if (scaling := read.get(f"{kind}.rope.scaling.type", "none")) != "none":
        config["rope_scaling"] = {"rope_type": scaling, "factor": read.get(f"{kind}.rope.scaling.factor")}
    if "rope_freqs.weight" in file.tensors:
        config["rope_scaling"] = llama3_scaling(file.tensor("rope_freqs.weight"), config.get("rope_theta", 10000.0))
    return config


def llama3_scaling(slower: np.ndarray, base: float) -> dict[str, Any]:
    """Llama 3.1 and later turn slow pairs more slowly. The file says by how much each (d / 2,), not after which rule; all
    published models follow this one, with 8 or 32 as factor."""
    from course.nn import rotary_frequencies
    scaling = {"rope_type": "llama3", "factor": float(slower.max()), "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}
    plain, slow = (rotary_frequencies(2 * len(slower), base, rule).numpy() for rule in (None, scaling))
    if not np.allclose(plain / slow, slower, rtol=1e-3):
        raise ValueError("the file scales rotary positions (rope_freqs.weight) in a way that course does not know")
    return scaling


def read_tensors(path: Path) -> Iterator[tuple[str, Any]]:
    """(name on the Hub, tensor) of each weight."""
    import torch
    file = File(path)
    kind = file.architecture
    for name in progress(file.tensors, desc=path.name, unit="tensor", disable=None, leave=False):
        if name == "rope_freqs.weight":               # a setting; see read_config
            continue
        layer, part, last = re.fullmatch(r"(?:blk\.(\d+)\.)?(.*?)(\.\w+)?", name).groups()  # type: ignore[union-attr]
        known = f"model.layers.{layer}.{NAMES.get(part, part)}" if layer else NAMES.get(part, part)
        weight = file.tensor(name)
        if kind == "llama" and part in ("attn_q", "attn_k"):
            # llama.cpp rotates number 2i with 2i + 1, the Hub's models i with i + d / 2: its converter has moved the rows
            heads = file.settings["llama.attention.head_count"]
            heads = file.settings.get("llama.attention.head_count_kv", heads) if part == "attn_k" else heads
            weight = weight.reshape(heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
        yield f"{known}{last or ''}", torch.from_numpy(np.ascontiguousarray(weight))


def read_tokenizer(path: Path) -> tuple[str, str, dict[str, Any]]:
    """File of the class in course.tokenizers, start of its name, and keywords for it."""
    from course.tokenizers import byte_bpe, sentence_bpe
    read = {name.removeprefix("tokenizer.").removeprefix("ggml."): value for name, value in File(path).settings.items()}
    model, pre, tokens = (read.get(name) for name in ("model", "pre", "tokens"))
    kinds = read.get("token_type") or [NORMAL] * len(tokens or ())
    if not tokens or len(kinds) != len(tokens):
        raise ValueError(f"{path} holds no vocabulary (tokenizer.ggml.tokens), or only a part of it")
    keywords: dict[str, Any] = {
        "vocab": {token: number for number, token in enumerate(tokens)}, "chat_template": read.get("chat_template"),
        "model_max_length": read.get(f"{read.get('general.architecture')}.context_length"),
        "added_tokens_decoder": {number: AddedToken(tokens[number], special=kind == CONTROL, normalized=False)
                                 for number, kind in enumerate(kinds) if kind in (CONTROL, USER)}}
    for role, name in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        if (number := read.get(f"{name}_token_id")) is not None and number < len(tokens):
            keywords[f"{role}_token"] = tokens[number]
    bos = read.get("add_bos_token", model == "llama" or pre == "llama-bpe") and "bos_token" in keywords
    eos = read.get("add_eos_token", False)
    if model == "gpt2":
        cuts = {"gpt-2": [byte_bpe.GPT2], "smollm": [r"\p{N}", byte_bpe.GPT2], "llama-bpe": [byte_bpe.LLAMA3],
                "qwen2": [byte_bpe.QWEN2]}
        if pre not in cuts:
            raise ValueError(f"{path} cuts texts into words by the rule {pre!r} (tokenizer.ggml.pre); course knows "
                             f"{', '.join(cuts)}. Load the tokenizer from the repository of the original model")
        return "byte_bpe", "ByteBPE", keywords | sentence_bpe.framed(bos, eos) | {
            "merges": [tuple(merge.split(" ")) for merge in read.get("merges", ())],
            "normalizer": {"type": "NFC"} if pre == "qwen2" else None, "pre_tokenizer": byte_bpe.cut_by(*cuts[pre]),
            "ignore_merges": pre == "llama-bpe"}
    if model == "llama":
        pieces = list(zip(tokens, read.get("scores", [0.0] * len(tokens)), kinds, strict=True))
        plain = {"normalizer": sentence_bpe.TO_LETTERS["normalizers"][1], "decoder": {
            "type": "Sequence", "decoders": sentence_bpe.TO_TEXT["decoders"][:-1]}}
        return "sentence_bpe", "Llama", keywords | ({} if read.get("add_space_prefix", True) else plain) | {
            "merges": sentence_bpe.merges_of(pieces), "add_bos_token": bos, "add_eos_token": eos}
    raise ValueError(f"{path} holds a tokenizer of the kind {model!r}; course reads 'gpt2' (byte-level BPE) and 'llama' "
                     "(SentencePiece BPE). Load the tokenizer from the repository of the original model")
