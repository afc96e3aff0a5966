from pathlib import Path

import numpy as np
import pytest

from graftline.evaluation.kfp_metrics import kfp_metrics
from graftline.evaluation.result import (
    PREDICTIONS,
    Calibration,
    ConfirmationResults,
    Estimate,
    Evaluation,
    Gain,
    Predictions,
    chosen_outputs,
    read_predictions,
    write_predictions,
)
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError


def make(folder: Path, classes: int = 3, *, seeds: tuple[int, ...] = (4, 11)) -> Predictions:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % classes
    logits = {s: (rng.normal(size=(30, classes)) + 2 * np.eye(classes)[labels]).astype(np.float32) for s in seeds}
    predictions = Predictions(
        labels, logits, {s: -v for s, v in logits.items()}, {"majority": np.zeros(30, np.int64), "forest": labels}
    )
    folder.mkdir()
    write_predictions(folder, predictions)
    names = [f"c{i}" for i in range(classes)]
    side = ConfirmationResults(
        name="x", seeds=list(seeds), accuracy_by_seed=[0.9, 0.8], examples_seen=[1, 1], seconds=[1, 1]
    )
    figure = Estimate(value=0.9, low=0.8, high=0.95)
    test = {"accuracy": figure, "loss": Estimate(value=0.3)}
    gain = Gain(value=0.1, low=0.05, high=0.15, seeds=2, verdict="positive", method="m", reasons=[])
    manifest.write(
        folder,
        Evaluation(
            classes=names,
            dataset_digest="d",
            chosen=side,
            control=side,
            test=test,
            per_class=[],
            confusion=[[1] * classes] * classes,
            control_test={"accuracy": figure},
            baselines={"forest": figure},
            best="chosen",
            gain=gain,
            equal_cost=None,
            calibration=Calibration(temperature=2.0, ece_before=0.1, ece_after=0.05, fitted_on="v"),
            examples=30,
        ),
    )
    return predictions


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    written = make(tmp_path / "e")
    found = read_predictions(tmp_path / "e")
    assert (found.labels == written.labels).all()
    assert set(found.chosen) == set(found.control) == {4, 11}
    assert (found.chosen[11] == written.chosen[11]).all()
    assert set(found.baselines) == {"majority", "forest"}
    labels, logits = chosen_outputs(tmp_path / "e")
    assert (logits == written.chosen[4]).all()
    assert len(labels) == 30


def test_damaged_predictions_are_refused(tmp_path: Path) -> None:
    made = make(tmp_path / "e")
    path = tmp_path / "e" / PREDICTIONS
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(RefusedError, match="not readable"):
        read_predictions(tmp_path / "e")
    path.unlink()
    with pytest.raises(RefusedError, match="not readable"):
        read_predictions(tmp_path / "e")
    write_predictions(tmp_path / "e", Predictions(made.labels[:29], made.chosen, {}, {}))
    with pytest.raises(RefusedError, match="has 30 rows, `labels` has 29"):
        read_predictions(tmp_path / "e")


def test_shipped_logits_need_the_first_seed(tmp_path: Path) -> None:
    made = make(tmp_path / "e")
    write_predictions(tmp_path / "e", Predictions(made.labels, {11: made.chosen[11]}, {}, {}))
    with pytest.raises(RefusedError, match="first seed 4"):
        chosen_outputs(tmp_path / "e")


def test_views_are_what_kfp_takes(tmp_path: Path) -> None:
    make(tmp_path / "e")
    views = kfp_metrics(tmp_path / "e")
    assert all(isinstance(value, float) and np.isfinite(value) for value in views.metrics.values())
    assert views.metrics["test_accuracy_low"] == 0.8
    assert views.metrics["baseline_forest"] == 0.9
    assert views.metrics["transfer_gain"] == 0.1
    assert "test_loss_low" not in views.metrics
    assert len(views.confusion) == len(views.classes) == 3
    assert views.roc is not None
    assert np.isfinite(views.roc.thresholds).all()
    assert len(views.roc.fpr) == len(views.roc.tpr) == len(views.roc.thresholds)


def test_kfp_itself_takes_them(tmp_path: Path) -> None:
    from kfp.dsl import ClassificationMetrics

    make(tmp_path / "e", classes=2)
    views = kfp_metrics(tmp_path / "e")
    assert views.roc is not None
    metrics = ClassificationMetrics(name="m", uri="", metadata={})
    metrics.log_roc_curve(views.roc.fpr, views.roc.tpr, views.roc.thresholds)
    metrics.log_confusion_matrix(views.classes, views.confusion)
    assert len(metrics.metadata["confidenceMetrics"]) == len(views.roc.fpr)
