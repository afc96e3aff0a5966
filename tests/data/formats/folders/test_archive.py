import gzip
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from graftline.data.formats.archives import members
from graftline.data.formats.folders.archive import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import CLASS_FILES, make_images, make_png, write_folder, write_tar, write_zip
from tests.builders.reading import locate, read_bytes

Pack = Callable[[Path, dict[str, bytes]], Path]
PACKS = {"pets.zip": write_zip, "pets.tar": write_tar, "pets.tar.gz": write_tar, "pets.tgz": write_tar}


def refused(data_path: Path, message: str) -> None:
    before = sorted(data_path.parent.rglob("*"))
    with pytest.raises(RefusedError, match=message), FORMAT.open(locate(data_path)):
        pass
    assert sorted(data_path.parent.rglob("*")) == before


@pytest.mark.parametrize("name", PACKS)
def test_an_archive_is_read_like_its_folder(tmp_path: Path, name: str) -> None:
    files = {f"pets/{path}": content for path, content in make_images(CLASS_FILES).items()}
    files["__MACOSX/pets/._0.png"] = b"x"
    data_path = PACKS[name](tmp_path / name, files)
    assert FORMAT.detect(locate(data_path))
    with FORMAT.open(locate(data_path)) as raw:
        contents = {sample.key: read_bytes(sample) for sample in raw.samples}
    assert contents == {path: content for path, content in files.items() if "__MACOSX" not in path}
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", PACKS)
@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("../evil.png", "climbs out with '..'"),
        ("ants/../../evil.png", "climbs out"),
        ("/etc/evil.png", "an absolute path"),
        ("C:/evil.png", "a drive letter"),
        ("ants\\evil.png", "a backslash"),
        ("ants/new\nline.png", "a control character"),
        ("ANTS/0.png", "differ only by case"),
        ("ants/0.PNG", "differ only by case"),
    ],
)
def test_unsafe_member_names_are_refused(tmp_path: Path, name: str, member: str, why: str) -> None:
    refused(PACKS[name](tmp_path / name, {**make_images(CLASS_FILES), member: make_png(0)}), why)


def test_a_nul_in_a_zip_name_is_refused(tmp_path: Path) -> None:
    data_path = write_zip(tmp_path / "pets.zip", {**make_images(CLASS_FILES), "ants/evilXpng": b"x"})
    data_path.write_bytes(data_path.read_bytes().replace(b"evilXpng", b"evil\0png"))
    refused(data_path, "a control character")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_member_names_are_refused(tmp_path: Path) -> None:
    data_path = write_zip(tmp_path / "pets.zip", make_images(CLASS_FILES))
    with zipfile.ZipFile(data_path, "a") as opened:
        opened.writestr("ants/0.png", b"other")
    refused(data_path, "two members have the name 'ants/0.png'")
    twice = write_tar(tmp_path / "pets.tar", make_images(CLASS_FILES), (tarfile.TarInfo("ants/0.png"),))
    refused(twice, "two members have the name 'ants/0.png'")


@pytest.mark.parametrize("name", ["pets.tar", "pets.tar.gz"])
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.FIFOTYPE, "neither a file nor a folder"),
        (tarfile.CHRTYPE, "neither a file nor a folder"),
        (tarfile.BLKTYPE, "neither a file nor a folder"),
        (tarfile.GNUTYPE_SPARSE, "neither a file nor a folder"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, name: str, kind: bytes, why: str) -> None:
    info = tarfile.TarInfo("ants/evil.png")
    info.type, info.linkname = kind, "/etc/passwd"
    refused(write_tar(tmp_path / name, make_images(CLASS_FILES), (info,)), why)


@pytest.mark.parametrize(("mode", "why"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "neither a file nor a folder")])
def test_links_and_pipes_in_a_zip_are_refused(tmp_path: Path, mode: int, why: str) -> None:
    data_path = write_zip(tmp_path / "pets.zip", make_images(CLASS_FILES))
    info = zipfile.ZipInfo("ants/evil.png")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(data_path, "a") as opened:
        opened.writestr(info, "/etc/passwd")
    refused(data_path, why)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data_path = write_zip(tmp_path / "pets.zip", make_images(CLASS_FILES))
    content = bytearray(data_path.read_bytes())
    flags = content.index(b"PK\x01\x02") + 8
    content[flags] |= 1
    data_path.write_bytes(content)
    refused(data_path, "is encrypted; give an archive without a password")


def test_a_decompression_bomb_is_refused_before_unpacking(tmp_path: Path) -> None:
    zeros = bytes(80 * 2**20)
    refused(write_zip(tmp_path / "pets.zip", {"ants/0.png": zeros}), "more than 100 times as many")
    refused(write_tar(tmp_path / "pets.tar.gz", {"ants/0.png": zeros}), "more than 100 times as many")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 5)
    for name, pack in PACKS.items():
        refused(pack(tmp_path / name, make_images(CLASS_FILES)), "more than 5 members")


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    data_path = write_zip(tmp_path / "pets.zip", make_images(CLASS_FILES))
    data_path.write_bytes(data_path.read_bytes()[:-100])
    with pytest.raises(RefusedError, match="expected a folder or a complete zip"), FORMAT.open(locate(data_path)):
        pass


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["pets.tar", "pets.tar.gz"])
def test_a_truncated_tar_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    data_path = write_tar(
        tmp_path / name, {f"{label}/{i}": make_png(i, (100, 100)) for label in "ab" for i in range(9)}
    )
    content = data_path.read_bytes()
    data_path.write_bytes(content[: int(keep * len(content))])
    refused(data_path, "damaged|incomplete or damaged tar|truncated")


