"""Artifact folders: a few large files and a JSON manifest, written last, so that its presence means 'whole'."""

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
    """What every artifact's manifest starts with. Unknown keys of a later version are kept, not refused."""

    model_config = ConfigDict(extra="allow", frozen=True)

    schema_version: int = 1
    files: dict[str, str] = {}
    """File name to `sha256:...` of its content; filled in by `write`."""


M = TypeVar("M", bound=Manifest)


def canonical_json(value: Any) -> str:
    """Returns the one JSON text of a value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def json_line(record: Any) -> str:
    """Returns a dataclass with slots as one line of canonical JSON, far faster than `asdict`."""
    return canonical_json({name: getattr(record, name) for name in record.__slots__}) + "\n"


def digest_text(text: str) -> str:
    """Returns `sha256:...` of a text's UTF-8 bytes."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Returns `sha256:...` of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path, manifest: M, *, hashed: bool = True, known: Mapping[str, str] | None = None) -> M:
    """Hashes the folder's files into the manifest and writes it, last and atomically.

    Args:
        folder: Holds every other file of the artifact already.
        manifest: The artifact's manifest, its `files` still empty.
        hashed: False leaves `files` empty, for what the same process reads again at once.
        known: Digests of files that were hashed already.

    Returns:
        The manifest as written.
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
    """Returns `sha256:...` of what an artifact says of its content, for the caches of the steps that follow.

    It covers the manifest with its files' digests, less what differs between two runs that made the same:
    clock times and the places that raw data came from. Parts of a folder that are artifacts themselves count too.

    Raises:
        RefusedError: No manifest in the folder, so that no artifact was written.
    """
    found = {p.relative_to(folder).as_posix(): json.loads(p.read_bytes()) for p in sorted(folder.rglob(NAME))}
    if not found:
        raise RefusedError(f"{folder}: no {NAME}, so the step that should have written this artifact did not finish")
    return digest_text(canonical_json(_timeless(found)))


_VOLATILE = {"seconds", "latency", "train_seconds", "fingerprint", "samples.jsonl", "page.html"}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _VOLATILE}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def write_text(path: Path, text: str) -> None:
    """Writes a text file so that a reader sees all of it or nothing, also after a crash."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read(folder: Path, kind: type[M], *, verify: bool = False) -> M:
    """Reads an artifact's manifest.

    Args:
        folder: The artifact.
        kind: The manifest's model.
        verify: Also hash each file and compare.

    Raises:
        RefusedError: No manifest (the folder is not whole), not readable as `kind`, of a later schema, a file
            missing, or, with `verify`, a file whose bytes changed.
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
    """`ReleaseManifest` as people say it: release artifact."""
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
