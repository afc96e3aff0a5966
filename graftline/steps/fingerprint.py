"""Computes the fingerprints of all data of a run and rejects unusable locations before training starts."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from graftline.config import DEFAULT_TASK, Config, Data
from graftline.config.jobs import Jobs, jobs_of
from graftline.data.formats import check_format_name, may_reference_files, select_format
from graftline.data.formats.digits import BUILTIN_URIS, PIXELS_VERSION
from graftline.data.formats.location import BUILTIN, locate_data
from graftline.data.splits.ledger import ledger_uri
from graftline.runtime import events
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json, digest_text
from graftline.storage import access
from graftline.storage.access import FileInfo
from graftline.strategies.lookup import resolve_config

_INITS = ("random", "DEFAULT")


def fingerprint(config: Config) -> Jobs:
    """Computes the fingerprints of the data and returns the jobs of all steps.

    Args:
        config: The config of the run.

    Returns:
        All jobs; jobs that read raw data or weights include their fingerprint, so that changed content invalidates the
        cache.

    Raises:
        RefusedError: A location of data or weights is missing or not readable, or a format is unknown.
    """
    config = resolve_config(config)
    tasks: list[Data] = [config.target, *config.source]
    for data in tasks:
        check_format_name(data.format)
    inits = [source.init for source in config.source if source.init not in _INITS]
    for init in inits:
        if not access.exists(init):
            raise RefusedError(
                f"source.init: {init!r} is neither {' nor '.join(_INITS)} nor an existing file, folder, or URI"
            )
    fingerprints = {data.data: fingerprint_data(data, task=config.task_of(data)) for data in tasks if data.data}
    fingerprints |= {data.ledger: fingerprint_uri(ledger_uri(data.ledger)) for data in tasks if data.ledger}
    fingerprints |= {init: fingerprint_uri(init) for init in inits}
    for uri, digest in fingerprints.items():
        events.log(f"{uri}: {digest}")
    return jobs_of(config, fingerprints)


def fingerprint_uri(uri: str) -> str:
    """Returns the fingerprint of a location: the sha256 of the names, sizes, and crc32c checksums of its files.

    A folder and its copy in gs:// have the same fingerprint.

    Args:
        uri: Local path, file:// or gs:// URI, or `builtin:...`.

    Raises:
        RefusedError: The location is missing, empty, or not readable.
    """
    return fingerprint_data(Data(data=uri), reads_tables=False)


def fingerprint_data(data: Data, *, reads_tables: bool = True, task: str = DEFAULT_TASK) -> str:
    """Returns the fingerprint of raw data, including files that the rows of a table refer to.

    Args:
        data: Data settings with a location.
        reads_tables: Whether the location may be a table.
        task: Task of the labels.

    Raises:
        RefusedError: The location is missing, empty, not readable, or a table that cannot be read.
    """
    uri = str(data.data)
    if uri.startswith(BUILTIN):
        if uri not in BUILTIN_URIS:
            raise RefusedError(f"{uri}: unknown built-in dataset; use {' or '.join(BUILTIN_URIS)}")
        return digest_text(canonical_json([uri, PIXELS_VERSION]))
    entries = access.listing(uri)
    if not entries:
        raise RefusedError(f"{uri}: the folder is empty")
    if reads_tables:
        entries += _external_files(data, entries, task)
    return digest_text(canonical_json([[entry.name, entry.size, entry.crc32c] for entry in entries]))


def _external_files(data: Data, entries: list[FileInfo], task: str) -> list[FileInfo]:
    """Returns the files outside the data's location that the rows of its table refer to."""
    uri = str(data.data)
    if not may_reference_files(data.format, (entry.name for entry in entries)):
        return []
    with TemporaryDirectory() as folder:
        location = locate_data(uri, Path(folder), data.columns, entries, task)
        data_format = select_format(data.format, location)
        names = data_format.list_external_files(location) if data_format.list_external_files else []
    inside = {str(location.path / entry.name) for entry in entries} if location.is_folder else set()
    files = _local_files([name for name in names if not access.is_remote(name) and name not in inside])
    files += access.listing_of([name for name in names if access.is_remote(name)])
    parent = (str(location.path.parent) if not access.is_remote(uri) else uri.rpartition("/")[0]) + "/"
    return sorted(replace(entry, name=entry.name.removeprefix(parent)) for entry in files)


def _local_files(paths: Sequence[str]) -> list[FileInfo]:
    """Returns the files at local paths, named by their path; missing files are omitted."""
    existing = [path for path in paths if Path(path).is_file()]
    with ThreadPoolExecutor() as pool:
        listings = pool.map(access.listing, existing)
        return [replace(entry, name=path) for path, [entry] in zip(existing, listings, strict=True)]
