"""Real networks on a real dataset artifact, from checkpoints to the metrics artifact."""

from pathlib import Path

import numpy as np
import pytest

from graftline.config.jobs import EvaluateJob
from graftline.evaluation.result import Evaluation, read_predictions
from graftline.models.checkpoint import CandidateResult
from graftline.runtime import manifest
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.steps.evaluate import evaluate
from tests.builders.evaluations import SIZES, make_checkpoint, make_dataset

JOB = EvaluateJob(delta=0.01, seed=0)


class Run:
    """A run's folders up to evaluate: the chosen model is trained, the control hardly."""

    def __init__(self, root: Path, sizes: dict[str, int] | None = None) -> None:
        self.root = root
        self.data = root / "data"
        make_dataset(self.data, sizes)
        self.chosen, self.control, self.sources = root / "chosen", root / "control", root / "sources"
        self.confirmations: list[Path] = []
        make_checkpoint(self.chosen, self.data, "pixels-full")
        make_checkpoint(self.control, self.data, "control", strategy="control", steps=2)
        make_checkpoint(self.sources / "pixels", self.data, "pixels", strategy="pretrain", steps=5)

    def confirm(self, seed: int, strategy: str, **more: object) -> None:
        name = f"{'control' if strategy == 'control' else 'pixels-full'}-seed{seed}"
        folder = self.root / f"{name}-{len(self.confirmations)}"
        make_checkpoint(
            folder, self.data, name, strategy=strategy, seed=seed, steps=2 if strategy == "control" else 40, **more
        )
        self.confirmations.append(folder)

    def evaluate(self) -> Evaluation:
        return evaluate(
            JOB,
            dataset=self.data,
            sources=self.sources,
            chosen=self.chosen,
            control=self.control,
            confirmations=self.confirmations,
            out=self.root / "evaluation",
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Evaluation]:
    run = Run(tmp_path_factory.mktemp("run"))
    for seed in (1, 2):
        run.confirm(seed, "full")
        run.confirm(seed, "control")
    return run, run.evaluate()


