"""Loads and runs the ONNX artifact: `model.onnx`, which includes its preprocessing and metadata, and its manifest.

This module does not require torch. A file may come from an untrusted source, so it is checked before onnxruntime loads
it. onnxruntime receives the bytes that were checked, and external data are never read.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from graftline.config import DEFAULT_TASK
from graftline.evaluation.tasks import TASKS
from graftline.models.input_contract import InputContract
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import Manifest

if TYPE_CHECKING:
    import onnx
    import onnxruntime

FILE = "model.onnx"
INPUT = "images"
OUTPUTS = ("logits", "probabilities")
KEY = "graftline"
_LARGEST = 2**31 - 1  # bytes; the maximum size of a protobuf message


class ModelMetadata(BaseModel):
    """Metadata stored in an ONNX file under the key `graftline`, so that the file can be used without its manifest."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: int = 1
    task: str = DEFAULT_TASK
    """Task name, a key of `evaluation.tasks.TASKS`."""
    classes: list[str]
    """Names of the outputs: classes, labels of a multilabel task, or values of a regression."""
    deviation: list[float] = []
    """Standard deviation of each output over the training labels, for regression only; the unit of differences."""
    input: InputContract
    """Preprocessing of a stored uint8 image within the graph; `input.stored` is the shape of an input image."""
    temperature: float
    """Temperature T of the probabilities softmax(logits / T), multilabel sigmoid(logits / T); 1 for regression."""
    backbone: str
    chosen: str
    """Digest of the checkpoint's weights."""
    dataset_digest: str
    licence: str
    """License of the source weights."""
    graftline: str
    """Version of graftline that exported the file."""

    @property
    def scale(self) -> NDArray[np.float64]:
        """Unit of output differences, (1,) or (D,): the labels' standard deviations for regression, otherwise 1."""
        return np.asarray(self.deviation or [1.0], np.float64)


class Parity(BaseModel):
    """Differences between the outputs of onnxruntime and PyTorch on the whole test split."""

    examples: int
    batch_sizes: list[int]
    """Batch sizes, each of which was used on all examples."""
    max_abs_diff: float
    """Maximum absolute difference of a logit, or of a value in standard deviations of the training labels."""
    tolerance: float
    """Maximum allowed difference: the job's tolerance times the largest absolute logit; for values, the tolerance in
    standard deviations plus rounding error."""
    argmax_agreement: float | None
    """Fraction of (image, batch size) pairs with the same class, or the same labels above 0.5; None for values."""
    ties: int
    """Number of pairs with different predictions; in each, PyTorch's two largest logits (or a label's logit and 0)
    differ by at most a tenth of the tolerance."""
    probabilities_max_abs_diff: float
    """Maximum absolute difference between the file's probabilities and those computed from its logits; 0 for values."""
    tested_max_abs_diff: float
    """Maximum absolute difference between PyTorch's outputs and those that `evaluate` scored, as `max_abs_diff`."""


class Latency(BaseModel):
    """Median latencies of onnxruntime and PyTorch on this machine's CPU, measured in alternating calls."""

    threads: int
    batch_1_ms: float
    batch_1_ms_pytorch: float
    batch_32_per_second: float
    """Images per second."""
    batch_32_per_second_pytorch: float
    rounds: int


class Int8(BaseModel):
    """Whether the file contains 8-bit weights, and the reason."""

    kept: bool = False
    why: str = "this version exports float32 only; an 8-bit file was neither made nor measured"


class OnnxManifest(Manifest):
    """Manifest of the ONNX artifact."""

    facts: ModelMetadata
    digest: str
    """sha256 of model.onnx."""
    size_bytes: int
    opset: int
    producer: str
    input_name: str = INPUT
    outputs: list[str] = list(OUTPUTS)
    layout: str = "NCHW uint8, as stored in the dataset; the batch is free"
    parity: Parity
    latency: Latency
    int8: Int8 = Int8()

    def summary(self) -> str:
        """Returns a one-line summary of size, parity, and latency."""
        agree = self.parity.argmax_agreement
        what = (
            f"largest difference of a value {self.parity.max_abs_diff:.1e} deviations"
            if agree is None
            else f"largest logit difference {self.parity.max_abs_diff:.1e}, labels agree {agree:.2%}"
        )
        return (
            f"{self.size_bytes / 1e6:.1f} MB, opset {self.opset}, on {self.parity.examples:,} test images at batch "
            f"sizes {', '.join(map(str, self.parity.batch_sizes))}: {what}; "
            f"{self.latency.batch_1_ms:.1f} ms an image (PyTorch {self.latency.batch_1_ms_pytorch:.1f} ms)"
        )


