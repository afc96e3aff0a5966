import math
from itertools import pairwise

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from graftline.config import Training
from graftline.evaluation.torch_functions import cross_entropy
from graftline.models.network import Network
from graftline.training.batches.mixing import blend, cutmix_box, make_mixer, paste_box
from graftline.training.batches.samples import Samples
from graftline.training.loop.fit import fit
from tests.builders.training import small_network, split, training_loop

LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def images(count: int = 6, side: int = 8) -> Tensor:
    return torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 1, side, side).clone()


def mixed(network: Network, labels: Tensor = LABELS, seed: int = 0, **training: float) -> tuple[Tensor, Tensor]:
    return make_mixer(Training(**training), network)(images(len(labels)), labels, Generator().manual_seed(seed))  # type: ignore[arg-type]


def test_a_blend_is_the_weighted_mean() -> None:
    found = blend(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 0]), 0.7)
    torch.testing.assert_close(found, torch.tensor([[0.7, 0.3], [0.3, 0.7]]))


def test_a_pasted_box_is_the_other_images_and_the_rest_its_own() -> None:
    found = paste_box(images(2, 4), torch.tensor([1, 0]), (1, 3, 0, 2))
    expected = images(2, 4)
    expected[0, :, 1:3, 0:2] = 1
    expected[1, :, 1:3, 0:2] = 0
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("share", "down", "along", "expected"),
    [
        (0.75, 0.5, 0.5, (2, 6, 2, 6)),
        (0.75, 0.0, 1.0, (0, 2, 6, 8)),
        (1.0, 0.5, 0.5, (4, 4, 4, 4)),
        (0.0, 0.5, 0.5, (0, 8, 0, 8)),
    ],
)
def test_a_box_has_the_share_that_is_left_and_is_cut_off_at_the_edge(
    share: float, down: float, along: float, expected: tuple[int, int, int, int]
) -> None:
    assert cutmix_box(8, 8, share, down, along) == expected


def test_mixup_mixes_labels_as_it_mixes_images() -> None:
    inputs, shares = mixed(small_network(), mixup=1.0)
    # Images hold their own place: each mean is share * i + (1 - share) * j, the label likewise of classes i % 3, j % 3.
    assert shares.shape == (6, 3)
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    hard = functional.one_hot(LABELS, 3).float()
    order = torch.randperm(6, generator=_after_one_number(0))
    first = next(number for number in range(6) if order[number] != number)
    share = float((inputs[first, 0, 0, 0] - order[first]) / (first - order[first]))
    assert 0 < share < 1
    torch.testing.assert_close(inputs, share * images() + (1 - share) * images()[order])
    torch.testing.assert_close(shares, share * hard + (1 - share) * hard[order])


def _after_one_number(seed: int) -> Generator:
    generator = Generator().manual_seed(seed)
    torch.randint(2**62, (1,), generator=generator)
    return generator


def test_cutmix_shares_are_the_areas() -> None:
    order = torch.randperm(6, generator=_after_one_number(3))
    inputs, shares = mixed(small_network(), seed=3, cutmix=1.0)
    hard = functional.one_hot(LABELS, 3).float()
    for number, image in enumerate(inputs):
        kept = float((image == number).float().mean()) if order[number] != number else 1.0
        torch.testing.assert_close(shares[number], kept * hard[number] + (1 - kept) * hard[order[number]])
    assert 0 < float((inputs != images()).float().mean()) < 1


def test_where_both_are_set_each_batch_takes_one() -> None:
    seen = set()
    for seed in range(20):
        inputs, _ = mixed(small_network(), seed=seed, mixup=1.0, cutmix=1.0)
        seen.add(bool((inputs == inputs.round()).all()))
    assert seen == {True, False}


def test_the_shares_are_beta_distributed() -> None:
    drawn = []
    for seed in range(400):
        _, shares = mixed(small_network(), torch.tensor([0, 1]), seed=seed, mixup=2.0)
        drawn.append(float(shares[0, 0]))
    middle = [share for share in drawn if share < 1]  # those that were mixed with themselves say nothing
    mean = sum(middle) / len(middle)
    assert mean == pytest.approx(0.5, abs=0.05)
    spread = math.sqrt(sum((share - mean) ** 2 for share in middle) / len(middle))
    assert spread == pytest.approx(math.sqrt(1 / 20), abs=0.03)


def test_values_and_labels_by_themselves_are_mixed_as_they_are() -> None:
    values = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    inputs, found = make_mixer(Training(mixup=1.0), small_network())(images(2), values, Generator().manual_seed(1))
    torch.testing.assert_close(found[:, 1], 10 * found[:, 0])
    torch.testing.assert_close(found[:, 0], 1 + 2 * inputs[:, 0, 0, 0])


@pytest.mark.parametrize("training", [Training(), Training(mixup=0, cutmix=0)])
def test_off_is_off_and_draws_nothing(training: Training) -> None:
    generator = Generator().manual_seed(0)
    before, given = generator.get_state(), images()
    inputs, labels = make_mixer(training, small_network())(given, LABELS, generator)
    assert inputs is given
    assert labels is LABELS
    assert torch.equal(generator.get_state(), before)


def test_a_batch_of_one_stays() -> None:
    inputs, labels = mixed(small_network(), torch.tensor([2]), mixup=1.0)
    assert torch.equal(inputs, images(1))
    assert torch.equal(labels, torch.tensor([2]))


def test_the_generator_alone_says_what_is_drawn() -> None:
    first, again, other = (mixed(small_network(), seed=seed, mixup=1.0, cutmix=1.0)[0] for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_mixed_shares_give_the_mixed_loss() -> None:
    logits, order = torch.randn(6, 3, generator=Generator().manual_seed(0)), torch.tensor([3, 4, 5, 0, 1, 2])
    shares = blend(functional.one_hot(LABELS, 3).float(), order, 0.8)
    expected = 0.8 * cross_entropy(logits, LABELS) + 0.2 * cross_entropy(logits, LABELS[order])
    torch.testing.assert_close(cross_entropy(logits, shares), expected)


def test_a_network_learns_from_mixed_images() -> None:
    train = Samples([split(8)])
    points = fit(training_loop(small_network(), mixup=0.2, cutmix=1.0), train, Samples([split(4, seed=3)]), 15)
    assert points[-1].val_accuracy == 1
    assert any(late.train_loss < early.train_loss for early, late in pairwise(points))
