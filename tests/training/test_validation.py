import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graftline.training.validation import folds, hold_out, score


def logits_for(predictions: list[int], classes: int = 3) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(predictions), classes).float() * 5


def test_balanced_accuracy_is_the_mean_recall() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    found = score(logits_for([0, 0, 0, 1, 1, 0]), labels)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.main == pytest.approx((3 / 4 + 1 / 2) / 2)
    variances = (4 / 6) * (2 / 6) / 4, (2 / 4) * (2 / 4) / 2
    assert found.se == pytest.approx(math.sqrt(sum(variances)) / 2)


def test_all_right_is_not_certain() -> None:
    assert score(logits_for([0, 1, 2]), np.array([0, 1, 2])).se > 0.1


def test_the_loss_is_the_mean_cross_entropy() -> None:
    found = score(torch.zeros(3, 3), np.array([0, 1, 2]))
    assert found.loss == pytest.approx(math.log(3))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.integers(0, 5))
def test_folds_are_stratified_and_disjoint(labels: list[int], seed: int) -> None:
    values = np.array(labels)
    pairs = folds(values, seed)
    held = [place for _, fold in pairs for place in fold.tolist()]
    sizes = np.bincount(values, minlength=5)
    alone = [place for place, label in enumerate(labels) if sizes[label] == 1]
    assert len(held) == len(set(held))
    assert sorted(held + alone) == list(range(len(labels))) or not pairs
    for train, fold in pairs:
        assert not set(train.tolist()) & set(fold.tolist())
        assert len(train) + len(fold) == len(labels)
        assert set(values[fold].tolist()) <= set(values[train].tolist())


@pytest.mark.parametrize(("rarest", "count"), [(1, 5), (2, 2), (3, 3), (4, 4), (5, 5), (9, 5)])
def test_a_rare_class_lowers_the_number_of_folds(rarest: int, count: int) -> None:
    assert len(folds(np.array([0] * 10 + [1] * rarest), 0)) == count


def test_a_class_with_one_sample_is_always_trained_on() -> None:
    labels = np.array([0, 0, 0, 0, 0, 1])
    assert all(5 in train for train, _ in folds(labels, 0))


def test_repeats_deal_anew() -> None:
    labels = np.tile([0, 1], 20)
    pairs = folds(labels, 0, repeats=2)
    assert len(pairs) == 10
    assert sorted(pairs[0][1].tolist()) != sorted(pairs[5][1].tolist())


def test_hold_out_takes_a_fifth_of_each_class() -> None:
    labels = np.repeat([0, 1], [10, 20])
    train, held = hold_out(labels, 0)
    assert np.bincount(labels[held]).tolist() == [2, 4]
    assert len(train) == 24


def test_nothing_to_hold_out() -> None:
    assert len(hold_out(np.array([0, 1, 2]), 0)[1]) == 0
