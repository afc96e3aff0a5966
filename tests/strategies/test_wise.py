import pytest
import torch

from graftline.config import Training
from graftline.models.devices import as_input
from graftline.models.inputs.preprocessing import prepare
from graftline.strategies import wise
from graftline.strategies.methods import interpolation
from graftline.strategies.methods.interpolation import ALPHAS, Ends, copy_state, estimate_statistics, interpolate
from graftline.strategies.weights.features import converged_head
from graftline.strategies.wise import Wise
from graftline.training.interface import StrategyInput, StrategyResult
from graftline.training.recipe import head_iterations
from graftline.training.validation import Score
from tests.builders.training import start, task

OTHER = ["red", "green", "blue"]
SHUFFLE = start("shufflenet_v2_x0_5", side=32, channels=3)


def run(options: Wise, *, val: int = 4, epochs: int = 2) -> tuple[StrategyInput, StrategyResult]:
    training = Training(epochs=epochs, augment="none", batch_size=8, learning_rate=1e-3)
    given = task("wise", start(), classes=OTHER, training=training, options=options, val=val)
    return given, wise.train(given)


def test_the_ends_are_the_probe_and_the_fine_tune_and_the_middle_their_mean() -> None:
    given, probe = run(Wise(alpha=0))
    _, tuned = run(Wise(alpha=1))
    _, between = run(Wise(alpha=0.3))
    first, last, mean = (each.network.state_dict() for each in (probe, tuned, between))
    found = converged_head(given, head_iterations(len(given.train))).start.network.state_dict()
    assert all(torch.equal(first[key], found[key]) for key in found)
    assert not torch.equal(first["backbone.conv1.weight"], last["backbone.conv1.weight"])
    for key in mean:
        torch.testing.assert_close(mean[key], 0.7 * first[key] + 0.3 * last[key])
    assert "weight of the fine-tuned model: 0.3, as configured" in between.notes


def test_the_ends_keep_their_own_statistics_and_all_between_get_new_ones() -> None:
    given = task("wise", SHUFFLE, classes=OTHER)
    network = converged_head(given, 5).start.network
    ends = Ends(
        copy_state(network),
        {key: value + 0.1 if value.is_floating_point() else value for key, value in network.state_dict().items()},
    )
    for alpha, state in ((0.0, ends.probe), (1.0, ends.tuned)):
        interpolate(given, network, ends, alpha)
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    interpolate(given, network, ends, 0.5)
    key = "backbone.conv1.1.running_mean"
    assert not torch.equal(network.state_dict()[key], ends.probe[key] + 0.05)


def test_estimated_statistics_are_those_of_the_training_images_and_as_many_as_256_of_those_before() -> None:
    given = task("wise", SHUFFLE, classes=OTHER)
    network = converged_head(given, 5).start.network
    kept = 256 / (256 + len(given.train))
    before = {key: value.clone() for key, value in network.backbone.conv1[1].state_dict().items()}  # type: ignore[index, union-attr]
    estimate_statistics(given, network)
    images = as_input(prepare(given.train.images(given.train.indices), given.contract))
    maps = network.backbone.conv1[0](images)  # type: ignore[index, union-attr]
    norm = network.backbone.conv1[1]  # type: ignore[index, union-attr]
    for own, found in (("running_mean", maps.mean((0, 2, 3))), ("running_var", maps.var((0, 2, 3)))):
        wanted = kept * before[own] + (1 - kept) * found
        torch.testing.assert_close(getattr(norm, own), wanted, atol=1e-5, rtol=1e-4)
    assert norm.momentum == 0.1
    assert not any(part.training for part in network.modules())


def test_the_grid_and_its_order() -> None:
    assert sorted(ALPHAS) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
    assert [abs(alpha - 0.5) for alpha in ALPHAS] == sorted(abs(alpha - 0.5) for alpha in ALPHAS)


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [({0.2: 0.9}, 0.2), ({0.0: 0.9, 0.9: 0.9}, 0.9), ({}, 0.5), ({0.1: 0.8, 0.3: 0.8, 1.0: 0.7}, 0.3)],
)
def test_the_best_on_validation_wins_and_of_equals_the_one_nearest_the_middle(
    monkeypatch: pytest.MonkeyPatch, scores: dict[float, float], wanted: float
) -> None:
    asked = iter(ALPHAS)
    monkeypatch.setattr(interpolation, "score", lambda *_: Score(0.5, scores.get(next(asked), 0.5), 0.1, 1.0))
    _, trained = run(Wise())
    assert trained.notes[-1].startswith(f"weight of the fine-tuned model: {wanted:g}, the best on validation: ")
    monkeypatch.undo()
    _, given = run(Wise(alpha=wanted))
    ours, theirs = trained.network.state_dict(), given.network.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_without_validation_it_is_a_half() -> None:
    _, trained = run(Wise(), val=0)
    assert "weight of the fine-tuned model: 0.5, no validation images to choose by" in trained.notes


def test_the_heads_passes_count() -> None:
    given, trained = run(Wise(alpha=0.5))
    head = trained.history[0].examples_seen
    assert trained.history[0].stage == "head"
    assert trained.examples_seen == head + 2 * len(given.train) == trained.history[-1].examples_seen
