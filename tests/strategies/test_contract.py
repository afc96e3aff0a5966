"""What every strategy in the table keeps: frozen is frozen, trained is trained, nothing is lost in silence."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graftline.config import Strategy, Training
from graftline.config.strategies import Distill
from graftline.strategies import STRATEGIES
from graftline.strategies.weights.carry import fresh
from graftline.training.contract import NotApplicableError, SourceModel, StrategyInput, StrategyResult
from graftline.training.validation import outputs
from tests.builders.training import CLASSES, OPTIONS, start, task

BACKBONES = {"cnn": 16, "shufflenet_v2_x0_5": 32, "mlp": 16}
"""And the side of the images."""
SERVED = {"stochnorm": ["shufflenet_v2_x0_5"], "lora": ["mlp", "shufflenet_v2_x0_5"]}
"""Backbones of a strategy that cannot serve any, the fastest first."""
CASES = [(name, backbone) for name in STRATEGIES for backbone in SERVED.get(name, ["cnn", "shufflenet_v2_x0_5"])]
MERGED = {"lora"}
"""Strategies that train other numbers than those that change in the end."""
OTHER = ["red", "green", "blue"]
TRAINED = [name for name in STRATEGIES if name != "zero"]


def run(
    name: str, backbone: str, *, classes: list[str] = OTHER, **training: object
) -> tuple[SourceModel, StrategyInput, StrategyResult]:
    source = start(backbone, side=BACKBONES[backbone])
    options = Training(**{"epochs": 2, "augment": "shift", "batch_size": 8, **training})  # type: ignore[arg-type]
    given = task(name, source, classes=classes, training=options, options=asked(name, backbone))
    return source, given, STRATEGIES[name](given)


def asked(name: str, backbone: str) -> Strategy | None:
    """The options; a student where the backbone cannot be made narrower."""
    return Distill(student="cnn") if name == "distill" and backbone == "shufflenet_v2_x0_5" else OPTIONS[name]


def plain(name: str) -> str:
    """The fastest backbone that serves."""
    return SERVED.get(name, ["cnn"])[0]


def source_for(name: str, **options: Any) -> SourceModel:
    return start(plain(name), side=BACKBONES[plain(name)], **options)


def state(network: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_the_table_has_every_strategy_of_the_config() -> None:
    assert set(STRATEGIES) == set(OPTIONS)


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_frozen_stays_bit_for_bit_and_trained_changes(name: str, backbone: str) -> None:
    source, given, trained = run(name, backbone)
    before, after = state(source.network), state(trained.network)
    student = given.options if isinstance(given.options, Distill) else None
    drawn = state(fresh(replace(given, student=student))) if name != "zero" else {}
    weights = dict(trained.network.named_parameters())
    for key, value in after.items():
        if key not in weights:
            continue
        began = drawn[key] if key in trained.reinitialised else before.get(key.replace("head.0.", "head."))
        assert began is not None, f"{key}: neither carried nor named as drawn anew"
        assert torch.equal(value, began) != weights[key].requires_grad, key


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "distill"])  # a student's are all its own
def test_running_statistics_move_only_where_weights_are_trained(name: str) -> None:
    source, given, trained = run(name, "shufflenet_v2_x0_5")
    before, after = state(source.network), state(trained.network)
    drawn = state(fresh(given))
    weights = dict(trained.network.named_parameters())
    statistics = [key for key in after if key.endswith("running_mean")]
    assert statistics
    for key in statistics:
        began = drawn[key] if key in trained.reinitialised else before[key]
        assert torch.equal(after[key], began) != weights[key.replace("running_mean", "weight")].requires_grad, key


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_the_source_is_not_touched(name: str, backbone: str) -> None:
    source = start(backbone, side=BACKBONES[backbone])
    before = state(source.network)
    STRATEGIES[name](task(name, source, classes=OTHER, options=asked(name, backbone)))
    assert all(torch.equal(value, before[key]) for key, value in source.network.state_dict().items())
    assert all(weight.requires_grad for weight in source.network.parameters())


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_weight_is_carried_or_named(name: str) -> None:
    source, _, trained = run(name, plain(name))
    own, theirs = set(trained.network.state_dict()), set(source.network.state_dict())
    if name == "zero":
        assert trained.reinitialised == trained.dropped == []
        return
    assert set(trained.reinitialised) <= own
    assert {"head.out.weight", "head.out.bias"} <= set(trained.reinitialised)
    carried = own - set(trained.reinitialised)
    assert carried | set(trained.dropped) == theirs if name != "control" else not carried


@pytest.mark.parametrize("name", [name for name in TRAINED if name not in ("control", "structure")])
def test_what_became_of_the_heads_rows_is_told(name: str) -> None:
    found = run(name, plain(name), classes=["three", "four"])[2].surgery
    assert sorted([*found.kept, *found.new]) == ["four", "three"]
    assert found.dropped == ["one", "two"]


@pytest.mark.parametrize("name", TRAINED)
def test_one_batch_can_be_overfitted(name: str) -> None:
    source = source_for(name)
    training = Training(epochs=60, augment="none", batch_size=16, learning_rate=5e-3)
    given = task(name, source, a_class=2, classes=OTHER, training=training, longest=6 * 60)
    trained = STRATEGIES[name](given)
    right = trained.predict(given.train).argmax(1).numpy() == given.train.labels
    assert right.mean() == 1


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    first, again = (state(run(name, plain(name))[2].network) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("name", [name for name in TRAINED if name != "feature"])  # a convex fit has one answer
def test_another_seed_gives_other_weights(name: str) -> None:
    source = source_for(name)
    given = task(name, source, classes=OTHER)
    other = copy.copy(given)
    object.__setattr__(other, "seed", 1)
    first, second = (state(STRATEGIES[name](each).network) for each in (given, other))
    assert not torch.equal(first["head.out.weight"], second["head.out.weight"])


@pytest.mark.parametrize("name", STRATEGIES)
def test_predict_is_the_network_and_presentations_are_counted(name: str) -> None:
    _, given, trained = run(name, plain(name))
    network = trained.network
    assert not any(part.training for part in network.modules()) or name not in ("zero", "feature", "control")
    logits = trained.predict(given.val)
    again = outputs(network, given.val, trained.contract, given.device)
    torch.testing.assert_close(logits, again, atol=1e-4, rtol=1e-4)
    assert logits.shape == (len(given.val), len(OTHER))
    assert (trained.examples_seen > 0) == (name != "zero")
    assert trained.examples_seen % len(given.train) == 0
    if name not in MERGED:
        assert trained.trained_parameters == sum(w.numel() for w in network.parameters() if w.requires_grad)
    seen = [point.examples_seen for point in trained.history]
    assert seen == sorted(seen)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("control", "structure")])
def test_random_weights_have_nothing_to_carry(name: str) -> None:
    with pytest.raises(NotApplicableError, match=r"random weights|no trained head"):
        STRATEGIES[name](task(name, source_for(name, strategy="random")))


@pytest.mark.parametrize("name", ["control", "structure"])
def test_what_needs_no_weights_takes_a_random_source(name: str) -> None:
    assert STRATEGIES[name](task(name, source_for(name, strategy="random"))).examples_seen > 0


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_empty_validation_split_will_do(name: str) -> None:
    given = task(name, source_for(name), val=0, classes=CLASSES)
    trained = STRATEGIES[name](given)
    assert np.isfinite(trained.predict(given.train).numpy()).all()


@pytest.mark.parametrize("name", STRATEGIES)
def test_colour_images_meet_a_grey_source(name: str) -> None:
    source = source_for(name, channels=1)
    colour = task(name, source_for(name, channels=3))
    given = copy.copy(colour)
    object.__setattr__(given, "start", source)
    trained = STRATEGIES[name](given)
    assert trained.contract.stored == colour.image_shape
    assert trained.contract.channels == source.manifest.input.channels
    assert trained.predict(given.val).shape == (12, 3)
