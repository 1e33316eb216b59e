"""Folders of images -> outputs of a network."""

from __future__ import annotations

import pytest

import zoo
from zoo import registry
from zoo.errors import DataError, UsageError
from zoo.matching import Match, match, refuse_unknown

LABELS = registry.labels(zoo.info("efficientnet-lite0")) or []
INDEX = {key: index for index, (key, _) in enumerate(LABELS)}


def outputs(*folders: str) -> list[int | None]:
    found = match(folders, LABELS, 1000, name="net").outputs
    return [found.get(folder) for folder in folders]


@pytest.mark.parametrize("folder", ["n02123045", "n02123045-tabby", "n02123045_cats", "tabby", "Tabby", "tabby_cat"])
def test_a_class_is_known_by_id_by_name_and_by_its_other_wordnet_names(folder: str) -> None:
    assert outputs(folder) == [281]


def test_names_may_be_written_with_underscores_hyphens_and_in_any_case() -> None:
    assert outputs("great_white_shark", "Great White-Shark", "GREAT WHITE SHARK", "white shark") == 4 * [2]


def test_of_names_that_differ_in_case_alone_the_exact_one_counts() -> None:
    assert outputs("Cardigan", "cardigan") == [INDEX["n02113186"], INDEX["n02963159"]]
    with pytest.raises(DataError, match=r"folder 'CARDIGAN': may be n02113186 \(Cardigan\) or n02963159 \(cardigan\)"):
        outputs("CARDIGAN")


def test_each_id_name_and_synonym_of_imagenet_finds_its_own_class() -> None:
    assert outputs(*(key for key, _ in LABELS)) == list(range(1000))
    assert outputs(*(name for _, name in LABELS)) == list(range(1000))
    assert outputs(*(name.replace(" ", "_") for _, name in LABELS)) == list(range(1000))


def test_numbers_are_outputs_only_if_all_folders_are_numbers() -> None:
    assert match(["0", "007", "999"], LABELS, 1000, name="net") == Match(
        {"0": 0, "007": 7, "999": 999}, (), tuple(i for i in range(1000) if i not in (0, 7, 999)), ("index",)
    )
    assert match(["7", "tabby"], LABELS, 1000, name="net").unknown == ("7",)
    assert match(["7", "1000"], LABELS, 1000, name="net").unknown == ("7", "1000")


def test_a_list_that_begins_behind_a_background_class_is_followed() -> None:
    shifted = [("background", "background"), *LABELS]
    assert match(["n01440764"], shifted, 1001, name="net").outputs == {"n01440764": 1}


def test_digits_are_names_where_the_classes_are_called_so() -> None:
    labels = [(name, name) for name in ("3", "1", "2")]
    assert match(["1", "2", "3"], labels, 3, name="run", numbers=False) == Match(
        {"1": 1, "2": 2, "3": 0}, (), (), ("name",)
    )
    assert match(["0", "1"], [("cat", "cat"), ("dog", "dog")], 2, name="run", numbers=False).outputs == {}


def test_without_class_names_folders_are_indices_or_as_many_as_outputs() -> None:
    assert match(["2", "0"], None, 3, name="net").outputs == {"2": 2, "0": 0}
    named = match(["dog", "cat"], None, 2, name="net")
    assert (named.outputs, named.by) == ({"cat": 0, "dog": 1}, ("order",))
    with pytest.raises(UsageError, match=r"net: nobody says what its 3 outputs mean; name the folders 0 to 2"):
        match(["cat", "dog"], None, 3, name="net")


def test_folders_that_fit_no_class_are_refused_together_unless_they_are_left_out() -> None:
    found = match(["tabby", "zebras", "foo", "bar", "baz", "qux"], LABELS, 1000, name="net")
    with pytest.raises(DataError) as error:
        refuse_unknown(found, LABELS, name="net", data="pets", skip=False)
    assert str(error.value).startswith(
        "pets: 5 of 6 folders fit no class of net: 'zebras', 'foo', 'bar', 'baz' and 1 more "
        "(for the first, nearest: 'zebra')"
    )
    refuse_unknown(found, LABELS, name="net", data="pets", skip=True)
    with pytest.raises(DataError, match="2 of 2 folders fit no class"):
        refuse_unknown(match(["foo", "bar"], LABELS, 1000, name="net"), LABELS, name="net", data="pets", skip=True)
