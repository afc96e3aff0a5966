"""Baselines without a network: constant predictions, and random forests on color and gradient histograms."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import train_test_split

from graftline.data.dataset import Split
from graftline.data.images.stored_images import Images
from graftline.evaluation.arrays import Floats, Labels

MOST_TRAIN = 5000
TREES = 100
_COLORS = 16  # bins a channel
_ANGLES = 8  # bins over half a turn
_CELLS = 4  # a side
_SIDE = 64  # larger images are averaged down to about this many pixels a side
_VALUES = 2**25  # stored pixel values read at once


def majority(train: Split, test: Split) -> Labels:
    """Predicts the most frequent class of train for every test sample; returns (N,)."""
    return np.full(len(test), int(np.bincount(train.labels).argmax()), np.int64)


def forest(train: Split, test: Split, *, seed: int) -> tuple[Labels, list[str]]:
    """Predicts with a random forest (Breiman 2001) on color and gradient histograms.

    Args:
        train: Trained on; over 5,000 images, on a stratified draw of so many.
        test: Predicted.
        seed: Draws the images and the trees.

    Returns:
        Predicted classes (N,), and notes for the report.
    """
    keep = _draw(np.asarray(train.labels), seed)
    model = RandomForestClassifier(TREES, random_state=seed, n_jobs=-1)
    model.fit(histograms(train.images, keep), train.labels[keep])
    predicted: Labels = model.predict(histograms(test.images, np.arange(len(test)))).astype(np.int64)
    return predicted, _notes(keep, train)


def forest_values(train: Split, test: Split, *, seed: int) -> tuple[NDArray[np.float32], list[str]]:
    """Predicts numbers, or shares of labels, with a forest of regression trees on the same histograms.

    Over labels of 0 and 1 such a tree splits as a classifying one does, by Gini impurity, and answers with shares.

    Args:
        train: Labels (M, D); over 5,000 images, a draw of so many is trained on.
        test: Predicted.
        seed: Draws the images and the trees.

    Returns:
        Predictions (N, D), and notes for the report.
    """
    labels = np.asarray(train.labels, np.float64)
    keep = _draw(np.zeros(len(train), np.int64), seed)
    deviation = labels[keep].std(0)
    deviation[deviation == 0] = 1  # so that no output's unit outweighs the others'
    model = RandomForestRegressor(TREES, max_features=1 / 3, min_samples_leaf=2, random_state=seed, n_jobs=-1)
    targets = labels[keep] / deviation
    model.fit(histograms(train.images, keep), targets if targets.shape[1] > 1 else targets[:, 0])
    predicted = model.predict(histograms(test.images, np.arange(len(test)))).reshape(len(test), -1)
    values: NDArray[np.float32] = (predicted * deviation).astype(np.float32)
    return values, _notes(keep, train)


def histograms(images: Images, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Color histograms (16 bins a channel) and gradient histograms (8 angles in 4 x 4 cells, Dalal and Triggs 2005).

    Args:
        images: (N, C, H, W), perhaps memory-mapped.
        rows: Which of them, rising.

    Returns:
        (len(rows), 16 C + 128); the color part sums to 1 a channel, the gradient part has length 1 (0 where flat).
    """
    size = max(1, _VALUES // max(1, int(np.prod(images.shape[1:]))))
    parts = [_histograms(np.asarray(images[rows[i : i + size]])) for i in range(0, len(rows), size)]
    return np.concatenate(parts)


def _draw(labels: Labels, seed: int) -> NDArray[np.int64]:
    rows = np.arange(len(labels))
    if len(rows) <= MOST_TRAIN:
        return rows
    counts = np.bincount(labels)
    strata = labels if counts[counts > 0].min() > 1 and np.count_nonzero(counts) <= MOST_TRAIN // 2 else None
    kept, _ = train_test_split(rows, train_size=MOST_TRAIN, stratify=strata, random_state=seed)
    return np.sort(np.asarray(kept))


def _notes(keep: NDArray[np.int64], train: Split) -> list[str]:
    if len(keep) == len(train):
        return []
    return [f"The forest was trained on {len(keep):,} of {len(train):,} training images"]


def _histograms(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    step = max(1, min(images.shape[2:]) // _SIDE)
    n, channels, height, width = images.shape
    pooled = (
        images[:, :, : height // step * step, : width // step * step]
        .reshape(n, channels, height // step, step, width // step, step)
        .mean((3, 5), dtype=np.float32)
    )
    return np.concatenate([_colors(pooled), _gradients(pooled.mean(1))], axis=1)


def _colors(images: Floats) -> NDArray[np.float32]:
    n, channels = images.shape[:2]
    bins = np.minimum(images.astype(np.int64) * _COLORS // 256, _COLORS - 1).reshape(n * channels, -1)
    cells = bins + np.arange(n * channels)[:, None] * _COLORS
    counts = np.bincount(cells.ravel(), minlength=n * channels * _COLORS)
    shares: NDArray[np.float32] = (counts / bins.shape[1]).reshape(n, -1).astype(np.float32)
    return shares


def _gradients(gray: Floats) -> NDArray[np.float32]:
    """Neighbor differences; gray (N, H, W) to (N, 128)."""
    across, down = np.gradient(gray, axis=2), np.gradient(gray, axis=1)
    strength = np.hypot(across, down)
    angle = (np.arctan2(down, across) % np.pi * (_ANGLES / np.pi)).astype(np.int64) % _ANGLES
    n, height, width = gray.shape
    row = np.arange(height)[:, None] * _CELLS // height
    column = np.arange(width)[None, :] * _CELLS // width
    cell = (row * _CELLS + column) * _ANGLES + np.arange(n)[:, None, None] * (_CELLS**2 * _ANGLES)
    sums = np.bincount((cell + angle).ravel(), strength.ravel(), minlength=n * _CELLS**2 * _ANGLES).reshape(n, -1)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    directions: NDArray[np.float32] = (sums / np.maximum(length, 1e-6)).astype(np.float32)
    return directions
