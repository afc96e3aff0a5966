import json
from pathlib import Path

import pytest

from graftline.data.formats.folders import image_folder
from graftline.data.formats.location import DataLocation, locate_data
from graftline.data.formats.raw import RawDataset
from graftline.data.formats.tables.table import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.fake_bucket import Bucket
from tests.builders.raw_data import CLASS_FILES, make_images, make_png, write_folder
from tests.builders.reading import dropped_reasons, keys_and_labels, locate, read_bytes
from tests.builders.tables import CLASS_ROWS, format_csv, format_jsonl, write_table


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.csv", "file,label\nsome.doc,what it is\n"),
        ("classes.csv", format_csv([("ants", 4), ("bees", 4)], ["class", "count"])),
        ("files.csv", format_csv([(name, 120) for name in CLASS_FILES], ["path", "size"])),
        ("notes.txt", "path, label\nwords, words\n"),
        ("annotations.json", json.dumps({"images": [{"file_name": CLASS_FILES[0]}], "categories": []}, indent=1)),
        ("annotations.json", json.dumps({"images": [{"file_name": CLASS_FILES[0]}], "categories": []})),
        ("binary.csv", b"\x89PNG\0\0\0path,label"),
        ("latin.csv", b"path,label\nb\xe9es/0.png,bees\n"),
    ],
)
def test_an_unrelated_table_does_not_make_a_folder_a_table(tmp_path: Path, name: str, text: str | bytes) -> None:
    write_table(tmp_path, text, name)
    assert not FORMAT.detect(locate(tmp_path))
    with image_folder.FORMAT.open(locate(tmp_path)) as raw:
        assert raw.classes == ["ants", "bees"]


def test_a_table_that_links_outside_the_folder_is_ignored(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", make_images(CLASS_FILES))
    (tmp_path / "labels.csv").write_text(format_csv(CLASS_ROWS))
    (folder / "labels.csv").symlink_to(tmp_path / "labels.csv")
    assert not FORMAT.detect(locate(folder))


@pytest.mark.parametrize(
    ("name", "text", "is_detected"),
    [
        ("labels", format_csv(CLASS_ROWS), True),
        ("labels.txt", format_csv(CLASS_ROWS, delimiter="\t"), True),
        ("labels.csv", "a,b\n", True),
        ("labels.txt", "a,b\n", False),
        ("photo.png", make_png(0), False),
        ("rows", format_jsonl([{"path": "a", "label": "b"}]), True),
    ],
)
def test_a_table_is_detected_by_content(tmp_path: Path, name: str, text: str | bytes, is_detected: bool) -> None:
    assert FORMAT.detect(locate(write_table(tmp_path, text, name))) == is_detected


def test_external_files_of_rows_are_listed(tmp_path: Path) -> None:
    rows = [*CLASS_ROWS[:2], ("gs://bucket/a/1.png", "ants"), ("gs://bucket/a/1.png", "ants"), ("gone.png", "x")]
    table = write_table(tmp_path, format_csv(rows))
    assert FORMAT.list_external_files is not None
    assert FORMAT.list_external_files(locate(table)) == [
        str(tmp_path / CLASS_FILES[0]),
        str(tmp_path / CLASS_FILES[1]),
        "gs://bucket/a/1.png",
    ]
    assert FORMAT.list_external_files(locate(tmp_path)) == ["gs://bucket/a/1.png"]


def read_with_images(location: DataLocation) -> tuple[RawDataset, list[bytes]]:
    """A table and its images, fetched in one go."""
    with FORMAT.open(location) as raw:
        raw.fetch(raw.samples)
        return raw, [read_bytes(sample) for sample in raw.samples]


def test_a_table_in_a_bucket_prefix_is_read(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects.update({f"pets/{name}": content for name, content in make_images(CLASS_FILES).items()})
    bucket.objects["pets/labels.csv"] = format_csv([*CLASS_ROWS, ("gone.png", "ants"), ("../x.png", "ants")]).encode()
    location = locate_data("gs://bucket/pets", tmp_path)
    assert FORMAT.detect(location)
    raw, images = read_with_images(location)
    assert keys_and_labels(raw) == CLASS_ROWS
    assert images == list(make_images(CLASS_FILES).values())
    assert set(dropped_reasons(raw)) == {"gone.png", "../x.png"}
    assert FORMAT.list_external_files is not None
    assert FORMAT.list_external_files(location) == []


def test_a_single_table_in_a_bucket_names_objects_next_to_it(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects.update({f"pets/{name}": content for name, content in make_images(CLASS_FILES).items()})
    bucket.objects["pets/labels.csv"] = format_csv([*CLASS_ROWS, ("gone.png", "ants"), ("x" * 300, "ants")]).encode()
    location = locate_data("gs://bucket/pets/labels.csv", tmp_path)
    assert FORMAT.detect(location)
    with FORMAT.open(location) as raw:
        assert keys_and_labels(raw) == [*CLASS_ROWS, ("gone.png", "ants")]
        assert [item.why for item in raw.dropped] == [
            "malformed URI; expected gs://bucket/name without '..', '.', empty or overlong parts or "
            "control characters (labels.csv, line 11)"
        ]
        raw.fetch(raw.samples[1:])
        assert [read_bytes(sample) for sample in raw.samples[:8]] == list(make_images(CLASS_FILES).values())
        with pytest.raises(OSError, match=r"no such object: gs://bucket/pets/gone\.png"):
            raw.samples[8].load()
    assert FORMAT.list_external_files is not None
    assert FORMAT.list_external_files(location) == [f"gs://bucket/pets/{name}" for name in [*CLASS_FILES, "gone.png"]]


def test_a_local_table_may_name_objects_by_uri(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects.update({f"far/{name}": content for name, content in make_images(CLASS_FILES).items()})
    rows = [(f"gs://bucket/far/{name}", label) for name, label in CLASS_ROWS]
    table = write_table(tmp_path, format_csv([*rows, ("ants/0.png", "ants")]))
    for where in (table, tmp_path):
        raw, images = read_with_images(locate_data(str(where), tmp_path / "scratch"))
        assert keys_and_labels(raw) == [*rows, ("ants/0.png", "ants")]
        assert images == [*make_images(CLASS_FILES).values(), make_images(CLASS_FILES)["ants/0.png"]]
    with (
        FORMAT.open(locate(table)) as raw,
        pytest.raises(RefusedError, match="the rows name objects in buckets, and only local data can be used here"),
    ):
        raw.fetch(raw.samples)
