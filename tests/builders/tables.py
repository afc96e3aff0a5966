"""Small tables of images as CSV, JSON Lines and Parquet, written by standard tools."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.builders.raw_data import CLASS_FILES, make_images, write_folder

CLASS_ROWS = [(name, name.split("/")[0]) for name in CLASS_FILES]


def format_csv(rows: Iterable[Sequence[object]], header: Sequence[str] = ("path", "label"), **options: Any) -> str:
    """Returns a CSV table; `options` are those of `csv.writer`."""
    text = io.StringIO()
    writer = csv.writer(text, **options)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def format_jsonl(rows: Iterable[dict[str, object]]) -> str:
    """Returns one JSON object per line."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_table(folder: Path, text: str | bytes, name: str = "labels.csv", images: Sequence[str] = CLASS_FILES) -> Path:
    """Writes a table next to its images and returns the path of the table."""
    write_folder(folder, make_images(list(images)))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def write_parquet(
    path: Path, columns: dict[str, Any], classes: dict[str, list[str]] | None = None, group: int = 100
) -> Path:
    """Writes pyarrow arrays or lists as Parquet, with the ClassLabel names of `classes` as `datasets` writes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(columns)
    features: dict[str, Any] = {name: {"dtype": "int64", "_type": "Value"} for name in columns}
    features |= {name: {"names": names, "_type": "ClassLabel"} for name, names in (classes or {}).items()}
    about = json.dumps({"info": {"features": features}})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), path, row_group_size=group)
    return path


def embed_images(images: Iterable[tuple[bytes | None, str | None]]) -> Any:
    """Returns an array of bytes and paths as `datasets` embeds images."""
    import pyarrow as pa

    return pa.array(
        [{"bytes": content, "path": path} for content, path in images],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )


def write_hugging_face(
    path: Path, images: dict[str, bytes], names: Sequence[str] = ("ants", "bees"), group: int = 3
) -> Path:
    """Writes images named `CLASS/FILE` as `datasets` does: embedded, with class indices as labels."""
    labels = [list(names).index(name.split("/")[-2]) for name in images]
    return write_parquet(
        path,
        {"image": embed_images((content, name.split("/")[-1]) for name, content in images.items()), "label": labels},
        {"label": list(names)},
        group,
    )
