"""Checkpoints of TensorFlow, read and written without TensorFlow.

tf_model.h5, what the TF classes of transformers save (the library h5py opens HDF5, a file with folders in it): below a group
for each layer stands the name of the class, then the weight's own path, `_._` before a number, matrices as (in, out):

    bert/tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0

bert_model.ckpt, in which Google published BERT in 2018: `.index` is a sorted table from the names of the weights to their
places (the table of LevelDB, https://github.com/google/leveldb/blob/main/doc/table_format.md), `.data-00000-of-00001` holds
the numbers. It is read here byte by byte.

All names become those of PyTorch checkpoints on the Hub, so that the tables HF_NAMES of the models hold here as well.
"""

import math
import os
import re
import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course import hub

LAST = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias", "output_weights": "weight",
        "output_bias": "bias"}                      # the last part of a name: TensorFlow's -> the Hub's
LIBRARY = ("tf_model.h5 is read and written with the package h5py, which is not installed: pip install h5py (TensorFlow is not "
           "needed)")


def library() -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError(LIBRARY) from None
    return h5py


def damaged(path: Path, where: object) -> OSError:
    return OSError(f"{path} is damaged or cut off ({where}). Download it again with force_download=True, or copy the file once "
                   "more")


# -- HDF5 ----------------------------------------------------------------------------------------------------------------


def read_h5(path: Path) -> Iterator[tuple[str, Tensor]]:
    """(name on the Hub, tensor) of each weight in a tf_model.h5, or in one of its shards. Tied weights come twice.

    Raises OSError for a damaged file.
    """
    h5py = library()
    found: list[str] = []
    try:
        with h5py.File(path, "r") as file:
            by_layer = any(name.startswith("weight_names") for group in file.values() for name in group.attrs)
            file.visititems(lambda name, part: found.append(name) if isinstance(part, h5py.Dataset) else None)
            for place in found:
                part = file[place]
                if part.chunks is None and part.id.get_storage_size() != part.nbytes:
                    raise damaged(path, f"{place} has {part.id.get_storage_size()} of {part.nbytes} bytes")
                yield from_h5(place, torch.from_numpy(np.asarray(part[()])), by_layer)
    except Exception as error:
        if isinstance(error, (PermissionError, FileNotFoundError)) or str(error).startswith(str(path)):
            raise
        raise damaged(path, " ".join(str(error).split())) from None


def from_h5(place: str, value: Tensor, by_layer: bool) -> tuple[str, Tensor]:
    """The Hub's name and form of a weight. by_layer: the place begins with the layer and the name of the class, else, in a
    shard and in the safetensors of a TF class, it is the weight's own path."""
    parts = place.removesuffix(":0").split("/")
    if by_layer:
        parts = parts[min(2, len(parts) - 1):]
    elif parts[:1] == parts[1:2]:                     # model.shared/model.shared/embeddings
        parts = parts[1:]
    turned = parts[-1] == "kernel" or any(part.startswith(("emb_projs", "out_projs")) for part in parts)
    parts[-1] = LAST.get(parts[-1], parts[-1])
    name = ".".join(part.rpartition("___")[2] for part in parts).replace("_._", ".")
    if turned:
        value = value.T
    elif name.endswith(".bias") and value.ndim == 2:  # (1, D)
        value = value[0]
    return name, value.contiguous()


SCOPES = {"bert": "tf_bert", "distilbert": "tf_distil_bert"}
GROUPS = {"predictions": "mlm___cls", "seq_relationship": "nsp___cls"}      # both are called cls on the Hub


