"""Finding a time zone by what people call it: a city, a country, or a name of former times. Pure.

The names are those of the IANA database, which the package `tzdata` carries: `zone.tab` has the
country of each zone, `tzdata.zi` the links from former names.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

#: What people call countries and the database does not.
_COUNTRIES: Final = {
    "usa": "US", "america": "US", "uk": "GB", "united kingdom": "GB", "england": "GB",
    "scotland": "GB", "wales": "GB", "uae": "AE", "holland": "NL", "south korea": "KR",
    "czech republic": "CZ",
}  # fmt: skip


#: The last rank of `_rank` that is a whole name.
_WHOLE: Final = 2


class ZonePlace(NamedTuple):
    """A time zone and what else it is called."""

    name: str
    code: str  #: of the country, ISO 3166
    country: str
    former: Sequence[str]  #: former names, and names of places that keep the same time


def find_zones(text: str) -> list[str]:
    """Return the zones that *text* may mean, the most likely first; none if it means none.

    A whole name of a city or a country means that; else beginnings come before words within, and
    if there is neither, the name is taken for a misspelt one.
    """
    wanted = " ".join(text.casefold().replace("_", " ").split())
    if not wanted:
        return []
    ranked = sorted(
        (rank, index) for index, place in enumerate(places()) if (rank := _rank(place, wanted))
    )
    if ranked:
        worst = _WHOLE if ranked[0][0] <= _WHOLE else ranked[-1][0]
        return [places()[index].name for rank, index in ranked if rank <= worst]
    known = _by_called()
    near = get_close_matches(wanted, known, 1, cutoff=0.75)
    return [name for called in near for name in known[called]]


def also_called(name: str) -> str:
    """Return the country of the zone *name*, and its former names; empty where none is known."""
    return _also().get(name, "")


@cache
def _also() -> Mapping[str, str]:
    return {place.name: ", ".join((place.country, *place.former)) for place in places()}


def _rank(place: ZonePlace, wanted: str) -> int:
    """Return how well *wanted* names the place, 1 the best; 0 if it does not at all."""
    names = (place.name, *place.former)
    called = [*map(_city, names), *map(_spaced, names)]
    country = place.country.casefold()
    if wanted in called:
        return 1
    if wanted in (country, place.code.casefold()) or _COUNTRIES.get(wanted) == place.code:
        return 2
    if any(each.startswith(wanted) for each in called):
        return 3
    words = f" {country} {' '.join(called)}".replace("/", " ")
    return 4 if f" {wanted}" in words else 0


@cache
def places() -> Sequence[ZonePlace]:
    """Return every zone of `zone.tab`, in its order: the most populous of a country first."""
    countries = dict(_rows("iso3166.tab"))
    zones = {name: code for code, _, name, *_ in _rows("zone.tab")}
    former: dict[str, list[str]] = {}
    for line in _lines("tzdata.zi"):
        if line.startswith("L "):
            _, target, alias = line.split()
            if alias not in zones:
                former.setdefault(target, []).append(alias)
    return [
        ZonePlace(name, code, countries[code], former.get(name, ())) for name, code in zones.items()
    ]


@cache
def _by_called() -> Mapping[str, Sequence[str]]:
    """Return the zones by city and by country, in lower case."""
    found: dict[str, list[str]] = {}
    for place in places():
        names = (place.name, *place.former)
        for called in {place.country.casefold(), *map(_city, names), *map(_spaced, names)}:
            found.setdefault(called, []).append(place.name)
    return found


def _city(name: str) -> str:
    return _spaced(name.rpartition("/")[2])


def _spaced(name: str) -> str:
    return name.replace("_", " ").casefold()


def _rows(file: str) -> Iterator[list[str]]:
    return (line.split("\t") for line in _lines(file) if not line.startswith("#"))


def _lines(file: str) -> list[str]:
    path = resources.files("tzdata").joinpath("zoneinfo", file)
    return path.read_text("utf-8").splitlines()
