"""Artifact folders: a few large files and a JSON manifest, which is written last and so marks a complete artifact."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from graftline.runtime.errors import RefusedError

NAME = "manifest.json"


class Manifest(BaseModel):
    """Base class of the manifests of all artifacts; unknown keys of later versions are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: int = 1
    files: dict[str, str] = {}
    """Mapping from file name to the `sha256:...` digest of the content, set by `write`."""


M = TypeVar("M", bound=Manifest)


def canonical_json(value: Any) -> str:
    """Returns the canonical JSON text of a value: sorted keys, no spaces, ASCII only, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def json_line(record: Any) -> str:
    """Returns a dataclass with slots as one line of canonical JSON; much faster than `asdict`."""
    return canonical_json({name: getattr(record, name) for name in record.__slots__}) + "\n"


def digest_text(text: str) -> str:
    """Returns the `sha256:...` digest of the UTF-8 bytes of a text."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Returns the `sha256:...` digest of the content of a file, which is read in chunks."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, manifest: M, *, hashed: bool = True, known: Mapping[str, str] | None = None) -> M:
    """Adds the digests of all files in the folder to the manifest and writes it atomically.

    Args:
        folder: Folder of the artifact, which must already contain all other files.
        manifest: Manifest of the artifact, with empty `files`.
        hashed: Whether to hash the files. If False, `files` stays empty; use this for artifacts that the same
            process reads immediately.
        known: Mapping from file name to digest for files that are already hashed.

    Returns:
        The written manifest.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME) if hashed else []
    files = {
        name: (known or {}).get(name) or digest_file(path)
        for path in paths
        for name in [path.relative_to(folder).as_posix()]
    }
    whole = manifest.model_copy(update={"files": files})
    write_text(folder / NAME, whole.model_dump_json(indent=1))
    return whole


def identity(folder: Path) -> str:
    """Returns a `sha256:...` digest that identifies the content of an artifact in the caches of later steps.

    The digest covers the manifest, including the digests of the files, but excludes values that differ between two
    runs with the same result: times and the locations of the raw data. Manifests in subfolders are included.

    Raises:
        RefusedError: If the folder contains no manifest.
    """
    found = {p.relative_to(folder).as_posix(): json.loads(p.read_bytes()) for p in sorted(folder.rglob(NAME))}
    if not found:
        raise RefusedError(f"{folder}: no {NAME}, so the step that should have written this artifact did not finish")
    return digest_text(canonical_json(_timeless(found)))


_VOLATILE = {"seconds", "latency", "train_seconds", "fingerprint", "samples.jsonl", "page.html"}
"""Keys that `identity` ignores, since their values can differ between two runs with the same result."""


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _VOLATILE}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, so that readers never see an incomplete file, even after a crash."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read(folder: Path, kind: type[M], *, verify: bool = False) -> M:
    """Returns the manifest of an artifact.

    Args:
        folder: Folder of the artifact.
        kind: Manifest class.
        verify: Whether to hash each file and compare the digests.

    Raises:
        RefusedError: If the manifest is missing (the artifact is incomplete), is not valid for `kind` or has a later
            schema version, if a file is missing, or, with `verify`, if the content of a file has changed.
    """
    path = folder / NAME
    if not path.is_file():
        raise RefusedError(
            f"{folder}: no {NAME}, so this is not a whole {_words(kind)}; make it again with the step that writes it"
        )
    try:
        manifest = kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RefusedError(f"{path}: not that of a {_words(kind)}: {place}: {first['msg']}") from None
    known: int = kind.model_fields["schema_version"].default
    if manifest.schema_version > known:
        raise RefusedError(
            f"{path}: schema version {manifest.schema_version}, this graftline reads up to {known}; upgrade graftline"
        )
    for name, digest in manifest.files.items():
        _check_file(folder, name, digest if verify else None)
    return manifest


def _words(kind: type[Manifest]) -> str:
    """Returns the name of the artifact type for messages: `release artifact` for `ReleaseManifest`."""
    name = kind.__name__.removesuffix("Manifest").removesuffix("Result")
    return f"{name.lower()} artifact"


def _check_file(folder: Path, name: str, digest: str | None) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RefusedError(f"{folder / NAME}: names the file {name!r}, which lies outside of the folder")
    if not path.is_file():
        raise RefusedError(f"{path}: missing, though the manifest lists it; make the artifact again")
    if digest is not None and digest_file(path) != digest:
        raise RefusedError(f"{path}: its bytes are not those that the manifest was written for; make it again")
