"""Image files in, labels out: the same numbers as in training, and hostile files cost one answer, not the run."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftline.data.images.decode import decode_image
from graftline.release.onnx.model_file import load
from graftline.release.serving.predict import Answer, predict
from graftline.runtime.errors import RefusedError
from tests.builders import onnx_models


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    images, _ = onnx_models.images(40)
    folder = tmp_path / "pictures"
    for i, image in enumerate(images):
        place = folder / f"part{i % 2}" / f"{i:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(place)
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_files_get_what_their_pixels_get(tmp_path: Path, pictures: Path) -> None:
    onnx_models.write(tmp_path / "model")
    answers = list(predict(tmp_path / "model", [pictures]))
    images, labels = onnx_models.images(40)
    order = [*range(0, 40, 2), *range(1, 40, 2)]
    expected = load(tmp_path / "model").run(images[order])[1]
    assert [a.label for a in answers] == [onnx_models.CLASSES[c] for c in labels[order]]
    assert len(answers) == 40
    found = [[a.probabilities[name] for name in onnx_models.CLASSES] for a in answers]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_files_are_decoded_as_preprocess_decodes_them(tmp_path: Path) -> None:
    """Another size, color and an EXIF turn: the stored shape is made by the shared decoder."""
    file = tmp_path / "photo.jpg"
    random = np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(random).save(file, exif=exif)
    onnx_models.write(tmp_path)
    stored = decode_image(file.open("rb"), onnx_models.STORED)
    expected = load(tmp_path).run(stored[None])[1][0]
    (answer,) = predict(tmp_path / "model.onnx", [file])
    assert answer.probabilities[onnx_models.CLASSES[0]] == pytest.approx(float(expected[0]))


def test_an_unreadable_file_is_an_answer(tmp_path: Path, pictures: Path) -> None:
    onnx_models.write(tmp_path)
    bad = tmp_path / "bad.jpg"
    bad.write_text("<html>")
    first = pictures / "part0" / "00.png"
    answers = list(predict(tmp_path, [bad, first]))
    assert [bool(a.error) for a in answers] == [True, False]
    assert "not an image of a supported format" in answers[0].error
    assert answers[0].as_dict() == {"file": str(bad), "error": answers[0].error}
    assert "not readable" in answers[0].as_line()


def test_missing_and_empty_places_are_refused(tmp_path: Path) -> None:
    onnx_models.write(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match="no such file or folder"):
        list(predict(tmp_path, [tmp_path / "nowhere.jpg"]))
    with pytest.raises(RefusedError, match="holds no image"):
        list(predict(tmp_path, [tmp_path / "empty"]))


def test_answers_are_json_and_safe_on_a_terminal() -> None:
    answer = Answer("a\x1b[31m.png", {"x\x07y": 0.75, "b": 0.25})
    assert json.loads(json.dumps(answer.as_dict()))["label"] == "x\x07y"
    assert answer.as_line() == "a\\x1b[31m.png: x\\x07y 75.0%, b 25.0%"
