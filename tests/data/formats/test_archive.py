import gzip
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from graftline.data.formats.archive import FORMAT
from graftline.data.formats.archives import members
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import PLAIN, at, folder_of, pictures, png, tar_of, zip_of

Pack = Callable[[Path, dict[str, bytes]], Path]
PACKS = {"pets.zip": zip_of, "pets.tar": tar_of, "pets.tar.gz": tar_of, "pets.tgz": tar_of}


def refused(place: Path, message: str) -> None:
    before = sorted(place.parent.rglob("*"))
    with pytest.raises(RefusedError, match=message), FORMAT.read(at(place)):
        pass
    assert sorted(place.parent.rglob("*")) == before


@pytest.mark.parametrize("name", PACKS)
def test_holds_what_the_folder_holds(tmp_path: Path, name: str) -> None:
    files = {f"pets/{path}": content for path, content in pictures(PLAIN).items()}
    files["__MACOSX/pets/._0.png"] = b"x"
    place = PACKS[name](tmp_path / name, files)
    assert FORMAT.found(at(place))
    with FORMAT.read(at(place)) as raw:
        found = {sample.key: sample.load().read() for sample in raw.samples}  # type: ignore[union-attr]
    assert found == {path: content for path, content in files.items() if "__MACOSX" not in path}
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
def test_hostile_names_are_refused(tmp_path: Path, name: str, member: str, why: str) -> None:
    refused(PACKS[name](tmp_path / name, {**pictures(PLAIN), member: png(0)}), why)


def test_a_nul_in_a_zip_name_is_refused(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "pets.zip", {**pictures(PLAIN), "ants/evilXpng": b"x"})
    place.write_bytes(place.read_bytes().replace(b"evilXpng", b"evil\0png"))
    refused(place, "a control character")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "pets.zip", pictures(PLAIN))
    with zipfile.ZipFile(place, "a") as opened:
        opened.writestr("ants/0.png", b"other")
    refused(place, "two members are called 'ants/0.png'")
    twice = tar_of(tmp_path / "pets.tar", pictures(PLAIN), (tarfile.TarInfo("ants/0.png"),))
    refused(twice, "two members are called 'ants/0.png'")


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
    refused(tar_of(tmp_path / name, pictures(PLAIN), (info,)), why)


@pytest.mark.parametrize(("mode", "why"), [(stat.S_IFLNK, "is a link"), (stat.S_IFIFO, "neither a file nor a folder")])
def test_links_and_pipes_in_a_zip_are_refused(tmp_path: Path, mode: int, why: str) -> None:
    place = zip_of(tmp_path / "pets.zip", pictures(PLAIN))
    info = zipfile.ZipInfo("ants/evil.png")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(place, "a") as opened:
        opened.writestr(info, "/etc/passwd")
    refused(place, why)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "pets.zip", pictures(PLAIN))
    content = bytearray(place.read_bytes())
    flags = content.index(b"PK\x01\x02") + 8
    content[flags] |= 1
    place.write_bytes(content)
    refused(place, "is encrypted; give an archive without a password")


def test_a_bomb_is_refused_before_it_bursts(tmp_path: Path) -> None:
    zeros = bytes(80 * 2**20)
    refused(zip_of(tmp_path / "pets.zip", {"ants/0.png": zeros}), "more than 100 times as much")
    refused(tar_of(tmp_path / "pets.tar.gz", {"ants/0.png": zeros}), "more than 100 times as much")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 5)
    for name, pack in PACKS.items():
        refused(pack(tmp_path / name, pictures(PLAIN)), "more than 5 members")


def test_a_zip_cut_short_is_refused(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "pets.zip", pictures(PLAIN))
    place.write_bytes(place.read_bytes()[:-100])
    with pytest.raises(RefusedError, match="neither a folder nor a whole zip"), FORMAT.read(at(place)):
        pass


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["pets.tar", "pets.tar.gz"])
def test_a_tar_cut_short_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    place = tar_of(tmp_path / name, {f"{label}/{i}": png(i, (100, 100)) for label in "ab" for i in range(9)})
    content = place.read_bytes()
    place.write_bytes(content[: int(keep * len(content))])
    refused(place, "damaged|not a whole tar|cut short")


def test_a_tar_damaged_in_the_middle_is_not_taken_for_its_end(tmp_path: Path) -> None:
    place = tar_of(tmp_path / "pets.tar", pictures(PLAIN))
    content = bytearray(place.read_bytes())
    content[content.index(b"bees/1.png")] ^= 1
    place.write_bytes(content)
    refused(place, "bad header")


