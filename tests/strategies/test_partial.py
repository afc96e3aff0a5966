from typing import Any

import pytest
import torch

from graftline.config import Small
from graftline.runtime.errors import RefusedError
from graftline.strategies.partial import Partial, train
from graftline.training.interface import StrategyInput
from tests.builders.training import CLASSES, start, task

OTHER = ["red", "green", "blue"]
SOURCE = start(small=Small(widths=[6, 8, 10, 12]))  # conv1 to conv4


def given(classes: list[str] = OTHER, **options: Any) -> StrategyInput:
    return task("partial", SOURCE, classes=classes, options=Partial(**options))


def frozen(network: torch.nn.Module) -> set[str]:
    return {key.split(".")[1] for key, weight in network.named_parameters() if not weight.requires_grad}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"conv1", "conv2"}),
        ({"freeze": 1}, {"conv1"}),
        ({"freeze": 0}, set()),
        ({"freeze": "conv3"}, {"conv1", "conv2", "conv3"}),
        ({"carry": "conv1"}, {"conv1"}),
        ({"carry": 3, "freeze": 3}, {"conv1", "conv2", "conv3"}),
    ],
)
def test_layers_freeze_by_count_or_name(options: dict[str, Any], expected: set[str]) -> None:
    assert frozen(train(given(**options)).network) == expected


def test_layers_that_are_not_carried_are_drawn_anew_and_named() -> None:
    trained = train(given(carry=2, freeze=1))
    assert {key.split(".")[1] for key in trained.reinitialised} == {"conv3", "conv4", "out"}
    assert trained.notes == ["2 of 4 layers transferred, 1 frozen"]


@pytest.mark.parametrize("option", ["carry", "freeze"])
@pytest.mark.parametrize("value", ["conv9", 5])
def test_an_unknown_layer_is_refused_with_the_names(option: str, value: int | str) -> None:
    with pytest.raises(
        RefusedError,
        match=rf"strategies.partial.{option}: {value!r}; expected a count from 0 to 4 or "
        "one of the backbone's layers, from the input: conv1, conv2, conv3, conv4",
    ):
        train(given(**{option: value}))


def test_freezing_what_is_not_carried_is_refused() -> None:
    with pytest.raises(RefusedError, match="freezes 3 layers, 2 are transferred"):
        train(given(carry=2, freeze=3))


def test_the_head_comes_along_with_all_layers_where_classes_are_the_same() -> None:
    trained = train(given(["three", "one", "two"]))
    assert trained.reinitialised == []
    assert "head transferred" in trained.notes[0]
    assert "head.out.weight" in train(given(CLASSES, carry=2, freeze=1)).reinitialised
