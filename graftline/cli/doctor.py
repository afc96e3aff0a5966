"""Checks what is installed and reachable; the result of a failed check says what to do."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PACKAGES = (
    "torch",
    "torchvision",
    "kfp",
    "kfp-kubernetes",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "google-cloud-storage",
    "safetensors",
    "scikit-learn",
)
EXTRAS = {"timm": "backbones timm/NAME", "peft": "the strategy lora", "pyarrow": "Parquet tables"}
"""Packages of the extras and the features that need them. The extra of peft is `lora`, that of pyarrow `parquet`."""


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    state: Literal["ok", "missing", "optional"]
    subject: str
    result: str


def checks() -> Iterator[Check]:
    """Checks this machine without changing anything or accessing the network."""
    yield Check("ok" if sys.version_info >= (3, 11) else "missing", "Python", sys.version.split()[0])
    yield from map(_package, PACKAGES)
    yield from (_package(name, needed) for name, needed in EXTRAS.items())
    yield _accelerator()
    yield _shared_memory()
    yield _docker()
    yield _credentials()
    yield _disk()


def _package(name: str, needed: str = "") -> Check:
    try:
        return Check("ok", name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        if needed:
            return Check("optional", name, f"not installed; only needed for {needed}; run `pip install {name}`")
        return Check("missing", name, "not installed; run `make install`")


def _accelerator() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("optional", "GPU", f"none found; {torch.get_num_threads()} CPU threads are used")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Check("ok", "GPU", ", ".join(names))


def _shared_memory() -> Check:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Check("optional", "/dev/shm", "not on this system")
    size = shutil.disk_usage(folder).total / 2**20
    return Check("ok" if size > 64 else "optional", "/dev/shm", f"{size:,.0f} MiB")


def _docker() -> Check:
    path = shutil.which("docker")
    return Check("ok" if path else "optional", "docker", path or "not found; only needed for `run --runner docker`")


def _credentials() -> Check:
    if emulator := os.environ.get("STORAGE_EMULATOR_HOST"):
        return Check("ok", "gs://", f"emulator at {emulator}")
    key = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    default = Path("~/.config/gcloud/application_default_credentials.json").expanduser()
    if key and not Path(key).is_file():
        return Check("missing", "gs://", f"GOOGLE_APPLICATION_CREDENTIALS is {key}, which does not exist")
    if key or default.is_file():
        return Check("ok", "gs://", f"credentials in {key or default}")
    return Check("optional", "gs://", "no credentials; run `gcloud auth application-default login` to use buckets")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Check("ok" if free > 5 else "missing", "disk", f"{free:,.0f} GiB free")
