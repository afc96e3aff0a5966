import gzip
from pathlib import Path

import numpy as np
import pytest

from graftline.data.formats.idx import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import encode_idx, make_mnist, write_folder, write_zip
from tests.builders.reading import locate


def refused(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(RefusedError, match=message), FORMAT.open(locate(write_folder(tmp_path, files))):
        pass


@pytest.mark.parametrize("packed", [True, False])
def test_reads_what_was_written(tmp_path: Path, packed: bool) -> None:
    files = make_mnist(packed=False)
    with FORMAT.open(locate(write_folder(tmp_path, make_mnist(packed=packed)))) as raw:
        assert raw.classes == [str(digit) for digit in range(10)]
        assert [sample.split for sample in raw.samples] == ["train"] * 20 + ["test"] * 20
        images = np.frombuffer(files["train-images-idx3-ubyte"][16:], np.uint8).reshape(20, 7, 6)
        for index in (0, 7, 19):
            loaded = raw.samples[index].load()
            assert isinstance(loaded, np.ndarray)
            assert loaded.shape == (1, 7, 6)
            assert np.array_equal(loaded[0], images[index])
            assert raw.samples[index].label == str(index % 10)


def test_zips_and_names_with_a_dot_are_read(tmp_path: Path) -> None:
    files = {name.replace("-idx", ".idx"): content for name, content in make_mnist(packed=False).items()}
    with FORMAT.open(locate(write_zip(tmp_path / "m.zip", files))) as raw:
        assert len(raw.samples) == 40


def test_uncompressed_files_take_precedence(tmp_path: Path) -> None:
    with FORMAT.open(
        locate(write_folder(tmp_path, {**make_mnist(10, packed=True), **make_mnist(20, packed=False)}))
    ) as raw:
        assert len(raw.samples) == 40


@pytest.mark.parametrize("packed", [True, False])
def test_a_truncated_file_is_refused_with_found_and_expected(tmp_path: Path, packed: bool) -> None:
    files = make_mnist(packed=False)
    files["train-images-idx3-ubyte"] = files["train-images-idx3-ubyte"][:-100]
    if packed:
        files = {name + ".gz": gzip.compress(content) for name, content in files.items()}
    refused(
        tmp_path,
        files,
        "the header declares the shape 20 x 7 x 6, which takes 840 bytes; found 740; copy or download it again",
    )


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    files = make_mnist()
    files["train-images-idx3-ubyte.gz"] = files["train-images-idx3-ubyte.gz"][:-30]
    refused(tmp_path, files, r"train-images-idx3-ubyte.gz: damaged \(Compressed file ended")


def test_a_file_longer_than_declared_is_refused(tmp_path: Path) -> None:
    files = make_mnist(packed=False)
    files["train-labels-idx1-ubyte"] += b"\0"
    refused(tmp_path, files, "the header declares the shape 20, which takes 20 bytes; found more")


def test_a_header_with_a_huge_shape_allocates_nothing(tmp_path: Path) -> None:
    files = make_mnist(packed=False)
    files["train-images-idx3-ubyte"] = bytes.fromhex("00000803" + "ffffffff" * 3) + b"x" * 50
    refused(tmp_path, files, r"the header declares the shape 4294967295 x 4294967295 x 4294967295, .* found 50;")


def test_a_wrong_magic_number_is_refused(tmp_path: Path) -> None:
    files = make_mnist(packed=False)
    files["train-images-idx3-ubyte"] = b"<html>" + bytes(50)
    refused(tmp_path, files, "not IDX images: expected the magic number 00000803, found 3c68746d")


def test_different_numbers_of_images_and_labels_are_refused(tmp_path: Path) -> None:
    files = make_mnist(packed=False)
    files["train-labels-idx1-ubyte"] = encode_idx(np.zeros(19, np.uint8))
    refused(
        tmp_path,
        files,
        "idx3-ubyte has 20 images, but train-labels-idx1-ubyte has 19 labels; the numbers must",
    )


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    files = make_mnist()
    del files["t10k-labels-idx1-ubyte.gz"]
    refused(tmp_path, files, "no t10k-labels-idx1-ubyte or its .gz; found train-labels")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    files = make_mnist()
    files["train-images-idx3-ubyte.gz"] = gzip.compress(encode_idx(np.zeros((1500, 256, 256), np.uint8)))
    refused(tmp_path, files, "more than 100 times as many")


def test_mnist_has_its_known_sizes_and_labels(shared_data: Path) -> None:
    with FORMAT.open(locate(shared_data / "mnist")) as raw:
        assert [sum(sample.split == split for sample in raw.samples) for split in ("train", "test")] == [60_000, 10_000]
        assert [sample.label for sample in raw.samples[:10]] == list("5041921314")
