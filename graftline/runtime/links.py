"""Folders that appear at a second path without being copied."""

import os
import shutil
from pathlib import Path


def link_folder(folder: Path, to: Path) -> None:
    """Makes a folder appear at another path: with hard links, or with copies if the file system has none."""
    if to.exists():
        shutil.rmtree(to)
    try:
        shutil.copytree(folder, to, copy_function=os.link)
    except OSError:
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(folder, to)
