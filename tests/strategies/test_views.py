from dataclasses import replace

import numpy as np
import pytest
import torch

from graftline.config import Head, Training
from graftline.selection.crossvalidation import cross_validate
from graftline.strategies import STRATEGIES
from graftline.strategies.feature import Feature
from graftline.strategies.weights import features as head_features
from graftline.training.head import heads, linear
from graftline.training.interface import SourceModel, StrategyInput
from graftline.training.recipe import examples_seen
from graftline.training.validation import folds
from tests.builders.training import start, task


def made(source: SourceModel, views: int, *, hidden: bool = False) -> StrategyInput:
    given = task("feature", source, training=Training(epochs=20, augment="crop", batch_size=8))
    return replace(given, options=Feature(views=views), head=Head(hidden=[8]) if hidden else given.head)


def test_one_view_is_what_there_was_before() -> None:
    given = made(start(), 1)
    plain = head_features.converged_head(replace(given, options=None), 20)
    one = STRATEGIES["feature"].train(given)
    for value, other in zip(one.network.parameters(), plain.start.network.parameters(), strict=True):
        assert torch.equal(value, other)


@pytest.mark.parametrize("hidden", [False, True])
def test_all_views_are_fitted_and_counted(hidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fit_head = heads.fit_head

    def recording(head, data, *given, **more):  # type: ignore[no-untyped-def]
        seen.append((data.features, data.labels))
        return fit_head(head, data, *given, **more)

    monkeypatch.setattr(head_features, "fit_head", recording)
    given = made(start(), 3, hidden=hidden)
    trained = STRATEGIES["feature"].train(given)
    count = len(given.train)
    ((features, labels),) = seen
    assert features.shape[0] == labels.shape[0] == 3 * count
    assert torch.equal(labels[:count], labels[count : 2 * count])
    assert torch.equal(features[:count], head_features.features_of(given, head_features.carried(given), given.train))
    assert not torch.equal(features[count : 2 * count], features[2 * count :])
    assert trained.examples_seen % (3 * count) == 0
    assert (
        0
        < trained.examples_seen
        <= examples_seen(STRATEGIES["feature"].profile_for(Feature(views=3)), given.training, count)
    )
    assert trained.notes[0].endswith(", 3 views")


def test_views_are_drawn_by_the_seed_and_asked_of_the_pool_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = start()
    given = made(source, 3)
    first, again = STRATEGIES["feature"].train(given), STRATEGIES["feature"].train(replace(given, start=start()))
    for value, other in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(value, other)
    kept = len(source.cached_outputs)
    assert kept == 3
    cross_validate(STRATEGIES["feature"].train, given, given.train.all_samples())
    assert len(source.cached_outputs) == kept
    other_seed = STRATEGIES["feature"].train(replace(given, seed=1))
    assert any(
        not torch.equal(one, other)
        for one, other in zip(first.network.parameters(), other_seed.network.parameters(), strict=True)
    )


def test_folds_hold_out_images_not_views() -> None:
    labels = torch.tensor([0, 1] * 10)
    pairs = linear.view_folds(torch.cat([labels] * 4), 4, seed=0)
    assert [held.tolist() for _, held in pairs] == [held.tolist() for _, held in folds(labels.numpy(), 0)]
    for train, held in pairs:
        assert len(train) == 4 * (20 - len(held))
        assert not set(train % 20) & set(held)
        assert np.array_equal(np.sort(train % 20)[::4], np.unique(train % 20))


def test_views_that_do_not_fit_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    given = made(start(), 5)
    size = given.start.network.feature_size * len(given.train.all_samples())
    monkeypatch.setattr(head_features, "ROOM", 2 * size + 1)
    trained = STRATEGIES["feature"].train(given)
    assert trained.notes[0].endswith(", 2 of 5 views, more do not fit into memory")
    assert len(given.start.cached_outputs) == 2