@dataclass(frozen=True)
class OnnxModel:
    """Validated ONNX model loaded in onnxruntime."""

    facts: ModelMetadata
    session: "onnxruntime.InferenceSession"

    def run(self, images: NDArray[np.uint8], batch_size: int = 64) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the model's outputs for images.

        Args:
            images: (N, C, H, W) images of shape `facts.input.stored`, memory-mapped or not.
            batch_size: Number of images per call of onnxruntime.

        Returns:
            Logits and probabilities, each (N, K); for regression, the (N, D) values twice.
        """
        names = list(TASKS[self.facts.task].onnx_outputs)
        parts = [
            self.session.run(names, {INPUT: np.ascontiguousarray(images[i : i + batch_size])})
            for i in range(0, len(images), batch_size)
        ]
        if not parts:
            empty = np.empty((0, len(self.facts.classes)), np.float32)
            return empty, empty
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[-1] for p in parts])


def load(path: Path, *, threads: int | None = None) -> OnnxModel:
    """Loads and validates an ONNX model.

    Args:
        path: An ONNX file, or a folder (ONNX artifact, release) that contains `model.onnx`.
        threads: Number of CPU threads per operator; by default all cores.

    Raises:
        RefusedError: The file is not an ONNX file, has external data, uses nonstandard operators, or was not exported
            by graftline.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as failures

    file = path / FILE if path.is_dir() else path
    content = _read(file)
    model = parse(content, str(file))
    facts = metadata_of(model, str(file))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    refused = (
        failures.Fail,
        failures.InvalidArgument,
        failures.InvalidGraph,
        failures.InvalidProtobuf,
        failures.NotImplemented,
        failures.RuntimeException,
    )
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refused as error:
        raise RefusedError(f"{file}: onnxruntime refuses it: {_first_line(error)}; export it again") from None
    return OnnxModel(facts, session)


def parse(content: bytes, name: str) -> "onnx.ModelProto":
    """Parses and checks the bytes of an ONNX model.

    Args:
        content: The bytes of the file.
        name: Name of the file in error messages.

    Raises:
        RefusedError: The model is not valid, has external data, or uses operators of another domain.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise RefusedError(f"{name}: not an ONNX file; give a model.onnx that graftline exported") from None
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise RefusedError(
                f"{name}: tensor {tensor.name!r} keeps its data outside of the file, which could be "
                "any file of this machine; export it as one file"
            )
    foreign = sorted({entry.domain for entry in model.opset_import} - {"", "ai.onnx"})
    if foreign:
        raise RefusedError(f"{name}: uses operators of {', '.join(map(repr, foreign))}; only standard ones run")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise RefusedError(f"{name}: not a valid ONNX model: {_first_line(error)}; export it again") from None
    return model


def metadata_of(model: "onnx.ModelProto", name: str) -> ModelMetadata:
    """Returns a model's metadata and checks that the graph's input and outputs match them.

    Args:
        model: The parsed model.
        name: Name of the file in error messages.

    Raises:
        RefusedError: The metadata are missing, not readable, of a newer version, or do not match the graph.
    """
    found = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in found:
        raise RefusedError(
            f"{name}: no metadata key {KEY!r}, so its classes and input are unknown; "
            "give a model.onnx that graftline exported"
        )
    try:
        facts = ModelMetadata.model_validate(json.loads(found[KEY]))
    except (ValidationError, json.JSONDecodeError, RecursionError) as error:
        why = _first_line(error)
        raise RefusedError(f"{name}: metadata key {KEY!r} is not readable: {why}; export it again") from None
    if facts.schema_version > (known := ModelMetadata.model_fields["schema_version"].default):
        raise RefusedError(
            f"{name}: schema version {facts.schema_version}, this graftline reads up to {known}; upgrade graftline"
        )
    if facts.task not in TASKS:
        raise RefusedError(
            f"{name}: its task is {facts.task!r}, this graftline knows {', '.join(TASKS)}; upgrade graftline"
        )
    if len(facts.deviation) not in (
        (len(facts.classes),) if TASKS[facts.task].label_type.is_numeric else (0,)
    ) or not all(0 < value < float("inf") for value in facts.deviation):
        raise RefusedError(
            f"{name}: metadata key {KEY!r}: `deviation` is {facts.deviation[:5]} for "
            f"{len(facts.classes)} outputs of a {facts.task}; export it again"
        )
    stored = [d.dim_value for i in model.graph.input for d in i.type.tensor_type.shape.dim][1:]
    shapes = {
        o.name: o.type.tensor_type.shape.dim[-1].dim_value
        for o in model.graph.output
        if len(o.type.tensor_type.shape.dim) == 2
    }
    if [i.name for i in model.graph.input] != [INPUT] or stored != list(facts.input.stored):
        raise RefusedError(
            f"{name}: its input is not `{INPUT}` of {list(facts.input.stored)} as its metadata says; export it again"
        )
    if shapes != dict.fromkeys(TASKS[facts.task].onnx_outputs, len(facts.classes)):
        raise RefusedError(
            f"{name}: its outputs are {shapes}, its metadata names {len(facts.classes)} classes; export it again"
        )
    return facts


def _read(file: Path) -> bytes:
    if not file.is_file():
        raise RefusedError(f"{file}: no such file; give a release folder or a model.onnx")
    if file.stat().st_size > _LARGEST:
        raise RefusedError(f"{file}: {file.stat().st_size:,} bytes, an ONNX file has at most {_LARGEST:,}")
    return file.read_bytes()


def _tensors(message: Message) -> Iterator[Any]:
    """Yields all tensors of a model, including those nested in constants, subgraphs, and functions."""
    if message.DESCRIPTOR.full_name == "onnx.TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in [value] if isinstance(value, Message) else value:
                yield from _tensors(item)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
