import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.errors import RefusedError
from graftline.ledger import Ledger, draw, read, strictest

digests = st.dictionaries(st.integers(0, 2**64).map("{:064x}".format), st.sampled_from("abc"), max_size=60)


@given(digests, st.integers(0, 9), st.floats(0, 0.49), st.floats(0, 0.49))
def test_a_draw_covers_all_and_keeps_each_class_its_share(label_of: dict[str, str], seed: int, val: float,
                                                          test: float) -> None:
    splits = draw(label_of, {}, seed=seed, val_fraction=val, test_fraction=test)
    assert set(splits) == set(label_of)
    for label, size in Counter(label_of.values()).items():
        have = Counter(splits[digest] for digest, own in label_of.items() if own == label)
        assert have["train"] >= 1
        if size >= 3:
            assert have["val"] >= (val > 0)
            assert have["test"] >= (test > 0)
        assert abs(have["test"] - test * size) <= 1.5 or have["train"] == 1


@given(digests, digests, st.integers(0, 9))
def test_earlier_entries_never_move(earlier: dict[str, str], later: dict[str, str], seed: int) -> None:
    first = draw(earlier, {}, seed=seed, val_fraction=0.2, test_fraction=0.2)
    both = {**later, **earlier}
    second = draw(both, first, seed=seed, val_fraction=0.2, test_fraction=0.2)
    assert {digest: second[digest] for digest in earlier} == first
    assert set(second) == set(both)


@given(digests, st.randoms())
def test_the_order_of_files_decides_nothing(label_of: dict[str, str], random: object) -> None:
    shuffled = list(label_of.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    options = {"seed": 3, "val_fraction": 0.2, "test_fraction": 0.2}
    assert draw(label_of, {}, **options) == draw(dict(shuffled), {}, **options)  # type: ignore[arg-type]


def test_later_samples_keep_the_shares() -> None:
    def some(prefix: str) -> dict[str, str]:
        return {f"{prefix}{number:063x}": "a" for number in range(100)}

    first = draw(some("1"), {}, seed=0, val_fraction=0.2, test_fraction=0.1)
    assert Counter(first.values()) == {"train": 70, "val": 20, "test": 10}
    second = draw({**some("1"), **some("2")}, first, seed=0, val_fraction=0.2, test_fraction=0.1)
    assert Counter(second.values()) == {"train": 140, "val": 40, "test": 20}


def test_another_seed_draws_others() -> None:
    label_of = {f"{number:064x}": "a" for number in range(200)}
    one, other = (draw(label_of, {}, seed=seed, val_fraction=0.2, test_fraction=0.2) for seed in (0, 1))
    assert one != other


def test_two_samples_go_to_train_and_test() -> None:
    splits = draw({"00": "a", "11": "a"}, {}, seed=0, val_fraction=0.15, test_fraction=0.15)
    assert sorted(splits.values()) == ["test", "train"]


def test_test_is_stricter_than_val_than_train() -> None:
    assert strictest(["train", "test", "val"]) == "test"
    assert strictest(["train", "val"]) == "val"


def test_one_text_for_one_ledger(tmp_path: Path) -> None:
    one = Ledger(seed=1, image_shape=(1, 2, 3), entries={"b": "val", "a": "train"})
    other = Ledger(seed=1, image_shape=(1, 2, 3), entries={"a": "train", "b": "val"})
    assert one.to_json() == other.to_json()
    assert one.digest == other.digest
    (tmp_path / "ledger.json").write_text(one.to_json())
    assert read(tmp_path) == one


@pytest.mark.parametrize("text", [
    "", "[]", json.dumps({"seed": 0, "image_shape": [1, 2, 3], "entries": {"a": "best"}}),
])
def test_what_is_no_ledger_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "ledger.json").write_text(text)
    with pytest.raises(RefusedError, match=r"ledger\.json: not a split ledger"):
        read(tmp_path)
