import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.class_checks import FEW, IMBALANCED, NAMED, warnings
from graftline.data.dataset import SplitName


def counts(**train: int) -> dict[str, dict[SplitName, int]]:
    return {label: {"train": number, "val": 3, "test": 3} for label, number in train.items()}


def of_names(*labels: str) -> list[str]:
    return warnings({label: {"train": 50, "val": 3, "test": 3} for label in labels}, labels)


def test_nothing_wrong() -> None:
    assert warnings(counts(cat=FEW, dog=FEW * IMBALANCED - 1), ["cat", "dog"]) == []
    assert warnings({}, []) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat "),
        ("hot dog", "hot_dog"),
        ("hot-dog", "HotDog"),
        ("class 1", "class_1"),
        ("a - b", "a_b"),
        ("stra\N{LATIN SMALL LETTER SHARP S}e", "STRASSE"),
        ("\uff23\uff41\uff54", "cat"),
        ("c\u200bat", "cat"),
        ("x\u2011ray", "x-ray"),
        ("cat\u00a0dog", "cat dog"),
        ("\N{MINUS SIGN}1", "-1"),
    ],
)
def test_names_that_look_like_one_class(one: str, other: str) -> None:
    assert of_names(one, other, "horse") == [
        f"{one!r} and {other!r} look like one class: rename one, or keep one under `classes:`"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A", "a"),
        ("-1", "1"),
        ("1-1", "11"),
        ("2020_1", "20201"),
        ("c", "c++"),
        ("-", "_"),
        ("", " "),
        ("cat", "cats"),
        ("\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"),
    ],
)
def test_names_that_do_not(one: str, other: str) -> None:
    assert of_names(one, other) == []


def test_names_of_another_unicode_form_are_told_apart() -> None:
    assert of_names("caf\u00e9", "cafe\u0301")[0].startswith(r"'caf\xe9' and 'cafe\u0301' look like one class")


def test_many_names_that_look_alike() -> None:
    labels = [label for number in range(30) for label in (f"breed {number}", f"Breed {number}")]
    found = of_names(*labels)
    assert len(found) == NAMED + 1
    assert found[-1] == "20 more sets of names look like one class each"


def test_few_images() -> None:
    assert warnings(counts(ants=3, bees=FEW, wasps=1), ["ants", "bees", "wasps"])[0] == (
        "fewer than 10 training images: 'wasps' (1) and 'ants' (3); add some, or name the other classes under "
        "`classes:`"
    )


def test_few_images_in_many_classes() -> None:
    labels = [f"c{number:02d}" for number in range(25)]
    found = warnings({label: {"train": 5} for label in labels}, labels)
    assert len(found) == 1
    assert "'c09' (5) and 15 more; add some" in found[0]
    assert "'c10'" not in found[0]


def test_imbalance() -> None:
    assert warnings(counts(cat=5000, dog=12, horse=40), ["cat", "dog", "horse"]) == [
        "the classes are not balanced: 'cat' has 5,000 training images, 417 times as many as 'dog' with 12; trust "
        "balanced accuracy rather than accuracy, and add images of the small classes or take fewer of the large ones "
        "by `train_per_class:`"
    ]


def test_imbalance_starts_at_its_threshold() -> None:
    assert len(warnings(counts(cat=FEW * IMBALANCED, dog=FEW), ["cat", "dog"])) == 1


def test_a_class_without_training_images_has_no_ratio() -> None:
    found = warnings(counts(cat=5000, dog=0), ["cat", "dog"])
    assert len(found) == 1
    assert "'dog' (0)" in found[0]


@pytest.mark.parametrize(
    ("split", "words", "why"),
    [("val", "validation", "choosing and stopping do not see it"), ("test", "test", "how well it is told apart")],
)
def test_a_class_is_absent(split: SplitName, words: str, why: str) -> None:
    found = counts(cat=20, dog=20)
    found["dog"][split] = 0
    assert warnings(found, ["cat", "dog"])[0].startswith(f"no {words} image of 'dog': {why}")


def test_a_split_that_does_not_exist_is_no_fault() -> None:
    assert warnings({label: {"train": 20, "val": 3, "test": 0} for label in "xy"}, ["x", "y"]) == []
    assert warnings({label: {"train": 20} for label in "xy"}, ["x", "y"]) == []


@given(st.lists(st.text(st.characters(), max_size=90), unique=True, max_size=30), st.integers(0, 12))
def test_any_names_give_printable_sentences(labels: list[str], number: int) -> None:
    for sentence in warnings({label: {"train": number} for label in labels}, labels):
        assert sentence.isprintable()
        assert len(sentence) < 3000