def as_h5(weights: Mapping[str, Tensor], prefix: str) -> bytes:
    """The content of tf_model.h5 from weights by the Hub's names, as TFBert… and TFDistilBert… of transformers read it. prefix:
    the config's; a body saved alone has it not in its names."""
    if prefix not in SCOPES:
        raise ValueError(f"course writes tf_model.h5 for {' and '.join(sorted(SCOPES))} models, not for {prefix!r}: "
                         "save_pretrained(folder) without to_tf=True writes safetensors, which transformers reads as well")
    h5py = library()
    layers: dict[str, dict[str, np.ndarray]] = {}
    is_body = not any(name.startswith(f"{prefix}.") for name in weights)
    for name, value in weights.items():
        group, own, array = to_h5(f"{prefix}.{name}" if is_body else name, value.detach().float().cpu().numpy())
        layers.setdefault(group, {})[f"{SCOPES[prefix]}_{'model' if is_body else 'for_task'}/{own}:0"] = array
    for head in {"mlm___cls", "vocab_projector"} & set(layers):       # these look there for tables of the body too
        layers[head] |= {own: array for own, array in layers[prefix].items() if own.endswith("embeddings:0")}
    whole = BytesIO()                                 # HDF5 gets into a muddle where a disk is full
    with h5py.File(whole, "w") as file:
        file.attrs["layer_names"], file.attrs["backend"] = [g.encode() for g in layers], b"tensorflow"
        for layer, content in layers.items():
            group, names = file.create_group(layer), [name.encode() for name in content]
            each = 64000 // max(map(len, names))      # what an attribute of HDF5 has room for
            for i in range(0, len(names), each):
                group.attrs["weight_names" + (str(i // each) if len(names) > each else "")] = names[i:i + each]
            for name, array in content.items():
                group[name] = array
    return whole.getvalue()


def to_h5(name: str, value: np.ndarray) -> tuple[str, str, np.ndarray]:
    """The Hub's name of a weight -> the layer that it stands under, its path there, its form there."""
    *parts, last = name.split(".")
    if parts[0] == "cls":
        parts[0] = GROUPS[parts[1]]
    if "norm" in parts[-1].lower():
        last = {"weight": "gamma", "bias": "beta"}[last]
    elif parts[-1].endswith("_embeddings") and parts[-1] != "word_embeddings":
        last = "embeddings"
    elif last == "weight" and parts[-1] != "word_embeddings":
        last, value = "kernel", value.T
    return parts[0], re.sub(r"/(\d+)/", r"_._\1/", "/".join((*parts, last))), value


# -- the checkpoints of TensorFlow 1 -------------------------------------------------------------------------------------

NUMBERS = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}        # TensorFlow's number of a type -> numpy's name
TRAINING = re.compile(r"global_step|.*(/adam_[mv]|Adam\w*)(/.*)?|.*/(Adam|Momentum)(_\d+)?")


def read_ckpt(index: Path) -> Iterator[tuple[str, Tensor]]:
    """(name on the Hub, tensor) of each weight of a BERT as Google's program saved it; the state of its optimizer is left
    out. index: the file ….ckpt.index. Raises OSError for a damaged checkpoint, ValueError for another kind of it."""
    data = index.read_bytes()
    try:
        if struct.unpack("<Q", data[-8:])[0] != 0xdb4775248b80fb57:
            raise ValueError("the end of the table is missing")
        _, at = handle(data[-48:], 0)
        entries = [entry for _, place in block(data, handle(data[-48:], at)[0]) for entry in block(data, handle(place, 0)[0])]
        header = fields(entries[0][1])
        shards = int(header.get(1, 0))
        found = {name.decode(): fields(value) for name, value in entries[1:]}
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise damaged(index, error) from None
    if header.get(2) or any(".ATTRIBUTES" in name or 7 in entry for name, entry in found.items()):
        raise ValueError(f"{index} is a checkpoint of TensorFlow, but not one of BERT as Google published it (big-endian, "
                         "saved by Keras, or in slices): save it with save_pretrained of its TF class, and load that folder")
    for name, entry in found.items():
        if TRAINING.fullmatch(name):
            continue
        shape = [fields(size).get(1, 0) for size in fields(entry.get(2, b""), many=True).get(2, [])]
        if entry.get(1, 0) not in NUMBERS:
            raise ValueError(f"{name} in {index} is stored in TensorFlow's format number {entry.get(1, 0)}, which course does "
                             "not read: it reads float32, float64 and float16")
        kind = np.dtype(NUMBERS[entry[1]])
        path = index.with_suffix(f".data-{entry.get(3, 0):05d}-of-{shards:05d}")
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: a checkpoint of TensorFlow is the file .index with all files .data-… "
                                    "beside it")
        size = math.prod(shape) * kind.itemsize
        if size != entry.get(5, 0) or entry.get(4, 0) + size > path.stat().st_size:
            raise damaged(path, f"{name} ends after it")
        yield from_ckpt(name, np.fromfile(path, kind, math.prod(shape), offset=entry.get(4, 0)).reshape(shape))


def from_ckpt(name: str, value: np.ndarray) -> tuple[str, Tensor]:
    """The Hub's name and form of a weight of Google's BERT."""
    *parts, last = re.sub(r"layer_(\d+)", r"layer/\1", name).replace("cls/squad", "qa_outputs").split("/")
    if last == "kernel":
        value = value.T
    parts = parts or ["classifier"]                   # of Google's run_classifier.py
    parts += [last, "weight"] if last.endswith("_embeddings") else [LAST.get(last, last)]
    return ".".join(parts), torch.from_numpy(np.ascontiguousarray(value))


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number in 7 bits a byte, the lowest first, and the place after it."""
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return number, at
        if shift > 63:
            raise ValueError("a number without an end")


def handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Where a block begins and how long it is."""
    start, at = varint(data, at)
    size, at = varint(data, at)
    return (start, size), at


def block(data: bytes, place: tuple[int, int]) -> list[tuple[bytes, bytes]]:
    """(key, value) of each entry of a block. A key is said by how many bytes it shares with the one before, and the rest."""
    start, size = place
    whole = data[start:start + size + 5]
    if len(whole) < size + 5:
        raise ValueError("a block ends after the file")
    if struct.unpack("<I", whole[-4:])[0] != checksum(whole[:-4]):
        raise ValueError(f"the block at byte {start} has another checksum")
    if whole[size]:
        raise ValueError("its table is compressed")
    end, at, key, found = size - 4 * (struct.unpack("<I", whole[size - 4:size])[0] + 1), 0, b"", []
    while at < end:
        shared, at = varint(whole, at)
        rest, at = varint(whole, at)
        length, at = varint(whole, at)
        key = key[:shared] + whole[at:at + rest]
        found.append((key, whole[at + rest:at + rest + length]))
        at += rest + length
    return found


def crc_table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [number >> 1 ^ (0x82f63b78 if number & 1 else 0) for number in table]
    return table


CRC = crc_table()


def checksum(data: bytes) -> int:
    """CRC-32C, turned and shifted as LevelDB stores it."""
    crc = 0xffffffff
    for byte in data:
        crc = CRC[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xffffffff
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def fields(message: bytes, many: bool = False) -> dict[int, Any]:
    """A message of protobuf without its description: number of a field -> value, with many=True a list of values."""
    found: dict[int, Any] = {}
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        size, at = varint(message, at) if key & 7 in (0, 2) else ({1: 8, 5: 4}[key & 7], at)
        value: Any = size                             # of the kind 0 it is the value itself
        if key & 7:
            value, at = message[at:at + size], at + size
        found[key >> 3] = [*found.get(key >> 3, []), value] if many else value
    return found


# -- which files ---------------------------------------------------------------------------------------------------------


def ckpt_itself(name: str | os.PathLike) -> list[Path]:
    """[the file .index] when name is the path of a checkpoint of TensorFlow 1, with or without .index; else []."""
    return [Path(path) for path in (os.fspath(name), f"{os.fspath(name)}.index")
            if path.endswith(".index") and os.path.isfile(path)]


def ckpt_files(name: str | os.PathLike, **options: Any) -> list[Path]:
    """[the file .index] of the checkpoint of TensorFlow 1 in a folder or on the Hub; [] if there is none."""
    if os.path.isdir(name):
        found = sorted(Path(name).glob("*.index"))
        if len(found) > 1:
            raise ValueError(f"{name} holds {len(found)} checkpoints of TensorFlow: give one of them to from_pretrained in "
                             f"place of the folder, with config=…: {', '.join(repr(str(path)) for path in found[:5])}")
        return found
    index = hub.find_file(name, "bert_model.ckpt.index", required=False, **options)
    if index is not None:
        hub.find_file(name, "bert_model.ckpt.data-00000-of-00001", **options)
    return [] if index is None else [index]
