"""The component `evaluate` on the artifacts of a run, called as KFP calls it."""

import json
from pathlib import Path

import pytest
from kfp.dsl import ClassificationMetrics, Dataset, Metrics, Model

from graftline.components.evaluate import evaluate
from graftline.config.jobs import EvaluateJob
from graftline.evaluation.result import Evaluation
from graftline.steps import evaluate as step


@pytest.mark.parametrize("matrix", [[[3, 1], [0, 4]], []])
def test_the_confusion_artifact_is_json_and_its_metadata_what_kfp_shows(
    matrix: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(job: EvaluateJob, *, out: Path, **inputs: object) -> Evaluation:
        evaluation = Evaluation.model_construct(classes=["a", "b"], confusion=matrix, test={}, files={})
        out.mkdir()
        (out / "manifest.json").write_text("{}")
        return evaluation

    monkeypatch.setattr(step, "evaluate", measured)
    monkeypatch.setattr("graftline.runtime.manifest.identity", lambda folder: "sha256:0")
    metrics = Metrics(uri=str(tmp_path / "metrics"))
    confusion = ClassificationMetrics(uri=str(tmp_path / "confusion"))
    model = Model(uri=str(tmp_path))
    evaluate.python_func(
        EvaluateJob(delta=0.01, seed=0).to_json(),
        "sha256:1",
        [],
        Dataset(uri=str(tmp_path)),
        model,
        model,
        model,
        [],
        metrics,
        confusion,
    )
    stored = json.loads(Path(confusion.path).read_text())
    assert stored == matrix
    assert ("confusionMatrix" in confusion.metadata) == bool(matrix)
