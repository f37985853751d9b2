"""The programs that run a model elsewhere: how a file for each is written, and run here.

    onnx        model.onnx, for ONNX Runtime (servers, .NET, Java, browsers): any batch and length; GPT-2 with its cache
    tflite      model.tflite, for LiteRT, TensorFlow's runtime on Android: any batch and length; by way of keras.py
    executorch  model.pte, for ExecuTorch, PyTorch's runtime on Android and iOS: one text at a time
    coreml      model.mlpackage, for macOS and iOS: written anywhere, it runs on a Mac alone

int8: each row of a matrix, the weights of one output, becomes whole numbers from -127 to 127 and a factor, as in speed.py.
What goes through an ONNX model stays float32: an answer depends neither on the processor nor on the other texts of its batch,
as it does when those numbers are rounded too (onnxruntime's quantize_dynamic kept 97 to 99 % of labels here, this 99.6 %).
"""

import importlib.metadata
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

KINDS = ("bert", "distilbert", "roberta", "gpt2")       # model types whose exports are tested
OPSET = 17                                              # of ONNX, 2022: old enough for every runtime in use
Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


# -- ONNX -------------------------------------------------------------------------------------------------------------------


def to_onnx(subject: Any, folder: Path, int8: bool) -> tuple[Path, Run]:
    """subject: an export.Subject, here and below."""
    path, example = folder / "model.onnx", subject.batch(sorted(subject.texts, key=len)[-2:], past=3)
    record(subject.module, example, path, subject.inputs, subject.outputs, subject.axes)
    if int8:
        round_weights(path)
    return path, run_onnx(path)


def record(module: nn.Module, example: dict[str, Tensor], path: Path, inputs: list[str], outputs: list[str],
           axes: dict[str, dict[int, str]]) -> None:
    """Follows a module through one example and writes what it did as an ONNX graph. The older exporter of torch, which traces:
    3 seconds for a model of 6 layers where the newer one, on torch.export, takes over a minute."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")             # what a trace cannot see: checks of inputs, which have been passed
            torch.onnx.export(module, tuple(example[name] for name in inputs), str(path), input_names=inputs, dynamo=False,
                              output_names=outputs, dynamic_axes=axes, opset_version=OPSET, do_constant_folding=False)
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(f"ONNX (opset {OPSET}) cannot express this model: {str(error).splitlines()[0]}") from None


def round_weights(path: Path) -> None:
    """The matrices of an ONNX file as int8, a factor for each row: a quarter of the size. Runtimes turn them back when they
    load the file, so that it is as fast as before."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    graph, nodes = (model := onnx.load(path)).graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 2:
            continue
        weight, name = numpy_helper.to_array(tensor), tensor.name
        factors = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-12) / 127
        graph.initializer.remove(tensor)
        graph.initializer.extend([numpy_helper.from_array(np.round(weight / factors).astype(np.int8), f"{name}.int8"),
                                  numpy_helper.from_array(factors.astype(np.float32), f"{name}.factors")])
        nodes += [helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"], to=TensorProto.FLOAT),
                  helper.make_node("Mul", [f"{name}.float", f"{name}.factors"], [name])]
    for node in reversed(nodes):
        graph.node.insert(0, node)
    onnx.save(model, path)


def run_onnx(path: Path) -> Run:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:                          # its own kinds of errors have no common name
        raise ValueError(f"onnxruntime {onnxruntime.__version__} cannot read {path.name}: {str(error)[:200]}") from None
    return lambda inputs: session.run(None, inputs)


# -- phones -----------------------------------------------------------------------------------------------------------------


def to_tflite(subject: Any, folder: Path, int8: bool) -> tuple[Path, Run]:
    """TensorFlow rounds weights in its own way, and for a moment what they are multiplied with."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
    import tensorflow as tf

    from course import keras as classes
    name = f"TF{type(subject.model).__name__}"
    if not hasattr(classes, name):
        others = [other for other in dir(classes) if other.startswith(f"{name.partition('For')[0]}For")]
        raise ValueError(f"TFLite files are made from Keras models, and there is no {name}; there are {', '.join(others)}")
    model, path = getattr(classes, name).from_torch(subject.model), folder / "model.tflite"
    graph = tf.function(lambda *inputs: dict(model(dict(zip(subject.inputs, inputs, strict=True)), training=False).items()),
                        [tf.TensorSpec((None, None), tf.int32, name) for name in subject.inputs], autograph=False)
    owner = tf.Module()                                 # the converter looks here for the weights
    owner.weights = [variable.value for variable in model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()], owner)
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if int8 else []
    path.write_bytes(quietly("TFLite", converter.convert))
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter               # the same, to be taken out of TensorFlow some day
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = Interpreter(str(path), num_threads=1).get_signature_runner()

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = runner(**{name: inputs[name].astype(np.int32) for name in subject.inputs})
        return [found[name] for name in subject.outputs]

    return path, run


def to_executorch(subject: Any, folder: Path, int8: bool) -> tuple[Path, Run]:
    """One text at a time, of at most 128 tokens: what a phone asks for."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime
    path, length = folder / "model.pte", torch.export.Dim("length", min=2, max=subject.longest)
    example = subject.batch(subject.texts[:1])

    def convert() -> bytes:
        program = torch.export.export(subject.module, tuple(example[name] for name in subject.inputs), strict=False,
                                      dynamic_shapes=(tuple({1: length} for _ in subject.inputs),))
        return to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch().buffer

    path.write_bytes(quietly("ExecuTorch", convert))
    _unsafe_reset_threadpool(1)                         # one thread, as the others have
    method = Runtime.get().load_program(path).load_method("forward")

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        rows = [method.execute([torch.from_numpy(inputs[name][row:row + 1]) for name in subject.inputs])
                for row in range(len(inputs["input_ids"]))]
        return [np.concatenate([row[k].numpy() for row in rows]) for k in range(len(subject.outputs))]

    return path, run


