"""Labels that are numbers, such as a regression's targets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftline.data.labels.label_type import Labels, LabelType
from graftline.data.labels.text import numbers_of
from graftline.data.stratification import quantile_bins
from graftline.runtime.errors import RefusedError

if TYPE_CHECKING:
    from graftline.data.formats.raw import RawDataset


class Numeric(LabelType):
    """D numbers per sample. The text is their JSON, the array float32 (N, D), in the labels' own units."""

    is_numeric = True

    def to_array(self, texts: Sequence[str], classes: Sequence[str]) -> Labels:
        """Returns the numbers of each label."""
        return np.array([numbers_of(text) for text in texts], np.float32).reshape(len(texts), len(classes))

    def find_fault(self, labels: NDArray[Any], classes: Sequence[str]) -> str | None:
        """Describes numbers that are not finite."""
        return None if bool(np.isfinite(labels).all()) else "numbers that are not finite"

    def strata(self, label_of: Mapping[str, str]) -> dict[str, str]:
        """Maps each digest to the quantile bin of its numbers."""
        digests = sorted(label_of)
        values = np.array([numbers_of(label_of[digest]) for digest in digests])
        return {digest: f"{number:02d}" for digest, number in zip(digests, quantile_bins(values).tolist(), strict=True)}

    def check_raw(self, raw: "RawDataset", location: str) -> None:
        """Refuses labels that are all equal."""
        if len({sample.label for sample in raw.samples}) < 2:
            raise RefusedError(
                f"{location}: all {len(raw.samples):,} images have the same label {raw.samples[0].label}, so "
                "there is nothing to learn; check columns.label"
            )
