"""COCO JSON with its images: image-level labels from detection annotations, ignoring boxes and shapes.

Reads a folder, a bucket prefix or an archive with `annotations/instances_train2017.json` next to `train2017/`, with
one `_annotations.coco.json` per split folder as Roboflow exports it, or with a JSON next to the images or their
folder; also a single local JSON.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import Dropped
from graftline.data.formats.archives.file_trees import fetch_samples, is_archive, open_files
from graftline.data.formats.archives.members import FileTree, Member
from graftline.data.formats.coco.annotations import read_annotations
from graftline.data.formats.coco.layout import ANNOTATIONS, detect, image_folders, select_annotation_files
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.split_names import split_of_path
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.data.labels import LABEL_TYPES
from graftline.runtime.errors import RefusedError
from graftline.storage import access

_FileLookup = Callable[[str], Member | str | None]
"""Returns the file with a relative name, the reason why it cannot be read, or None if it does not exist."""


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    if location.is_file and not is_archive(location):
        yield _read_single_json(location)
    else:
        with open_files(location) as tree:
            annotation_files = select_annotation_files(location, tree.members)
            yield _read_dataset(location, annotation_files, _index_files(tree).get)


def _read_single_json(location: DataLocation) -> RawDataset:
    """Reads a JSON with images in its own folder or, if it is in `annotations`, also next to that folder."""
    if access.is_remote(location.uri):
        raise RefusedError(f"{location}: a COCO JSON without its images; give the bucket folder that contains both")
    root = _image_root(location)
    size = location.path.stat().st_size
    member = Member(location.path.relative_to(root).as_posix(), size, partial(_open_path, location.path))
    return _read_dataset(location, [member], partial(_find_file, root, root.resolve()))


def _image_root(location: DataLocation) -> Path:
    folder = location.path.parent
    return folder.parent if folder.name == ANNOTATIONS else folder


def _find_file(root: Path, resolved_root: Path, name: str) -> Member | str | None:
    path = root / name
    try:
        if not path.is_file():
            return None
        if not path.resolve().is_relative_to(resolved_root):
            return "a link to a file outside the folder"
        return Member(name, path.stat().st_size, partial(_open_path, path))
    except OSError:  # the name is too long, or the folder is not accessible
        return None


def _open_path(path: Path) -> BinaryIO:
    return path.open("rb")


def _index_files(tree: FileTree) -> dict[str, Member | str]:
    return {
        **{_normalize(item.file): item.why for item in tree.dropped},
        **{_normalize(member.name): member for member in tree.members},
    }


def _normalize(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _read_dataset(location: DataLocation, annotation_files: list[Member], find_file: _FileLookup) -> RawDataset:
    samples: dict[str, RawSample] = {}
    dropped: list[Dropped] = []
    for member in annotation_files:
        where = f"{location}: {member.name}" if location.is_folder else location.uri
        images, dropped_images = read_annotations(where, member, location.columns, location.task)
        dropped += dropped_images
        split, folders = split_of_path(member.name), image_folders(member.name)
        for image in images:
            name = _normalize(image.file_name)
            file = next(
                (candidate for folder in folders if (candidate := find_file(folder + name)) is not None),
                "no such file next to the JSON or in an image folder there",
            )
            if isinstance(file, str):
                dropped.append(Dropped(file=image.file_name, why=file))
            elif file.name in samples:
                dropped.append(Dropped(file=file.name, why=f"listed twice, the second time in {member.name}"))
            else:
                samples[file.name] = RawSample(file.name, image.label, image.split or split, file.open, image.group)
    if not samples:
        first = f" ({len(dropped):,} dropped, the first: {dropped[0].file}: {dropped[0].why})" if dropped else ""
        raise RefusedError(
            f"{location}: no image has a usable label{first}; expected images whose annotations have one category"
        )
    labels = {sample.label for sample in samples.values()}
    task = location.task if LABEL_TYPES[location.task].is_multi_hot else DEFAULT_TASK
    return RawDataset(
        sorted({name for label in labels for name in LABEL_TYPES[task].names_in(label)}),
        list(samples.values()),
        dropped,
        fetch=partial(fetch_samples, location),
        task=task,
    )


def _list_external_files(location: DataLocation) -> list[str]:
    """Returns the images of a single local JSON; those of a folder are in the folder's own listing."""
    if not location.is_file or is_archive(location) or access.is_remote(location.uri):
        return []
    return sorted(str(_image_root(location) / sample.key) for sample in _read_single_json(location).samples)


FORMAT = Format(
    "coco",
    "COCO JSON with its images; an image's class is the one category of its annotations (multilabel: all of them)",
    detect,
    _open,
    tasks=("classification", "multilabel"),
    takes_columns=True,
    list_external_files=_list_external_files,
    reference_suffixes=(".json",),
)
