from collections import Counter

import numpy as np
import pytest

from graftline.data.dataset import SplitName
from graftline.data.labels.text import text_of_names, text_of_numbers
from graftline.data.splits.stratify import draw_labels, draw_task


def digest(number: int) -> str:
    return f"{number:064x}"


def single(label_of: dict[str, str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(label_of)}


def test_numbers_are_spread_alike_over_the_splits() -> None:
    values = np.random.default_rng(0).exponential(size=1000)
    label_of = {digest(number): text_of_numbers([value]) for number, value in enumerate(values.tolist())}
    splits = draw_task("regression", label_of, single(label_of), {}, seed=0, val_fraction=0.15, test_fraction=0.15)
    assert Counter(splits.values()) == {"train": 700, "val": 150, "test": 150}
    test = np.array([value for number, value in enumerate(values) if splits[digest(number)] == "test"])
    counts = np.histogram(test, np.quantile(values, np.linspace(0, 1, 11)))[0]
    assert counts.tolist() == [15] * 10


def test_labels_are_spread_alike_and_rare_ones_reach_every_split() -> None:
    held = np.random.default_rng(0).random((400, 4)) < np.array([0.6, 0.2, 0.05, 0.01])
    labels_of = {digest(number): [f"l{k}" for k in np.flatnonzero(row)] for number, row in enumerate(held)}
    units = {name: number for number, name in enumerate(labels_of)}
    splits = draw_labels(labels_of, units, {}, seed=0, val_fraction=0.15, test_fraction=0.15)
    assert splits.keys() == labels_of.keys()
    for k in range(4):
        total = int(held[:, k].sum())
        have = Counter(splits[digest(number)] for number in np.flatnonzero(held[:, k]))
        assert min(have["train"], have["test"]) >= 1
        assert abs(have["test"] - 0.15 * total) <= 1.5


def test_a_label_of_two_images_has_one_to_train_and_one_to_test() -> None:
    labels_of = {digest(0): ["a"], digest(1): ["a"], **{digest(number): ["b"] for number in range(2, 30)}}
    units = {name: number for number, name in enumerate(labels_of)}
    splits = draw_labels(labels_of, units, {}, seed=3, val_fraction=0.15, test_fraction=0.15)
    assert {splits[digest(0)], splits[digest(1)]} == {"train", "test"}


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_units_stay_whole_known_ones_stay_put_and_order_is_of_no_matter(task: str) -> None:
    draw = np.random.default_rng(1)
    label_of = {
        digest(number): text_of_numbers([number % 17])
        if task == "regression"
        else text_of_names([name for name in "abc" if draw.random() < 0.4])
        for number in range(200)
    }
    unit_of = {name: number // 4 for number, name in enumerate(label_of)}
    known: dict[str, SplitName] = {digest(number): "test" for number in range(8)}
    how = {"seed": 0, "val_fraction": 0.2, "test_fraction": 0.2}
    splits = draw_task(task, label_of, unit_of, known, **how)  # type: ignore[arg-type]
    for unit in range(50):
        assert len({splits[name] for name, own in unit_of.items() if own == unit}) == 1
    assert all(splits[name] == "test" for name in known)
    assert abs(Counter(splits.values())["test"] - 40) <= 16  # four units
    turned = dict(reversed(label_of.items()))
    assert draw_task(task, turned, unit_of, known, **how) == splits  # type: ignore[arg-type]


def test_nothing_is_drawn_where_nothing_is_asked_for() -> None:
    labels_of = {digest(number): ["a"] * (number % 2) for number in range(20)}
    units = {name: number for number, name in enumerate(labels_of)}
    splits = draw_labels(labels_of, units, {}, seed=0, val_fraction=0, test_fraction=0.2)
    assert Counter(splits.values()) == {"train": 16, "test": 4}
