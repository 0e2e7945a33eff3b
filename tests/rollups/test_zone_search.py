"""Zones are found by what people call them."""

import pytest

from rollups.local_time import UnknownZone, zone, zone_names
from rollups.zone_search import find_zones, places


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("new york", "America/New_York"),
        ("New_York", "America/New_York"),
        ("america/new york", "America/New_York"),
        ("india", "Asia/Kolkata"),
        ("calcutta", "Asia/Kolkata"),
        ("kiev", "Europe/Kyiv"),
        ("Sweden", "Europe/Stockholm"),
        ("usa", "America/New_York"),
        ("us", "America/New_York"),
        ("UK", "Europe/London"),
        ("US/Eastern", "America/New_York"),
        ("par", "Europe/Paris"),
        ("lord", "Australia/Lord_Howe"),
        ("pariss", "Europe/Paris"),
        ("Europe/Pariss", "Europe/Paris"),
    ],
)
def test_a_city_a_country_or_a_former_name_finds_a_zone(text: str, first: str) -> None:
    """Also where it is misspelt, or only begun."""
    assert first in find_zones(text)[:3]


def test_a_whole_name_means_nothing_else() -> None:
    """India is one country: not the Indian Ocean, and no place in Indiana."""
    assert find_zones("india") == ["Asia/Kolkata"]


@pytest.mark.parametrize("text", ["", "  ", "qqqq", "deutschland", "\x00"])
def test_what_names_no_place_finds_nothing(text: str) -> None:
    """Rather than something that sounds like it."""
    assert find_zones(text) == []


def test_what_is_found_can_be_set() -> None:
    """Every zone of the list is one that accounts may have."""
    assert {place.name for place in places()} <= zone_names()


def test_a_country_of_many_zones_points_to_the_list() -> None:
    """A hint of one of them would be taken for the right one."""
    with pytest.raises(UnknownZone, match=r"one of 29, .* usage account zones 'usa'"):
        zone("usa")
