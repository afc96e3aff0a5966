import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.labels import names_of, numbers_of, text_of_names, text_of_numbers, to_array, wrong_with
from graftline.runtime.manifest import canonical_json

numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=4)


@given(numbers)
def test_numbers_come_back_bit_by_bit_in_32_bits(values: list[float]) -> None:
    text = text_of_numbers(values)
    assert text == canonical_json(json.loads(text))
    back = to_array([text], "regression", ["x"] * len(values))
    assert back.dtype == np.float32
    assert np.array_equal(back[0], np.array(values, np.float32))


def test_a_number_has_one_text_however_it_was_written() -> None:
    assert text_of_numbers([0.1]) == text_of_numbers([float(np.float32(0.1))]) == "[0.1]"
    assert text_of_numbers([-0.0]) == text_of_numbers([0]) == "[0.0]"
    assert numbers_of(text_of_numbers([1, 2.5])) == [1, 2.5]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1)))
def test_names_have_one_text_whatever_their_order(names: list[str]) -> None:
    assert text_of_names(names) == text_of_names([*reversed(names), *names])
    assert set(names_of(text_of_names(names))) == set(names)


def test_arrays_of_each_task() -> None:
    assert to_array(["b", "a", ""], "classification", ["a", "b"]).tolist() == [1, 0, -1]
    several = to_array(['["b"]', "[]", '["a","b"]'], "multilabel", ["a", "b"])
    assert several.dtype == np.float32
    assert several.tolist() == [[0, 1], [0, 0], [1, 1]]
    assert to_array([], "regression", ["x", "y"]).shape == (0, 2)


@pytest.mark.parametrize(
    ("labels", "task", "why"),
    [
        (np.array([0, 2]), "classification", "outside of the manifest's 2 classes"),
        (np.array([0]), "unlabelled", "0 classes"),
        (np.array([[np.nan]]), "regression", "not finite"),
        (np.array([[0.5]]), "multilabel", "other than 0 and 1"),
    ],
)
def test_arrays_that_are_no_labels(labels: np.ndarray, task: str, why: str) -> None:
    assert why in str(wrong_with(labels, task, [] if task == "unlabelled" else ["a", "b"]))
