import pytest

from graftline.config import Feature, Full, Staged, Training, Zero
from graftline.training import recipe


@pytest.mark.parametrize(("images", "expected"), [(1, 60), (50, 57), (400, 20), (10_000, 5), (60_000, 5)])
def test_epochs_shrink_with_the_data(images: int, expected: int) -> None:
    assert recipe.epochs(images) == expected


def test_gd_gets_ten_times_the_passes() -> None:
    assert recipe.epochs(400, "gd") == 200


@pytest.mark.parametrize(("images", "expected"), [(50, 60), (1_000, 60), (4_000, 25), (10_000, 20), (60_000, 20)])
def test_head_iterations(images: int, expected: int) -> None:
    assert recipe.head_iterations(images) == expected


@pytest.mark.parametrize(("optimizer", "rates"), [("adamw", (1e-3, 1e-4)), ("rmsprop", (1e-3, 1e-4)),
                                                  ("sgd", (1e-2, 1e-3)), ("gd", (1e-2, 1e-3))])
def test_new_layers_learn_ten_times_faster(optimizer: str, rates: tuple[float, float]) -> None:
    found = recipe.rates(Training(optimizer=optimizer))
    assert (found.new, found.carried) == pytest.approx(rates)


def test_a_rate_that_was_asked_for_holds_for_all_layers() -> None:
    assert recipe.rates(Training(learning_rate=0.02)) == recipe.Rates(0.02, 0.02)


@pytest.mark.parametrize(("side", "expected"), [(16, "shift"), (63, "shift"), (64, "crop"), (224, "crop")])
def test_small_images_are_shifted(side: int, expected: str) -> None:
    assert recipe.augmentation((3, side, side)) == expected


def test_resolve_fills_in_epochs_and_augmentation() -> None:
    found = recipe.resolve(Training(), Full(), 400, (3, 96, 96))
    assert (found.epochs, found.augment, found.learning_rate) == (20, "crop", None)
    assert recipe.resolve(Training(epochs=3, augment="flip"), Full(), 400, (3, 96, 96)).epochs == 3


def test_a_features_head_converges_whatever_the_epochs() -> None:
    assert recipe.resolve(Training(epochs=3), Feature(), 50, (1, 16, 16)).epochs == 60


def test_presentations_are_passes_times_images() -> None:
    training = Training(epochs=10)
    assert recipe.presentations(Zero(), training, 50) == 0
    assert recipe.presentations(Full(), training, 50) == 500
    assert recipe.presentations(Staged(), training, 50) == 500 + 60 * 50


def test_the_control_finds_its_own_rate_with_an_optimizer_that_its_rates_are_for() -> None:
    found = recipe.control_training(Training(optimizer="gd", learning_rate=1.0, epochs=2), 1_000, 50, (1, 16, 16))
    assert (found.optimizer, found.learning_rate, found.epochs, found.augment) == ("adamw", None, 20, "shift")
    assert recipe.control_training(Training(optimizer="rmsprop"), 1_000, 50, (1, 16, 16)).optimizer == "rmsprop"
