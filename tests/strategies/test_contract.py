"""What every strategy in the table keeps: frozen is frozen, trained is trained, nothing is lost in silence."""

import copy
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graftline.config import StrategyOptions, TaskName, Training
from graftline.models.objective import Objective
from graftline.runtime.errors import RefusedError
from graftline.strategies import STRATEGIES
from graftline.strategies.record import Strategy
from graftline.strategies.weights.carry import fresh
from graftline.training import recipe
from graftline.training.interface import NotApplicableError, SourceModel, StrategyInput, StrategyResult
from graftline.training.shape import shape_of
from graftline.training.validation import outputs
from tests.builders.training import CLASSES, start, task

BACKBONES = {"cnn": 16, "mlp": 16, "shufflenet_v2_x0_5": 32}
"""Backbones of growing cost, and the side of their images."""
BATCH_NORM, LINEAR = {"shufflenet_v2_x0_5"}, {"mlp", "shufflenet_v2_x0_5"}
"""Backbones with batch norm, and with linear layers or 1x1 convolutions."""
OTHER = ["red", "green", "blue"]
NAMES = list(STRATEGIES)
TRANSFERS = [name for name, strategy in STRATEGIES.items() if strategy.uses_source_weights]
FROM_RANDOM = [name for name in NAMES if name not in TRANSFERS]
TRAINED = [name for name, strategy in STRATEGIES.items() if strategy.profile.trains != "nothing"]
OWN_NETWORK = [name for name, strategy in STRATEGIES.items() if strategy.network is None]


def serves(strategy: Strategy, backbone: str) -> bool:
    return (backbone in BATCH_NORM or not strategy.needs_batch_norm) and (
        backbone in LINEAR or not strategy.needs_linear_layers
    )


def backbones(name: str) -> list[str]:
    """The cheapest and the most expensive backbone that a strategy serves."""
    served = [backbone for backbone in BACKBONES if serves(STRATEGIES[name], backbone)]
    return list(dict.fromkeys([served[0], served[-1]]))


def plain(name: str) -> str:
    """The cheapest backbone that a strategy serves."""
    return backbones(name)[0]


CASES = [(name, backbone) for name in STRATEGIES for backbone in backbones(name)]
EXAMPLES = [
    (name, options) for name, strategy in STRATEGIES.items() for options in strategy.tested if not strategy.is_control
]


def run(
    name: str, backbone: str, *, classes: list[str] = OTHER, **training: object
) -> tuple[SourceModel, StrategyInput, StrategyResult]:
    """Trains with the first of the tested options that fit the backbone."""
    source = start(backbone, side=BACKBONES[backbone])
    chosen = Training(**{"epochs": 2, "augment": "shift", "batch_size": 8, **training})  # type: ignore[arg-type]
    strategy = STRATEGIES[name]
    for number, options in enumerate(strategy.tested, start=1):
        given = task(name, source, classes=classes, training=chosen, options=None if strategy.is_control else options)
        try:
            return source, given, strategy.train(given)
        except RefusedError:
            if number == len(strategy.tested):
                raise
    raise AssertionError("no options to test with")


def source_for(name: str, **options: Any) -> SourceModel:
    return start(plain(name), side=BACKBONES[plain(name)], **options)


def with_network(name: str, given: StrategyInput) -> StrategyInput:
    """The same with the shape of the network that the strategy trains."""
    if given.options is None:
        return given
    return replace(given, network=STRATEGIES[name].shape(given.start.manifest, given.options))


