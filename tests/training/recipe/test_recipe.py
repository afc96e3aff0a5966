from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.config import StrategyOptions, Training
from graftline.data import dataset as datasets
from graftline.strategies.cotuning import CoTuning
from graftline.strategies.feature import Feature
from graftline.strategies.full import Full
from graftline.strategies.l2sp import L2SP
from graftline.strategies.lookup import profile_of
from graftline.strategies.partial import Partial
from graftline.strategies.staged import Staged
from graftline.strategies.structure import Structure
from graftline.strategies.zero import Zero
from graftline.training import recipe
from graftline.training.profile import TrainingProfile
from graftline.training.recipe.choices import CHOICES
from graftline.training.recipe.facts import RecipeInput
from tests.builders import training

CHOSEN: list[StrategyOptions] = [
    Zero(),
    Feature(),
    Feature(views=4),
    Partial(),
    Staged(),
    Full(),
    Structure(),
    L2SP(),
    CoTuning(),
]
PROFILES = [TrainingProfile(), *map(profile_of, CHOSEN)]
BACKBONES = ["mobilenet_v2", "cnn", "mlp", "vit_b_16", "timm/convnext_nano", "timm/vit_tiny_patch16_224"]
BY_HAND: dict[str, Any] = {
    "epochs": 77,
    "learning_rate": 0.02,
    "carried_rate": 0.003,
    "weight_decay": 0.2,
    "augment": "flip",
    "mixup": 0.3,
    "cutmix": 0.4,
    "label_smoothing": 0.05,
    "ema": 0.9,
    "patience": 4,
    "balance": "sampler",
    "resolution": 48,
}

facts = st.builds(
    RecipeInput,
    images=st.integers(1, 2_000_000),
    image_shape=st.sampled_from([(1, 16, 16), (3, 96, 96), (3, 224, 160)]),
    backbone=st.sampled_from(BACKBONES),
    carried=st.booleans(),
    classes=st.integers(1, 1_000),
    ratio=st.floats(1, 1_000),
    val=st.integers(0, 5_000),
    side=st.sampled_from([0, 32, 224]),
    task=st.sampled_from(["classification", "multilabel", "regression"]),
)
optimizers = st.sampled_from(["adamw", "adam", "sgd", "gd", "rmsprop"])


@given(facts, st.sampled_from(PROFILES), optimizers)
def test_every_field_is_filled_and_in_bounds(found: RecipeInput, strategy: TrainingProfile, optimizer: str) -> None:
    training, why = recipe.resolve(Training(optimizer=optimizer), strategy, found)  # type: ignore[arg-type]
    Training.model_validate(training.model_dump())
    assert all(getattr(training, name) is not None for name in CHOICES)
    assert all(": " in line and "\n" not in line and len(line) < 120 for line in why)
    assert training.epochs is not None
    assert 5 <= training.epochs <= 2_000
    assert training.patience == 0 or found.val >= 20
    assert training.ema is not None
    assert training.ema < 1


@given(facts, st.sampled_from(PROFILES))
def test_what_is_set_by_hand_stays_and_is_said(found: RecipeInput, strategy: TrainingProfile) -> None:
    training, why = recipe.resolve(Training(**BY_HAND), strategy, found)
    assert {name: getattr(training, name) for name in BY_HAND} == BY_HAND
    assert all(line.endswith(": set by hand") for line in why)


@given(facts, st.sampled_from(sorted(BY_HAND)))
def test_one_setting_by_hand_leaves_the_others_to_the_recipe(found: RecipeInput, name: str) -> None:
    training, why = recipe.resolve(Training(**{name: BY_HAND[name]}), profile_of(Full()), found)
    assert getattr(training, name) == BY_HAND[name]
    by_hand = [line for line in why if line.endswith("set by hand")]
    assert len(by_hand) == (2 if name == "learning_rate" else 1)
    assert len(why) == len(CHOICES)


@given(facts, st.integers(1, 2_000_000), optimizers, st.booleans(), st.booleans())
def test_more_images_never_take_more_epochs_nor_fewer_steps_than_a_tenth(
    found: RecipeInput, more: int, optimizer: str, small: bool, drawn: bool
) -> None:
    low, high = sorted((found.images, more))
    few, many = (recipe.epochs(images, optimizer, small=small, drawn=drawn) for images in (low, high))
    assert many <= few
    assert many * high >= 0.9 * few * low or optimizer == "gd"


