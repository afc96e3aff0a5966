"""KFP components of the steps: each reads artifacts, calls its step once, and returns digests."""

from graftline.components.decode import decode
from graftline.components.evaluate import evaluate
from graftline.components.export_onnx import export_onnx
from graftline.components.finetune import finetune
from graftline.components.fingerprint import fingerprint
from graftline.components.gate import gate
from graftline.components.halve import halve
from graftline.components.merge import merge
from graftline.components.merge_sources import merge_sources
from graftline.components.plan import plan
from graftline.components.preprocess import preprocess
from graftline.components.pretrain import pretrain
from graftline.components.release import release
from graftline.components.report import report
from graftline.components.select import select

COMPONENTS = {
    "fingerprint": fingerprint,
    "preprocess": preprocess,
    "decode": decode,
    "merge": merge,
    "merge-sources": merge_sources,
    "pretrain": pretrain,
    "plan": plan,
    "finetune": finetune,
    "halve": halve,
    "select": select,
    "evaluate": evaluate,
    "export-onnx": export_onnx,
    "gate": gate,
    "release": release,
    "report": report,
}
"""Components by name, for custom DAGs; `graftline compile` also writes each one as YAML."""
