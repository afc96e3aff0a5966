import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graftline.config import Columns
from graftline.data.formats.cifar import cifar
from graftline.data.formats.cifar.cifar import FORMAT
from graftline.data.formats.cifar.pickles import load_pickle
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import RawDataset
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import make_cifar10_binary, make_cifar10_pickles, write_folder, write_tar, write_zip
from tests.builders.raw_records import make_cifar100_binary, make_cifar100_pickles
from tests.builders.reading import locate

# What python 2 wrote for CIFAR: protocol 2, `str` for keys and pixels, names of a numpy that is long gone.
PYTHON2 = (
    b"\x80\x02}q\x01(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R("
    b"K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
    b"tb\x89T\x00\x0c\x00\x00" + bytes(range(256)) * 12 + b"tbU\x06labels]K\x07au."
)


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("packed", [True, False])
def test_python_batches_are_read(tmp_path: Path, protocol: int, packed: bool) -> None:
    files = make_cifar10_pickles(protocol=protocol)
    data_path = write_tar(tmp_path / "c.tar.gz", files) if packed else write_folder(tmp_path, files)
    assert FORMAT.detect(locate(data_path))
    with FORMAT.open(locate(data_path)) as raw:
        assert raw.classes == [f"thing{index}" for index in range(10)]
        assert [sample.split for sample in raw.samples] == ["train"] * 40 + ["test"] * 20
        expected = pickle.loads(files["cifar-10-batches-py/data_batch_2"])["data"]
        assert np.array_equal(raw.samples[23].load(), expected[3].reshape(3, 32, 32))
        assert raw.samples[23].label == "thing3"


def test_binary_batches_are_read(tmp_path: Path) -> None:
    files = make_cifar10_binary()
    with FORMAT.open(locate(write_folder(tmp_path, files))) as raw:
        assert raw.classes[0] == "thing0"
        assert [sample.split for sample in raw.samples] == ["train"] * 20 + ["test"] * 10
        expected = np.frombuffer(files["data_batch_1.bin"], np.uint8).reshape(20, 3073)[4, 1:].reshape(3, 32, 32)
        assert np.array_equal(raw.samples[4].load(), expected)


def test_python_2_pickles_are_read() -> None:
    value = load_pickle(Path("data_batch_1"), PYTHON2)
    assert value["labels"] == [7]
    assert np.array_equal(value["data"].pixels[0], np.tile(np.arange(256, dtype=np.uint8), 12))


class _Command:
    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts  # type: ignore[return-value]


@pytest.mark.parametrize(
    "value",
    [
        _Command(os.system, ("touch /tmp/graftline-was-here",)),
        _Command(eval, ("1+1",)),
        _Command(getattr, (1, "real")),
        _Command(np.load, ("x",)),
        np.array([1.5, 2.5]).sum(),
        complex(1, 2),
    ],
)
def test_pickles_cannot_import_anything_else(value: Any) -> None:
    for protocol in (2, 4):
        with pytest.raises(RefusedError, match=r"not a CIFAR batch: it imports \S+, which a CIFAR batch does not need"):
            load_pickle(Path("data_batch_1"), pickle.dumps({"data": value}, protocol))
    assert not Path("/tmp/graftline-was-here").exists()


def test_a_pickle_cannot_modify_the_substitutes() -> None:
    for name in (b"numpy\ndtype", b"_codecs\nencode", b"numpy.core.multiarray\n_reconstruct"):
        attack = b"\x80\x02c" + name + b"\n}U\x01xK\x01sN\x86b."
        with pytest.raises(RefusedError, match="not a CIFAR batch"):
            load_pickle(Path("data_batch_1"), attack)
    assert load_pickle(Path("data_batch_1"), PYTHON2)["labels"] == [7]


def test_an_array_with_a_wrong_declared_shape_is_refused() -> None:
    lie = PYTHON2.replace(b"K\x01M\x00\x0c\x86", b"J\xff\xff\xff\x7fM\x00\x0c\x86")
    with pytest.raises(RefusedError, match=r"an array of u1 \(2147483647, 3072\) in 3,072 bytes"):
        load_pickle(Path("data_batch_1"), lie)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x02}q\x01(U\x04data", b"<html>", PYTHON2[:-10], b"\x80\x02K\x01.", b"\x80\x02r\xff\xff\xff\x7f."],
)
def test_damaged_pickles_are_refused(content: bytes) -> None:
    with pytest.raises(RefusedError, match="data_batch_1: not a CIFAR batch"):
        load_pickle(Path("data_batch_1"), content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1, 2]}, "20 images but 2 labels; expected one class index per image"),
        ({"labels": [-1] * 20}, "expected one class index per image"),
        ({"data": [1, 2]}, r"expected the keys 'data' and 'labels', found"),
    ],
)
def test_inconsistent_batches_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    files = make_cifar10_pickles()
    name = "cifar-10-batches-py/data_batch_1"
    files[name] = pickle.dumps({**pickle.loads(files[name]), **change}, 2)
    with pytest.raises(RefusedError, match=message), FORMAT.open(locate(write_folder(tmp_path, files))):
        pass


@pytest.mark.parametrize("named", [True, False])
def test_a_label_beyond_the_classes_is_refused(tmp_path: Path, named: bool) -> None:
    files = make_cifar10_binary()
    files["data_batch_1.bin"] = bytes([77]) + files["data_batch_1.bin"][1:]
    if not named:
        del files["batches.meta.txt"]
    with (
        pytest.raises(RefusedError, match=r"image 0 has the label 77, expected 0 to 9; the file is damaged"),
        FORMAT.open(locate(write_folder(tmp_path, files))),
    ):
        pass


