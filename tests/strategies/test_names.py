from graftline.strategies.names import by_name, one_to_one


def test_case_and_spaces_do_not_matter() -> None:
    assert by_name(["Hot  Dog", "cat_fish"], ["cat fish", "hot dog "]).tolist() == [[0, 1], [1, 0]]


def test_any_synonym_matches() -> None:
    assert by_name(["ant, emmet, pismire", "bee"], ["Emmet", "bee", "wasp"]).tolist() == [[1, 0], [0, 1], [0, 0]]


def test_a_name_with_a_comma_of_its_own_matches_whole() -> None:
    assert by_name(["salt, sea"], ["salt, sea"]).tolist() == [[1]]


def test_parts_of_words_do_not_match() -> None:
    assert not by_name(["elephant"], ["ant"]).any()


def test_one_to_one_follows_names_not_places() -> None:
    assert one_to_one(["a", "b", "c"], ["c", "a"]) == [2, 0]


def test_two_source_classes_of_one_name_are_not_one_to_one() -> None:
    assert one_to_one(["crane", "crane"], ["crane"]) is None
    assert one_to_one(["ant, emmet"], ["ant", "emmet"]) is None
    assert one_to_one(["a"], ["b"]) is None
    assert one_to_one([], ["b"]) is None
