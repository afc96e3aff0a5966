from typing import Any

import pytest
import torch

from graftline.config import Small, Training
from graftline.strategies import staged
from graftline.strategies.methods import stages
from graftline.strategies.staged import Staged
from graftline.training.loop.loop import TrainingLoop
from graftline.training.recipe import head_iterations
from tests.builders.training import start, task

SOURCE = start(small=Small(widths=[6, 8, 10, 12]))
OTHER = ["red", "green", "blue"]


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, set[str], list[float]]]:
    """Notes of each stage: its name, the trained layers, the peak rates."""
    seen: list[tuple[str, set[str], list[float]]] = []
    made = TrainingLoop.__init__

    def noting(self: TrainingLoop, network: Any, groups: Any, *rest: Any, **options: Any) -> None:
        trained = {key.split(".")[1] for key, weight in network.named_parameters() if weight.requires_grad}
        seen.append((rest[2].name, trained, [each.lr for each in groups]))
        made(self, network, groups, *rest, **options)

    monkeypatch.setattr(TrainingLoop, "__init__", noting)
    return seen


def test_layers_join_from_the_top_at_decayed_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch(monkeypatch)
    given = task(
        "staged",
        SOURCE,
        classes=OTHER,
        options=Staged(stages=2, decay=0.5),
        training=Training(epochs=4, augment="none", batch_size=8),
    )
    staged.train(given)
    assert [(name, layers) for name, layers, _ in seen] == [
        ("stage 1", {"conv3", "conv4", "out"}),
        ("stage 2", {"conv1", "conv2", "conv3", "conv4", "out"}),
    ]
    assert seen[0][2] == pytest.approx([2e-4, 2e-4])
    assert seen[1][2] == pytest.approx([2e-4, 2e-4, 1e-4])


def test_the_head_converges_first_and_everything_counts() -> None:
    given = task(
        "staged",
        SOURCE,
        classes=OTHER,
        options=Staged(stages=3),
        training=Training(epochs=5, augment="none", batch_size=8),
    )
    trained = staged.train(given)
    assert [point.stage for point in trained.history] == ["head"] + ["stage 1"] * 2 + ["stage 2"] * 2 + ["stage 3"]
    head = trained.history[0].examples_seen
    assert 0 < head <= head_iterations(18) * 18
    assert trained.examples_seen == head + 5 * 18 == trained.history[-1].examples_seen


@pytest.mark.parametrize(("stages", "epochs"), [(8, 3), (3, 1)])
def test_more_stages_than_layers_or_epochs(stages: int, epochs: int) -> None:
    given = task(
        "staged",
        SOURCE,
        classes=OTHER,
        options=Staged(stages=stages),
        training=Training(epochs=epochs, augment="none", batch_size=8),
    )
    trained = staged.train(given)
    assert all(weight.requires_grad for weight in trained.network.parameters())
    assert trained.examples_seen == trained.history[0].examples_seen + epochs * 18


def test_lower_layers_stand_still_until_their_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SOURCE.network.state_dict()["backbone.conv1.weight"].clone()
    kept: list[bool] = []
    fit = stages.fit

    def looking(loop: TrainingLoop, *rest: Any, **named: Any) -> Any:
        points = fit(loop, *rest, **named)
        kept.append(torch.equal(loop.network.state_dict()["backbone.conv1.weight"], before))
        return points

    monkeypatch.setattr(stages, "fit", looking)
    staged.train(task("staged", SOURCE, classes=OTHER, options=Staged(stages=2)))
    assert kept == [True, False]