@given(st.integers(1, 2_000_000))
def test_random_weights_and_small_networks_get_more_epochs(images: int) -> None:
    assert recipe.epochs(images) <= recipe.epochs(images, drawn=True) <= recipe.epochs(images, small=True)


@pytest.mark.parametrize(("images", "expected"), [(1, 60), (50, 57), (400, 20), (1_000, 13), (10_000, 5)])
def test_epochs_of_a_fine_tune(images: int, expected: int) -> None:
    assert recipe.epochs(images) == expected


@pytest.mark.parametrize(("images", "expected"), [(50, 60), (1_000, 60), (4_000, 25), (10_000, 20), (60_000, 20)])
def test_head_iterations(images: int, expected: int) -> None:
    assert recipe.head_iterations(images) == expected


@pytest.mark.parametrize(
    ("backbone", "optimizer", "expected"),
    [
        ("mobilenet_v2", "adamw", (1e-3, 2e-4)),
        ("cnn", "adamw", (1e-3, 3e-4)),
        ("vit_b_16", "adamw", (1e-3, 3e-5)),
        ("timm/mobilevit_s", "adamw", (1e-3, 2e-4)),
        ("mobilenet_v2", "sgd", (1e-2, 2e-3)),
        ("mobilenet_v2", "gd", (1e-2, 2e-3)),
    ],
)
def test_carried_layers_learn_slower(backbone: str, optimizer: str, expected: tuple[float, float]) -> None:
    training, _ = recipe.resolve(
        Training(optimizer=optimizer),
        profile_of(Full()),  # type: ignore[arg-type]
        RecipeInput(400, (3, 96, 96), backbone),
    )
    found = recipe.rates(training)
    assert (found.new, found.carried) == pytest.approx(expected)


def test_a_rate_that_was_asked_for_holds_for_all_layers_unless_carried_ones_have_their_own() -> None:
    assert recipe.rates(Training(learning_rate=0.02)) == recipe.Rates(0.02, 0.02)
    assert recipe.rates(Training(learning_rate=0.02, carried_rate=0.01)) == recipe.Rates(0.02, 0.01)
    resolved, _ = recipe.resolve(Training(learning_rate=0.02), profile_of(Full()), RecipeInput(400, (3, 96, 96)))
    assert recipe.rates(resolved) == recipe.Rates(0.02, 0.02)


def test_a_tournaments_factor_is_on_both_rates() -> None:
    found = recipe.rates(Training(rate_factor=3.0))
    assert (found.new, found.carried) == pytest.approx((3e-3, 6e-4))


def _resolved(strategy: StrategyOptions | None = None, training: Training | None = None, **more: Any) -> Training:
    found = RecipeInput(**{"images": 400, "image_shape": (3, 96, 96), **more})
    profile = TrainingProfile() if strategy is None else profile_of(strategy)
    return recipe.resolve(training or Training(), profile, found)[0]


@pytest.mark.parametrize(("side", "expected"), [(16, "shift"), (63, "shift"), (64, "crop"), (224, "crop")])
def test_small_images_are_shifted(side: int, expected: str) -> None:
    assert _resolved(image_shape=(3, side, side)).augment == expected


def test_values_are_not_cropped_away() -> None:
    assert _resolved(task="regression").augment == "shift"


@pytest.mark.parametrize(
    ("images", "backbone", "task", "expected"),
    [
        (19_999, "resnet18", "classification", (0, 0)),
        (20_000, "resnet18", "classification", (0.1, 1)),
        (20_000, "cnn", "classification", (0, 0)),
        (20_000, "resnet18", "regression", (0.1, 0)),
    ],
)
def test_images_are_mixed_from_bits_medium_regime_on(
    images: int, backbone: str, task: str, expected: tuple[float, float]
) -> None:
    found = _resolved(training=Training(epochs=100), images=images, backbone=backbone, task=task)
    assert (found.mixup, found.cutmix) == expected


def test_cutmix_waits_for_long_trainings() -> None:
    assert _resolved(images=50_000).cutmix == 0


@pytest.mark.parametrize(
    ("strategy", "ratio", "optimizer", "expected"),
    [
        (Full(), 1.9, "adamw", "none"),
        (Full(), 2.0, "adamw", "weights"),
        (Full(), 10.0, "adamw", "sampler"),
        (Full(), 10.0, "gd", "weights"),
        (Feature(), 10.0, "adamw", "weights"),
        (CoTuning(), 2.0, "adamw", "sampler"),
    ],
)
def test_balance_goes_by_the_ratio_of_the_classes(
    strategy: StrategyOptions, ratio: float, optimizer: str, expected: str
) -> None:
    training = Training(optimizer=optimizer)  # type: ignore[arg-type]
    assert _resolved(strategy, training, ratio=ratio).balance == expected
    assert _resolved(strategy, training, ratio=ratio, task="multilabel").balance == "none"


