"""The release step: refuses what was not promoted or does not belong together, writes what a user can check."""

import json
from pathlib import Path

import pytest

from graftline.config import Gate
from graftline.config.jobs import ReleaseJob
from graftline.models.checkpoint import CheckpointManifest
from graftline.release import artifact
from graftline.release.artifact import ReleaseManifest
from graftline.release.serving.predict import predict
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.release import release as step
from tests.builders.artifacts import HOSTILE, Folders, write_run

PARTS = ("dataset", "onnx", "evaluation", "gate", "chosen")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return write_run(tmp_path_factory.mktemp("run"))


def released(run: Folders, out: Path, store: str | None = None) -> ReleaseManifest:
    return step(ReleaseJob(store=store, delta=0.01), **run.paths(*PARTS), out=out)


def test_release_is_whole_and_says_where_it_comes_from(run: Folders, tmp_path: Path) -> None:
    written = released(run, tmp_path / "release")
    chosen = manifest.read(run.chosen, CheckpointManifest)
    assert len(list(artifact.verify(tmp_path / "release"))) == 5
    assert written.lineage.checkpoint == chosen.digest
    assert written.lineage.source_checkpoint == chosen.parent
    assert written.lineage.onnx == manifest.digest_file(tmp_path / "release" / "model.onnx")
    assert written.name == "digits-scanned"
    assert written.gate.verdict == "promote"
    assert not written.int8.kept
    assert sorted(written.files) == [
        "MODEL_CARD.md",
        "labels.txt",
        "model.onnx",
        "sample.safetensors",
        "serving/digits-scanned/1/model.onnx",
        "serving/digits-scanned/config.pbtxt",
        "serving/digits-scanned/labels.txt",
    ]


def test_the_same_run_gives_the_same_version(run: Folders, tmp_path: Path) -> None:
    first, second = released(run, tmp_path / "a"), released(run, tmp_path / "b")
    assert first.version == second.version
    assert first.files == second.files


def test_a_retry_finds_what_the_first_try_left(run: Folders, tmp_path: Path) -> None:
    released(run, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    released(run, tmp_path / "out")
    assert list(artifact.verify(tmp_path / "out"))


def test_store_gets_a_copy_that_verifies(run: Folders, tmp_path: Path) -> None:
    store = tmp_path / "store"
    written = released(run, tmp_path / "a", str(store))
    assert list(artifact.verify(store / "releases" / written.version))
    released(run, tmp_path / "b", str(store))
    assert [p.name for p in (store / "releases").iterdir()] == [written.version]


def test_store_ends_a_copy_that_was_cut_off(run: Folders, tmp_path: Path) -> None:
    store = tmp_path / "store"
    version = released(run, tmp_path / "a", str(store)).version
    (store / "releases" / version / "manifest.json").unlink()
    (store / "releases" / version / "model.onnx").unlink()
    released(run, tmp_path / "b", str(store))
    assert list(artifact.verify(store / "releases" / version))


def test_store_overwrites_nothing(run: Folders, tmp_path: Path) -> None:
    store = tmp_path / "store"
    place = store / "releases" / released(run, tmp_path / "a", str(store)).version
    (place / "manifest.json").unlink()
    (place / "model.onnx").write_bytes(b"other")
    with pytest.raises(RefusedError, match="another file is there already; nothing is overwritten"):
        released(run, tmp_path / "b", str(store))


def test_only_a_promoted_file_is_released(tmp_path: Path) -> None:
    held = write_run(tmp_path / "run", policy=Gate(min_accuracy=0.999))
    with pytest.raises(RefusedError, match="only a promoted model is released"):
        released(held, tmp_path / "release")
    assert not (tmp_path / "release").exists()


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("chosen", {"digest": "sha256:other"}, "checkpoint is .*, expected sha256:other"),
        ("gate", {"onnx_digest": "sha256:other"}, "ONNX file that the gate judged is sha256:other"),
        ("evaluation", {"dataset_digest": "sha256:other"}, "dataset of the evaluation is sha256:other"),
    ],
)
def test_artifacts_of_two_runs_are_refused(tmp_path: Path, part: str, change: dict[str, str], message: str) -> None:
    run = write_run(tmp_path / "run")
    file = run.root / part / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(RefusedError, match=message):
        released(run, tmp_path / "release")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", classes=HOSTILE, seeds=1, converged=False)
    written = released(run, tmp_path / "release")
    card = (tmp_path / "release" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "<script>" not in card
    assert "\\<script\\>" in card
    assert "\\[x\\](http" in card
    assert "\u202e" not in card
    assert (tmp_path / "release" / "labels.txt").read_text(encoding="utf-8").count("\n") == 10
    assert "One seed" in card
    assert "not converged" in card or "still improving" in card
    assert written.facts.classes == HOSTILE
    assert "{{ 7 \\* 7 }}" in card


def test_released_model_predicts(run: Folders, tmp_path: Path) -> None:
    from PIL import Image

    from graftline.data import dataset

    released(run, tmp_path / "release")
    test = dataset.read(run.dataset).test
    for i in range(3):
        Image.fromarray(test.images[i][0]).save(tmp_path / f"{i}.png")
    answers = list(predict(tmp_path / "release", [tmp_path / f"{i}.png" for i in range(3)]))
    assert [a.error for a in answers] == ["", "", ""]
    assert all(sum(a.probabilities.values()) == pytest.approx(1, abs=1e-5) for a in answers)
