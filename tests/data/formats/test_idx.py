import gzip
from pathlib import Path

import numpy as np
import pytest

from graftline.data.formats.idx import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import at, folder_of, idx, mnist, zip_of


def refused(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(RefusedError, match=message), FORMAT.read(at(folder_of(tmp_path, files))):
        pass


@pytest.mark.parametrize("packed", [True, False])
def test_reads_what_was_written(tmp_path: Path, packed: bool) -> None:
    files = mnist(packed=False)
    with FORMAT.read(at(folder_of(tmp_path, mnist(packed=packed)))) as raw:
        assert raw.classes == [str(digit) for digit in range(10)]
        assert [sample.split for sample in raw.samples] == ["train"] * 20 + ["test"] * 20
        images = np.frombuffer(files["train-images-idx3-ubyte"][16:], np.uint8).reshape(20, 7, 6)
        for index in (0, 7, 19):
            loaded = raw.samples[index].load()
            assert isinstance(loaded, np.ndarray)
            assert loaded.shape == (1, 7, 6)
            assert np.array_equal(loaded[0], images[index])
            assert raw.samples[index].label == str(index % 10)


def test_reads_a_zip_and_the_names_with_a_dot(tmp_path: Path) -> None:
    files = {name.replace("-idx", ".idx"): content for name, content in mnist(packed=False).items()}
    with FORMAT.read(at(zip_of(tmp_path / "m.zip", files))) as raw:
        assert len(raw.samples) == 40


def test_plain_goes_before_packed(tmp_path: Path) -> None:
    with FORMAT.read(at(folder_of(tmp_path, {**mnist(10, packed=True), **mnist(20, packed=False)}))) as raw:
        assert len(raw.samples) == 40


@pytest.mark.parametrize("packed", [True, False])
def test_a_truncated_file_is_refused_with_found_and_expected(tmp_path: Path, packed: bool) -> None:
    files = mnist(packed=False)
    files["train-images-idx3-ubyte"] = files["train-images-idx3-ubyte"][:-100]
    if packed:
        files = {name + ".gz": gzip.compress(content) for name, content in files.items()}
    refused(tmp_path, files, "its header says 20 x 7 x 6, which takes 840 bytes; found 740; copy or download it again")


def test_a_gzip_cut_short_is_refused(tmp_path: Path) -> None:
    files = mnist()
    files["train-images-idx3-ubyte.gz"] = files["train-images-idx3-ubyte.gz"][:-30]
    refused(tmp_path, files, r"train-images-idx3-ubyte.gz: damaged \(Compressed file ended")


def test_a_longer_file_than_its_header_says_is_refused(tmp_path: Path) -> None:
    files = mnist(packed=False)
    files["train-labels-idx1-ubyte"] += b"\0"
    refused(tmp_path, files, "its header says 20, which takes 20 bytes; found more")


def test_a_header_that_lies_upwards_allocates_nothing(tmp_path: Path) -> None:
    files = mnist(packed=False)
    files["train-images-idx3-ubyte"] = bytes.fromhex("00000803" + "ffffffff" * 3) + b"x" * 50
    refused(tmp_path, files, r"its header says 4294967295 x 4294967295 x 4294967295, .* found 50;")


def test_another_magic_is_refused(tmp_path: Path) -> None:
    files = mnist(packed=False)
    files["train-images-idx3-ubyte"] = b"<html>" + bytes(50)
    refused(tmp_path, files, "expected IDX images, beginning with 00000803; found 3c68746d")


def test_images_and_labels_of_other_counts_are_refused(tmp_path: Path) -> None:
    files = mnist(packed=False)
    files["train-labels-idx1-ubyte"] = idx(np.zeros(19, np.uint8))
    refused(tmp_path, files, "idx3-ubyte has 20 images, train-labels-idx1-ubyte 19 labels; expected as many")


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    files = mnist()
    del files["t10k-labels-idx1-ubyte.gz"]
    refused(tmp_path, files, "no t10k-labels-idx1-ubyte, with or without .gz; found train-labels")


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    files = mnist()
    files["train-images-idx3-ubyte.gz"] = gzip.compress(idx(np.zeros((1500, 256, 256), np.uint8)))
    refused(tmp_path, files, "more than 100 times as much")


def test_mnist_itself(shared_data: Path) -> None:
    with FORMAT.read(at(shared_data / "mnist")) as raw:
        assert [sum(sample.split == split for sample in raw.samples) for split in ("train", "test")] == [60_000, 10_000]
        assert [sample.label for sample in raw.samples[:10]] == list("5041921314")
