"""The contract of every family in the table: no family is forgotten."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graftline.metrics import METRICS, measure


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_finite_and_independent_of_order(name: str, data: st.DataObject) -> None:
    n, k = data.draw(st.integers(1, 60)), data.draw(st.integers(2, 5))
    logits = data.draw(arrays(np.float32, (n, k), elements=st.floats(-50, 50, width=32)))
    labels = data.draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))
    found = METRICS[name](logits, labels)
    order = np.random.default_rng(0).permutation(n)
    again = METRICS[name](logits[order], labels[order])
    assert all(isinstance(value, float) and np.isfinite(value) for value in found.values())
    assert found == pytest.approx(again, abs=1e-6)


def test_families_share_no_name() -> None:
    logits, labels = np.eye(3, dtype=np.float32), np.arange(3)
    assert len(measure(logits, labels)) == sum(len(family(logits, labels)) for family in METRICS.values())
    assert set(measure(logits, labels)) == {"accuracy", "balanced_accuracy", "macro_precision", "macro_recall",
                                            "macro_f1", "loss", "ece"}
