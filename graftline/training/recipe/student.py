"""What is known of a student without torch: its network's shape, which its control has too, and how long it learns."""

from dataclasses import dataclass

from graftline.config import Small
from graftline.config.strategies import Distill
from graftline.models.checkpoint import CheckpointManifest

PATIENT = 4
"""Passes of a student for each of its teacher's: it begins from random weights, and gains by patience."""

Architecture = dict[str, float | int | str]


@dataclass(frozen=True)
class Shape:
    """What a network is built from, beside its input and its head."""

    backbone: str
    small: Small
    architecture: Architecture


def shape_of(source: CheckpointManifest, student: Distill | None = None) -> Shape:
    """Returns the source's network, or the student's that `distill` would teach.

    Args:
        source: Its manifest.
        student: Names a backbone, or how much narrower than the source the student is.
    """
    if student is None:
        return Shape(source.backbone, source.small, source.architecture)
    if student.student is not None:
        return Shape(student.student, source.small, {})
    width = float(source.architecture.get("width", 1.0)) * student.width
    return Shape(source.backbone, source.small, {**source.architecture, "width": width})
