"""The gate on a real ONNX file: what it promotes, and each way not to."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graftline.config import Gate
from graftline.config.jobs import ExportJob, GateJob
from graftline.data import dataset
from graftline.evaluation.metrics.classification import confusion, per_class
from graftline.evaluation.result import (
    Calibration,
    ConfirmationResults,
    Evaluation,
    Gain,
    Predictions,
    write_predictions,
)
from graftline.evaluation.statistics.estimates import estimate_metrics
from graftline.evaluation.verdict.gate import GateResult
from graftline.release.onnx import model_file
from graftline.release.onnx.model_file import Latency, OnnxManifest, Parity
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.export_onnx import export_onnx
from graftline.steps.gate import gate
from tests.builders import onnx_models
from tests.builders.evaluations import make_dataset
from tests.steps.test_evaluate import Run as EvaluateRun

TEMPERATURE = 2.0


class Run:
    """A run's folders up to the gate, every part true to the others."""

    def __init__(self, root: Path) -> None:
        self.root, self.data, self.onnx, self.evaluation = root, root / "data", root / "onnx", root / "evaluation"
        self.digest = make_dataset(self.data, contrast=13).digest
        self.write_onnx()
        self.write_evaluation()

    def write_onnx(self, *, scale: float = 1.0, **changes: str) -> None:
        facts = onnx_models.facts(temperature=TEMPERATURE, **{"dataset_digest": self.digest, **changes})
        path = onnx_models.write(self.onnx, facts, scale=scale)
        parity = Parity(
            examples=1,
            batch_sizes=[1],
            max_abs_diff=0,
            tolerance=0,
            argmax_agreement=1,
            ties=0,
            probabilities_max_abs_diff=0,
            tested_max_abs_diff=0,
        )
        latency = Latency(
            threads=1,
            batch_1_ms=1,
            batch_1_ms_pytorch=1,
            batch_32_per_second=1,
            batch_32_per_second_pytorch=1,
            rounds=1,
        )
        manifest.write(
            self.onnx,
            OnnxManifest(
                facts=facts,
                digest=manifest.digest_file(path),
                size_bytes=path.stat().st_size,
                opset=18,
                producer="test",
                parity=parity,
                latency=latency,
            ),
        )

    def write_evaluation(
        self, *, count: int | None = None, forest: str = "guess", verdict: str = "positive", **changes: object
    ) -> None:
        test = dataset.read(self.data).test
        labels = np.array(test.labels)[:count]
        logits = model_file.load(onnx_models.write(self.root / "honest", onnx_models.facts())).run(test.images[:count])[
            0
        ]
        baselines = {"majority": np.zeros_like(labels), "forest": labels if forest == "perfect" else labels * 0}
        self.evaluation.mkdir(exist_ok=True)
        write_predictions(self.evaluation, Predictions(labels, {0: logits}, {0: logits}, baselines))
        measured = estimate_metrics(logits / TEMPERATURE, labels, seed=0)
        side = ConfirmationResults(name="x", seeds=[0], accuracy_by_seed=[0.9], examples_seen=[1], seconds=[1])
        counts = confusion(logits.argmax(1), labels, 2)
        values = {
            "classes": onnx_models.CLASSES,
            "dataset_digest": self.digest,
            "chosen": side,
            "control": side,
            "test": measured,
            "per_class": per_class(logits.argmax(1), labels, onnx_models.CLASSES),
            "confusion": counts.tolist(),
            "control_test": measured,
            "baselines": {},
            "best": "chosen",
            "gain": Gain(value=0.1, low=0.05, high=0.15, seeds=3, verdict=verdict, method="m", reasons=[]),
            "equal_cost": None,
            "examples": len(labels),
            "calibration": Calibration(temperature=TEMPERATURE, ece_before=0.1, ece_after=0.1, fitted_on="v"),
        }
        manifest.write(self.evaluation, Evaluation.model_validate({**values, **changes}))

    def gate(self, **policy: object) -> GateResult:
        job = GateJob(gate=Gate.model_validate(policy), delta=0.01)
        return gate(job, dataset=self.data, onnx=self.onnx, evaluation=self.evaluation, out=self.root / "gate")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_good_file_is_promoted_and_the_reasons_say_why(run: Run) -> None:
    found = run.gate(min_accuracy=0.5, min_macro_f1=0.5, min_class_recall=0.4, max_ece=0.9, require_positive_gain=True)
    assert found.verdict == "promote"
    assert found.champion is None
    assert found.examples == 120
    assert found.flips == []
    assert "First release: no champion to compare with, judged by thresholds." in found.reasons
    assert any("holds the floor 0.5" in reason for reason in found.reasons)
    assert {"accuracy", "macro_f1", "ece", "recall/bright above"} <= set(found.figures)
    assert manifest.read(run.root / "gate", GateResult, verify=True) == found


def test_no_floors_promote_too(run: Run) -> None:
    assert run.gate().verdict == "promote"


