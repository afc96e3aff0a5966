"""The contract of every family in the table: no family is forgotten."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graftline.evaluation.tasks import TASKS

FAMILIES = [(task, name) for task, kind in TASKS.items() for name in kind.metrics]


def labels_of(task: str, n: int, k: int, data: st.DataObject) -> np.ndarray[Any, Any]:
    if task == "classification":
        return data.draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))
    if task == "multilabel":
        return data.draw(arrays(np.float32, (n, k), elements=st.sampled_from([0.0, 1.0])))
    return data.draw(arrays(np.float32, (n, k), elements=st.floats(-50, 50, width=32)))


@pytest.mark.parametrize(("task", "name"), FAMILIES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_finite_and_independent_of_order(task: str, name: str, data: st.DataObject) -> None:
    n, k = data.draw(st.integers(1, 60)), data.draw(st.integers(1 if task != "classification" else 2, 5))
    outputs = data.draw(arrays(np.float32, (n, k), elements=st.floats(-50, 50, width=32)))
    labels = labels_of(task, n, k, data)
    found = TASKS[task].metrics[name](outputs, labels)
    order = np.random.default_rng(0).permutation(n)
    again = TASKS[task].metrics[name](outputs[order], labels[order])
    assert all(isinstance(value, float) and np.isfinite(value) for value in found.values())
    assert found == pytest.approx(again, abs=1e-6, rel=1e-6)


def test_families_share_no_name() -> None:
    logits, labels = np.eye(3, dtype=np.float32), np.arange(3)
    classification, multilabel, regression = (TASKS[name] for name in ("classification", "multilabel", "regression"))
    assert len(classification.measure(logits, labels)) == sum(
        len(f(logits, labels)) for f in classification.metrics.values()
    )
    assert set(classification.measure(logits, labels)) >= {
        "accuracy",
        "balanced_accuracy",
        "macro_precision",
        "macro_recall",
        "macro_f1",
        "loss",
        "ece",
    }
    assert set(multilabel.measure(logits, np.eye(3))) >= {"macro_ap", "micro_ap", "macro_f1", "exact", "loss", "ece"}
    assert set(regression.measure(logits, np.eye(3))) >= {"rmse", "mae", "r2"}
