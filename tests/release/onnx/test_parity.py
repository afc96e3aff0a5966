"""The comparison fails closed: whatever is wrong with the file or the figures, nothing passes."""

from pathlib import Path

import numpy as np
import pytest

from graftline.evaluation.links import softmax
from graftline.release.onnx import model_file
from graftline.release.onnx.model_file import OnnxModel, Parity
from graftline.release.onnx.parity import ParityError, compare, tolerance
from graftline.runtime.errors import kind_of
from tests.builders import onnx_models

IMAGES, LABELS = onnx_models.images(40)
REFERENCE = (IMAGES.reshape(40, 64) / np.float32(255)) @ onnx_models.weights()


def against(
    model: OnnxModel, reference: np.ndarray = REFERENCE, tested: np.ndarray | None = None, images: np.ndarray = IMAGES
) -> Parity:
    return compare(
        model, images, reference, reference if tested is None else tested, batch_sizes=[1, 2, 7], relative=1e-4
    )


@pytest.fixture
def model(tmp_path: Path) -> OnnxModel:
    return model_file.load(onnx_models.write(tmp_path))


def test_the_same_model_passes(model: OnnxModel) -> None:
    seen: list[tuple[int, int]] = []
    parity = compare(
        model,
        IMAGES,
        REFERENCE,
        REFERENCE,
        batch_sizes=[1, 2, 7],
        relative=1e-4,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert parity.examples == 40
    assert parity.argmax_agreement == 1
    assert parity.ties == 0
    assert parity.max_abs_diff < 1e-5 < parity.tolerance
    assert seen[-1] == (120, 120)


@pytest.mark.parametrize("scale", [1.001, 0.99, -1.0, np.nan, np.inf])
def test_tampered_weights_fail(tmp_path: Path, scale: float) -> None:
    tampered = model_file.load(onnx_models.write(tmp_path, scale=scale))
    with pytest.raises(ParityError, match=r"on test image \d+, class \d, PyTorch gives logit .* allowed") as failed:
        against(tampered)
    assert kind_of(failed.value) == "bug"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_reference_that_is_not_finite_fails(model: OnnxModel, value: float) -> None:
    spoiled = REFERENCE.copy()
    spoiled[3, 1] = value
    with pytest.raises(ParityError):
        against(model, spoiled)


def test_another_checkpoint_than_the_tested_one_fails(model: OnnxModel) -> None:
    with pytest.raises(ParityError, match="the logits that `evaluate` scored"):
        against(model, tested=REFERENCE[:, ::-1])


def test_another_number_of_images_fails(model: OnnxModel) -> None:
    with pytest.raises(ParityError, match="has shape"):
        against(model, tested=REFERENCE[:-1])


def test_no_images_fail(model: OnnxModel) -> None:
    with pytest.raises(ParityError, match="the test split is empty"):
        against(model, REFERENCE[:0], images=IMAGES[:0])


def with_a_black_image(margin: float) -> np.ndarray:
    """The reference with one more row: the model gives 0 and 0 there, the reference 0 and `margin`."""
    return np.concatenate([REFERENCE, np.array([[0, margin]], np.float32)])


def test_another_label_fails_unless_it_is_a_tie(model: OnnxModel) -> None:
    images = np.concatenate([IMAGES, np.zeros_like(IMAGES[:1])])
    allowed = tolerance(REFERENCE, 1e-4)
    with pytest.raises(ParityError, match=r"test image 40 is class 1 by PyTorch .* and class 0 by onnxruntime"):
        against(model, with_a_black_image(allowed * 0.5), images=images)
    parity = against(model, with_a_black_image(allowed * 0.05), images=images)
    assert parity.ties == 3
    assert parity.argmax_agreement == pytest.approx(1 - 3 / 123)


def test_wrong_temperature_in_the_graph_fails(tmp_path: Path) -> None:
    other = model_file.load(onnx_models.write(tmp_path, onnx_models.facts(temperature=0.7)))
    claimed = OnnxModel(onnx_models.facts(temperature=2.0), other.session)
    with pytest.raises(ParityError, match="temperature"):
        against(claimed)


def test_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0, -1000.0]], np.float32)), [[0.5, 0.5, 0]])