def test_a_tar_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    data_path = write_tar(tmp_path / "pets.tar", make_images(CLASS_FILES))
    content = bytearray(data_path.read_bytes())
    content[content.index(b"bees/1.png")] ^= 1
    data_path.write_bytes(content)
    refused(data_path, "bad header")


def test_an_oversized_tar_header_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("ants/evil.png")
    info.type, info.size = tarfile.XHDTYPE, 2**33
    data_path = write_tar(tmp_path / "pets.tar", make_images(CLASS_FILES))
    content = data_path.read_bytes()
    data_path.write_bytes(content[: content.index(b"bees/1.png")] + info.tobuf(tarfile.GNU_FORMAT) + bytes(10 * 512))
    refused(data_path, "a header declares 8,589,934,592 bytes")


def test_only_the_damaged_member_of_a_zip_fails_to_load(tmp_path: Path) -> None:
    data_path = write_zip(tmp_path / "pets.zip", make_images(CLASS_FILES))
    with zipfile.ZipFile(data_path) as opened:
        start = opened.getinfo("ants/0.png").header_offset
    content = bytearray(data_path.read_bytes())
    content[start + 30 + len("ants/0.png") + 60] ^= 0xFF
    data_path.write_bytes(content)
    with FORMAT.open(locate(data_path)) as raw:
        by_key = {sample.key: sample for sample in raw.samples}
        with pytest.raises(OSError, match="damaged member of the zip"):
            by_key["ants/0.png"].load()
        assert read_bytes(by_key["ants/1.png"]) == make_images(CLASS_FILES)["ants/1.png"]


def test_a_wrong_declared_size_does_not_unpack_more(tmp_path: Path) -> None:
    data_path = write_zip(tmp_path / "pets.zip", make_images(CLASS_FILES))
    content = bytearray(data_path.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 3)
    data_path.write_bytes(content)
    with FORMAT.open(locate(data_path)) as raw, pytest.raises(OSError, match="damaged member of the zip"):
        raw.samples[0].load()


INNER = ["inner.zip", "inner.tar", "inner.tar.gz", "inner.tgz"]


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", ["pets.zip", "pets.tar.gz"])
@pytest.mark.parametrize("folder", ["", "ants/"])
def test_a_nested_archive_is_dropped(tmp_path: Path, inner: str, outer: str, folder: str) -> None:
    within = PACKS[f"pets.{inner.split('.', 1)[1]}"](tmp_path / inner, make_images(["cats/1.png", "cats/2.png"]))
    data_path = PACKS[outer](tmp_path / outer, {folder + inner: within.read_bytes(), **make_images(CLASS_FILES)})
    with FORMAT.open(locate(data_path)) as raw:
        assert raw.classes == ["ants", "bees"]
        assert {sample.key for sample in raw.samples} == set(CLASS_FILES)
        assert [(item.file, item.why) for item in raw.dropped] == [
            (folder + inner, "a nested archive, which is not opened")
        ]


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("folder", ["", "set/", "set/ants/"])
@pytest.mark.parametrize("outer", ["pets.zip", "pets.tar.gz"])
def test_an_archive_with_only_a_nested_archive_is_refused(tmp_path: Path, inner: str, folder: str, outer: str) -> None:
    within = PACKS[f"pets.{inner.split('.', 1)[1]}"](tmp_path / inner, make_images(CLASS_FILES))
    files = {"README.md": b"words", "__MACOSX/._1": b"", ".DS_Store": b"", folder + inner: within.read_bytes()}
    refused(
        PACKS[outer](tmp_path / outer, files),
        rf"no images, only a nested archive \('{folder}{inner}'\), which is not opened; unpack the outer archive and "
        "give the inner one",
    )


@pytest.mark.parametrize("name", ["zz.zip", "zz.png"])
def test_a_tar_that_ends_with_a_zip_is_read_as_a_tar(tmp_path: Path, name: str) -> None:
    within = write_zip(tmp_path / "inner.zip", make_images(["cats/1.png", "dogs/2.png"]))
    data_path = write_tar(tmp_path / "pets.tar", {**make_images(CLASS_FILES), f"ants/{name}": within.read_bytes()})
    with FORMAT.open(locate(data_path)) as raw:
        assert raw.classes == ["ants", "bees"]


def test_hymenoptera_has_the_sizes_of_the_pytorch_tutorial(shared_data: Path) -> None:
    with FORMAT.open(locate(shared_data / "hymenoptera.zip")) as raw:
        assert raw.classes == ["ants", "bees"]
        assert [sum(sample.split == split for sample in raw.samples) for split in ("train", "val")] == [244, 153]
        assert raw.dropped == []


def test_a_gzip_without_a_tar_is_not_detected(tmp_path: Path) -> None:
    data_path = write_folder(tmp_path, {"notes.gz": gzip.compress(b"words" * 500)}) / "notes.gz"
    assert not FORMAT.detect(locate(data_path))


def test_a_truncated_zip_is_reported_by_detection(tmp_path: Path) -> None:
    from graftline.data.formats import select_format

    data_path = tmp_path / "cut.zip"
    data_path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(RefusedError, match="starts like a zip but its central directory is missing"):
        select_format("auto", locate(data_path))
