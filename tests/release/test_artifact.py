"""A release that was touched anywhere is refused; one that was not is found whole."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from graftline.config.jobs import ReleaseJob
from graftline.release import artifact
from graftline.release.onnx.model_file import load
from graftline.release.serving import triton
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_file
from graftline.steps.release import release as step
from tests.builders import onnx_models
from tests.builders.artifacts import Folders, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def whole(run: Folders) -> Path:
    out = run.root / "release"
    step(ReleaseJob(store=None, delta=0.01), **run.paths("dataset", "onnx", "evaluation", "gate", "chosen"), out=out)
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_a_whole_release_passes_each_check(whole: Path) -> None:
    checks = list(artifact.verify(whole))
    assert [check.split(":")[0] for check in checks] == ["manifest", "seal", "files", "model.onnx", "outputs"]
    assert "8 stored images" in checks[-1]


def _flip_a_weight(folder: Path) -> None:
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)


def _edit_labels(folder: Path) -> None:
    (folder / "labels.txt").write_text("a\nb\n")


def _edit_card(folder: Path) -> None:
    (folder / "MODEL_CARD.md").write_text("100% accuracy")


def _edit_manifest(folder: Path) -> None:
    file = folder / "manifest.json"
    content = json.loads(file.read_text())
    content["test"]["accuracy"]["value"] = 1.0
    file.write_text(json.dumps(content))


def _add_a_file(folder: Path) -> None:
    (folder / "serving" / "extra.so").write_bytes(b"x")


def _add_a_link(folder: Path) -> None:
    (folder / "serving" / "link").symlink_to("/etc/passwd")


def _take_a_file(folder: Path) -> None:
    (folder / "sample.safetensors").unlink()


def _take_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _serve_another_model(folder: Path) -> None:
    file = next(folder.glob("serving/*/1/model.onnx"))
    file.unlink()
    onnx_models.write(file.parent)


TOUCHED = {
    _flip_a_weight: "model.onnx: its bytes are not those",
    _edit_labels: "labels.txt: its bytes",
    _edit_card: "MODEL_CARD.md: its bytes",
    _edit_manifest: "was edited after it was written",
    _add_a_file: "holds 'serving/extra.so'",
    _add_a_link: "holds 'serving/link'",
    _take_a_file: "sample.safetensors: missing",
    _take_the_manifest: "no manifest.json",
    _serve_another_model: r"1/model.onnx: its bytes",
}


@pytest.mark.parametrize("touch", TOUCHED, ids=lambda f: f.__name__)
def test_a_touched_release_is_refused(copy: Path, touch: Callable[[Path], None]) -> None:
    touch(copy)
    with pytest.raises(RefusedError, match=TOUCHED[touch]):
        list(artifact.verify(copy))


def _resealed(folder: Path, **changes: object) -> None:
    """What somebody would do who edits with graftline's own functions."""
    manifest = artifact.read(folder)
    (folder / "manifest.json").unlink()
    artifact.write(folder, manifest.model_copy(update={"files": {}, "seal": "", **changes}))


def test_another_model_under_a_new_seal_is_refused(copy: Path) -> None:
    facts = load(copy).facts
    onnx_models.write(copy, facts, matrix=np.ones((64, 10), np.float32))
    _resealed(copy)
    with pytest.raises(RefusedError, match=r"model\.onnx is .*, the manifest says"):
        list(artifact.verify(copy))
    lineage = artifact.read(copy).lineage.model_copy(update={"onnx": digest_file(copy / "model.onnx")})
    _resealed(copy, lineage=lineage)
    with pytest.raises(RefusedError, match="gives other outputs than were stored"):
        list(artifact.verify(copy))


@pytest.mark.parametrize("spoil", [np.nan, 1.0])
def test_other_stored_outputs_are_refused(copy: Path, spoil: float) -> None:
    sample = load_file(copy / "sample.safetensors")
    save_file({**sample, "logits": sample["logits"] + np.float32(spoil)}, copy / "sample.safetensors")
    _resealed(copy)
    with pytest.raises(RefusedError, match="gives other outputs than were stored"):
        list(artifact.verify(copy))


@pytest.mark.parametrize("content", [b"", b"\xff" * 100])
def test_a_broken_sample_is_refused(copy: Path, content: bytes) -> None:
    (copy / "sample.safetensors").write_bytes(content)
    _resealed(copy)
    with pytest.raises(RefusedError, match=r"sample\.safetensors: not readable"):
        list(artifact.verify(copy))


def test_labels_keep_one_line_a_class() -> None:
    assert artifact.label_text(["a", "b\nc", "d\u2028e"]) == "a\nb c\nd e\n"


def test_sample_spreads_over_classes(tmp_path: Path) -> None:
    images, labels = onnx_models.images(60)
    onnx_models.write(tmp_path)
    assert artifact.write_sample(tmp_path, load(tmp_path), images, np.sort(labels)) == 8
    stored = load_file(tmp_path / "sample.safetensors")
    assert set(stored["labels"].tolist()) == {0, 1}
    assert stored["images"].shape == (8, *onnx_models.STORED)


def test_serving_layout(tmp_path: Path) -> None:
    file = onnx_models.write(tmp_path)
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    triton.write(tmp_path / "serving", name="tiny", facts=onnx_models.facts(), onnx=file, labels=labels)
    assert (tmp_path / "serving/tiny/1/model.onnx").samefile(file)
    text = (tmp_path / "serving/tiny/config.pbtxt").read_text()
    assert 'name: "images", data_type: TYPE_UINT8, dims: [ 1, 8, 8 ]' in text
    assert "dims: [ 2 ], label_filename" in text
