"""The same dataset bit for bit, whatever the number of shards."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftline.config import Data
from graftline.config.jobs import DecodeJob, PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest
from graftline.data.shards.decoded_shard import ShardManifest
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.decode import decode
from graftline.steps.merge import merge
from graftline.steps.preprocess import preprocess
from tests.builders.raw_data import make_png, write_folder


def write_pets(folder: Path, gray: int = 0) -> Path:
    """Writes 40 images of two classes, some of them grayscale, one damaged, and one twice."""
    for number in range(40):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert("L" if number < gray else "RGB").save(path)
    shutil.copy(folder / "a/0.png", folder / "a/again.png")
    return write_folder(folder, {"b/half.png": make_png(7)[:90]})


def job(place: Path, **more: object) -> PreprocessJob:
    data = Data(data=str(place), max_dropped=0.1)
    return PreprocessJob(label="pets", data=data, image_size=16, seed=0, fingerprint="f", **more)  # type: ignore[arg-type]


def sharded(requested: PreprocessJob, shards: int, out: Path, target: Path | None = None) -> DatasetManifest:
    parts = [out / f"part{shard}" for shard in range(shards)]
    for shard, part in enumerate(parts):
        decode(DecodeJob(data=requested, shard=shard, shards=shards), out=part)
    return merge(requested, parts[::-1], out=out / "merged", target=target)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("shards", "gray", "packed_above"), list(itertools.product([2, 7], [0, 39, 40], [16.0, 0.0])))
def test_any_number_of_shards_gives_the_same_files(tmp_path: Path, shards: int, gray: int, packed_above: float) -> None:
    requested = job(write_pets(tmp_path / "pets", gray), packed_above=packed_above)
    whole = preprocess(requested, out=tmp_path / "one")
    assert whole.layout == ("jpeg" if packed_above == 0 else "raw")
    assert whole.image_shape[0] == (1 if gray == 40 else 3)
    assert sharded(requested, shards, tmp_path / "many") == whole
    assert files(tmp_path / "many/merged") == files(tmp_path / "one")


def test_source_shards_exclude_the_test_images_of_the_target(tmp_path: Path) -> None:
    requested = job(write_pets(tmp_path / "pets"))
    preprocess(requested, out=tmp_path / "target")
    whole = preprocess(requested, out=tmp_path / "one", target=tmp_path / "target")
    assert whole.leaked == 6
    sharded(requested, 3, tmp_path / "many", tmp_path / "target")
    assert files(tmp_path / "many/merged") == files(tmp_path / "one")


def test_accepts_more_shards_than_images(tmp_path: Path) -> None:
    requested = job(write_pets(tmp_path / "pets"))
    assert sharded(requested, 90, tmp_path / "many") == preprocess(requested, out=tmp_path / "one")


def test_digests_do_not_depend_on_the_layout(tmp_path: Path) -> None:
    place = write_pets(tmp_path / "pets")
    raw, packed = (preprocess(job(place, packed_above=most), out=tmp_path / str(most)) for most in (16.0, 0.0))
    assert (raw.digest, raw.ledger, raw.mean, raw.std) == (packed.digest, packed.ledger, packed.mean, packed.std)
    assert raw.identity != packed.identity
    assert "stored as JPEG of quality 95" in " ".join(packed.notes)
    one, other = (dataset.read(tmp_path / str(most)).train.images[:8].astype(float) for most in (16.0, 0.0))
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.5  # noise is what JPEG keeps least


def test_mean_and_std_equal_those_of_the_stored_pixels(tmp_path: Path) -> None:
    merged = preprocess(job(write_pets(tmp_path / "pets", gray=13)), out=tmp_path / "one")
    images = dataset.read(tmp_path / "one").train.images / 255
    assert merged.mean == pytest.approx(images.mean(axis=(0, 2, 3)).tolist(), rel=1e-12)
    assert merged.std == pytest.approx(images.std(axis=(0, 2, 3)).tolist(), rel=1e-12)


def test_refuses_a_missing_shard(tmp_path: Path) -> None:
    requested = job(write_pets(tmp_path / "pets"))
    for shard in (0, 2):
        decode(DecodeJob(data=requested, shard=shard, shards=3), out=tmp_path / f"part{shard}")
    with pytest.raises(RefusedError, match=r"pets: of 3 shards, \[1\] \(counted from 0\) are missing; decode them"):
        merge(requested, [tmp_path / "part0", tmp_path / "part2"], out=tmp_path / "out")
    with pytest.raises(RefusedError, match="pets: none of the decoded shards belongs to it"):
        merge(requested, [], out=tmp_path / "out")


def test_refuses_an_incomplete_shard(tmp_path: Path) -> None:
    requested = job(write_pets(tmp_path / "pets"))
    decode(DecodeJob(data=requested), out=tmp_path / "part")
    (tmp_path / "part/manifest.json").unlink()
    with pytest.raises(RefusedError, match=r"part: no manifest\.json, so this is not a whole shard artifact"):
        merge(requested, [tmp_path / "part"], out=tmp_path / "out")


def test_refuses_shards_of_changed_data(tmp_path: Path) -> None:
    requested = job(write_pets(tmp_path / "pets"))
    decode(DecodeJob(data=requested, shard=0, shards=2), out=tmp_path / "part0")
    write_folder(tmp_path / "pets", {"c/1.png": make_png(1), "c/2.png": make_png(2)})
    decode(DecodeJob(data=requested, shard=1, shards=2), out=tmp_path / "part1")
    with pytest.raises(RefusedError, match="shards 0 and 1 saw different data, so the data changed during decoding"):
        merge(requested, [tmp_path / "part0", tmp_path / "part1"], out=tmp_path / "out")


def test_ignores_shards_of_other_data(tmp_path: Path) -> None:
    requested, other = job(write_pets(tmp_path / "pets")), job(write_pets(tmp_path / "others"))
    for name, each in (("a", requested), ("b", other)):
        decode(DecodeJob(data=each), out=tmp_path / name)
    assert merge(requested, [tmp_path / "a", tmp_path / "b"], out=tmp_path / "out").files
    assert manifest.read(tmp_path / "a", ShardManifest).job != manifest.read(tmp_path / "b", ShardManifest).job
