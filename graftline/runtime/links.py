"""Copies of folders made of hard links."""

import os
import shutil
from pathlib import Path


def link_folder(folder: Path, to: Path) -> None:
    """Recreates a folder at another path with hard links, or with copies if hard links are not possible.

    An existing folder at `to` is replaced.
    """
    if to.exists():
        shutil.rmtree(to)
    try:
        shutil.copytree(folder, to, copy_function=os.link)
    except OSError:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(folder, to)
