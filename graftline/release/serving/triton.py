"""Writes the model repository that Triton and KServe's ONNX runtime load.

The layout is `<name>/config.pbtxt`, `<name>/labels.txt`, and `<name>/1/model.onnx`.
"""

import os
import shutil
from pathlib import Path

from graftline.evaluation.tasks import TASKS
from graftline.release.onnx.model_file import FILE, INPUT, ModelMetadata

_CONFIG = """name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [ {{ name: "{input}", data_type: TYPE_UINT8, dims: [ {shape} ] }} ]
output [
{outputs}
]
dynamic_batching {{ }}
"""


def write(folder: Path, *, name: str, facts: ModelMetadata, onnx: Path, labels: Path) -> None:
    """Writes the model repository of a release.

    `model.onnx` is a hard link if the file system supports it, otherwise a copy.

    Args:
        folder: The model repository, such as `release/serving`.
        name: Name of the model: letters, digits, dots, and dashes.
        facts: Metadata of the model, with its input shape and classes.
        onnx: The release's `model.onnx`.
        labels: The release's `labels.txt`.
    """
    model = folder / name
    (model / "1").mkdir(parents=True)
    shape = ", ".join(map(str, facts.input.stored))
    *most, last = (
        f'  {{ name: "{output}", data_type: TYPE_FP32, dims: [ {len(facts.classes)} ]'
        for output in TASKS[facts.task].onnx_outputs
    )
    outputs = "\n".join([*(f"{output} }}," for output in most), f'{last}, label_filename: "labels.txt" }}'])
    text = _CONFIG.format(name=name, input=INPUT, shape=shape, outputs=outputs)
    (model / "config.pbtxt").write_text(text, encoding="utf-8")
    shutil.copyfile(labels, model / "labels.txt")
    _link(onnx, model / "1" / FILE)


def _link(source: Path, to: Path) -> None:
    try:
        os.link(source, to)
    except OSError:  # on another file system, or hard links are not supported
        shutil.copyfile(source, to)
