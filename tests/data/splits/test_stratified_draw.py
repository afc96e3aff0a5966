from collections import Counter

import numpy as np
import pytest

from graftline.data.dataset import SplitName
from graftline.data.labels.text import text_of_names, text_of_numbers
from graftline.data.splits.class_draw import DrawOptions
from graftline.data.splits.stratified_draw import draw_by_labels, draw_splits


def digest(number: int) -> str:
    return f"{number:064x}"


def single_groups(labels: dict[str, str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(labels)}


def test_splits_have_the_same_distribution_of_numbers() -> None:
    values = np.random.default_rng(0).exponential(size=1000)
    labels = {digest(number): text_of_numbers([value]) for number, value in enumerate(values.tolist())}
    splits = draw_splits("regression", labels, single_groups(labels), {}, DrawOptions(0, 0.15, 0.15))
    assert Counter(splits.values()) == {"train": 700, "val": 150, "test": 150}
    test = np.array([value for number, value in enumerate(values) if splits[digest(number)] == "test"])
    counts = np.histogram(test, np.quantile(values, np.linspace(0, 1, 11)))[0]
    assert counts.tolist() == [15] * 10


def test_splits_have_the_same_label_fractions_and_rare_labels_reach_every_split() -> None:
    is_present = np.random.default_rng(0).random((400, 4)) < np.array([0.6, 0.2, 0.05, 0.01])
    labels = {digest(number): [f"l{k}" for k in np.flatnonzero(row)] for number, row in enumerate(is_present)}
    group_of = {name: number for number, name in enumerate(labels)}
    splits = draw_by_labels(labels, group_of, {}, DrawOptions(0, 0.15, 0.15))
    assert splits.keys() == labels.keys()
    for k in range(4):
        total = int(is_present[:, k].sum())
        counts = Counter(splits[digest(number)] for number in np.flatnonzero(is_present[:, k]))
        assert min(counts["train"], counts["test"]) >= 1
        assert abs(counts["test"] - 0.15 * total) <= 1.5


def test_a_label_with_two_images_has_one_in_train_and_one_in_test() -> None:
    labels = {digest(0): ["a"], digest(1): ["a"], **{digest(number): ["b"] for number in range(2, 30)}}
    group_of = {name: number for number, name in enumerate(labels)}
    splits = draw_by_labels(labels, group_of, {}, DrawOptions(3, 0.15, 0.15))
    assert {splits[digest(0)], splits[digest(1)]} == {"train", "test"}


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_draw_keeps_groups_and_assigned_samples_and_ignores_the_order(task: str) -> None:
    draw = np.random.default_rng(1)
    labels = {
        digest(number): text_of_numbers([number % 17])
        if task == "regression"
        else text_of_names([name for name in "abc" if draw.random() < 0.4])
        for number in range(200)
    }
    group_of = {name: number // 4 for number, name in enumerate(labels)}
    known: dict[str, SplitName] = {digest(number): "test" for number in range(8)}
    options = DrawOptions(0, 0.2, 0.2)
    splits = draw_splits(task, labels, group_of, known, options)
    for group in range(50):
        assert len({splits[name] for name, own in group_of.items() if own == group}) == 1
    assert all(splits[name] == "test" for name in known)
    assert abs(Counter(splits.values())["test"] - 40) <= 16  # four group_of
    turned = dict(reversed(labels.items()))
    assert draw_splits(task, turned, group_of, known, options) == splits


def test_a_fraction_of_zero_draws_no_split() -> None:
    labels = {digest(number): ["a"] * (number % 2) for number in range(20)}
    group_of = {name: number for number, name in enumerate(labels)}
    splits = draw_by_labels(labels, group_of, {}, DrawOptions(0, 0, 0.2))
    assert Counter(splits.values()) == {"train": 16, "test": 4}