def test_everything_is_there_and_reads_back(whole: tuple[Run, Evaluation]) -> None:
    run, found = whole
    assert manifest.read(run.root / "evaluation", Evaluation, verify=True) == found
    assert found.examples == SIZES["test"]
    assert (
        set(found.test)
        == set(found.control_test)
        == {"accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "loss", "ece"}
    )
    assert all(f.low is not None and f.high is not None and f.low < f.high for f in found.test.values())
    assert np.sum(found.confusion) == found.examples
    assert [line["examples"] for line in found.per_class] == np.sum(found.confusion, 1).tolist()
    assert set(found.baselines) == {"majority", "forest"}
    assert found.calibration.fitted_on.startswith("40 validation samples")


def test_figures_are_those_of_the_stored_predictions(whole: tuple[Run, Evaluation]) -> None:
    run, found = whole
    stored = read_predictions(run.root / "evaluation")
    accuracy = [float((logits.argmax(1) == stored.labels).mean()) for logits in stored.chosen.values()]
    assert found.chosen.seeds == [0, 1, 2]
    assert found.chosen.accuracy_by_seed == pytest.approx(
        [(stored.chosen[seed].argmax(1) == stored.labels).mean() for seed in found.chosen.seeds]
    )
    assert found.test["accuracy"].value == pytest.approx(found.chosen.accuracy_by_seed[0])
    against = [float((logits.argmax(1) == stored.labels).mean()) for logits in stored.control.values()]
    assert found.gain.value == pytest.approx(np.mean(accuracy) - np.mean(against))
    assert found.baselines["forest"].value == pytest.approx((stored.baselines["forest"] == stored.labels).mean())
    sizes = {
        name: figure.value
        for name, figure in [
            ("chosen", found.test["accuracy"]),
            ("control", found.control_test["accuracy"]),
            *found.baselines.items(),
        ]
    }
    assert sizes[found.best] == max(sizes.values())


def test_the_gain_is_proven_over_three_seeds(whole: tuple[Run, Evaluation]) -> None:
    found = whole[1]
    assert found.gain.seeds == 3
    assert found.gain.verdict == "positive"
    assert found.control.converged is True
    assert found.equal_cost is not None
    assert found.equal_cost.transfer_examples_seen == 5 * 60 + 40 * 60
    assert found.equal_cost.value == found.gain.value


def test_a_failed_confirmation_leaves_its_seed_out_and_a_skipped_one_says_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.confirm(1, "full")
    run.confirm(1, "control", row=CandidateResult(strategy="control", status="diverged", reason="loss is NaN"))
    run.confirm(2, "full", poison=True)
    run.confirm(2, "control")
    run.confirm(3, "full", row=CandidateResult(status="skipped"))
    found = run.evaluate()
    assert found.gain.seeds == 1
    assert found.chosen.seeds == found.control.seeds == [0]
    assert found.gain.method.startswith("these two models")
    assert found.gain.verdict == "undecided" or len(found.gain.reasons) > 2
    assert found.notes[0] == "Seed 1 was left out on both sides: control-seed1 ended as 'diverged'"
    assert "Seed 2 was left out" in found.notes[1]
    assert "NaN" in found.notes[1]
    assert len(found.notes) == 2
    assert f"{found.notes[0]}." in found.gain.reasons


def test_a_zero_candidate_stands_for_every_seed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    make_checkpoint(
        run.chosen,
        run.data,
        "pixels-zero",
        strategy="zero",
        digest="sha256:source",
        row=CandidateResult(source="pixels", strategy="zero"),
    )
    run.confirm(1, "control")
    found = run.evaluate()
    assert found.gain.seeds == 2
    assert len(set(found.chosen.accuracy_by_seed)) == 1


def test_a_control_that_still_improved_forbids_positive(tmp_path: Path) -> None:
    run = Run(tmp_path)
    row = CandidateResult(source="pixels", strategy="control", examples_seen=120, converged=False)
    make_checkpoint(run.control, run.data, "control", strategy="control", steps=2, row=row)
    run.confirm(1, "full")
    run.confirm(1, "control")
    found = run.evaluate()
    assert found.control.converged is False
    assert found.gain.verdict != "positive"
    assert found.equal_cost is not None
    assert found.equal_cost.value is None


def test_without_validation_nothing_is_calibrated(tmp_path: Path) -> None:
    found = Run(tmp_path, {"train": 60, "val": 0, "test": 50}).evaluate()
    assert found.calibration.temperature == 1
    assert "not fitted" in found.calibration.fitted_on


def test_a_chosen_model_that_answers_nan_stops_the_run(tmp_path: Path) -> None:
    run = Run(tmp_path)
    make_checkpoint(run.chosen, run.data, "pixels-full", poison=True)
    with pytest.raises(DivergedError, match="pixels-full: 120 of 120 samples"):
        run.evaluate()
    assert not (run.root / "evaluation" / "manifest.json").exists()


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    make_checkpoint(run.control, run.data, "control", strategy="control", seed=9)
    with pytest.raises(RefusedError, match="trained with seed 9"):
        run.evaluate()
    make_checkpoint(run.control, run.data, "control", strategy="control", digest="sha256:other")
    with pytest.raises(RefusedError, match="was trained on dataset sha256:other"):
        run.evaluate()
    make_checkpoint(
        run.control, run.data, "control", strategy="control", row=CandidateResult(status="oom", reason="no memory")
    )
    with pytest.raises(RefusedError, match=r"control ended as 'oom' \(no memory\)"):
        run.evaluate()


def test_an_empty_test_split_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, {"train": 60, "val": 40, "test": 0})
    with pytest.raises(RefusedError, match="test split is empty"):
        run.evaluate()
