from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data import dataset
from graftline.data.dataset import DatasetManifest, StoredSample, content_digest, sample_digest
from graftline.data.images.stored_images import ImageLayout, encode_jpeg
from graftline.data.labels import UNLABELED
from graftline.runtime.errors import RefusedError

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 3, 5, 4), dtype=np.uint8)
ORDER = [8, 1, 2, 3, 4, 5, 0]
SIZES = {"train": 4, "val": 2, "test": 1}


def written(folder: Path, layout: ImageLayout = "raw") -> DatasetManifest:
    splits = [name for name, count in SIZES.items() for _ in range(count)]
    samples = [
        StoredSample(f"files/{row}.png", "ab"[row % 2], split, sample_digest(IMAGES[row]))  # type: ignore[arg-type]
        for row, split in zip(ORDER, splits, strict=True)
    ]
    manifest = DatasetManifest(
        label="x",
        format="f",
        classes=["b", "a"],
        sizes=SIZES,
        image_shape=(3, 5, 4),
        mean=[0] * 3,
        std=[1] * 3,
        dropped=[],
        seed=0,
        ledger="l",
        fingerprint="",
        digest=content_digest(samples),
        layout=layout,
    )
    stored = (IMAGES[row].tobytes() if layout == "raw" else encode_jpeg(IMAGES[row]) for row in ORDER)
    return dataset.write(folder, manifest, stored, samples, "{}", lambda manifest, images, samples: f"{len(images)}")


def test_reads_what_was_written(tmp_path: Path) -> None:
    manifest = written(tmp_path)
    found = dataset.read(tmp_path)
    assert found.manifest == manifest
    assert [len(found.train), len(found.val), len(found.test)] == [4, 2, 1]
    assert np.array_equal(found.train.images, IMAGES[[8, 1, 2, 3]])
    assert found.train.labels.tolist() == [1, 0, 1, 0]
    assert np.array_equal(found.test.images, IMAGES[[0]])
    assert isinstance(found.train.images, np.memmap)
    assert sorted(manifest.files) == ["images.npy", "labels.npy", "ledger.json", "page.html", "samples.jsonl"]
    assert (tmp_path / "page.html").read_text() == "7"
    lines = dataset.read_samples(tmp_path)
    assert [line.key for line in lines] == [f"files/{row}.png" for row in ORDER]
    assert lines[0] == StoredSample("files/8.png", "a", "train", sample_digest(IMAGES[8]))


def test_reads_jpeg_as_it_reads_raw_pixels(tmp_path: Path) -> None:
    manifest = written(tmp_path, "jpeg")
    found = dataset.read(tmp_path)
    assert sorted(manifest.files) == [
        "images-00000.jpeg",
        "index.npy",
        "labels.npy",
        "ledger.json",
        "page.html",
        "samples.jsonl",
    ]
    assert [len(found.train), len(found.val), len(found.test)] == [4, 2, 1]
    assert found.train.images.shape == (4, 3, 5, 4)
    assert found.train.labels.tolist() == [1, 0, 1, 0]
    assert found.manifest.identity != manifest.model_copy(update={"layout": "raw"}).identity


def test_labels_of_an_unlabelled_dataset_are_all_minus_one(tmp_path: Path) -> None:
    manifest = written(tmp_path)
    unlabelled = manifest.model_copy(update={"task": UNLABELED, "classes": [], "files": {}})
    dataset.manifests.write(tmp_path, unlabelled)
    with pytest.raises(RefusedError, match="labels outside of the manifest's 0 classes; preprocess again"):
        dataset.read(tmp_path)
    np.save(tmp_path / "labels.npy", np.full(7, -1))
    assert dataset.read(tmp_path).train.labels.tolist() == [-1] * 4


def test_a_grey_image_has_one_digest_in_a_grey_and_in_a_colored_set() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert sample_digest(np.repeat(grey, 3, axis=0)) == sample_digest(grey)


def test_a_samples_digest_is_what_the_docstring_says() -> None:
    import hashlib

    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert sample_digest(image) == hashlib.sha256(b"1,2,3\n\x00\x01\x02\x03\x04\x05").hexdigest()
    assert sample_digest(image) != sample_digest(image.reshape(1, 3, 2))
    one = StoredSample("k", 'a"b', "train", "00ff")
    assert content_digest([one]) == "sha256:" + hashlib.sha256(b'["00ff","a\\"b"]\n').hexdigest()


@given(st.permutations([StoredSample(str(i), "ab"[i % 2], "train", f"{i:064x}") for i in range(6)]))
def test_the_digest_knows_no_order_name_or_split(samples: list[StoredSample]) -> None:
    other = [StoredSample("elsewhere/" + sample.key, sample.label, "test", sample.sha256) for sample in samples]
    assert content_digest(samples) == content_digest(other) == content_digest(sorted(other, key=lambda one: one.sha256))
    changed = [*samples[:-1], StoredSample("x", "c", "train", samples[-1].sha256)]
    assert content_digest(changed) != content_digest(samples)


def test_the_identity_knows_splits_and_class_order(tmp_path: Path) -> None:
    manifest = written(tmp_path)
    for change in ({"ledger": "m"}, {"classes": ["a", "b"]}, {"digest": "d"}, {"sizes": {"train": 7}}):
        assert manifest.model_copy(update=change).identity != manifest.identity
    assert manifest.model_copy(update={"label": "other", "fingerprint": "f"}).identity == manifest.identity


def test_a_folder_without_manifest_is_not_whole(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(RefusedError, match=r"no manifest\.json, so this is not a whole dataset artifact"):
        dataset.read(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "images.npy",
            IMAGES[:3],
            r"images\.npy: expected uint8 \(7, 3, 5, 4\) as in the manifest, found uint8 \(3, 3, 5, 4\)",
        ),
        ("images.npy", IMAGES[:7].astype(float), r"expected uint8 \(7, 3, 5, 4\) as in the manifest, found float64"),
        (
            "labels.npy",
            np.zeros(3, np.int64),
            r"labels\.npy: expected int64 \(7,\) as in the manifest, found int64 \(3,\)",
        ),
        ("labels.npy", np.full(7, 2), "outside of the manifest.s 2 classes"),
        ("labels.npy", np.full(7, -1), "outside of the manifest.s 2 classes"),
        ("labels.npy", np.array([object()] * 7), "not an array: .*allow_pickle"),
    ],
)
def test_arrays_that_do_not_fit_the_manifest_are_refused(
    tmp_path: Path, file: str, content: np.ndarray, message: str
) -> None:
    written(tmp_path)
    np.save(tmp_path / file, content, allow_pickle=True)
    with pytest.raises(RefusedError, match=message):
        dataset.read(tmp_path)


def test_a_truncated_array_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    content = (tmp_path / "images.npy").read_bytes()
    (tmp_path / "images.npy").write_bytes(content[:-1])
    with pytest.raises(RefusedError, match=r"images\.npy: not an array"):
        dataset.read(tmp_path)


def test_damaged_sample_lines_are_refused(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "samples.jsonl").write_text('{"key": "a"}\n')
    with pytest.raises(RefusedError, match=r"samples\.jsonl: not sample lines"):
        dataset.read_samples(tmp_path)
