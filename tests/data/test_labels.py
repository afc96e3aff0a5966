import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.labels import CLASS_INDEX, LABEL_TYPES, MULTI_HOT, NUMERIC
from graftline.data.labels.text import names_of, numbers_of, text_of_names, text_of_numbers
from graftline.runtime.manifest import canonical_json

numbers = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=4)


@given(numbers)
def test_numbers_come_back_bit_by_bit_in_32_bits(values: list[float]) -> None:
    text = text_of_numbers(values)
    assert text == canonical_json(json.loads(text))
    back = NUMERIC.to_array([text], ["x"] * len(values))
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
    assert CLASS_INDEX.to_array(["b", "a", ""], ["a", "b"]).tolist() == [1, 0, -1]
    several = MULTI_HOT.to_array(['["b"]', "[]", '["a","b"]'], ["a", "b"])
    assert several.dtype == np.float32
    assert several.tolist() == [[0, 1], [0, 0], [1, 1]]
    assert NUMERIC.to_array([], ["x", "y"]).shape == (0, 2)


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
    assert why in str(LABEL_TYPES[task].find_fault(labels, [] if task == "unlabelled" else ["a", "b"]))


@pytest.mark.parametrize("task", LABEL_TYPES)
def test_every_label_type_reads_what_it_calls_a_label(task: str) -> None:
    label_type = LABEL_TYPES[task]
    texts = [text_of_numbers([1.5, 2]), text_of_numbers([3, 4])] if label_type.is_numeric else ["a", "b"]
    texts = [text_of_names(["a"]), text_of_names([])] if label_type.is_multi_hot else texts
    classes = [] if task == "unlabelled" else ["a", "b"]
    array = label_type.to_array(texts, classes)
    assert array.shape == ((2,) if label_type.is_class else (2, 2))
    assert label_type.find_fault(array, classes) is None
    assert sum((label_type.is_class, label_type.is_numeric, label_type.is_multi_hot)) == 1
    assert all(set(label_type.names_in(text)) <= {*texts, "a", "b"} for text in texts)
