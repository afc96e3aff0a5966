import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.class_warnings import MAX_IMBALANCE, MAX_LISTED, MIN_IMAGES, find_problems
from graftline.data.dataset import SplitName


def counts(**train: int) -> dict[str, dict[SplitName, int]]:
    return {label: {"train": number, "val": 3, "test": 3} for label, number in train.items()}


def problems_of_names(*labels: str) -> list[str]:
    return find_problems({label: {"train": 50, "val": 3, "test": 3} for label in labels}, labels)


def test_balanced_classes_have_no_warning() -> None:
    assert find_problems(counts(cat=MIN_IMAGES, dog=MIN_IMAGES * MAX_IMBALANCE - 1), ["cat", "dog"]) == []
    assert find_problems({}, []) == []


@pytest.mark.parametrize(
    ("first", "second"),
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
def test_warns_of_names_that_look_the_same(first: str, second: str) -> None:
    assert problems_of_names(first, second, "horse") == [
        f"{first!r} and {second!r} look like the same class: rename one, or list one of them under `classes:`"
    ]


@pytest.mark.parametrize(
    ("first", "second"),
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
def test_accepts_names_that_differ(first: str, second: str) -> None:
    assert problems_of_names(first, second) == []


def test_shows_escapes_of_names_in_another_unicode_form() -> None:
    assert problems_of_names("caf\u00e9", "cafe\u0301")[0].startswith(
        r"'caf\xe9' and 'cafe\u0301' look like the same class"
    )


def test_limits_the_number_of_warnings_about_names() -> None:
    labels = [label for number in range(30) for label in (f"breed {number}", f"Breed {number}")]
    problems = problems_of_names(*labels)
    assert len(problems) == MAX_LISTED + 1
    assert problems[-1] == "20 more sets of names look like one class each"


def test_warns_of_classes_with_few_images() -> None:
    assert find_problems(counts(ants=3, bees=MIN_IMAGES, wasps=1), ["ants", "bees", "wasps"])[0] == (
        "fewer than 10 training images: 'wasps' (1) and 'ants' (3); add some, or list the other classes under "
        "`classes:`"
    )


def test_limits_the_list_of_small_classes() -> None:
    labels = [f"c{number:02d}" for number in range(25)]
    problems = find_problems({label: {"train": 5} for label in labels}, labels)
    assert len(problems) == 1
    assert "'c09' (5) and 15 more; add some" in problems[0]
    assert "'c10'" not in problems[0]


def test_warns_of_imbalanced_classes() -> None:
    assert find_problems(counts(cat=5000, dog=12, horse=40), ["cat", "dog", "horse"]) == [
        "the classes are imbalanced: 'cat' has 5,000 training images, 417 times as many as 'dog' with 12; prefer "
        "balanced accuracy to accuracy, and add images of the small classes or limit the large ones with "
        "`train_per_class:`"
    ]


def test_warns_of_imbalance_at_the_threshold() -> None:
    assert len(find_problems(counts(cat=MIN_IMAGES * MAX_IMBALANCE, dog=MIN_IMAGES), ["cat", "dog"])) == 1


def test_reports_no_ratio_for_a_class_without_training_images() -> None:
    problems = find_problems(counts(cat=5000, dog=0), ["cat", "dog"])
    assert len(problems) == 1
    assert "'dog' (0)" in problems[0]


@pytest.mark.parametrize(
    ("split", "noun", "consequence"),
    [
        ("val", "validation", "model selection and early stopping ignore it"),
        ("test", "test", "its test performance is unknown"),
    ],
)
def test_warns_of_a_class_that_a_split_lacks(split: SplitName, noun: str, consequence: str) -> None:
    problems = counts(cat=20, dog=20)
    problems["dog"][split] = 0
    assert find_problems(problems, ["cat", "dog"])[0].startswith(f"no {noun} image of 'dog': {consequence}")


def test_accepts_data_without_a_split() -> None:
    assert find_problems({label: {"train": 20, "val": 3, "test": 0} for label in "xy"}, ["x", "y"]) == []
    assert find_problems({label: {"train": 20} for label in "xy"}, ["x", "y"]) == []


@given(st.lists(st.text(st.characters(), max_size=90), unique=True, max_size=30), st.integers(0, 12))
def test_warnings_about_any_names_are_printable(labels: list[str], number: int) -> None:
    for sentence in find_problems({label: {"train": number} for label in labels}, labels):
        assert sentence.isprintable()
        assert len(sentence) < 3000
