"""Reading a model: hostile files are refused before onnxruntime sees them."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from graftline.evaluation.links import softmax
from graftline.release.onnx import model_file
from graftline.runtime.errors import RefusedError
from tests.builders import onnx_models


def test_load_and_run(tmp_path: Path) -> None:
    model = model_file.load(onnx_models.write(tmp_path))
    images, labels = onnx_models.images(50)
    logits, probabilities = model.run(images, 7)
    assert model.facts == onnx_models.facts()
    assert (logits.argmax(1) == labels).all()
    np.testing.assert_allclose(probabilities, softmax(logits / 2), atol=1e-6)
    assert [part.shape for part in model.run(images[:0])] == [(0, 2), (0, 2)]


def test_load_takes_the_folder_too(tmp_path: Path) -> None:
    onnx_models.write(tmp_path)
    assert model_file.load(tmp_path).facts.classes == onnx_models.CLASSES


def _external(model: onnx.ModelProto, place: str) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)


def _deep_external(model: onnx.ModelProto, place: str) -> None:
    """In a constant of a branch of an If that nothing uses."""
    constant = TensorProto(name="deep", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    constant.external_data.add(key="location", value=place)
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=constant)],
        "branch",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])],
    )
    model.graph.node.append(helper.make_node("If", ["white"], ["unused"], then_branch=branch, else_branch=branch))


def _undeclared_external(model: onnx.ModelProto, place: str) -> None:
    """Location entries without the flag that they are in use."""
    model.graph.initializer[0].external_data.add(key="location", value=place)


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "link", "hard"])
@pytest.mark.parametrize("hide", [_external, _deep_external, _undeclared_external])
def test_external_data_is_refused(tmp_path: Path, hide: Callable[[onnx.ModelProto, str], None], place: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(4096))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    os.link(tmp_path / "secret", folder / "hard")
    model = onnx_models.model()
    hide(model, place)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(RefusedError, match="keeps its data outside of the file"):
        model_file.load(folder)


def _no_metadata(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def _bad_metadata(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "{" * 100_000


def _later_schema(model: onnx.ModelProto) -> None:
    later = onnx_models.facts().model_copy(update={"schema_version": 99})
    model.metadata_props[0].value = later.model_dump_json()


def _other_classes(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = onnx_models.facts(["a", "b", "c"]).model_dump_json()


def _other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3


def _foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.evil", 1))


def _unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Banana"


def _broken_weights(model: onnx.ModelProto) -> None:
    next(t for t in model.graph.initializer if t.name == "weights").raw_data = b"\0" * 8


BROKEN = {
    _no_metadata: "no metadata key 'graftline'",
    _bad_metadata: "is not readable",
    _later_schema: "schema version 99",
    _other_classes: "its metadata names 3 classes",
    _other_input: "its input is not `images`",
    _foreign_operator: "operators of 'com.evil'",
    _unknown_operator: "not a valid ONNX model",
    _broken_weights: "not a valid ONNX model|onnxruntime refuses it",
}


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda f: f.__name__)
def test_broken_models_are_refused(tmp_path: Path, spoil: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx_models.model()
    spoil(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(RefusedError, match=BROKEN[spoil]) as refused:
        model_file.load(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"garbage" * 9, b"<html>", b"\x80\x05."])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(RefusedError, match=r"not an ONNX file|not a valid ONNX|no metadata key"):
        model_file.load(tmp_path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"no such file; give a release folder or a model\.onnx"):
        model_file.load(tmp_path)


def test_cut_file_is_refused(tmp_path: Path) -> None:
    file = onnx_models.write(tmp_path)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(RefusedError):
        model_file.load(tmp_path)
