from typing import Any

import numpy as np
import pytest
import torch

from graftline.data.dataset import Split
from graftline.models.checkpoint import EpochRecord
from graftline.training.batches.samples import Samples
from graftline.training.loop import loop as loops
from graftline.training.loop.fit import fit
from graftline.training.validation import outputs, score
from tests.builders.training import CONTRACT, CPU, small_network, split, training_loop


def wrong(samples: Samples) -> Samples:
    """The same images with other labels: the better training gets, the worse they are told."""
    images = samples.images(np.arange(len(samples))).numpy()
    return Samples([Split(images, (samples.labels + 1) % 3)])


TRAIN, VAL = Samples([split(8)]), Samples([split(4, seed=3)])


def test_the_best_weights_by_validation_are_kept() -> None:
    net, kept = small_network(), []
    run = training_loop(net, patience=4)
    record = run.record

    def monitored(train_loss: float, val: Samples | None) -> EpochRecord:
        point = record(train_loss, val)
        kept.append({key: value.clone() for key, value in net.state_dict().items()})
        return point

    run.record = monitored  # type: ignore[method-assign]
    points = fit(run, TRAIN, wrong(VAL), 30)
    best = max(range(len(points)), key=lambda n: (points[n].val_score, -n))
    assert best < len(points) - 1
    assert all(torch.equal(value, kept[best][key]) for key, value in net.state_dict().items())
    assert not all(torch.equal(value, kept[-1][key]) for key, value in net.state_dict().items())
    now = score(outputs(net, wrong(VAL), CONTRACT, CPU), wrong(VAL).labels)
    assert now.main == points[best].val_score


def test_training_stops_when_patience_is_exhausted() -> None:
    run = training_loop(small_network(), patience=3)
    points = fit(run, TRAIN, wrong(VAL), 60)
    assert len(points) < 30
    assert run.is_finished
    best = max(range(len(points)), key=lambda n: (points[n].val_score, -(points[n].val_loss or 0)))
    assert len(points) - 1 - best >= 3


@pytest.mark.parametrize("val", [None, Samples([split(0)])])
def test_without_validation_it_never_stops_and_keeps_the_last_weights(val: Samples | None) -> None:
    nets = [small_network(), small_network()]
    points = fit(training_loop(nets[0], patience=1), TRAIN, val, 12)
    fit(training_loop(nets[1]), TRAIN, val, 12)
    assert len(points) == 12
    assert all(point.val_score is None for point in points)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("patience", [None, 0])
def test_without_patience_validation_changes_nothing(patience: int | None) -> None:
    nets = [small_network(), small_network()]
    fit(training_loop(nets[0], patience=patience), TRAIN, wrong(VAL), 6)
    fit(training_loop(nets[1]), TRAIN, None, 6)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_with_an_average_the_best_averaged_weights_are_kept() -> None:
    net = small_network()
    options: dict[str, Any] = {"ema": 0.8, "patience": 3}
    points = fit(training_loop(net, **options), TRAIN, wrong(VAL), 30)
    found = score(outputs(net, wrong(VAL), CONTRACT, CPU), wrong(VAL).labels)
    assert found.main == max(point.val_score or 0 for point in points)


def test_validation_runs_once_per_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    plain = loops.outputs
    monkeypatch.setattr(loops, "outputs", lambda *given: looks.append(1) or plain(*given))
    fit(training_loop(small_network(), patience=50), TRAIN, VAL, 5)
    assert len(looks) == 5
