"""Defines the jobs of the steps that evaluate, export, release and report."""

from pydantic import AliasChoices, Field

from graftline.config import Config, Gate
from graftline.config.jobs.base import Job


class EvaluateJob(Job):
    """Job of `evaluate`, which scores the chosen candidate and the control on the test split."""

    delta: float
    seed: int


class ExportJob(Job):
    """Job of `export_onnx`, which exports the chosen checkpoint and compares the outputs on the full test split."""

    batch_sizes: list[int] = [1, 2, 7]
    rtol: float = Field(1e-4, validation_alias=AliasChoices("rtol", "atol"))
    """Maximum difference between ONNX and PyTorch, relative to the largest logit; for regression, in standard
    deviations of the training labels."""


class GateJob(Job):
    """Job of `gate`, which compares the exported model with the thresholds."""

    gate: Gate
    delta: float


class ReleaseJob(Job):
    """Job of `release`, which writes the release folder of a promoted model and copies it to the store, if any."""

    store: str | None
    delta: float
    """Smallest accuracy difference that counts, stated in the model card."""


class ReportJob(Job):
    """Job of `report`, which writes the results of the run to one page."""

    config: Config
