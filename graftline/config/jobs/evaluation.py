"""Jobs of the steps that evaluate, export, release and report."""

from pydantic import AliasChoices, Field

from graftline.config import Config, Gate
from graftline.config.jobs.base import Job


class EvaluateJob(Job):
    """Job of `evaluate`: scores of the chosen candidate and the control on the test split."""

    delta: float
    seed: int


class ExportJob(Job):
    """Job of `export_onnx`: ONNX export of the chosen checkpoint, compared with it on the full test split."""

    batch_sizes: list[int] = [1, 2, 7]
    rtol: float = Field(1e-4, validation_alias=AliasChoices("rtol", "atol"))
    """Maximum difference between ONNX and PyTorch, relative to the largest logit; for regression, in standard
    deviations of the training labels."""


class GateJob(Job):
    """Job of `gate`: the exported model compared with the thresholds."""

    gate: Gate
    delta: float


class ReleaseJob(Job):
    """Job of `release`: the release folder of a promoted model, copied to the store if there is one."""

    store: str | None
    delta: float
    """Margin of accuracy, for the text of the model card."""


class ReportJob(Job):
    """Job of `report`: the results of the run as one page."""

    config: Config