def to_coreml(subject: Any, folder: Path, int8: bool) -> tuple[Path, Run | None]:
    import coremltools as ct
    path, example = folder / "model.mlpackage", subject.batch(subject.texts[:2])
    shape = (ct.RangeDim(1, 64), ct.RangeDim(2, subject.longest))

    def convert() -> Any:
        traced = torch.jit.trace(subject.module, tuple(example[name].int() for name in subject.inputs))
        return ct.convert(traced, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32, inputs=[
            ct.TensorType(name, shape, dtype=np.int32) for name in subject.inputs], outputs=[
            ct.TensorType(name) for name in subject.outputs])

    (made := quietly("Core ML", convert)).save(str(path))
    if sys.platform != "darwin":
        return path, None

    def run(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = made.predict({name: inputs[name].astype(np.int32) for name in subject.inputs})
        return [np.asarray(found[name]) for name in subject.outputs]

    return path, run


def quietly(target: str, convert: Callable[[], Any]) -> Any:
    """What convert() gives, without its warnings. Raises ValueError for whatever goes wrong: the libraries have no common kind
    of error, and no room is one of the system, not of theirs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return convert()
    except (OSError, MemoryError):
        raise
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"{target} cannot express this model: {said[:200]}") from None


# -- what there is ----------------------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """write: (subject, folder, int8) -> the file, and how it is run, None where it cannot be run here.
    packages: what it needs, with the oldest version; one of several is written a/b. extra: of pyproject.toml, with them."""

    write: Callable[[Any, Path, bool], tuple[Path, Run | None]]
    extra: str
    packages: dict[str, str]
    kinds: tuple[str, ...] = KINDS
    int8: bool = False


TARGETS = {
    "onnx": Target(to_onnx, "onnx", {"onnx": "1.16", "onnxruntime": "1.18"}, int8=True),
    "tflite": Target(to_tflite, "tf-cpu", {"keras": "3.3", "tensorflow-cpu/tensorflow": "2.16"}, KINDS[:2], int8=True),
    "executorch": Target(to_executorch, "executorch", {"executorch": "1.0"}, KINDS[:3]),
    "coreml": Target(to_coreml, "coreml", {"coremltools": "8.0"}, KINDS[:3])}

INT8 = [to for to in TARGETS if TARGETS[to].int8]


def need(to: str) -> None:
    """Raises ImportError, with what to type, where a target's library is missing, too old or set up for something else."""
    for packages, oldest in TARGETS[to].packages.items():
        names = packages.split("/")
        have = {name: version for name in names if (version := version_of(name))}
        if not have:
            raise ImportError(f"--to {to} needs {names[0]}, which is not installed. Try: "
                              f'pip install "course[{TARGETS[to].extra}]"')
        for name, version in have.items():
            if [int(n) for n in re.findall(r"\d+", version)[:2]] < [int(n) for n in oldest.split(".")]:
                raise ImportError(f"--to {to} needs {name} {oldest} or newer; here is {version}. Try: "
                                  f"pip install --upgrade {name}")
    if to == "tflite" and (backend := os.environ.get("KERAS_BACKEND", "tensorflow")) != "tensorflow":
        raise ImportError(f"--to tflite needs Keras with TensorFlow, and here is KERAS_BACKEND={backend}. Set it to "
                          "tensorflow, and start Python (the kernel) anew")


def version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def fit(to: str, kind: str) -> None:
    """Raises ValueError for a model type that a target does not take."""
    if kind not in TARGETS[to].kinds:
        others = [other for other in TARGETS if kind in TARGETS[other].kinds]
        raise ValueError(f"{to} takes {', '.join(TARGETS[to].kinds)}; this is a {kind} model"
                         + (f", which can go to {', '.join(others)}" if others else ""))
