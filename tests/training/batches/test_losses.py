import math

import pytest
import torch
from torch.nn import functional

from graftline.evaluation.tasks import TASKS
from graftline.evaluation.torch_functions import cross_entropy, mse, soft
from graftline.training.batches.losses import squared_norm

CLASS_LOSSES = TASKS["classification"].losses()

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
LABELS = torch.tensor([0, 2])


@pytest.mark.parametrize("name", CLASS_LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_hard_labels_equal_the_same_labels_as_shares(name: str, smoothing: float) -> None:
    hard = CLASS_LOSSES[name](LOGITS, LABELS, smoothing)
    assert CLASS_LOSSES[name](LOGITS, soft(LABELS, 3), smoothing).item() == pytest.approx(hard.item(), rel=1e-6)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_soft_labels_lie_between_the_hard_ones(name: str) -> None:
    shares = torch.tensor([[0.5, 0.5, 0.0]])
    ends = [CLASS_LOSSES[name](LOGITS[:1], torch.tensor([k]), 0.0).item() for k in (0, 1)]
    assert min(ends) < CLASS_LOSSES[name](LOGITS[:1], shares, 0.0).item() < max(ends)


def test_cross_entropy_of_no_knowledge_is_log_k() -> None:
    assert cross_entropy(torch.zeros(4, 10), torch.arange(4)).item() == pytest.approx(math.log(10))


def test_mse_compares_probabilities_with_one_hot_labels() -> None:
    # p = (1/2, 1/2) against (1, 0): 1/4 + 1/4.
    assert mse(torch.zeros(1, 2), torch.tensor([0])).item() == pytest.approx(0.5)


def test_smoothing_spreads_its_share_over_all_classes() -> None:
    assert soft(torch.tensor([1]), 4, 0.2).tolist()[0] == pytest.approx([0.05, 0.85, 0.05, 0.05])


def test_the_articles_lambda_is_n_times_ours() -> None:
    """sum_i loss_i + (n l2) |w|^2 has n times the gradient of mean loss + l2 |w|^2: the same minimum."""
    torch.manual_seed(0)
    n, l2 = 7, 0.03
    features, labels = torch.randn(n, 5), torch.randint(0, 3, (n,))
    weight = torch.randn(3, 5, requires_grad=True)
    article = functional.cross_entropy(features @ weight.T, labels, reduction="sum") + n * l2 * squared_norm([weight])
    ours = cross_entropy(features @ weight.T, labels) + l2 * squared_norm([weight])
    (theirs,), (mine,) = torch.autograd.grad(article, [weight]), torch.autograd.grad(ours, [weight])
    torch.testing.assert_close(theirs, n * mine)


def test_the_norm_is_a_sum_over_all_weights() -> None:
    assert squared_norm([torch.tensor([3.0]), torch.tensor([[1.0, 2.0]])]).item() == 14
