"""The layout that Triton and KServe's ONNX runtime load: `<name>/config.pbtxt`, `<name>/1/model.onnx`, labels."""

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
    """Writes the layout beside the release's own files, without a second copy of the model where links are possible.

    Args:
        folder: The model repository, such as `release/serving`.
        name: Of the model; letters, digits, dots, dashes.
        facts: Input shape and classes.
        onnx: The release's model.onnx.
        labels: The release's labels.txt.
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
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, to)
