import torch

from graftline.config import Head
from graftline.strategies.weights.carry import carried, fresh
from tests.builders.training import CLASSES, start, task


def test_a_new_head_does_not_begin_as_the_sources_did() -> None:
    source = start(seed=0)
    network = fresh(task("full", source))
    assert not torch.equal(network.state_dict()["head.out.weight"], source.network.state_dict()["head.out.weight"])


def test_a_carried_heads_rows_follow_the_names() -> None:
    source = start()
    found = carried(task("full", source, classes=["three", "one"]), head=True)
    rows = source.network.state_dict()["head.out.weight"][[2, 0]]
    assert torch.equal(found.network.state_dict()["head.out.weight"], rows)
    assert found.notes == ["head transferred: every class has a source class of the same name"]


def test_equal_numbers_of_classes_are_not_equal_classes() -> None:
    found = carried(task("full", start(), classes=["red", "green", "blue"]), head=True)
    assert "head.out.weight" in found.transferred.reinitialised
    assert found.notes == []


def test_a_head_of_another_shape_stays_behind() -> None:
    given = task("full", start(), classes=CLASSES, head=Head(hidden=[7]))
    assert "head.out.weight" in carried(given, head=True).transferred.reinitialised


def test_backbone_weights_are_the_sources() -> None:
    source = start()
    found = carried(task("full", source)).network.state_dict()
    assert all(
        torch.equal(found[key], value)
        for key, value in source.network.state_dict().items()
        if key.startswith("backbone.")
    )
