import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from graftline.data.formats import image_folder
from graftline.data.formats.location import DataLocation, data_location
from graftline.data.formats.raw import RawDataset
from graftline.data.formats.table import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.fake_bucket import Bucket, serving
from tests.builders.raw_data import PLAIN, at, folder_of, pictures, png
from tests.builders.tables import ROWS, content, csv_of, facts, faults, jsonl_of, table_in


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.csv", "file,label\nsome.doc,what it is\n"),
        ("classes.csv", csv_of([("ants", 4), ("bees", 4)], ["class", "count"])),
        ("files.csv", csv_of([(name, 120) for name in PLAIN], ["path", "size"])),
        ("notes.txt", "path, label\nwords, words\n"),
        ("annotations.json", json.dumps({"images": [{"file_name": PLAIN[0]}], "categories": []}, indent=1)),
        ("annotations.json", json.dumps({"images": [{"file_name": PLAIN[0]}], "categories": []})),
        ("binary.csv", b"\x89PNG\0\0\0path,label"),
        ("latin.csv", b"path,label\nb\xe9es/0.png,bees\n"),
    ],
)
def test_a_stray_table_leaves_a_folder_of_images_to_itself(tmp_path: Path, name: str, text: str | bytes) -> None:
    table_in(tmp_path, text, name)
    assert not FORMAT.found(at(tmp_path))
    with image_folder.FORMAT.read(at(tmp_path)) as raw:
        assert raw.classes == ["ants", "bees"]


def test_a_table_linked_in_from_outside_is_not_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data", pictures(PLAIN))
    (tmp_path / "labels.csv").write_text(csv_of(ROWS))
    (folder / "labels.csv").symlink_to(tmp_path / "labels.csv")
    assert not FORMAT.found(at(folder))


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("labels", csv_of(ROWS), True),
        ("labels.txt", csv_of(ROWS, delimiter="\t"), True),
        ("labels.csv", "a,b\n", True),
        ("labels.txt", "a,b\n", False),
        ("photo.png", png(0), False),
        ("rows", jsonl_of([{"path": "a", "label": "b"}]), True),
    ],
)
def test_a_file_is_found_by_looking(tmp_path: Path, name: str, text: str | bytes, found: bool) -> None:
    assert FORMAT.found(at(table_in(tmp_path, text, name))) == found


def test_what_rows_name_is_told_for_the_fingerprint(tmp_path: Path) -> None:
    rows = [*ROWS[:2], ("gs://bucket/a/1.png", "ants"), ("gs://bucket/a/1.png", "ants"), ("gone.png", "x")]
    table = table_in(tmp_path, csv_of(rows))
    assert FORMAT.names is not None
    assert FORMAT.names(at(table)) == [str(tmp_path / PLAIN[0]), str(tmp_path / PLAIN[1]), "gs://bucket/a/1.png"]
    assert FORMAT.names(at(tmp_path)) == ["gs://bucket/a/1.png"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    with serving() as found:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", found.url)
        yield found


def whole(place: DataLocation) -> tuple[RawDataset, list[bytes]]:
    """A table and its images, fetched in one go."""
    with FORMAT.read(place) as raw:
        raw.fetch(raw.samples)
        return raw, [content(sample) for sample in raw.samples]


def test_a_table_in_a_prefix(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects.update({f"pets/{name}": content for name, content in pictures(PLAIN).items()})
    bucket.objects["pets/labels.csv"] = csv_of([*ROWS, ("gone.png", "ants"), ("../x.png", "ants")]).encode()
    place = data_location("gs://bucket/pets", tmp_path)
    assert FORMAT.found(place)
    raw, images = whole(place)
    assert facts(raw) == ROWS
    assert images == list(pictures(PLAIN).values())
    assert set(faults(raw)) == {"gone.png", "../x.png"}
    assert FORMAT.names is not None
    assert FORMAT.names(place) == []


def test_a_table_by_itself_names_objects_beside_it(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects.update({f"pets/{name}": content for name, content in pictures(PLAIN).items()})
    bucket.objects["pets/labels.csv"] = csv_of([*ROWS, ("gone.png", "ants"), ("x" * 300, "ants")]).encode()
    place = data_location("gs://bucket/pets/labels.csv", tmp_path)
    assert FORMAT.found(place)
    with FORMAT.read(place) as raw:
        assert facts(raw) == [*ROWS, ("gone.png", "ants")]
        assert [fault.why for fault in raw.faults] == [
            "not a well-formed URI; expected gs://bucket/name without '..', '.', empty or overlong parts or "
            "control characters (labels.csv, line 11)"
        ]
        raw.fetch(raw.samples[1:])
        assert [content(sample) for sample in raw.samples[:8]] == list(pictures(PLAIN).values())
        with pytest.raises(OSError, match=r"there is no object gs://bucket/pets/gone\.png"):
            raw.samples[8].load()
    assert FORMAT.names is not None
    assert FORMAT.names(place) == [f"gs://bucket/pets/{name}" for name in [*PLAIN, "gone.png"]]


def test_rows_of_a_local_table_that_are_uris(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects.update({f"far/{name}": content for name, content in pictures(PLAIN).items()})
    rows = [(f"gs://bucket/far/{name}", label) for name, label in ROWS]
    table = table_in(tmp_path, csv_of([*rows, ("ants/0.png", "ants")]))
    for where in (table, tmp_path):
        raw, images = whole(data_location(str(where), tmp_path / "scratch"))
        assert facts(raw) == [*rows, ("ants/0.png", "ants")]
        assert images == [*pictures(PLAIN).values(), pictures(PLAIN)["ants/0.png"]]
    with FORMAT.read(at(table)) as raw, pytest.raises(RefusedError, match="its rows name objects in buckets; give a"):
        raw.fetch(raw.samples)
