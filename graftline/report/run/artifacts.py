"""A run's artifacts, read together; the report looks at nothing else."""

from dataclasses import dataclass
from pathlib import Path

from graftline.config import Config
from graftline.data import dataset as datasets
from graftline.data.dataset import Dataset
from graftline.evaluation.result import Evaluation, Predictions, read_predictions
from graftline.evaluation.verdict.gate import GateResult
from graftline.models.checkpoint import CheckpointManifest
from graftline.release.onnx.model_file import OnnxManifest
from graftline.runtime import manifest
from graftline.selection.result import Selection


@dataclass(frozen=True)
class Run:
    """Everything that the page and `run.json` are made from."""

    config: Config
    place: Path
    """The dataset artifact's folder, for its sample lines."""
    data: Dataset
    sources: dict[str, CheckpointManifest]
    """By label, in the config's order."""
    selection: Selection
    chosen: CheckpointManifest
    control: CheckpointManifest
    evaluation: Evaluation
    predictions: Predictions
    onnx: OnnxManifest
    gate: GateResult


def read(
    config: Config,
    *,
    dataset: Path,
    sources: Path,
    selection: Path,
    chosen: Path,
    control: Path,
    evaluation: Path,
    onnx: Path,
    gate: Path,
) -> Run:
    """Reads the artifacts of one run.

    Args:
        config: Of the run.
        dataset: The target's.
        sources: plan's folder, `<label>/` a source.
        selection: What `select` wrote.
        chosen: The selected checkpoint.
        control: The control's checkpoint.
        evaluation: Figures and predictions on the test split.
        onnx: The exported file.
        gate: The verdict on it.

    Raises:
        RefusedError: An artifact is not whole.
    """
    return Run(
        config=config,
        place=dataset,
        data=datasets.read(dataset),
        sources=_sources(config, sources),
        selection=manifest.read(selection, Selection),
        chosen=manifest.read(chosen, CheckpointManifest),
        control=manifest.read(control, CheckpointManifest),
        evaluation=manifest.read(evaluation, Evaluation),
        predictions=read_predictions(evaluation),
        onnx=manifest.read(onnx, OnnxManifest),
        gate=manifest.read(gate, GateResult),
    )


def _sources(config: Config, folder: Path) -> dict[str, CheckpointManifest]:
    order = {source.label: i for i, source in enumerate(config.source)}
    labels = [p.parent.name for p in folder.glob(f"*/{manifest.NAME}")]
    labels.sort(key=lambda label: (order.get(label, len(order)), label))
    return {label: manifest.read(folder / label, CheckpointManifest) for label in labels}
