import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.splits.ledger import Ledger, is_stricter, read_ledger, strictest
from graftline.runtime.errors import RefusedError

names = st.sampled_from(["train", "val", "test"])
hexadecimal = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(
    st.builds(
        Ledger,
        seed=st.integers(0, 2**63),
        image_size=st.tuples(st.integers(1, 999), st.integers(1, 999)),
        entries=st.dictionaries(hexadecimal, names),
        groups=st.dictionaries(st.text(), names),
        hashes=st.dictionaries(hexadecimal, hexadecimal),
    )
)
def test_a_ledger_survives_a_round_trip(one: Ledger) -> None:
    assert Ledger.model_validate_json(one.to_json()) == one


def test_test_is_stricter_than_val_than_train() -> None:
    assert strictest(["train", "test", "val"]) == "test"
    assert strictest(["train", "val"]) == "val"
    assert is_stricter("test", "val")
    assert is_stricter("val", "train")
    assert not is_stricter("val", "val")


def test_equal_ledgers_have_equal_json(tmp_path: Path) -> None:
    one = Ledger(seed=1, image_size=(2, 3), entries={"b": "val", "a": "train"}, groups={"p": "val", "o": "train"})
    other = Ledger(seed=1, image_size=(2, 3), entries={"a": "train", "b": "val"}, groups={"o": "train", "p": "val"})
    assert one.to_json() == other.to_json()
    assert one.digest == other.digest
    (tmp_path / "ledger.json").write_text(one.to_json())
    assert read_ledger(tmp_path) == read_ledger(tmp_path / "ledger.json") == one


def test_version_1_is_read_as_version_2(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"entries":{"aa":"val"},"image_shape":[3,8,9],"schema_version":1,"seed":5}')
    ledger = read_ledger(tmp_path / "old.json")
    assert ledger == Ledger(seed=5, image_size=(8, 9), entries={"aa": "val"})
    assert json.loads(ledger.to_json()) == {
        "schema_version": 2,
        "seed": 5,
        "image_size": [8, 9],
        "entries": {"aa": "val"},
        "groups": {},
        "hashes": {},
    }


good = {"schema_version": 2, "seed": 0, "image_size": [2, 3], "entries": {}}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "Input should be an object"),
        ({**good, "entries": {"a": "best"}}, r"entries\.a: Input should be 'train', 'val' or 'test'"),
        ({**good, "groups": {"p": None}}, r"groups\.p: "),
        ({**good, "hashes": {"a": "00"}}, r"hashes\.a: String should match"),
        ({**good, "hashes": {"a": "g" * 64}}, r"hashes\.a: String should match"),
        ({"schema_version": 1, "seed": 0, "image_shape": 3, "entries": {}}, "image_size: Field required"),
        ({**good, "schema_version": 3}, "schema version 3, this graftline reads up to 2: upgrade graftline"),
    ],
)
def test_refuses_json_that_is_not_a_ledger(tmp_path: Path, value: Any, reason: str) -> None:
    (tmp_path / "ledger.json").write_text(json.dumps(value))
    with pytest.raises(RefusedError, match=rf"ledger\.json: not a split ledger: {reason}.*; pass the ledger\.json of"):
        read_ledger(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"seed":' + b"[" * 100_000])
def test_refuses_a_damaged_ledger(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.json").write_bytes(content)
    with pytest.raises(RefusedError, match=r"ledger\.json: not a split ledger: Invalid JSON"):
        read_ledger(tmp_path)


def test_refuses_a_missing_ledger(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"none\.json: not a split ledger: No such file"):
        read_ledger(tmp_path / "none.json")
    with pytest.raises(RefusedError, match=r"ledger\.json: not a split ledger: No such file"):
        read_ledger(tmp_path)
