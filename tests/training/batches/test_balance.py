from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator
from torch.nn import functional

from graftline.config import Training
from graftline.data.dataset import Split
from graftline.evaluation.tasks import TASKS
from graftline.models.objective import Objective
from graftline.training.batches.balance import class_weights, training_batches, training_loss, weighted_loss
from graftline.training.batches.samples import Samples, shuffled_batches
from graftline.training.head.heads import FeatureSet, fit_head
from graftline.training.loop.fit import fit
from graftline.training.loop.loop_state import capture_state, restore_state
from graftline.training.progress import Progress
from tests.builders.training import constant_schedule, small_network, split, training_loop


def uneven() -> Samples:
    whole = split(20)
    rows = np.concatenate([np.flatnonzero(whole.labels == k)[:count] for k, count in enumerate((20, 4, 1))])
    return Samples([Split(whole.images[rows], whole.labels[rows])])


def test_weights_are_n_over_k_times_the_classs_count() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3])
    torch.testing.assert_close(class_weights(labels), torch.tensor([10 / 18, 10 / 9, 1, 10 / 3]))
    assert float(class_weights(labels)[labels].mean()) == pytest.approx(1)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_weighted_loss_is_the_mean_of_weight_times_loss(loss: str) -> None:
    logits, labels = torch.randn(5, 3, generator=Generator().manual_seed(0)), torch.tensor([0, 0, 1, 2, 2])
    weights = torch.tensor([0.5, 2.0, 3.0])
    each = [
        weights[label] * TASKS["classification"].losses()[loss](logits[n : n + 1], labels[n : n + 1], 0.1)
        for n, label in enumerate(labels)
    ]
    torch.testing.assert_close(weighted_loss(loss, logits, labels, 0.1, weights), torch.stack(each).mean())
    shares = functional.one_hot(labels, 3).float()
    torch.testing.assert_close(weighted_loss(loss, logits, shares, 0.1, weights), torch.stack(each).mean())


def test_the_weighted_loss_is_torchs_weighted_cross_entropy() -> None:
    logits, labels = torch.randn(5, 3, generator=Generator().manual_seed(0)), torch.tensor([0, 0, 1, 2, 2])
    weights = torch.tensor([0.5, 2.0, 3.0])
    theirs = functional.cross_entropy(logits, labels, weights, reduction="sum") / 5
    torch.testing.assert_close(weighted_loss("cross_entropy", logits, labels, 0.0, weights), theirs)
    plain = TASKS["classification"].losses()["cross_entropy"](logits, labels, 0.0)
    torch.testing.assert_close(weighted_loss("cross_entropy", logits, labels, 0.0, torch.ones(1)), plain)
    torch.testing.assert_close(training_loss("cross_entropy", Objective(), None)(logits, labels, 0.0), plain)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any), st.integers(1, 9))
def test_the_sampler_draws_all_classes_equally_often(counts: list[int], size: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate(list(training_batches(labels, size, Generator().manual_seed(0), "sampler")))
    assert len(places) == len(labels)
    shown = np.bincount(labels[places], minlength=len(counts))[np.array(counts) > 0]
    assert shown.max() - shown.min() <= 1
    for label, count in enumerate(counts):  # none comes a third time before all came twice
        times = np.bincount(places[labels[places] == label], minlength=len(labels))[labels == label]
        assert count == 0 or times.max() - times.min() <= 1


@pytest.mark.parametrize("balance", [None, "none", "weights"])
def test_without_a_sampler_the_order_is_that_of_shuffled_batches(balance: str | None) -> None:
    labels = np.repeat(np.arange(3), 5)
    found = training_batches(labels, 4, Generator().manual_seed(7), balance)
    plain = shuffled_batches(15, 4, Generator().manual_seed(7))
    assert all((one == other).all() for one, other in zip(found, plain, strict=True))


@pytest.mark.parametrize("balance", ["sampler", "weights"])
def test_an_epoch_resumed_in_the_middle_gives_the_same_weights(balance: Any) -> None:
    train, cells = uneven(), []
    options: dict[str, Any] = {"balance": balance, "mixup": 0.4, "augment": "shift", "batch_size": 4}
    whole, broken = training_loop(small_network(), **options), training_loop(small_network(1), seed=9, **options)

    def keep() -> None:
        if whole.batches_done == 3 and not cells:
            entry = capture_state(whole)
            cells.append(type(entry)(entry.values, {k: v.detach().clone() for k, v in entry.tensors.items()}))

    whole.epoch(train, constant_schedule, keep)
    restore_state(broken, cells[0])
    broken.epoch(train, constant_schedule)
    for one, other in zip(whole.network.parameters(), broken.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("balance", ["sampler", "weights"])
def test_rare_classes_are_learned(balance: Any) -> None:
    recalls = {}
    for way in ("none", balance):
        made = training_loop(small_network(), balance=way, lr=1e-3)
        points = fit(made, uneven(), Samples([split(20, seed=3)]), 5)
        recalls[way] = points[-1].val_score
    assert recalls[balance] > recalls["none"]


def test_validation_weighs_each_image_alike() -> None:
    train, val = uneven(), Samples([split(4, seed=3)])
    losses = []
    for balance in ("none", "weights"):
        made = training_loop(small_network(), balance=balance)
        losses.append(made.record(0.0, val).val_loss)
    assert losses[0] == losses[1]
    assert len(train) == 25


@pytest.mark.parametrize("hidden", [False, True])
def test_a_head_on_features_is_balanced_too(hidden: bool) -> None:
    draw = Generator().manual_seed(0)
    labels = torch.tensor([0] * 180 + [1] * 20)
    features = torch.randn(200, 4, generator=draw) + 0.7 * labels[:, None]
    recall = {}
    for balance in ("none", "weights", "sampler"):
        torch.manual_seed(0)
        layers = [torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)] if hidden else [torch.nn.Linear(4, 2)]
        head = torch.nn.Sequential(*layers)
        fit_head(
            head, FeatureSet(features, labels), Training(balance=balance), iterations=30, seed=0, progress=Progress(1)
        )  # type: ignore[arg-type]
        recall[balance] = float((head(features[180:]).argmax(1) == 1).float().mean())
    assert recall["weights"] == recall["sampler"] > recall["none"] + 0.2