def state(network: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_record_is_complete(name: str) -> None:
    strategy = STRATEGIES[name]
    options = strategy.options()  # type: ignore[call-arg]
    assert strategy.name == options.name == name == strategy.train.__module__.rpartition(".")[2]
    assert strategy.summary.endswith(".")
    for key, field in strategy.options.model_fields.items():
        assert not field.is_required(), f"{key} has no default"
        assert field.description or key == "name", f"{key} has no description"
    assert all(isinstance(example, strategy.options) for example in strategy.tested)
    assert bool(strategy.variants) != bool(strategy.not_raced)
    assert all(variant.reason for variant in strategy.variants)
    assert strategy.tasks


def test_the_ranks_of_all_variants_are_distinct() -> None:
    ranks = sorted(variant.rank for strategy in STRATEGIES.values() for variant in strategy.variants)
    assert ranks == list(range(1, len(ranks) + 1))


def test_the_table_needs_no_torch() -> None:
    program = "import sys; import graftline.strategies.lookup; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(("name", "options"), EXAMPLES, ids=str)
def test_the_recorded_cost_is_what_training_takes(name: str, options: StrategyOptions) -> None:
    strategy = STRATEGIES[name]
    given = task(name, source_for(name), training=Training(epochs=3, augment="none", batch_size=8), options=options)
    trained = strategy.train(given) if options == strategy.tested[0] else train_or_skip(strategy, given)
    profile, images = strategy.profile_for(options), len(given.train)
    recorded = recipe.examples_seen(profile, given.training, images)
    assert trained.examples_seen <= recorded
    assert trained.examples_seen >= recipe.computed(profile, given.training, images)
    if not profile.uses_features:
        assert trained.examples_seen == recorded
    assert strategy.trains_network == any(weight.requires_grad for weight in trained.network.backbone.parameters())
    assert (profile.trains == "nothing") == (trained.trained_parameters == 0)


def train_or_skip(strategy: Strategy, given: StrategyInput) -> StrategyResult:
    try:
        return strategy.train(given)
    except RefusedError as error:
        pytest.skip(f"these options are for other backbones: {error}")


@pytest.mark.parametrize("name", NAMES)
def test_the_network_has_the_recorded_shape(name: str) -> None:
    source, given, trained = run(name, plain(name))
    strategy = STRATEGIES[name]
    shape = shape_of(source.manifest) if given.options is None else strategy.shape(source.manifest, given.options)
    assert (trained.backbone or source.manifest.backbone, trained.small) == (shape.backbone, shape.small)
    assert trained.architecture == shape.architecture


@pytest.mark.parametrize("name", [name for name, strategy in STRATEGIES.items() if strategy.needs_source_head])
def test_a_needed_head_is_missed(name: str) -> None:
    source = source_for(name)
    without = SourceModel(source.network, source.manifest.model_copy(update={"classes": []}))
    with pytest.raises(NotApplicableError, match="no trained head"):
        STRATEGIES[name].train(task(name, without))


@pytest.mark.parametrize("kind", ["regression", "multilabel"])
@pytest.mark.parametrize("name", [name for name, strategy in STRATEGIES.items() if len(strategy.tasks) == 1])
def test_another_task_is_not_applicable(name: str, kind: TaskName) -> None:
    assert kind not in STRATEGIES[name].tasks
    with pytest.raises(NotApplicableError, match=kind):
        STRATEGIES[name].train(task(name, source_for(name), objective=Objective(kind)))


@pytest.mark.parametrize(
    ("name", "backbone"),
    [(name, backbone) for name in STRATEGIES for backbone in BACKBONES if not serves(STRATEGIES[name], backbone)],
)
def test_a_backbone_that_does_not_serve_is_refused(name: str, backbone: str) -> None:
    with pytest.raises(RefusedError, match=rf"strategies\.{name}: .*{backbone}.* expected"):
        STRATEGIES[name].train(task(name, start(backbone, side=BACKBONES[backbone])))


@pytest.mark.parametrize(("name", "backbone"), CASES)
def test_frozen_stays_bit_for_bit_and_trained_changes(name: str, backbone: str) -> None:
    source, given, trained = run(name, backbone)
    before, after = state(source.network), state(trained.network)
    drawn = state(fresh(with_network(name, given))) if name in TRAINED else {}
    weights = dict(trained.network.named_parameters())
    for key, value in after.items():
        if key not in weights:
            continue
        began = drawn[key] if key in trained.reinitialised else before.get(key.replace("head.0.", "head."))
        assert began is not None, f"{key}: neither carried nor named as drawn anew"
        assert torch.equal(value, began) != weights[key].requires_grad, key


@pytest.mark.parametrize("name", OWN_NETWORK)
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
    untouched = state(start(backbone, side=BACKBONES[backbone]).network)
    source, _, _ = run(name, backbone)
    assert all(torch.equal(value, untouched[key]) for key, value in source.network.state_dict().items())
    assert all(weight.requires_grad for weight in source.network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_carried_or_named(name: str) -> None:
    source, _, trained = run(name, plain(name))
    own, theirs = set(trained.network.state_dict()), set(source.network.state_dict())
    if name not in TRAINED:
        assert trained.reinitialised == trained.dropped == []
        return
    assert set(trained.reinitialised) <= own
    assert {"head.out.weight", "head.out.bias"} <= set(trained.reinitialised)
    carried = own - set(trained.reinitialised)
    if name in TRANSFERS:
        assert carried | set(trained.dropped) == theirs
    else:
        assert not carried


@pytest.mark.parametrize("name", [name for name in TRAINED if name in TRANSFERS])
def test_what_became_of_the_heads_rows_is_told(name: str) -> None:
    found = run(name, plain(name), classes=["three", "four"])[2].surgery
    assert sorted([*found.kept, *found.new]) == ["four", "three"]
    assert found.dropped == ["one", "two"]


@pytest.mark.parametrize("name", TRAINED)
def test_one_batch_can_be_overfitted(name: str) -> None:
    source = source_for(name)
    training = Training(epochs=60, augment="none", batch_size=16, learning_rate=5e-3)
    given = task(name, source, a_class=2, classes=OTHER, training=training, longest=6 * 60)
    trained = STRATEGIES[name].train(given)
    right = trained.predict(given.train).argmax(1).numpy() == given.train.labels
    assert right.mean() == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    first, again = (state(run(name, plain(name))[2].network) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(
    "name", [name for name in TRAINED if STRATEGIES[name].trains_network]
)  # a convex fit has one solution
def test_another_seed_gives_other_weights(name: str) -> None:
    source = source_for(name)
    given = task(name, source, classes=OTHER)
    other = copy.copy(given)
    object.__setattr__(other, "seed", 1)
    first, second = (state(STRATEGIES[name].train(each).network) for each in (given, other))
    assert not torch.equal(first["head.out.weight"], second["head.out.weight"])


@pytest.mark.parametrize("name", NAMES)
def test_predict_is_the_network_and_presentations_are_counted(name: str) -> None:
    _, given, trained = run(name, plain(name))
    network = trained.network
    assert not any(part.training for part in network.modules()) or (
        STRATEGIES[name].trains_network and not STRATEGIES[name].is_control
    )
    logits = trained.predict(given.val)
    again = outputs(network, given.val, trained.contract, given.device)
    torch.testing.assert_close(logits, again, atol=1e-4, rtol=1e-4)
    assert logits.shape == (len(given.val), len(OTHER))
    assert (trained.examples_seen > 0) == (name in TRAINED)
    assert trained.examples_seen % len(given.train) == 0
    if not STRATEGIES[name].needs_linear_layers:  # adapters are merged: other numbers are trained
        assert trained.trained_parameters == sum(w.numel() for w in network.parameters() if w.requires_grad)
    seen = [point.examples_seen for point in trained.history]
    assert seen == sorted(seen)


@pytest.mark.parametrize("name", TRANSFERS)
def test_random_weights_have_nothing_to_carry(name: str) -> None:
    with pytest.raises(NotApplicableError, match=r"random weights|no trained head"):
        STRATEGIES[name].train(task(name, source_for(name, strategy="random")))


@pytest.mark.parametrize("name", FROM_RANDOM)
def test_what_needs_no_weights_takes_a_random_source(name: str) -> None:
    assert STRATEGIES[name].train(task(name, source_for(name, strategy="random"))).examples_seen > 0


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_validation_split_will_do(name: str) -> None:
    given = task(name, source_for(name), val=0, classes=CLASSES)
    trained = STRATEGIES[name].train(given)
    assert np.isfinite(trained.predict(given.train).numpy()).all()


@pytest.mark.parametrize("name", NAMES)
def test_color_images_meet_a_grey_source(name: str) -> None:
    source = source_for(name, channels=1)
    color = task(name, source_for(name, channels=3))
    given = copy.copy(color)
    object.__setattr__(given, "start", source)
    trained = STRATEGIES[name].train(given)
    assert trained.contract.stored == color.image_shape
    assert trained.contract.channels == source.manifest.input.channels
    assert trained.predict(given.val).shape == (12, 3)
