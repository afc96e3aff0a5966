"""A real ONNX file in graftline's shape, made without torch: brightness of the upper and lower half -> 2 classes."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from graftline.models.input_contract import InputContract
from graftline.release.onnx.model_file import FILE, KEY, OUTPUTS, ModelMetadata

STORED = (1, 8, 8)
CLASSES = ["bright above", "bright below"]


def facts(classes: list[str] | None = None, temperature: float = 2.0, **changes: str) -> ModelMetadata:
    contract = InputContract(stored=STORED, channels=1, height=8, width=8, mean=[0.0], std=[1.0])
    values = {
        "backbone": "mlp",
        "chosen": "sha256:chosen",
        "dataset_digest": "sha256:dataset",
        "licence": "none",
        "graftline": "0.1.0",
        **changes,
    }
    return ModelMetadata(classes=classes or CLASSES, input=contract, temperature=temperature, **values)


def weights(classes: int = 2) -> np.ndarray:
    """(64, K): the first class likes the upper half, the second the lower one, the rest nothing much."""
    matrix = np.random.default_rng(0).normal(0, 0.01, (64, classes)).astype(np.float32)
    matrix[:32, 0] += 0.2
    matrix[32:, 1] += 0.2
    return matrix


def model(
    embedded: ModelMetadata | None = None, *, scale: float = 1.0, matrix: np.ndarray | None = None
) -> onnx.ModelProto:
    """Builds the model; `scale` tampers with its weights."""
    embedded = embedded or facts()
    classes = len(embedded.classes)
    matrix = weights(classes) if matrix is None else matrix
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "white"], ["shares"]),
        helper.make_node("Flatten", ["shares"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Div", ["logits", "temperature"], ["cooled"]),
        helper.make_node("Softmax", ["cooled"], ["probabilities"], axis=1),
    ]
    tensors = {
        "white": np.float32(255),
        "weights": matrix * np.float32(scale),
        "temperature": np.float32(embedded.temperature),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", *STORED])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", classes]) for name in OUTPUTS],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    made.metadata_props.add(key=KEY, value=embedded.model_dump_json())
    return made


def write(
    folder: Path, embedded: ModelMetadata | None = None, *, scale: float = 1.0, matrix: np.ndarray | None = None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model(embedded, scale=scale, matrix=matrix), str(folder / FILE))
    return folder / FILE


def images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, 1, 8, 8) uint8 and their classes: dim noise with a brighter upper or lower half."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pixels = rng.integers(0, 120, (count, *STORED))
    for i, label in enumerate(labels):
        pixels[i, :, 4 * label : 4 * label + 4] += 90
    return pixels.astype(np.uint8), labels.astype(np.int64)