@pytest.mark.parametrize(
    ("policy", "verdict", "reason"),
    [
        ({"min_accuracy": 0.99}, "reject", "Accuracy is"),
        ({"min_accuracy": 0.87}, "hold", "Accuracy is"),
        ({"min_macro_f1": 0.99}, "reject", "Macro F1 is"),
        ({"min_class_recall": 0.99}, "reject", "Recall of class"),
        ({"max_ece": 0.0}, "hold", "The calibration error is"),
    ],
)
def test_a_floor_that_is_not_held(run: Run, policy: dict[str, float], verdict: str, reason: str) -> None:
    found = run.gate(**policy)
    assert found.verdict == verdict
    assert found.reasons[0].startswith(reason)


def test_a_gain_that_is_not_positive_holds_where_the_policy_asks(run: Run) -> None:
    run.write_evaluation(verdict="undecided")
    assert run.gate().verdict == "promote"
    found = run.gate(require_positive_gain=True)
    assert found.verdict == "hold"
    assert "transfer gain is undecided" in found.reasons[0]


def test_a_better_forest_holds_unless_the_policy_allows_it(run: Run) -> None:
    run.write_evaluation(forest="perfect")
    found = run.gate()
    assert found.verdict == "hold"
    assert "clearly worse than the forest baseline" in found.reasons[0]
    assert run.gate(beat_baselines=False).verdict == "promote"


@pytest.mark.parametrize("scale", [-1.0, 1.5])
def test_a_file_that_is_another_model_is_rejected(run: Run, scale: float) -> None:
    run.write_onnx(scale=scale)
    found = run.gate()
    assert found.verdict == "reject"
    assert "not the tested model" in found.reasons[0]


def test_a_file_that_answers_nan_is_rejected_without_figures(run: Run) -> None:
    run.write_onnx(scale=float("nan"))
    found = run.gate(min_accuracy=0.1)
    assert found.verdict == "reject"
    assert "NaN" in found.reasons[0]
    assert found.figures == {}


def test_another_temperature_is_rejected(run: Run) -> None:
    run.write_evaluation(calibration=Calibration(temperature=1.0, ece_before=0, ece_after=0, fitted_on=""))
    found = run.gate()
    assert found.verdict == "reject"
    assert "temperature" in found.reasons[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"count": 100}, "counts 100 samples, the test split has 120"),
        ({"examples": 121}, "counts 121 samples"),
        ({"dataset_digest": "sha256:other"}, "made on another dataset"),
        ({"classes": onnx_models.CLASSES[::-1]}, "classes of dataset, evaluation and file differ"),
        ({"per_class": []}, "figures by class"),
        (
            {"chosen": ConfirmationResults(name="x", seeds=[5], accuracy_by_seed=[1], examples_seen=[1], seconds=[1])},
            "no answers",
        ),
        ({"chosen": ConfirmationResults(name="x", accuracy_by_seed=[], examples_seen=[], seconds=[])}, "no answers"),
        ({"test": {}}, "does not state accuracy"),
    ],
)
def test_what_cannot_be_compared_is_held(run: Run, changes: dict[str, object], reason: str) -> None:
    run.write_evaluation(**changes)
    found = run.gate()
    assert found.verdict == "hold"
    assert any(reason in text for text in found.reasons)


def test_a_file_for_another_dataset_is_held(run: Run) -> None:
    run.write_onnx(dataset_digest="sha256:other")
    assert run.gate().verdict == "hold"


def test_invented_figures_are_rejected(run: Run) -> None:
    honest = manifest.read(run.evaluation, Evaluation).test
    better = honest | {"accuracy": honest["accuracy"].model_copy(update={"value": 0.999})}
    run.write_evaluation(test=better)
    found = run.gate()
    assert found.verdict == "reject"
    assert "the evaluation states 0.9990" in found.reasons[0]


def test_an_edited_file_is_refused(run: Run) -> None:
    path = run.onnx / model_file.FILE
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RefusedError, match="not those that the manifest was written for"):
        run.gate()


def test_the_whole_way_from_checkpoints_to_a_promoted_file(tmp_path: Path) -> None:
    run = EvaluateRun(tmp_path)
    for seed in (1, 2):
        run.confirm(seed, "full")
        run.confirm(seed, "control")
    run.evaluate()
    (tmp_path / "onnx").mkdir()
    export_onnx(
        ExportJob(), dataset=run.data, chosen=run.chosen, evaluation=tmp_path / "evaluation", out=tmp_path / "onnx"
    )
    policy = Gate(min_accuracy=0.8, min_class_recall=0.7, require_positive_gain=True)
    found = gate(
        GateJob(gate=policy, delta=0.01),
        dataset=run.data,
        onnx=tmp_path / "onnx",
        evaluation=tmp_path / "evaluation",
        out=tmp_path / "gate",
    )
    assert found.verdict == "promote", found.reasons


def test_needs_no_torch() -> None:
    code = "import sys, graftline.steps.gate, graftline.steps.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
