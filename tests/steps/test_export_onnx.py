"""The export step, with a real network: passes when the file is the tested model, leaves nothing when it is not."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from graftline.config import Gate
from graftline.config.jobs import ExportJob, GateJob
from graftline.data import dataset as datasets
from graftline.evaluation.result import Evaluation, Predictions, read_predictions, write_predictions
from graftline.models import checkpoint
from graftline.models.checkpoint import CheckpointManifest
from graftline.release.onnx import export, model_file
from graftline.release.onnx.model_file import ModelMetadata, OnnxManifest
from graftline.release.onnx.parity import ParityError
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.export_onnx import export_onnx
from graftline.steps.gate import gate
from tests.builders.artifacts import Folders, write_run
from tests.builders.networks import build


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A run whose chosen checkpoint is a cnn with random weights, and whose evaluation holds its logits."""
    folders = write_run(tmp_path_factory.mktemp("whole"))
    torch.manual_seed(0)
    found = manifest.read(folders.chosen, CheckpointManifest).model_copy(update={"backbone": "cnn", "files": {}})
    network = build("cnn", 10, input=found.input)
    written = checkpoint.write(folders.chosen, found, network)
    facts = ModelMetadata(
        classes=written.classes,
        input=written.input,
        temperature=1.0,
        backbone="cnn",
        chosen=written.digest,
        dataset_digest="",
        licence="",
        graftline="",
    )
    test = datasets.read(folders.dataset).test
    score(folders, export.logits_of(export.served(network, facts), test.images, lambda done, total: None))
    return folders


@pytest.fixture
def run(whole: Folders, tmp_path: Path) -> Folders:
    shutil.copytree(whole.root, tmp_path / "run")
    return Folders(tmp_path / "run", whole.config)


def score(folders: Folders, logits: np.ndarray, **changes: object) -> None:
    """Puts logits into the evaluation as those that were tested."""
    evaluated = manifest.read(folders.evaluation, Evaluation)
    before = read_predictions(folders.evaluation)
    write_predictions(
        folders.evaluation, Predictions(before.labels, {**before.chosen, 0: logits}, before.control, before.baselines)
    )
    manifest.write(folders.evaluation, evaluated.model_copy(update=changes))


def exported(run: Folders, out: Path) -> OnnxManifest:
    return export_onnx(ExportJob(), **run.paths("dataset", "chosen", "evaluation"), out=out)


def test_export_proves_and_says_what_it_is(run: Folders, tmp_path: Path) -> None:
    out = tmp_path / "onnx"
    written = exported(run, out)
    evaluated = manifest.read(run.evaluation, Evaluation)
    assert manifest.read(out, OnnxManifest, verify=True) == written
    assert written.parity.examples == evaluated.examples == 617
    assert written.parity.batch_sizes == [1, 2, 7]
    assert written.parity.argmax_agreement == 1
    assert written.parity.max_abs_diff <= written.parity.tolerance
    assert written.facts.temperature == evaluated.calibration.temperature
    assert written.latency.batch_1_ms > 0
    assert written.latency.rounds >= 3
    assert written.int8.kept is False
    assert sorted(written.files) == ["model.onnx"]
    assert model_file.load(out).facts == written.facts
    assert "617 test images" in written.summary()
    judged = gate(
        GateJob(gate=Gate(beat_baselines=False), delta=0.01),
        dataset=run.dataset,
        onnx=out,
        evaluation=run.evaluation,
        out=tmp_path / "gate",
    )
    assert judged.examples == 617
    assert judged.onnx_digest == written.digest == manifest.digest_file(out / "model.onnx")


def _tampering(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter writes other weights than it was given."""
    save = onnx.save_model

    def other(proto: onnx.ModelProto, place: str) -> None:
        tensor = max(proto.graph.initializer, key=lambda t: int(np.prod(t.dims)))
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.01, tensor.name))
        save(proto, place)

    monkeypatch.setattr(onnx, "save_model", other)


def test_an_exporter_that_changes_weights_is_stopped(
    run: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run.onnx, tmp_path / "onnx")  # what an earlier try left
    _tampering(monkeypatch)
    with pytest.raises(ParityError, match="onnxruntime at batch size 1"):
        exported(run, tmp_path / "onnx")
    assert not (tmp_path / "onnx" / "manifest.json").exists()


def test_another_model_than_the_tested_one_is_stopped(run: Folders, tmp_path: Path) -> None:
    score(run, read_predictions(run.evaluation).chosen[1])
    with pytest.raises(ParityError, match="the logits that `evaluate` scored"):
        exported(run, tmp_path / "onnx")
    assert not (tmp_path / "onnx" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset_digest": "sha256:other"}, "evaluated on dataset sha256:other"),
        ({"classes": [f"digit {i}" for i in range(9, -1, -1)]}, "classes of checkpoint"),
    ],
)
def test_artifacts_of_two_runs_are_refused(
    run: Folders, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    score(run, read_predictions(run.evaluation).chosen[0], **change)
    with pytest.raises(RefusedError, match=message):
        exported(run, tmp_path / "onnx")


def test_an_edited_evaluation_is_refused(run: Folders, tmp_path: Path) -> None:
    file = run.evaluation / "predictions.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(RefusedError, match="its bytes are not those"):
        exported(run, tmp_path / "onnx")


def test_no_weights_are_refused(run: Folders, tmp_path: Path) -> None:
    file = run.chosen / "manifest.json"
    content = json.loads(file.read_text())
    content["row"]["status"] = "diverged"
    file.write_text(json.dumps(content))
    with pytest.raises(RefusedError, match="no weights"):
        exported(run, tmp_path / "onnx")
