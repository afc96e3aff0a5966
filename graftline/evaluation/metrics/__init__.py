"""Computes metrics: each function maps outputs and labels to named values, with one family of metrics per file."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Family = Callable[[NDArray[np.floating], NDArray[Any]], dict[str, float]]
"""Function from outputs (N, K) and labels, N at least 1, to finite values that do not depend on the sample order."""
