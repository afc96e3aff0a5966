"""The layout that Triton and KServe's ONNX runtime load: `<name>/config.pbtxt`, `<name>/1/model.onnx`, labels."""

import os
import shutil
from pathlib import Path

from graftline.onnx_file import FILE, INPUT, Facts

_CONFIG = """name: "{name}"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [ {{ name: "{input}", data_type: TYPE_UINT8, dims: [ {shape} ] }} ]
output [
  {{ name: "logits", data_type: TYPE_FP32, dims: [ {classes} ] }},
  {{ name: "probabilities", data_type: TYPE_FP32, dims: [ {classes} ], label_filename: "labels.txt" }}
]
dynamic_batching {{ }}
"""


def write(folder: Path, *, name: str, facts: Facts, onnx: Path, labels: Path) -> None:
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
    text = _CONFIG.format(name=name, input=INPUT, shape=shape, classes=len(facts.classes))
    (model / "config.pbtxt").write_text(text, encoding="utf-8")
    shutil.copyfile(labels, model / "labels.txt")
    _link(onnx, model / "1" / FILE)


def _link(source: Path, to: Path) -> None:
    try:
        os.link(source, to)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, to)
