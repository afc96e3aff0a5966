import numpy as np
import pytest
import torch

from graftline.config import Training
from graftline.strategies import bss
from graftline.strategies.bss import BSS
from graftline.strategies.methods.shrinkage import shrinkage
from graftline.training.interface import StrategyInput
from graftline.training.loop.stepper import Stepper
from tests.builders.training import start, task


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)], ids=["few images", "few features"])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_value_and_gradient_are_those_of_numpys_decomposition(shape: tuple[int, int], k: int) -> None:
    """The gradient of s_i^2 is 2 s_i u_i v_i^T."""
    values = np.random.default_rng(0).normal(size=shape)
    u, s, v = np.linalg.svd(values, full_matrices=False)
    features = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    found = shrinkage(features, k)
    found.backward()  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(found.item(), (s[-k:] ** 2).sum(), rtol=1e-4)
    expected = (u[:, -k:] * (2 * s[-k:])) @ v[-k:]
    assert features.grad is not None
    np.testing.assert_allclose(features.grad.numpy(), expected, atol=1e-4)


def test_with_fewer_images_than_k_all_singular_values_count() -> None:
    features = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(shrinkage(features, 5), features.square().sum())


def test_half_precision_is_decomposed_in_32_bits() -> None:
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert shrinkage(features, 1).dtype == torch.float32
    torch.testing.assert_close(shrinkage(features, 1), shrinkage(features.float(), 1))


def test_features_that_are_no_numbers_do_not_end_the_process() -> None:
    assert shrinkage(torch.full((3, 4), torch.nan), 1).item() == 0


def given(eta: float, **training: int) -> StrategyInput:
    made = Training(epochs=15, augment="none", batch_size=6, learning_rate=1e-2, **training)
    return task("bss", start(), classes=["red", "green", "blue"], options=BSS(eta=eta, k=3), training=made)


def spectrum(task_: StrategyInput) -> float:
    trained = bss.train(task_)
    stepper = Stepper(trained.network.eval(), task_.training, trained.contract, task_.device)
    generator = torch.Generator()
    with torch.no_grad():
        inputs = stepper.inputs(task_.train, np.arange(6), generator)
        return float(shrinkage(trained.network.backbone(inputs), 3))


def test_training_shrinks_what_it_holds_down() -> None:
    assert spectrum(given(1.0)) < 0.3 * spectrum(given(0.0))


def test_it_works_on_parts_of_a_batch() -> None:
    assert np.isfinite(spectrum(given(1.0, micro_batch=2)))
