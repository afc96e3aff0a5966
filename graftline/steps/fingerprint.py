"""Cheap identity of all data of a run, and the refusal of what cannot work, before anything is trained."""

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
from graftline.data.splits.ledger_file import ledger_file
from graftline.runtime import events
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json, digest_text
from graftline.storage import access
from graftline.storage.access import FileInfo

_INITS = ("random", "DEFAULT")


def fingerprint(config: Config) -> Jobs:
    """Takes the fingerprints and splits the config into the steps' jobs.

    Args:
        config: The whole run.

    Returns:
        All jobs; those that read raw data or weights carry their fingerprint, so that a cache sees changed content.

    Raises:
        RefusedError: A place of data or weights that is missing or may not be read, or an unknown format.
    """
    tasks: list[Data] = [config.target, *config.source]
    for data in tasks:
        check_format_name(data.format)
    inits = [source.init for source in config.source if source.init not in _INITS]
    for init in inits:
        if not access.exists(init):
            raise RefusedError(
                f"source.init: {init!r} is neither {' nor '.join(_INITS)} nor a file, folder or URI that is there"
            )
    found = {data.data: of_data(data, task=config.task_of(data)) for data in tasks if data.data}
    found |= {data.ledger: of_place(ledger_file(data.ledger)) for data in tasks if data.ledger}
    found |= {init: of_place(init) for init in inits}
    for place, digest in found.items():
        events.log(f"{place}: {digest}")
    return jobs_of(config, found)


def of_place(place: str) -> str:
    """Fingerprints one place: sha256 over names, sizes and crc32c of its files, alike for a folder and its copy in gs://.

    Args:
        place: Local path, file:// or gs:// URI, or `builtin:...`.

    Raises:
        RefusedError: Missing, empty, or not permitted.
    """
    return of_data(Data(data=place), looks=False)


def of_data(data: Data, *, looks: bool = True, task: str = DEFAULT_TASK) -> str:
    """Fingerprints raw data, with the files that a table's rows name.

    Args:
        data: With a place.
        looks: Whether the place may be a table.
        task: What its labels are.

    Raises:
        RefusedError: Missing, empty, not permitted, or a table that cannot be read.
    """
    place = str(data.data)
    if place.startswith(BUILTIN):
        if place not in BUILTIN_URIS:
            raise RefusedError(f"{place}: unknown built-in dataset; use {' or '.join(BUILTIN_URIS)}")
        return digest_text(canonical_json([place, PIXELS_VERSION]))
    entries = access.listing(place)
    if not entries:
        raise RefusedError(f"{place}: an empty folder")
    if looks:
        entries += _named(data, entries, task)
    return digest_text(canonical_json([[entry.name, entry.size, entry.crc32c] for entry in entries]))


def _named(data: Data, entries: list[FileInfo], task: str) -> list[FileInfo]:
    """What rows of a table name outside of the place itself."""
    place = str(data.data)
    if not may_reference_files(data.format, (entry.name for entry in entries)):
        return []
    with TemporaryDirectory() as scratch:
        here = locate_data(place, Path(scratch), data.columns, entries, task)
        known = select_format(data.format, here)
        names = known.list_external_files(here) if known.list_external_files else []
    inside = {str(here.path / entry.name) for entry in entries} if here.is_folder else set()
    found = _files([name for name in names if not access.is_remote(name) and name not in inside])
    found += access.listing_of([name for name in names if access.is_remote(name)])
    beside = (str(here.path.parent) if not access.is_remote(place) else place.rpartition("/")[0]) + "/"
    return sorted(replace(entry, name=entry.name.removeprefix(beside)) for entry in found)


def _files(names: Sequence[str]) -> list[FileInfo]:
    """What lies at local paths, under the paths' own names; what is not there is left out."""
    there = [name for name in names if Path(name).is_file()]
    with ThreadPoolExecutor() as pool:
        found = pool.map(access.listing, there)
        return [replace(entry, name=name) for name, [entry] in zip(there, found, strict=True)]
