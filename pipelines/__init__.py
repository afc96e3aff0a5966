"""The DAGs: which step's output each step reads, and the hardware it runs on."""

from graftline.pipelines.record import Pipeline
from graftline.pipelines.transfer import TRANSFER

PIPELINES: dict[str, Pipeline] = {pipeline.name: pipeline for pipeline in (TRANSFER,)}
"""Pipelines by name."""
