"""The shape of a network, read from a source's manifest without importing PyTorch."""

from dataclasses import dataclass

from graftline.config import Small
from graftline.models.checkpoint import CheckpointManifest

Architecture = dict[str, float | int | str]


@dataclass(frozen=True)
class Shape:
    """The backbone and the structure of a network, without its input and its head."""

    backbone: str
    small: Small
    architecture: Architecture


def shape_of(source: CheckpointManifest) -> Shape:
    """Returns the shape of the source's network."""
    return Shape(source.backbone, source.small, source.architecture)
