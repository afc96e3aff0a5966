"""COCO JSON with its images: image-level labels out of what was drawn for detection; boxes and shapes do not matter.

A folder, a bucket's prefix or an archive with `annotations/instances_train2017.json` beside `train2017/`, with
`_annotations.coco.json` in a folder per split as Roboflow writes, or with a JSON beside the images or their folder; or
one local JSON.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import Dropped
from graftline.data.formats.archives.files import fetch_members, files_of, is_archive
from graftline.data.formats.archives.members import Files, Member
from graftline.data.formats.coco.annotations import read_json
from graftline.data.formats.coco.layout import ANNOTATIONS, choose, folders_of, found
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.split_names import split_of
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.data.labels import LABEL_TYPES
from graftline.runtime.errors import RefusedError
from graftline.storage import access

_Find = Callable[[str], Member | str | None]
"""The file of a relative name, or why it may not be read; None where there is none."""


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    if place.is_file and not is_archive(place):
        yield _alone(place)
    else:
        with files_of(place) as files:
            yield _raw(place, choose(place, files.members), _listed(files).get)


def _alone(place: DataLocation) -> RawDataset:
    """One JSON, its images in its folder or, for one in `annotations`, also beside that."""
    if access.is_remote(place.uri):
        raise RefusedError(f"{place}: a COCO JSON without its images; give the folder in the bucket that holds both")
    root = _root(place)
    member = Member(place.path.relative_to(root).as_posix(), place.path.stat().st_size, partial(_open, place.path))
    return _raw(place, [member], partial(_beside, root, root.resolve()))


def _root(place: DataLocation) -> Path:
    folder = place.path.parent
    return folder.parent if folder.name == ANNOTATIONS else folder


def _beside(root: Path, resolved: Path, name: str) -> Member | str | None:
    path = root / name
    try:
        if not path.is_file():
            return None
        if not path.resolve().is_relative_to(resolved):
            return "a link out of the folder"
        return Member(name, path.stat().st_size, partial(_open, path))
    except OSError:  # a name that is too long, a folder that may not be entered
        return None


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _listed(files: Files) -> dict[str, Member | str]:
    return {
        **{_plain(fault.file): fault.why for fault in files.faults},
        **{_plain(member.name): member for member in files.members},
    }


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _raw(place: DataLocation, jsons: list[Member], find: _Find) -> RawDataset:
    samples: dict[str, RawSample] = {}
    faults: list[Dropped] = []
    for member in jsons:
        images, dropped = read_json(
            f"{place}: {member.name}" if place.is_folder else place.uri, member, place.columns, place.task
        )
        faults += dropped
        split, folders = split_of(member.name), folders_of(member.name)
        for image in images:
            name = _plain(image.file)
            file = next(
                (hit for folder in folders if (hit := find(folder + name)) is not None),
                "there is no such file beside the JSON, nor in a folder of images there",
            )
            if isinstance(file, str):
                faults.append(Dropped(file=image.file, why=file))
            elif file.name in samples:
                faults.append(Dropped(file=file.name, why=f"named twice, again in {member.name}"))
            else:
                samples[file.name] = RawSample(file.name, image.label, image.split or split, file.open, image.group)
    if not samples:
        first = f"; the first: {faults[0].file}: {faults[0].why}" if faults else ""
        raise RefusedError(f"{place}: no image with exactly one category among {len(faults):,}{first}")
    labels = {sample.label for sample in samples.values()}
    task = place.task if LABEL_TYPES[place.task].is_multi_hot else DEFAULT_TASK
    classes = sorted({name for label in labels for name in LABEL_TYPES[task].names_in(label)})
    return RawDataset(
        classes,
        list(samples.values()),
        faults,
        fetch=partial(fetch_members, place),
        task=task,
    )


def _names(place: DataLocation) -> list[str]:
    """What one local JSON names; where it lies in a folder that is given, the folder's listing has it."""
    if not place.is_file or is_archive(place) or access.is_remote(place.uri):
        return []
    return sorted(str(_root(place) / sample.key) for sample in _alone(place).samples)


FORMAT = Format(
    "coco",
    "COCO JSON with its images, each image's class the one category that its annotations name "
    "(multilabel: all of them)",
    found,
    _read,
    _names,
)
