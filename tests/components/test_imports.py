"""Importing torch takes seconds, so steps that do not need it and the DAGs do not import it.

The import contracts of `make lint-imports` check the same on the source; these tests check a fresh process.
"""

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_TORCH = [
    "fingerprint",
    "preprocess",
    "decode",
    "merge",
    "merge_sources",
    "plan",
    "select",
    "gate",
    "release",
    "report",
]


def loaded(code: str, *arguments: str) -> set[str]:
    """Modules that a fresh Python holds after running `code`."""
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('loaded', *sys.modules)", *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return set(told.splitlines()[-1].split())


@pytest.mark.parametrize("step", WITHOUT_TORCH)
def test_a_step_without_torch_does_not_import_it(step: str):
    modules = loaded(f"from graftline.steps.{step} import {step}")
    assert not modules & {"torch", "torchvision", "kfp"}


def test_the_dags_import_kfp_and_never_torch():
    modules = loaded("import graftline.pipelines.local.run, graftline.pipelines.cluster.compile, graftline.components")
    assert "kfp" in modules
    assert not modules & {"torch", "torchvision", "sklearn", "onnxruntime"}


def test_making_a_dataset_needs_no_torch(tmp_path: Path):
    modules = loaded(
        "from pathlib import Path\nfrom graftline.config import Config\n"
        "from graftline.steps.fingerprint import fingerprint\nfrom graftline.steps.preprocess import preprocess\n"
        "jobs = fingerprint(Config.model_validate({'target': {'data': 'builtin:digits/scanned'}}))\n"
        "preprocess(jobs.target, out=Path(sys.argv[1]) / 'dataset')",
        str(tmp_path),
    )
    assert "torch" not in modules
