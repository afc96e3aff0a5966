"""The data page: correct, self-contained, bounded in size, and safe against hostile names."""

import base64
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from graftline.data.dataset import SPLIT_NAMES, DatasetManifest, Dropped, StoredSample
from graftline.data.images import stored_images
from graftline.data.labels import UNLABELED
from graftline.report.data.page import render_data_page
from graftline.report.data.thumbnails import MAX_AVERAGED, first_of_classes

HOSTILE = [
    "<script>alert(1)</script>",
    "</style>",
    '" onload="x',
    "{{ 7 * 7 }}",
    "`rm`",
    "it's 'so'",
    "a \u202e b",
    "nul\x00",
    "lone \udc80",
    "W" * 5000,
    " ",
    "\u05e9\u05dc\u05d5\u05dd",
]


class PageReader(HTMLParser):
    """Collects tags, attributes, and text, and checks that elements are nested correctly."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "" if self.open[-1:] == ["style"] else data

    def pictures(self, kind: str = "png") -> list[NDArray[np.uint8]]:
        head = f"data:image/{kind};base64,"
        return [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(value.removeprefix(head)))))
            for tag, name, value in self.attributes
            if (tag, name) == ("img", "src") and value.startswith(head)
        ]


def make_dataset(
    sizes: dict[str, tuple[int, int, int]], shape: tuple[int, int, int] = (1, 8, 8), **more: Any
) -> tuple[DatasetManifest, NDArray[np.uint8], list[StoredSample]]:
    """Returns a dataset of noise; the first row of all images of a class has the same value."""
    samples: list[StoredSample] = []
    images = np.random.default_rng(0).integers(0, 256, (sum(map(sum, sizes.values())), *shape), np.uint8)
    for number, split in enumerate(SPLIT_NAMES):
        for row, label in enumerate(sizes):
            for index in range(sizes[label][number]):
                images[len(samples), :, 0] = 10 * row % 256
                samples.append(StoredSample(f"{split}/{label}/{index}.png", label, split, "00"))
    fields = {
        "label": "pets",
        "format": "image-folder",
        "classes": list(sizes),
        "image_shape": shape,
        "sizes": {name: sum(count[number] for count in sizes.values()) for number, name in enumerate(SPLIT_NAMES)},
        "counts": {label: dict(zip(SPLIT_NAMES, count, strict=True)) for label, count in sizes.items()},
        "mean": [0.5] * shape[0],
        "std": [0.5] * shape[0],
        "dropped": [],
        "seed": 0,
        "ledger": "sha256:1",
        "fingerprint": "",
        "digest": "sha256:" + 8 * "01234567",
    }
    return DatasetManifest(**{**fields, **more}), images, samples


def read(*dataset: Any) -> PageReader:
    return PageReader(render_data_page(*dataset))


def words(html: PageReader) -> str:
    return " ".join(html.text.split())


def in_order(text: str, parts: Sequence[str]) -> bool:
    return re.search(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None


def test_lists_sizes_warnings_and_classes_in_order() -> None:
    html = read(
        *make_dataset(
            {"cat": (1200, 20, 30), "dog": (800, 20, 30)},
            original_sides=[20, 30, 31, 40, 1500],
            notes=["splits were drawn"],
            warnings=["excluded from train: 5 images"],
        )
    )
    assert in_order(
        words(html),
        [
            "read as image-folder, digest sha256:012345670123",
            "pets",
            "training images 2,000",
            "validation images 40",
            "test images 60",
            "classes 2",
            "pixels (H \u00d7 W), grayscale, stored raw 8 \u00d7 8",
            "middle half 30 to 40",
            "20 to 1,500",
            "1 warning",
            "Excluded from train: 5 images.",
            "No file was dropped",
            "Class balance",
            "The largest class has 1,200 training images, the smallest 800 (1.5 to 1).",
            "cat 1,200 / 20 / 30",
            "dog 800 / 20 / 30",
            "Dropped and excluded images No file was unreadable or unusable.",
            "Notes Splits were drawn.",
            "Images",
            "cat mean of 200",
            "dog mean of 200",
        ],
    )
    assert ("code", "title", "sha256:" + 8 * "01234567") in html.attributes


def test_data_without_problems() -> None:
    text = words(read(*make_dataset({"cat": (20, 3, 3), "dog": (20, 3, 3)}, layout="jpeg", shape=(3, 8, 8))))
    assert "No problems found." in text
    assert "Every class has 20 training images." in text
    assert "color, stored as JPEG" in text
    assert "target's test split" not in text


def test_equal_datasets_give_equal_pages() -> None:
    dataset = make_dataset({"cat": (20, 3, 3), "dog": (20, 3, 3)})
    assert render_data_page(*dataset) == render_data_page(*dataset)


def test_page_loads_no_resources() -> None:
    html = read(*make_dataset({"cat": (20, 3, 3), "dog": (20, 3, 3)}))
    assert not {"script", "link", "iframe", "object", "a"} & set(html.tags)
    for _, name, value in html.attributes:
        if name in ("src", "href", "action", "srcset"):
            assert value.startswith("data:image/")
    assert not re.search(r"@import|url\(", render_data_page(*make_dataset({"cat": (2, 1, 1), "dog": (2, 1, 1)})))
    images = [pair for pair in html.attributes if pair[0] == "img"]
    assert sum(name == "alt" and bool(value) for _, name, value in images) == html.tags.count("img")


def test_class_balance_is_sorted_and_marks_small_classes() -> None:
    html = read(*make_dataset({"ant": (9, 1, 0), "bee": (30, 5, 5), "cow": (20, 4, 0)}))
    assert in_order(
        words(html), ["1 class has fewer than 10, marked few.", "bee 30 / 5 / 5", "cow 20 / 4 / 0", "ant 9 / 1 / 0 few"]
    )
    widths = [value for tag, name, value in html.attributes if (tag, name) == ("i", "style")]
    assert widths == [f"width:{share}%" for share in (75.0, 12.5, 12.5, 50.0, 10.0, 22.5, 2.5)]


def test_shows_the_mean_and_the_first_training_images_of_each_class() -> None:
    manifest, images, samples = make_dataset({"cat": (7, 1, 1), "dog": (300, 2, 2)}, shape=(3, 10, 12))
    pictures = read(manifest, images, samples).pictures()
    assert len(pictures) == 2 * 7
    for label, drawn in (("dog", pictures[:7]), ("cat", pictures[7:])):
        rows = [row for row, sample in enumerate(samples) if (sample.label, sample.split) == (label, "train")]
        mean = np.round(images[rows[:MAX_AVERAGED]].astype(float).mean(0))
        assert abs(drawn[0].transpose(2, 0, 1) - mean).max() <= 1
        for picture, row in zip(drawn[1:], rows, strict=False):
            assert (picture.transpose(2, 0, 1) == images[row]).all()


def test_scales_large_images_down() -> None:
    manifest, images, samples = make_dataset({"cat": (3, 1, 1), "dog": (3, 1, 1)}, shape=(1, 300, 500))
    images[...] = np.linspace(0, 255, 500).astype(np.uint8)
    pictures = read(manifest, images, samples).pictures("jpeg")
    assert [picture.shape for picture in pictures] == 2 * [(57, 96), *3 * [(58, 96)]]
    assert all(abs(picture[30] - np.linspace(0, 255, 96)).max() < 12 for picture in pictures)


def test_reads_images_from_jpeg_shards(tmp_path: Path) -> None:
    manifest, images, samples = make_dataset({"cat": (20, 3, 3), "dog": (20, 3, 3)}, shape=(1, 64, 64), layout="jpeg")
    images[:] = np.arange(len(images), dtype=np.uint8)[:, None, None, None]
    stored_images.write(tmp_path, "jpeg", map(stored_images.encode_jpeg, images), len(images), (1, 64, 64))
    stored = stored_images.read(tmp_path, "jpeg", len(images), (1, 64, 64))
    means = read(manifest, stored, samples).pictures("jpeg")[::7]
    assert [round(float(mean.mean())) for mean in means] == [10, 30]


def test_size_of_the_page_is_bounded_for_many_classes() -> None:
    counts = {f"breed {number:03d}": (12 + 2 * number, 0, 1) for number in range(60)}
    dataset = make_dataset(counts, shape=(3, 96, 96))
    text = render_data_page(*dataset)
    html = PageReader(text)
    assert len(text) < 1_500_000
    assert html.tags.count("img") == 40 * 7
    assert "20 classes not shown" in html.text
    assert "20 classes between the largest and the smallest are not shown" in html.text
    assert "all 60 classes in decreasing order: maximum 130, median 70, minimum 12." in html.text
    titles = {value for tag, name, value in html.attributes if (tag, name) == ("bdi", "title")}
    assert titles == {f"breed {number:03d}" for number in (*range(10), *range(30, 60))}
    assert in_order(html.text, ["breed 059", "breed 030", "20 classes not shown", "breed 009", "breed 000"])


def test_number_of_images_read_is_bounded() -> None:
    samples = [StoredSample(str(row), f"c{row % 40}", "train", "00") for row in range(40_000)]
    rows = first_of_classes(samples, [f"c{number}" for number in range(40)])
    assert sum(map(len, rows.values())) == 2000
    assert len(first_of_classes(samples, ["c1", "none of it"])["c1"]) == MAX_AVERAGED


def test_groups_dropped_files_by_reason() -> None:
    dropped = [
        Dropped(file=f"{number}.jpg", why=f"{number}x1 pixels; the maximum aspect ratio is 50") for number in range(60)
    ]
    dropped += [Dropped(file="b.png", why="damaged: cut off"), Dropped(file="c.png", why="damaged: CRC error")]
    dropped += [Dropped(file=f"{word}.gif", why=word) for word in "abcdefghijklm"]
    text = words(read(*make_dataset({"cat": (20, 3, 3), "dog": (20, 3, 3)}, dropped=dropped)))
    assert "75 files were dropped as unreadable or unusable." in text
    assert in_order(
        text,
        [
            "60 files: \u2026x1 pixels; the maximum aspect ratio is 50",
            "0.jpg: 0x1 pixels",
            "57 more are in manifest.json.",
            "2 files: damaged",
            "b.png: damaged: cut off",
            "c.png: damaged: CRC error",
            "1 file: a",
            "1 file: j",
            "3 files: other reasons",
        ],
    )


def test_limits_the_list_of_dropped_files() -> None:
    dropped = [Dropped(file=f"{number}.jpg", why="empty file") for number in range(5000)]
    html = read(*make_dataset({"cat": (20, 3, 3), "dog": (20, 3, 3)}, dropped=dropped))
    assert len(re.findall(r"\d+\.jpg", html.text)) == 50
    assert "4,950 more are in manifest.json." in html.text


def test_counts_warnings_and_limits_their_list() -> None:
    html = read(
        *make_dataset({"cat": (20, 3, 3), "dog": (20, 3, 3)}, warnings=[f"fault {number}" for number in range(60)])
    )
    assert in_order(words(html), ["60 warnings", "Fault 0.", "Fault 49.", "10 more are in manifest.json."])
    assert "Fault 50" not in html.text


def test_escapes_hostile_names() -> None:
    manifest, images, samples = make_dataset({name: (2, 1, 1) for name in HOSTILE})
    text = render_data_page(
        manifest.model_copy(
            update={
                "label": HOSTILE[0],
                "format": HOSTILE[1],
                "dropped": [Dropped(file=name, why=name) for name in HOSTILE],
                "notes": HOSTILE,
                "warnings": [f"{name!r} and `{name}` look odd" for name in HOSTILE],
            }
        ),
        images,
        samples,
    )
    html = PageReader(text)
    assert not re.search("[\u202e\x00\ud800-\udfff]", text)
    text.encode()
    assert not {"script", "h4"} & set(html.tags)
    assert not [name for _, name, _ in html.attributes if name.startswith("on")]
    assert text.count("</style>") == 1
    assert max(map(len, html.text.split())) < 1000
    for name in ("<script>alert(1)</script>", "{{ 7 * 7 }}", "(no name)", "nul\N{REPLACEMENT CHARACTER}"):
        assert name in html.text


def test_marks_up_quotes_and_backticks_in_warnings() -> None:
    html = read(*make_dataset({"cat": (20, 3, 3), "dog": (20, 3, 3)}, warnings=["'a `b' and 'c` d' under `classes:`"]))
    assert "'a `b' and 'c` d' under classes:." in html.text
    assert html.tags.count("code") == 2  # the digest is one


def test_page_of_unlabeled_data() -> None:
    manifest, images, samples = make_dataset({"": (50, 5, 0)}, classes=[], counts={}, task=UNLABELED)
    html = read(manifest, images, samples)
    assert "classes none" in words(html)
    assert "Class balance" not in html.text
    assert [picture.tolist() for picture in html.pictures()] == images[:30, 0].tolist()


def test_page_of_a_source_without_data() -> None:
    html = read(*make_dataset({}, notes=["its weights come as they are"], format="none"))
    assert "This source has no data of its own." in html.text
    assert "Its weights come as they are." in html.text
    assert "Data checks" not in html.text
    assert "img" not in html.tags


@pytest.mark.parametrize(
    ("leaked", "sentence"),
    [
        (0, "No source image also occurs in the target's test split."),
        (1, "1 source image also occurs in the target's test split and was excluded."),
        (7, "7 source images also occur in the target's test split and were excluded."),
    ],
)
def test_counts_source_images_in_the_target_test_split(leaked: int, sentence: str) -> None:
    text = words(read(*make_dataset({"cat": (20, 3, 0), "dog": (20, 3, 0)}, target_channels=3, leaked=leaked)))
    assert sentence in text
    assert "cat 20 / 3 " in text
    assert "test images" not in text


def test_shows_numbers_as_histogram_and_images_in_increasing_order() -> None:
    manifest, images, samples = make_dataset(
        {"age": (40, 5, 5), HOSTILE[0]: (0, 0, 0)},
        task="regression",
        counts={},
        target_mean=[19.5, -1.0],
        target_std=[11.5, 2.0],
    )
    samples = [
        StoredSample(sample.key, f"[{row % 40}.0,{-row}.0]", sample.split, "00") for row, sample in enumerate(samples)
    ]
    images[:40] = (np.arange(40) * 5)[:, None, None, None]
    html = read(manifest, images, samples)
    assert "Training images by age, from 0 to 39: mean 19.5, standard deviation 11.5, median 19.5." in html.text
    assert HOSTILE[0] in html.text
    assert "Training images in increasing order of age." in html.text
    levels = [int(picture.mean()) for picture in html.pictures()]
    assert (len(levels), levels) == (30, sorted(levels))
    assert html.tags.count("path") == 2
    assert "Class" not in html.text


def test_counts_every_image_of_a_label() -> None:
    manifest, images, samples = make_dataset({"cat": (20, 3, 3), "dog": (12, 3, 3)}, task="multilabel")
    samples = [
        StoredSample(sample.key, f'["{sample.label}"]' if row % 2 else '["cat","dog"]', sample.split, "00")
        for row, sample in enumerate(samples)
    ]
    html = read(manifest, images, samples)
    assert "Label balance" in html.text
    assert "The largest label has 20 training images, the smallest 12" in html.text
    assert "mean of 26" in html.text
    assert "mean of 22" in html.text
