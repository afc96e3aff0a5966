"""Readers of raw data: one record per format in `FORMATS`, and the detection of a location's format."""

from collections.abc import Iterable

from graftline.data.formats import digits, idx
from graftline.data.formats.cifar import cifar
from graftline.data.formats.coco import coco
from graftline.data.formats.folders import archive, image_folder, unlabeled
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format
from graftline.data.formats.tables import parquet, table
from graftline.data.formats.webdataset import webdataset
from graftline.runtime.errors import RefusedError

FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        digits.FORMAT,
        cifar.FORMAT,
        idx.FORMAT,
        coco.FORMAT,
        webdataset.FORMAT,
        parquet.FORMAT,
        table.FORMAT,
        archive.FORMAT,
        image_folder.FORMAT,
        unlabeled.FORMAT,
    )
}
"""Formats by name, in the order in which `auto` tries them: the more specific ones first."""


def get_format(name: str) -> Format:
    """Returns the record of a format by its name or by an alias.

    Raises:
        RefusedError: There is no such format.
    """
    for known in FORMATS.values():
        if name == known.name or name in known.aliases:
            return known
    raise RefusedError(f"format: unknown format {name!r}; use one of auto, {', '.join(FORMATS)}")


def check_format_name(name: str) -> None:
    """Refuses a name that is neither `auto` nor a format's."""
    if name != "auto":
        get_format(name)


def may_reference_files(name: str, file_names: Iterable[str]) -> bool:
    """Returns whether data can reference files outside their own listing, judged by names alone.

    Args:
        name: Name of the format, or `auto`.
        file_names: Names of all files of the data.
    """
    if name != "auto":
        return get_format(name).list_external_files is not None
    suffixes = tuple(suffix for known in FORMATS.values() for suffix in known.reference_suffixes)
    return any(file_name.lower().endswith(suffixes) for file_name in file_names)


def select_format(name: str, location: DataLocation) -> Format:
    """Returns the format to read a location with.

    Args:
        name: Name of a format, or `auto` to detect the format from the content.
        location: The raw data.

    Raises:
        RefusedError: The name is unknown, or no format matches the content.
    """
    if name != "auto":
        return get_format(name)
    for known in FORMATS.values():
        if known.detect(location):
            return known
    start = ""
    if location.is_file:
        with location.path.open("rb") as file:
            head = file.read(16)
        if head.startswith(b"PK\x03\x04"):
            raise RefusedError(
                f"{location}: starts like a zip but its central directory is missing; copy or download it again"
            )
        start = f"; the file starts with {head!r}"
    raise RefusedError(
        f"{location}: not in a known format{start}. Known formats: "
        + "; ".join(f"{known.name} ({known.summary})" for known in FORMATS.values())
    )
