"""What the target's images give away without any network: the majority class, and a forest on histograms."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from graftline.dataset import Split
from graftline.stored_images import Images

MOST_TRAIN = 5000
TREES = 100
_COLOURS = 16  # bins a channel
_ANGLES = 8  # bins over half a turn
_CELLS = 4  # a side
_SIDE = 64  # larger images are averaged down to about this many pixels a side
_VALUES = 2**25  # stored pixel values read at once

Floats = NDArray[np.floating]
Labels = NDArray[np.int64]


def majority(train: Split, test: Split) -> Labels:
    """Predicts the most frequent class of train for every test sample; returns (N,)."""
    return np.full(len(test), int(np.bincount(train.labels).argmax()), np.int64)


def forest(train: Split, test: Split, *, seed: int) -> tuple[Labels, list[str]]:
    """Predicts with a random forest (Breiman 2001) on colour and gradient histograms.

    Args:
        train: Trained on; over 5,000 images, on a stratified draw of so many.
        test: Predicted.
        seed: Draws the images and the trees.

    Returns:
        Predicted classes (N,), and notes for the report.
    """
    keep = _draw(np.asarray(train.labels), seed)
    part = f"The forest was trained on {len(keep):,} of {len(train):,} training images"
    model = RandomForestClassifier(TREES, random_state=seed, n_jobs=-1)
    model.fit(histograms(train.images, keep), train.labels[keep])
    predicted: Labels = model.predict(histograms(test.images, np.arange(len(test)))).astype(np.int64)
    return predicted, [part] if len(keep) < len(train) else []


def histograms(images: Images, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Colour histograms (16 bins a channel) and gradient histograms (8 angles in 4 x 4 cells, Dalal and Triggs 2005).

    Args:
        images: (N, C, H, W), perhaps memory-mapped.
        rows: Which of them, rising.

    Returns:
        (len(rows), 16 C + 128); the colour part sums to 1 a channel, the gradient part has length 1 (0 where flat).
    """
    size = max(1, _VALUES // max(1, int(np.prod(images.shape[1:]))))
    parts = [_histograms(np.asarray(images[rows[i:i + size]])) for i in range(0, len(rows), size)]
    return np.concatenate(parts)


def _draw(labels: Labels, seed: int) -> NDArray[np.int64]:
    rows = np.arange(len(labels))
    if len(rows) <= MOST_TRAIN:
        return rows
    counts = np.bincount(labels)
    strata = labels if counts[counts > 0].min() > 1 and np.count_nonzero(counts) <= MOST_TRAIN // 2 else None
    kept, _ = train_test_split(rows, train_size=MOST_TRAIN, stratify=strata, random_state=seed)
    return np.sort(np.asarray(kept))


def _histograms(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = max(1, min(images.shape[2:]) // _SIDE)
    n, channels, height, width = images.shape
    pooled = images[:, :, :height // step * step, :width // step * step].reshape(
        n, channels, height // step, step, width // step, step).mean((3, 5), dtype=np.float32)
    return np.concatenate([_colours(pooled), _gradients(pooled.mean(1))], axis=1)


def _colours(images: Floats) -> NDArray[np.float32]:
    n, channels = images.shape[:2]
    bins = np.minimum(images.astype(np.int64) * _COLOURS // 256, _COLOURS - 1).reshape(n * channels, -1)
    cells = bins + np.arange(n * channels)[:, None] * _COLOURS
    counts = np.bincount(cells.ravel(), minlength=n * channels * _COLOURS)
    shares: NDArray[np.float32] = (counts / bins.shape[1]).reshape(n, -1).astype(np.float32)
    return shares


def _gradients(grey: Floats) -> NDArray[np.float32]:
    """Neighbour differences; grey (N, H, W) to (N, 128)."""
    across, down = np.gradient(grey, axis=2), np.gradient(grey, axis=1)
    strength = np.hypot(across, down)
    angle = (np.arctan2(down, across) % np.pi * (_ANGLES / np.pi)).astype(np.int64) % _ANGLES
    n, height, width = grey.shape
    row = np.arange(height)[:, None] * _CELLS // height
    column = np.arange(width)[None, :] * _CELLS // width
    cell = (row * _CELLS + column) * _ANGLES + np.arange(n)[:, None, None] * (_CELLS**2 * _ANGLES)
    sums = np.bincount((cell + angle).ravel(), strength.ravel(), minlength=n * _CELLS**2 * _ANGLES).reshape(n, -1)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    directions: NDArray[np.float32] = (sums / np.maximum(length, 1e-6)).astype(np.float32)
    return directions
