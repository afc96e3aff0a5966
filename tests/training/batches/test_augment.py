import pytest
import torch

from graftline.training.batches.augment import AUGMENTATIONS, crop, flip, shift


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_augmentation_keeps_shape_type_and_range_and_is_seeded(name: str) -> None:
    images = torch.rand(6, 3, 32, 24)
    once, again = (AUGMENTATIONS[name](images, generator()) for _ in range(2))
    assert once.shape == images.shape
    assert once.dtype == images.dtype
    assert torch.equal(once, again)
    assert once.min() >= images.min() - 1e-5
    assert once.max() <= images.max() + 1e-5


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name != "none"])
def test_each_augmentation_draws_per_image(name: str) -> None:
    one = torch.rand(1, 1, 32, 32).expand(16, 1, 32, 32)
    assert len({tuple(image.flatten().tolist()) for image in AUGMENTATIONS[name](one, generator())}) > 1


def test_shift_moves_by_at_most_an_eighth() -> None:
    images = torch.zeros(200, 1, 16, 16)
    images[:, 0, 8, 8] = 1
    places = shift(images, generator()).flatten(1).argmax(1)
    moves = {(int(place) // 16 - 8, int(place) % 16 - 8) for place in places}
    assert moves == {(y, x) for y in range(-2, 3) for x in range(-2, 3)}


def test_shift_repeats_the_edge() -> None:
    images = torch.full((50, 1, 16, 16), 7.0)
    assert torch.equal(shift(images, generator()), images)


def test_flip_mirrors_about_half_exactly() -> None:
    images = torch.rand(100, 1, 4, 4)
    found = flip(images, generator())
    mirrored = [torch.equal(a, b.flip(2)) and not torch.equal(a, b) for a, b in zip(found, images, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(found, images, strict=True)]
    assert all(a or b for a, b in zip(mirrored, kept, strict=True))
    assert 30 < sum(mirrored) < 70


def test_crop_enlarges_and_stays_inside() -> None:
    # On a ramp from 0 to 1, a box that is cut out spans less than the whole and never leaves it.
    ramp = torch.linspace(0, 1, 64).view(1, 1, 1, 64).expand(100, 1, 64, 64)
    found = crop(ramp, generator())
    spans = found.amax((1, 2, 3)) - found.amin((1, 2, 3))
    assert spans.min() > 0.35 * 3 / 4
    assert spans.max() <= 1
    assert (spans < 0.95).float().mean() > 0.5
    falling = (found[:, 0, 0, 0] > found[:, 0, 0, -1]).float().mean()
    assert 0.3 < falling < 0.7
