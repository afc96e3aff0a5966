"""What is installed, what is reachable, what is missing; each line says what to do."""

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
"""Packages that an extra brings, and what needs them; the extra of peft is `lora`, of pyarrow `parquet`."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    state: Literal["ok", "missing", "optional"]
    what: str
    found: str


def checks() -> Iterator[Check]:
    """Looks at the machine; nothing is changed and no network beyond the storage emulator is asked."""
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
            return Check("optional", name, f"not installed; only {needed} need it: run `pip install {name}`")
        return Check("missing", name, "not installed; run `make install`")


def _accelerator() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("optional", "GPU", f"none seen; {torch.get_num_threads()} CPU threads are used")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Check("ok", "GPU", ", ".join(names))


def _shared_memory() -> Check:
    place = Path("/dev/shm")
    if not place.is_dir():
        return Check("optional", "/dev/shm", "not on this system")
    size = shutil.disk_usage(place).total / 2**20
    return Check("ok" if size > 64 else "optional", "/dev/shm", f"{size:,.0f} MiB")


def _docker() -> Check:
    found = shutil.which("docker")
    return Check("ok" if found else "optional", "docker", found or "not found; only `run --runner docker` needs it")


def _credentials() -> Check:
    if emulator := os.environ.get("STORAGE_EMULATOR_HOST"):
        return Check("ok", "gs://", f"emulator at {emulator}")
    key = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    default = Path("~/.config/gcloud/application_default_credentials.json").expanduser()
    if key and not Path(key).is_file():
        return Check("missing", "gs://", f"GOOGLE_APPLICATION_CREDENTIALS names {key}, which is not there")
    if key or default.is_file():
        return Check("ok", "gs://", f"credentials in {key or default}")
    return Check("optional", "gs://", "no credentials; run `gcloud auth application-default login` to use buckets")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Check("ok" if free > 5 else "missing", "disk", f"{free:,.0f} GiB free here")