def test_a_truncated_binary_batch_is_refused(tmp_path: Path) -> None:
    files = make_cifar10_binary()
    files["data_batch_1.bin"] = files["data_batch_1.bin"][:-7]
    with (
        pytest.raises(RefusedError, match="61,453 bytes is not a multiple of the record size 3073"),
        FORMAT.open(locate(write_folder(tmp_path, files))),
    ):
        pass


def test_a_damaged_batch_in_a_zip_is_refused(tmp_path: Path) -> None:
    data_path = write_zip(tmp_path / "c.zip", make_cifar10_binary())
    content = bytearray(data_path.read_bytes())
    content[1000] ^= 0xFF
    data_path.write_bytes(content)
    with (
        pytest.raises(
            RefusedError, match=r"data_batch_1.bin: damaged member of the zip: .*; copy or download it again"
        ),
        FORMAT.open(locate(data_path)),
    ):
        pass


def read(path: Path, label: str | None = None) -> RawDataset:
    with FORMAT.open(DataLocation(str(path), path, None, Columns(label=label))) as raw:
        return raw


@pytest.mark.parametrize("pack", [write_folder, write_tar, write_zip])
@pytest.mark.parametrize("label", [None, "fine", "coarse"])
def test_cifar_100_pickles_are_read(tmp_path: Path, pack: Any, label: str | None) -> None:
    files = make_cifar100_pickles()
    data_path = pack(tmp_path / "c.tar.gz", files)
    assert FORMAT.detect(locate(data_path))
    raw = read(data_path, label)
    word, classes = ("kind", 20) if label == "coarse" else ("thing", 100)
    assert raw.classes == [f"{word}{index}" for index in range(classes)]
    assert [sample.split for sample in raw.samples] == ["test"] * 20 + ["train"] * 20
    assert [sample.label for sample in raw.samples[:20]] == [f"{word}{row * 7 % 100 % classes}" for row in range(20)]
    expected = pickle.loads(files["cifar-100-python/train"])["data"]
    assert np.array_equal(raw.samples[23].load(), expected[3].reshape(3, 32, 32))
    assert raw.samples[23].key == "cifar-100-python/train#3"


@pytest.mark.parametrize("label", [None, "coarse"])
def test_cifar_100_binary_files_are_read(tmp_path: Path, label: str | None) -> None:
    files = make_cifar100_binary()
    data_path = write_folder(tmp_path, files)
    assert FORMAT.detect(locate(data_path))
    raw = read(data_path, label)
    word, classes = ("kind", 20) if label == "coarse" else ("thing", 100)
    assert [sample.label for sample in raw.samples[:10]] == [f"{word}{row * 7 % 100 % classes}" for row in range(10)]
    expected = np.frombuffer(files["train.bin"], np.uint8).reshape(20, 3074)[4, 2:].reshape(3, 32, 32)
    assert np.array_equal(raw.samples[14].load(), expected)


def test_cifar_100_without_names_has_numbered_classes(tmp_path: Path) -> None:
    files = make_cifar100_pickles()
    del files["cifar-100-python/meta"]
    assert len(read(write_folder(tmp_path, files)).classes) == 100


@pytest.mark.parametrize(
    "names",
    [
        ["train/a/1.png", "test/a/1.png", "meta"],
        ["train/1.png", "test/1.png", "meta/1.png"],
        ["train", "test"],
        ["a/train", "b/test", "c/meta"],
        ["train.bin", "test.bin"],
    ],
)
@pytest.mark.parametrize("pack", [write_folder, write_tar, write_zip])
def test_folders_named_train_and_test_are_not_detected_as_cifar_100(
    tmp_path: Path, names: list[str], pack: Any
) -> None:
    assert not FORMAT.detect(locate(pack(tmp_path / "c.tar", dict.fromkeys(names, b"x"))))


@pytest.mark.parametrize(
    ("files", "label", "message"),
    [
        (make_cifar100_binary(), "superclass", "columns.label is 'superclass', expected coarse or fine for CIFAR-100"),
        (
            make_cifar10_binary(),
            "coarse",
            "columns.label is 'coarse', but CIFAR-10 has only one kind of label; remove it",
        ),
        (
            {**make_cifar10_pickles(), **make_cifar100_pickles()},
            None,
            "contains both CIFAR-10 and CIFAR-100; give the folder of one",
        ),
        (
            {"a.png": b""},
            None,
            "no CIFAR batches; expected files such as data_batch_1 and test_batch, CIFAR-100's train and test",
        ),
        (
            {**make_cifar100_binary(), "train.bin": bytes(3073)},
            None,
            "3,073 bytes is not a multiple of the record size 3074",
        ),
        (
            {**make_cifar100_binary(), "train.bin": bytes([0, 200]) + bytes(3072)},
            None,
            "image 0 has the label 200, expected 0 to 99; the file is damaged or not CIFAR-100",
        ),
        (
            {**make_cifar100_binary(), "train.bin": bytes([20, 0]) + bytes(3072)},
            "coarse",
            "has the label 20, expected 0 to 19",
        ),
        (
            {**make_cifar100_pickles(), "cifar-100-python/train": pickle.dumps({"data": 1, "labels": []})},
            None,
            r"train: expected the keys 'data' and 'fine_labels', found \['data', 'labels'\]",
        ),
    ],
)
def test_invalid_cifar_data_are_refused(
    tmp_path: Path, files: dict[str, bytes], label: str | None, message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        read(write_folder(tmp_path, files), label)


def test_an_oversized_batch_is_refused_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "MAX_BATCH_BYTES", 100)
    with pytest.raises(RefusedError, match=r"bytes; the largest CIFAR file has about 155 million"):
        read(write_folder(tmp_path, make_cifar100_binary()))
