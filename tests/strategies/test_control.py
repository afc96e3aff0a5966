import math
from typing import Any

import pytest
import torch

from graftline.config import Control, Training
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.strategies.control import train
from graftline.strategies.methods import rate_search
from graftline.strategies.methods.rate_search import length_of
from graftline.training.interface import StrategyInput
from graftline.training.validation import outputs, score
from tests.builders.training import start, task


def given(*, longest: int = 18 * 12, control: Control | None = None, **changes: Any) -> StrategyInput:
    training = Training(epochs=1, augment="none", batch_size=8)
    return task(
        "control", start(), training=training, longest=longest, control=control or Control(patience=3), **changes
    )


def test_it_shows_at_least_as_many_images_as_the_longest_candidate() -> None:
    trained = train(given(longest=18 * 30))
    assert trained.examples_seen >= 18 * 30
    assert trained.converged is True


def test_it_tries_each_rate_and_goes_on_with_the_best_on_validation() -> None:
    trained = train(given(control=Control(learning_rates=[1e-7, 3e-3, 1e12], patience=3)))
    assert trained.learning_rate == 3e-3
    assert [note.split(":")[0] for note in trained.notes] == ["rate 1e-07", "rate 0.003", "rate 1e+12"]
    # The winner goes on from where it was: its curve has no gap and counts its first part once.
    seen = [point.examples_seen for point in trained.history]
    assert seen == list(range(seen[0], seen[0] * (len(seen) + 1), seen[0]))


@pytest.mark.parametrize(
    ("scores", "next_rate"),
    [
        ({0.001: 0.5, 0.003: 0.6, 0.01: 0.7}, [pytest.approx(0.03)]),
        ({0.001: 0.7, 0.003: 0.6, 0.01: -math.inf}, [pytest.approx(0.001 / 3)]),
        ({0.001: 0.5, 0.003: 0.7, 0.01: 0.6}, []),
        ({0.001: 0.5, 0.003: 0.7, 0.01: 0.7}, []),
    ],
    ids=["highest", "lowest", "inner", "no better than the next"],
)
def test_where_the_best_rate_is_an_outermost_one_it_looks_further(
    scores: dict[float, float], next_rate: list[float]
) -> None:
    best = max(reversed(scores), key=lambda rate: scores[rate])
    assert rate_search._next_rate(best, scores) == next_rate


def test_a_rate_that_diverges_is_out() -> None:
    trained = train(given(control=Control(learning_rates=[1e12, 3e-3, 1e11], patience=3)))
    assert trained.learning_rate == 3e-3
    assert "rate 1e+12: diverged" in trained.notes


def test_where_every_rate_diverges_so_does_the_control() -> None:
    with pytest.raises(DivergedError, match="rate 1e"):
        train(given(control=Control(learning_rates=[1e12, 1e13, 1e11])))


def test_the_weights_are_those_of_its_best_look() -> None:
    task_ = given()
    trained = train(task_)
    kept = score(outputs(trained.network, task_.val, trained.contract, task_.device), task_.val.labels)
    assert kept.accuracy == max(point.val_accuracy or 0 for point in trained.history)


def test_a_cap_by_hand_makes_it_not_converged() -> None:
    trained = train(given(longest=18 * 50, control=Control(patience=3, max_examples_seen=18 * 6)))
    assert trained.examples_seen == 18 * 6
    assert trained.converged is False
    assert "not converged: stopped at the limit of 108 training images seen" in trained.notes


def test_a_control_that_still_improves_at_its_cap_is_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every look is better than the last one.
    monkeypatch.setattr(rate_search.EarlyStopping, "update", lambda self, *_, **__: True)
    trained = train(given(longest=18 * 3))
    assert trained.converged is False
    assert trained.examples_seen == 10 * 18 * 3


def test_a_late_divergence_keeps_the_best_weights_and_is_not_converged(monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = rate_search.TrainingLoop.epoch

    def late(self: rate_search.TrainingLoop, *rest: Any) -> float:
        if self.examples_seen > 18 * 20:
            raise DivergedError("loss nan in epoch 21, batch 1")
        return epoch(self, *rest)

    monkeypatch.setattr(rate_search.TrainingLoop, "epoch", late)
    trained = train(given(longest=18 * 40, control=Control(patience=3)))
    assert trained.converged is False
    assert "not converged: loss nan in epoch 21, batch 1; the best weights so far are kept" in trained.notes
    assert all(torch.isfinite(weight).all() for weight in trained.network.parameters())


def test_confirmations_use_the_rate_that_was_found() -> None:
    trained = train(given(control_rate=3e-3))
    assert trained.learning_rate == 3e-3
    assert [note for note in trained.notes if note.startswith("rate")] == [
        note for note in trained.notes if note.startswith("rate 0.003")
    ]


def test_without_a_validation_split_a_fifth_of_train_is_held_out() -> None:
    trained = train(given(val=0, a_class=10))
    assert "no validation split: a fifth of train was held out" in trained.notes
    assert trained.examples_seen % 24 == 0


def test_nothing_to_stop_by_is_refused() -> None:
    with pytest.raises(RefusedError, match="no validation images and no class with two"):
        train(given(val=0, a_class=1))


def test_it_does_not_begin_with_the_sources_weights() -> None:
    source = start()
    trained = train(given())
    assert set(trained.reinitialised) == set(source.network.state_dict())
    assert trained.trained_parameters == sum(weight.numel() for weight in source.network.parameters())


def test_its_first_part_and_cap_follow_the_longest() -> None:
    length = length_of(given(longest=18 * 100), 18)
    assert (length.minimum, length.maximum, length.trial, length.interval) == (1800, 18000, 225, 60)


def test_two_runs_are_equal() -> None:
    first, again = (train(given()).network.state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
