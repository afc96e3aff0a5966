"""Options that several commands share, and the config that they describe."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from graftline.config import Config, file
from graftline.strategies.lookup import resolve_config

ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="YAML config; see docs/config.md.")]
Set = Annotated[list[str], typer.Option("--set", help="Override one key, such as finetune.epochs=5; repeatable.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Output folder.")]
DataArtifact = Annotated[Path, typer.Option("--data", help="Dataset artifact, the output of `graftline preprocess`.")]
Checkpoint = Annotated[Path, typer.Option("--checkpoint", help="Checkpoint artifact.")]
Evaluation = Annotated[Path, typer.Option("--evaluation", help="Metrics artifact, the output of `graftline evaluate`.")]
Exported = Annotated[Path, typer.Option("--onnx", help="ONNX artifact, the output of `graftline export-onnx`.")]
GateResult = Annotated[Path, typer.Option("--gate", help="Gate artifact, the output of `graftline gate`.")]


def load_config(path: Path | None, overrides: list[str], base: dict[str, Any] | None = None) -> Config:
    """Loads the config of a command; without a file, from `base`, or the embedded demo if that is None."""
    demo = resources.files("graftline.cli").joinpath("demo.yaml").read_text(encoding="utf-8")
    default = base if base is not None else {} if path else yaml.safe_load(demo)
    return resolve_config(file.load(path, overrides, default), where=str(path or "config"))


def load_for_artifact(path: Path | None, overrides: list[str], data: Path | str) -> Config:
    """Loads the config of a step on its own, whose target is `data`."""
    return load_config(path, overrides, {"target": {"data": str(data)}})
