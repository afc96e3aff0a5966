import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftline.data.images import stored_images
from graftline.data.images.stored_images import JpegImages, encode_jpeg, is_grayscale
from graftline.runtime.errors import RefusedError

SHAPE = (3, 16, 24)


def smooth(seed: int, channels: int = 3) -> np.ndarray:
    """A picture without sharp edges, which JPEG keeps nearly as it is."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, channels), dtype=np.uint8)
    image = Image.fromarray(small if channels == 3 else small[..., 0]).resize((24, 16), Image.Resampling.BICUBIC)
    array = np.asarray(image)
    return array[None] if channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def stored(folder: Path, images: list[np.ndarray], shape: tuple[int, int, int] = SHAPE) -> stored_images.Images:
    stored_images.write(folder, "jpeg", map(encode_jpeg, images), len(images), shape)
    return stored_images.read(folder, "jpeg", len(images), shape)


def test_jpeg_gives_nearly_the_same_pixels_by_index_slice_and_rows(tmp_path: Path) -> None:
    images = [smooth(seed) for seed in range(9)]
    found = stored(tmp_path, images)
    assert (len(found), found.shape) == (9, (9, *SHAPE))
    assert np.abs(found[4].astype(int) - images[4]).mean() < 5
    assert found[4].dtype == np.uint8
    for key in (slice(2, 7), np.array([8, 0, 0, 3]), slice(5, 5)):
        assert np.array_equal(found[key], np.array([found[row] for row in np.arange(9)[key]]).reshape(-1, *SHAPE))
    view = stored_images.image_range(found, 3, 6)
    assert isinstance(view, JpegImages)
    assert np.array_equal(view[0], found[3])


def test_jpegs_fill_several_files_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [smooth(seed) for seed in range(9)]
    whole = stored(tmp_path, images)[:]
    monkeypatch.setattr(stored_images, "_SHARD_BYTES", 2500)
    found = stored(tmp_path, images)
    assert len(list(tmp_path.glob("images-*.jpeg"))) > 2
    assert np.array_equal(found[:], whole)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_is_stored_as_grey_and_read_with_the_sets_channels(tmp_path: Path, channels: int) -> None:
    grey = smooth(0, channels=1)
    assert encode_jpeg(np.repeat(grey, 3, axis=0)) == encode_jpeg(grey)
    assert Image.open(io.BytesIO(encode_jpeg(grey))).mode == "L"
    found = stored(tmp_path, [grey], (channels, 16, 24))
    assert found[0].shape == (channels, 16, 24)
    assert is_grayscale(found[0])


def test_jpegs_of_another_size_than_the_manifest_says_are_refused(tmp_path: Path) -> None:
    stored_images.write(tmp_path, "jpeg", [encode_jpeg(smooth(0))], 1, SHAPE)
    found = stored_images.read(tmp_path, "jpeg", 1, (3, 16, 16))
    with pytest.raises(
        RefusedError, match="a stored image has 24x16 pixels, but the manifest specifies 16x16; preprocess"
    ):
        found[0]


@pytest.mark.parametrize("index", [[[1, 0, 5]], [[0, 0, 10**9]], [[0, -5, 3]], [[-1, 0, 3]]])
def test_an_index_that_leaves_the_files_is_refused(tmp_path: Path, index: list[list[int]]) -> None:
    stored(tmp_path, [smooth(0)])
    np.save(tmp_path / "index.npy", np.array(index))
    with pytest.raises(
        RefusedError, match=r"index\.npy: contains offsets outside of the JPEG shards; preprocess again"
    ):
        stored_images.read(tmp_path, "jpeg", 1, SHAPE)


def test_missing_shards_are_refused(tmp_path: Path) -> None:
    stored(tmp_path, [smooth(0)])
    (tmp_path / "images-00000.jpeg").unlink()
    with pytest.raises(RefusedError, match="contains offsets outside of the JPEG shards"):
        stored_images.read(tmp_path, "jpeg", 1, SHAPE)


def test_no_images_are_no_fault(tmp_path: Path) -> None:
    assert stored(tmp_path, []).shape == (0, *SHAPE)
