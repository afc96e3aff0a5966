"""Metrics: (outputs, labels) -> named numbers, one family per file."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Family = Callable[[NDArray[np.floating], NDArray[Any]], dict[str, float]]
"""Takes outputs (N, K) and labels with N at least 1; returns finite numbers, whatever the samples' order."""
