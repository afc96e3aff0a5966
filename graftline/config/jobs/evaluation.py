"""What the steps that judge, export and report are told."""

from graftline.config import Config, Gate
from graftline.config.jobs.base import Job


class EvaluateJob(Job):
    """The chosen candidate and the control on the test split."""

    delta: float
    seed: int


class ExportJob(Job):
    """The chosen checkpoint to ONNX, with parity on the whole test split."""

    batch_sizes: list[int] = [1, 2, 7]
    atol: float = 1e-4


class GateJob(Job):
    """The exported file against the floors."""

    gate: Gate
    delta: float


class ReleaseJob(Job):
    """A promoted file to a release folder, and into the store where there is one."""

    store: str | None
    delta: float
    """Difference in accuracy that counts, for the model card's words."""


class ReportJob(Job):
    """The whole run as one page."""

    config: Config
