"""The contract of every problem kind in the table."""

from typing import Any, get_args

import numpy as np
import pytest
import torch

from graftline.config import DEFAULT_TASK
from graftline.config.data import TaskName
from graftline.data.labels import LABEL_TYPES
from graftline.evaluation.result import UNITS
from graftline.evaluation.tasks import TASKS
from graftline.evaluation.tasks.task_kind import TaskKind
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.same_model import ExportedOutputs

kinds = pytest.mark.parametrize("kind", TASKS.values(), ids=lambda kind: kind.name)
N, K = 120, 3


def samples(kind: TaskKind) -> tuple[np.ndarray[Any, Any], Truth]:
    """Outputs of a good model and their truth."""
    rng = np.random.default_rng(0)
    if kind.label_type.is_class:
        labels = rng.integers(0, K, N)
        outputs = 3 * np.eye(K)[labels] + rng.normal(size=(N, K))
    else:
        labels = rng.normal(size=(N, K)) if kind.label_type.is_numeric else (rng.random((N, K)) < 0.4) * 1.0
        outputs = (labels if kind.label_type.is_numeric else 6 * labels - 3) + 0.5 * rng.normal(size=(N, K))
    deviation = labels.std(0) if kind.label_type.is_numeric else np.ones(1)
    return outputs.astype(np.float32), Truth(labels, ["a", "b", "c"], np.ones(1), deviation)


def test_config_and_data_know_the_same_kinds() -> None:
    assert set(get_args(TaskName)) == set(TASKS) == set(LABEL_TYPES) - {"unlabelled"}
    assert DEFAULT_TASK in TASKS


@kinds
def test_the_record_agrees_with_its_label_type_and_names(kind: TaskKind) -> None:
    assert TASKS[kind.name] is kind
    assert LABEL_TYPES[kind.name] is kind.label_type
    assert kind.main_metric in UNITS
    assert kind.loss_names[0] == "cross_entropy"
    assert tuple(kind.losses()) == kind.loss_names
    assert set(kind.closed_form_losses) <= set(kind.loss_names)
    assert (kind.link is None) == (kind.torch_link is None) == (kind.differing_rows is None)
    assert (kind.link is None) == (kind.describe_flip is None) == (kind.distillation_loss is None)
    assert len(kind.onnx_outputs) == (1 if kind.link is None else 2)


@kinds
def test_both_links_give_the_same_probabilities(kind: TaskKind) -> None:
    outputs, _ = samples(kind)
    if kind.link is None or kind.torch_link is None:
        pytest.skip("outputs are values")
    np.testing.assert_allclose(kind.link(outputs), kind.torch_link(torch.from_numpy(outputs)).numpy(), atol=1e-6)


@kinds
def test_metrics_estimates_and_score_agree(kind: TaskKind) -> None:
    outputs, truth = samples(kind)
    measured = kind.measure(outputs, truth.labels)
    estimates, rows = kind.evaluate_metrics(outputs, truth, temperature=1.0, seed=0)
    assert {name: estimate.value for name, estimate in estimates.items()} == pytest.approx(measured)
    assert kind.score(outputs, truth) == pytest.approx(measured[kind.main_metric])
    assert set(kind.summary_metrics) <= set(measured)
    assert [row["class"] for row in rows] == truth.names
    assert all(kind.words.row_metric[0] in row and "examples" in row for row in rows)


@kinds
def test_a_better_model_has_a_positive_difference_and_a_higher_validation_score(kind: TaskKind) -> None:
    outputs, truth = samples(kind)
    worse = outputs[::-1].copy()
    assert kind.difference(outputs[None], worse[None], truth, seed=0).low > 0
    assert (kind.score(outputs, truth) < kind.score(worse, truth)) == kind.lower_is_better
    good, bad = (kind.validation_score(each, truth.labels, truth.deviation) for each in (outputs, worse))
    assert good[1] > bad[1]
    assert good[2] > 0


@kinds
def test_losses_fall_towards_the_labels(kind: TaskKind) -> None:
    outputs, truth = samples(kind)
    labels = torch.from_numpy(truth.labels if kind.label_type.is_class else truth.labels.astype(np.float32))
    for loss in kind.losses().values():
        good, bad = (float(loss(torch.from_numpy(each.copy()), labels, 0.0)) for each in (outputs, outputs[::-1]))
        assert good < bad


@kinds
def test_the_tested_model_passes_the_check_of_the_exported_file_and_another_does_not(kind: TaskKind) -> None:
    outputs, truth = samples(kind)
    stated, rows = kind.evaluate_metrics(outputs, truth, temperature=1.0, seed=0)

    def decisions(exported: np.ndarray[Any, Any]) -> set[str]:
        shares = exported if kind.link is None else kind.link(exported)
        findings, _ = kind.check_exported(ExportedOutputs(exported, shares, outputs, stated, rows, 1.0), truth)
        return {finding.decision for finding in findings}

    assert decisions(outputs.copy()) == {"promote"}
    assert "reject" in decisions(outputs[::-1].copy())


@kinds
def test_flips_are_listed_and_described(kind: TaskKind) -> None:
    outputs, _ = samples(kind)
    if kind.differing_rows is None or kind.describe_flip is None:
        pytest.skip("outputs are values")
    other = outputs.copy()
    other[7] = -other[7]
    assert kind.differing_rows(outputs, other).tolist() == [7]
    margin, text = kind.describe_flip(outputs[7], other[7])
    assert margin > 0
    assert "image 7" in text.format(image=7, runtime="x")
