"""What every strategy in the table keeps: frozen is frozen, trained is trained, nothing is lost in silence."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from graftline.config import Training
from graftline.strategies import STRATEGIES
from graftline.strategies.carry import fresh
from graftline.training.task import NotApplicableError, Start, Task, Trained
from graftline.training.validation import outputs
from tests.training.tiny import CLASSES, OPTIONS, start, task

BACKBONES = {"cnn": 16, "shufflenet_v2_x0_5": 32}
OTHER = ["red", "green", "blue"]
TRAINED = [name for name in STRATEGIES if name != "zero"]


def run(name: str, backbone: str, *, classes: list[str] = OTHER, **training: object) -> tuple[Start, Task, Trained]:
    source = start(backbone, side=BACKBONES[backbone])
    options = Training(**{"epochs": 2, "augment": "shift", "batch_size": 8, **training})  # type: ignore[arg-type]
    given = task(name, source, classes=classes, training=options)
    return source, given, STRATEGIES[name](given)


def state(network: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_the_table_has_every_strategy_of_the_config() -> None:
    assert set(STRATEGIES) == set(OPTIONS)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_frozen_stays_bit_for_bit_and_trained_changes(name: str, backbone: str) -> None:
    source, given, trained = run(name, backbone)
    before, after = state(source.network), state(trained.network)
    drawn = state(fresh(given)) if name != "zero" else {}
    weights = dict(trained.network.named_parameters())
    for key, value in after.items():
        if key not in weights:
            continue
        began = drawn[key] if key in trained.reinitialised else before.get(key.replace("head.0.", "head."))
        assert began is not None, f"{key}: neither carried nor named as drawn anew"
        assert torch.equal(value, began) != weights[key].requires_grad, key


@pytest.mark.parametrize("name", STRATEGIES)
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


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_source_is_not_touched(name: str, backbone: str) -> None:
    source = start(backbone, side=BACKBONES[backbone])
    before = state(source.network)
    STRATEGIES[name](task(name, source, classes=OTHER))
    assert all(torch.equal(value, before[key]) for key, value in source.network.state_dict().items())
    assert all(weight.requires_grad for weight in source.network.parameters())


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_weight_is_carried_or_named(name: str) -> None:
    source, _, trained = run(name, "cnn")
    own, theirs = set(trained.network.state_dict()), set(source.network.state_dict())
    if name == "zero":
        assert trained.reinitialised == trained.dropped == []
        return
    assert set(trained.reinitialised) <= own
    assert {"head.out.weight", "head.out.bias"} <= set(trained.reinitialised)
    carried = own - set(trained.reinitialised)
    assert carried | set(trained.dropped) == theirs if name != "control" else not carried


@pytest.mark.parametrize("name", TRAINED)
def test_one_batch_can_be_overfitted(name: str) -> None:
    source = start("cnn")
    training = Training(epochs=60, augment="none", batch_size=16, learning_rate=5e-3)
    given = task(name, source, a_class=2, classes=OTHER, training=training, longest=6 * 60)
    trained = STRATEGIES[name](given)
    right = trained.predict(given.train).argmax(1).numpy() == given.train.labels
    assert right.mean() == 1


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    first, again = (state(run(name, "cnn")[2].network) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize("name", [name for name in TRAINED if name != "feature"])  # a convex fit has one answer
def test_another_seed_gives_other_weights(name: str) -> None:
    source = start("cnn")
    given = task(name, source, classes=OTHER)
    other = copy.copy(given)
    object.__setattr__(other, "seed", 1)
    first, second = (state(STRATEGIES[name](each).network) for each in (given, other))
    assert not torch.equal(first["head.out.weight"], second["head.out.weight"])


@pytest.mark.parametrize("name", STRATEGIES)
def test_predict_is_the_network_and_presentations_are_counted(name: str) -> None:
    _, given, trained = run(name, "cnn")
    network = trained.network
    assert not any(part.training for part in network.modules()) or name in ("partial", "staged", "full", "structure")
    logits = trained.predict(given.val)
    again = outputs(network, given.val, trained.contract, given.device)
    torch.testing.assert_close(logits, again, atol=1e-4, rtol=1e-4)
    assert logits.shape == (len(given.val), len(OTHER))
    assert (trained.presentations > 0) == (name != "zero")
    assert trained.presentations % len(given.train) == 0
    assert trained.trained_parameters == sum(w.numel() for w in network.parameters() if w.requires_grad)
    seen = [point.presentations for point in trained.history]
    assert seen == sorted(seen)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("control", "structure")])
def test_random_weights_have_nothing_to_carry(name: str) -> None:
    with pytest.raises(NotApplicableError, match=r"random weights|no trained head"):
        STRATEGIES[name](task(name, start("cnn", strategy="random")))


@pytest.mark.parametrize("name", ["control", "structure"])
def test_what_needs_no_weights_takes_a_random_source(name: str) -> None:
    assert STRATEGIES[name](task(name, start("cnn", strategy="random"))).presentations > 0


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_empty_validation_split_will_do(name: str) -> None:
    given = task(name, start("cnn"), val=0, classes=CLASSES)
    trained = STRATEGIES[name](given)
    assert np.isfinite(trained.predict(given.train).numpy()).all()


@pytest.mark.parametrize("name", STRATEGIES)
def test_colour_images_meet_a_grey_source(name: str) -> None:
    source = start("cnn", channels=1)
    colour = task(name, start("cnn", channels=3))
    given = copy.copy(colour)
    object.__setattr__(given, "start", source)
    trained = STRATEGIES[name](given)
    assert trained.contract.stored == (3, 16, 16)
    assert trained.contract.channels == 1
    assert trained.predict(given.val).shape == (12, 3)
