"""Small tables of images, written by the tools that people write them with."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from graftline.config import Columns
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import RawDataset, RawSample
from tests.builders.raw_data import PLAIN, folder_of, pictures

ROWS = [(name, name.split("/")[0]) for name in PLAIN]


def placed(path: Path, /, **columns: str) -> DataLocation:
    """A local path, with columns that the config names."""
    return DataLocation(str(path), path, None, Columns(**columns))


def content(sample: RawSample) -> bytes:
    return sample.load().read()  # type: ignore[union-attr]


def facts(raw: RawDataset) -> list[tuple[str, str]]:
    return [(sample.key, sample.label) for sample in raw.samples]


def faults(raw: RawDataset) -> dict[str, str]:
    return {fault.file: fault.why for fault in raw.faults}


def csv_of(rows: Iterable[Sequence[object]], header: Sequence[str] = ("path", "label"), **how: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, **how)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def jsonl_of(rows: Iterable[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def table_in(folder: Path, text: str | bytes, name: str = "labels.csv", images: Sequence[str] = PLAIN) -> Path:
    """A table in the folder of its images; the table's path."""
    folder_of(folder, pictures(list(images)))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def parquet_of(
    path: Path, columns: dict[str, Any], classes: dict[str, list[str]] | None = None, group: int = 100
) -> Path:
    """A Parquet file of pyarrow arrays or lists, with ClassLabel names where given, as `datasets` writes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(columns)
    features: dict[str, Any] = {name: {"dtype": "int64", "_type": "Value"} for name in columns}
    features |= {name: {"names": names, "_type": "ClassLabel"} for name, names in (classes or {}).items()}
    about = json.dumps({"info": {"features": features}})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": about}), path, row_group_size=group)
    return path


def embedded(images: Iterable[tuple[bytes | None, str | None]]) -> Any:
    """An array of images as `datasets` embeds them."""
    import pyarrow as pa

    return pa.array(
        [{"bytes": content, "path": path} for content, path in images],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )


def hugging_face(path: Path, images: dict[str, bytes], names: Sequence[str] = ("ants", "bees"), group: int = 3) -> Path:
    """Images by `CLASS/FILE`, embedded, their classes by index."""
    labels = [list(names).index(name.split("/")[-2]) for name in images]
    return parquet_of(
        path,
        {"image": embedded((content, name.split("/")[-1]) for name, content in images.items()), "label": labels},
        {"label": list(names)},
        group,
    )
