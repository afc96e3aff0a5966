import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from graftline.training.batches.samples import Samples, batch_bounds, shuffled_batches
from tests.builders.training import split


@given(st.integers(1, 300), st.integers(1, 70))
def test_batches_cover_each_image_once_and_none_is_alone(count: int, size: int) -> None:
    bounds = batch_bounds(count, size)
    assert [low for low, _ in bounds] == [0, *[high for _, high in bounds[:-1]]]
    assert bounds[-1][1] == count
    if count > 1 and size > 1:
        assert min(high - low for low, high in bounds) > 1


def test_the_order_follows_the_seed() -> None:
    orders = [
        np.concatenate(list(shuffled_batches(20, 6, torch.Generator().manual_seed(seed)))).tolist()
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(20))


def test_samples_over_two_splits_are_those_splits_joined() -> None:
    first, second = split(2, seed=1), split(3, seed=2)
    both = Samples([first, second])
    images = np.concatenate([first.images, second.images])
    places = np.array([14, 0, 6, 5, 3])
    assert np.array_equal(both.images(places).numpy(), images[places])
    assert both.targets(places).tolist() == np.concatenate([first.labels, second.labels])[places].tolist()
    some = both.subset(np.array([9, 2, 11]))
    assert np.array_equal(some.images(np.array([2, 0])).numpy(), images[[11, 9]])
    assert len(some.subset(np.array([1])).all_samples()) == 15


def test_a_batch_is_a_copy() -> None:
    data = split(2)
    Samples([data]).images(np.array([0])).zero_()
    assert data.images[0].any()
