import numpy as np
import pytest

from graftline.data.dataset import Split
from graftline.evaluation.tasks import baselines


def split(images: np.ndarray, labels: np.ndarray) -> Split:
    return Split(images.astype(np.uint8), labels.astype(np.int64))


def noise(n: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60, (n, *shape))


def test_majority_is_of_train() -> None:
    train = split(noise(5, (1, 8, 8)), np.array([2, 2, 0, 1, 2]))
    test = split(noise(3, (1, 8, 8)), np.array([0, 0, 0]))
    assert baselines.majority(train, test).tolist() == [2, 2, 2]


def test_color_histogram_by_hand() -> None:
    images = np.zeros((1, 2, 4, 4), np.uint8)
    images[0, 1, :2] = 255
    images[0, 1, 2] = 16
    found = baselines.histograms(images, np.arange(1))
    assert found.shape == (1, 2 * 16 + 128)
    assert found[0, 0] == 1
    assert found[0, 16:32].tolist() == [0.25, 0.25, *[0] * 13, 0.5]


@pytest.mark.parametrize(("axis", "angle"), [(2, 4), (3, 0)])
def test_gradient_histogram_knows_directions(axis: int, angle: int) -> None:
    """A ramp from top to bottom has angle pi/2 (bin 4 of 8), one from left to right 0; each cell alike."""
    shape = [1, 1, 1, 1]
    shape[axis] = 16
    images = np.broadcast_to(np.arange(16).reshape(shape) * 10, (1, 1, 16, 16)).astype(np.uint8)
    cells = baselines.histograms(images, np.arange(1))[0, 16:].reshape(16, 8)
    assert cells[:, angle] == pytest.approx(np.full(16, 0.25))
    assert cells.sum() == pytest.approx(4)


def test_flat_images_and_any_size_are_fine() -> None:
    for shape in ((1, 8, 8), (3, 9, 13), (3, 130, 200)):
        found = baselines.histograms(np.full((2, *shape), 7, np.uint8), np.arange(2))
        assert found.shape == (2, 16 * shape[0] + 128)
        assert np.isfinite(found).all()
        assert (found[:, -128:] == 0).all()


def test_forest_learns_colors_and_shapes() -> None:
    labels = np.arange(120) % 3
    images = noise(120, (3, 16, 16))
    images[labels == 1, 0] += 120
    images[labels == 2, :, 6:10, :] += 150
    train, test = split(images[:60], labels[:60]), split(images[60:], labels[60:])
    predicted, notes = baselines.forest(train, test, seed=0)
    assert (predicted == labels[60:]).mean() > 0.9
    assert notes == []


def test_forest_takes_a_stratified_part_of_many_images_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MOST_TRAIN", 60)
    labels = np.array([0] * 150 + [1] * 50)
    train = split(noise(200, (1, 8, 8)), labels)
    assert np.bincount(labels[baselines._draw(labels, 0)]).tolist() == [45, 15]
    predicted, notes = baselines.forest(train, split(train.images[:5], labels[:5]), seed=0)
    assert len(predicted) == 5
    assert notes == ["The forest was trained on 60 of 200 training images"]


def test_same_seed_same_forest() -> None:
    train, test = split(noise(60, (1, 8, 8)), np.arange(60) % 2), split(noise(40, (1, 8, 8), 1), np.arange(40) % 2)
    assert (baselines.forest(train, test, seed=3)[0] == baselines.forest(train, test, seed=3)[0]).all()
