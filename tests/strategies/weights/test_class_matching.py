from graftline.strategies.weights.class_matching import by_name, partners


def test_case_and_spaces_do_not_matter() -> None:
    assert by_name(["Hot  Dog", "cat_fish"], ["cat fish", "hot dog "]).tolist() == [[0, 1], [1, 0]]


def test_any_synonym_matches() -> None:
    assert by_name(["ant, emmet, pismire", "bee"], ["Emmet", "bee", "wasp"]).tolist() == [[1, 0], [0, 1], [0, 0]]


def test_a_name_with_a_comma_of_its_own_matches_whole() -> None:
    assert by_name(["salt, sea"], ["salt, sea"]).tolist() == [[1]]


def test_parts_of_words_do_not_match() -> None:
    assert not by_name(["elephant"], ["ant"]).any()


def test_partners_follow_names_not_places() -> None:
    assert partners(["a", "b", "c"], ["c", "a"]) == [2, 0]
    assert partners(["a", "b"], ["z", "b"]) == [None, 1]


def test_two_classes_of_one_name_have_no_partner() -> None:
    assert partners(["crane", "crane", "bee"], ["crane", "bee"]) == [None, 2]
    assert partners(["ant, emmet"], ["ant", "emmet"]) == [None, None]
    assert partners([], ["b"]) == [None]


def test_a_whole_name_goes_before_a_synonym() -> None:
    assert partners(["salt", "salt, sea"], ["salt, sea", "salt"]) == [1, 0]
    assert partners(["crane, bird", "crane"], ["crane", "bird"]) == [1, 0]
