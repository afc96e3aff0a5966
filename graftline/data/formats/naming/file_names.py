"""Classification of files by their names alone: images, and files that operating systems leave behind."""

from pathlib import PurePosixPath

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
"""Lowercase name suffixes of image files."""
_JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def suffix_of(name: str) -> str:
    """Returns the lowercase suffix of a file name, with its dot."""
    return PurePosixPath(name).suffix.lower()


def is_junk(name: str) -> bool:
    """Returns whether a file is hidden or belongs to an operating system."""
    return any(part in _JUNK or part.startswith(".") for part in name.split("/") if part != ".")