def test_labels_are_smoothed_from_ten_classes_on_but_not_for_a_head_alone() -> None:
    assert [_resolved(classes=count).label_smoothing for count in (9, 10)] == [0, 0.1]
    assert _resolved(Feature(), classes=10).label_smoothing == 0


def test_few_steps_are_not_averaged_and_many_over_a_twentieth() -> None:
    assert _resolved(images=64).ema == 0
    assert _resolved(training=Training(epochs=16), images=3_200).ema == pytest.approx(1 - 20 / 1_600)


@pytest.mark.parametrize(("val", "expected"), [(19, 0), (20, 10)])
def test_patience_needs_a_validation_split_to_trust(val: int, expected: int) -> None:
    assert _resolved(val=val).patience == expected


def test_a_strategy_with_a_penalty_of_its_own_has_no_other_decay() -> None:
    assert _resolved(L2SP()).weight_decay == 0
    assert _resolved(Full()).weight_decay == 0.01
    assert _resolved(Structure()).weight_decay == 0.05
    assert _resolved(Full(), Training(optimizer="sgd")).weight_decay == 1e-4


def test_a_features_head_converges_whatever_the_epochs() -> None:
    training, why = recipe.resolve(Training(epochs=3), profile_of(Feature()), RecipeInput(50, (1, 16, 16)))
    assert training.epochs == 60
    assert why[0] == "60 epochs: at most, for a head on the frozen features of 50 images"
    assert not recipe.resolve(Training(), profile_of(Zero()), RecipeInput(50, (1, 16, 16)))[1]


def test_presentations_are_passes_times_images_and_views_count() -> None:
    training = Training(epochs=10)
    assert recipe.examples_seen(profile_of(Zero()), training, 50) == 0
    assert recipe.examples_seen(profile_of(Full()), training, 50) == 500
    assert recipe.examples_seen(profile_of(Feature(views=3)), training, 50) == 1_500
    assert recipe.examples_seen(profile_of(Staged()), training, 50) == 500 + 60 * 50


def test_the_control_finds_its_own_rate_with_an_optimizer_that_its_rates_are_for() -> None:
    given = Training(optimizer="gd", learning_rate=1.0, epochs=2, rate_factor=3.0)
    found, why = recipe.control_training(given, 1_000, RecipeInput(50, (1, 16, 16), "cnn"))
    assert (found.optimizer, found.learning_rate, found.carried_rate, found.rate_factor) == ("adamw", None, None, 1)
    assert (found.epochs, found.augment) == (20, "shift")
    assert why[0] == "at least 20 epochs: the longest candidate shows 1,000 images; rate and end by validation"
    other, _ = recipe.control_training(Training(optimizer="rmsprop"), 1_000, RecipeInput(50, (1, 16, 16), "cnn"))
    assert other.optimizer == "rmsprop"


@given(facts)
def test_the_control_sees_images_as_the_candidates_do_and_ends_by_itself(found: RecipeInput) -> None:
    control, _ = recipe.control_training(Training(), 10 * found.images, found)
    candidate, _ = recipe.resolve(Training(), profile_of(Full()), found)
    for name in ("augment", "mixup", "cutmix", "label_smoothing", "balance", "resolution"):
        assert getattr(control, name) == getattr(candidate, name)
    assert (control.ema, control.patience) == (0, 0)


def test_facts_are_read_off_a_dataset(tmp_path: Path) -> None:
    data = datasets.read(training.artifact(tmp_path / "data", train=6, val=4))
    found = recipe.recipe_input(data, "cnn", training.contract(), carried=True)
    assert found == RecipeInput(18, (1, 16, 16), "cnn", True, 3, 1.0, 4, 16, "classification")


def test_a_class_of_one_image_counts_towards_the_ratio_and_stops_patience(tmp_path: Path) -> None:
    data = datasets.read(training.artifact(tmp_path / "data", train=6, val=4))
    few = np.array([0] * 12 + [1])
    one = type(data)(data.manifest, datasets.Split(data.train.images[:13], few), data.val, data.test)
    assert recipe.recipe_input(one, "cnn", training.contract(), carried=True).ratio == 12
