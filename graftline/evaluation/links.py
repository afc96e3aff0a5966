"""Link functions in numpy: logits to probabilities."""

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Returns the softmax over the last axis, computed in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    shares: NDArray[np.float32] = (shifted / shifted.sum(-1, keepdims=True)).astype(np.float32)
    return shares


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Returns the logistic function, computed in float64."""
    shares: NDArray[np.float32] = (1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))).astype(np.float32)
    return shares