def test_a_tar_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("ants/evil.png")
    info.type, info.size = tarfile.XHDTYPE, 2**33
    place = tar_of(tmp_path / "pets.tar", pictures(PLAIN))
    content = place.read_bytes()
    place.write_bytes(content[: content.index(b"bees/1.png")] + info.tobuf(tarfile.GNU_FORMAT) + bytes(10 * 512))
    refused(place, "a header claims 8,589,934,592 bytes")


def test_a_damaged_member_is_that_members_fault_alone(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "pets.zip", pictures(PLAIN))
    with zipfile.ZipFile(place) as opened:
        start = opened.getinfo("ants/0.png").header_offset
    content = bytearray(place.read_bytes())
    content[start + 30 + len("ants/0.png") + 60] ^= 0xFF
    place.write_bytes(content)
    with FORMAT.read(at(place)) as raw:
        by_key = {sample.key: sample for sample in raw.samples}
        with pytest.raises(OSError, match="damaged in the zip"):
            by_key["ants/0.png"].load()
        assert by_key["ants/1.png"].load().read() == pictures(PLAIN)["ants/1.png"]  # type: ignore[union-attr]


def test_a_lie_about_size_costs_no_memory(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "pets.zip", pictures(PLAIN))
    content = bytearray(place.read_bytes())
    struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 3)
    place.write_bytes(content)
    with FORMAT.read(at(place)) as raw, pytest.raises(OSError, match="damaged in the zip"):
        raw.samples[0].load()


INNER = ["inner.zip", "inner.tar", "inner.tar.gz", "inner.tgz"]


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", ["pets.zip", "pets.tar.gz"])
@pytest.mark.parametrize("folder", ["", "ants/"])
def test_an_archive_in_an_archive_is_a_fault_and_not_opened(
    tmp_path: Path, inner: str, outer: str, folder: str
) -> None:
    within = PACKS[f"pets.{inner.split('.', 1)[1]}"](tmp_path / inner, pictures(["cats/1.png", "cats/2.png"]))
    place = PACKS[outer](tmp_path / outer, {folder + inner: within.read_bytes(), **pictures(PLAIN)})
    with FORMAT.read(at(place)) as raw:
        assert raw.classes == ["ants", "bees"]
        assert {sample.key for sample in raw.samples} == set(PLAIN)
        assert [(fault.file, fault.why) for fault in raw.faults] == [
            (folder + inner, "an archive inside the archive, which is not opened")
        ]


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("folder", ["", "set/", "set/ants/"])
@pytest.mark.parametrize("outer", ["pets.zip", "pets.tar.gz"])
def test_nothing_but_an_archive_in_an_archive_is_refused(tmp_path: Path, inner: str, folder: str, outer: str) -> None:
    within = PACKS[f"pets.{inner.split('.', 1)[1]}"](tmp_path / inner, pictures(PLAIN))
    files = {"README.md": b"words", "__MACOSX/._1": b"", ".DS_Store": b"", folder + inner: within.read_bytes()}
    refused(
        PACKS[outer](tmp_path / outer, files),
        rf"no images, but an archive inside \('{folder}{inner}'\), which is not opened; unpack the outer one and "
        "give what is in it",
    )


@pytest.mark.parametrize("name", ["zz.zip", "zz.png"])
def test_a_zip_at_the_end_of_a_tar_does_not_stand_for_the_tar(tmp_path: Path, name: str) -> None:
    within = zip_of(tmp_path / "inner.zip", pictures(["cats/1.png", "dogs/2.png"]))
    place = tar_of(tmp_path / "pets.tar", {**pictures(PLAIN), f"ants/{name}": within.read_bytes()})
    with FORMAT.read(at(place)) as raw:
        assert raw.classes == ["ants", "bees"]


def test_hymenoptera_as_the_tutorial_has_it(shared_data: Path) -> None:
    with FORMAT.read(at(shared_data / "hymenoptera.zip")) as raw:
        assert raw.classes == ["ants", "bees"]
        assert [sum(sample.split == split for sample in raw.samples) for split in ("train", "val")] == [244, 153]
        assert raw.faults == []


def test_a_gzip_that_is_no_tar_is_not_found(tmp_path: Path) -> None:
    place = folder_of(tmp_path, {"notes.gz": gzip.compress(b"words" * 500)}) / "notes.gz"
    assert not FORMAT.found(at(place))


def test_a_zip_cut_short_is_called_so(tmp_path: Path) -> None:
    from graftline.data.formats import choose

    place = tmp_path / "cut.zip"
    place.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(RefusedError, match="begins as a zip and ends before its directory"):
        choose("auto", at(place))
