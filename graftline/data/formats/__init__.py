"""Raw data on disk to samples; one format a file, one table."""

from graftline.data.formats import (
    archive,
    cifar,
    coco,
    digits,
    idx,
    image_folder,
    parquet,
    table,
    unlabelled,
    webdataset,
)
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format
from graftline.runtime.errors import RefusedError

FORMATS: dict[str, Format] = {
    "digits": digits.FORMAT,
    "cifar": cifar.FORMAT,
    "idx": idx.FORMAT,
    "coco": coco.FORMAT,
    "webdataset": webdataset.FORMAT,
    "parquet": parquet.FORMAT,
    "table": table.FORMAT,
    "archive": archive.FORMAT,
    "image_folder": image_folder.FORMAT,
    "unlabelled": unlabelled.FORMAT,
}
"""Looked through in this order by `auto`: what is more special stands first."""


def check_name(name: str) -> None:
    """Refuses a format name that is neither `auto` nor in the table."""
    if name != "auto" and name not in FORMATS:
        raise RefusedError(f"format: {name!r} is not known; there are auto, {', '.join(FORMATS)}")


def choose(name: str, place: DataLocation) -> Format:
    """Finds how to read a place.

    Args:
        name: `auto`, which looks at the content, or a name from `FORMATS`.
        place: Where the data lie.

    Raises:
        RefusedError: An unknown name, or a content that no format knows.
    """
    check_name(name)
    if name != "auto":
        return FORMATS[name]
    for known in FORMATS.values():
        if known.found(place):
            return known
    start = ""
    if place.is_file:
        with place.path.open("rb") as file:
            first = file.read(16)
        if first.startswith(b"PK\x03\x04"):
            raise RefusedError(f"{place}: begins as a zip and ends before its directory; copy or download it again")
        start = f", which begins with {first!r}"
    raise RefusedError(
        f"{place}: in none of the known formats{start}; there are "
        + "; ".join(f"{known.name} ({known.what})" for known in FORMATS.values())
    )
