"""The colours of what is drawn: distinct for everyone, on paper, and from the ground."""

import re
from itertools import combinations
from pathlib import Path

import pytest
from coloraide import Color

from interaction_usage.dashboard import assets
from interaction_usage.dashboard.page_catalog import page_catalog

STATIC = Path(assets.__file__).parent / "static"
THEMES = ("light", "dark")
#: What stands beside each other in one chart.
TOGETHER = {
    "applications": ("agent", "ticket-guidance", "mobile-web", "web-self-service"),
    "outcomes": ("completed", "abandoned"),
    "services": ("call-now", "callback", "chat", "email"),
    "resolution": ("runs", "turned"),
}
DRAWN = ("agent-sessions", *(name for group in TOGETHER.values() for name in group))
SEEN_BY = (None, "protan", "deutan", "tritan")


def palette() -> dict[str, dict[str, Color]]:
    """Return the colours of each theme by name."""
    text = (STATIC / "palette.css").read_text("utf-8")
    found = re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", text)
    return {
        theme: {name: Color(pair[place]) for name, *pair in found}
        for place, theme in enumerate(THEMES)
    }


PALETTE = palette()


def seen(color: Color, by: str | None) -> Color:
    """Return *color* as somebody sees it who lacks a kind of cone."""
    return color if by is None else color.filter(by, space="srgb-linear").fit("srgb")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("by", SEEN_BY)
@pytest.mark.parametrize("group", TOGETHER)
def test_what_stands_together_is_distinct(theme: str, by: str | None, group: str) -> None:
    """At least 10 ΔE (CIE 2000) between any two of a chart; 2 is what one can just see."""
    colors = PALETTE[theme]
    for one, other in combinations(TOGETHER[group], 2):
        apart = seen(colors[one], by).delta_e(seen(colors[other], by), method="2000")
        assert apart >= 10, (one, other, by, apart)


@pytest.mark.parametrize("theme", THEMES)
def test_what_stands_together_differs_in_grey(theme: str) -> None:
    """On a printer without colours, at least 6 of 100 steps of lightness."""
    for group in TOGETHER.values():
        for one, other in combinations(group, 2):
            light = [PALETTE[theme][name].convert("lab")["lightness"] for name in (one, other)]
            assert abs(light[0] - light[1]) >= 6, (one, other, light)


@pytest.mark.parametrize("theme", THEMES)
def test_what_is_drawn_stands_out_from_the_ground(theme: str) -> None:
    """3:1, as WCAG asks of graphics; so do the colours kept for what comes."""
    card = PALETTE[theme]["card"]
    for name in (*DRAWN, "spare-1", "spare-2", "spare-3"):
        assert PALETTE[theme][name].contrast(card) >= 3, name


@pytest.mark.parametrize("theme", THEMES)
def test_a_colour_means_one_thing(theme: str) -> None:
    """No two things have the same colour, whichever chart they are in."""
    for one, other in combinations(DRAWN, 2):
        apart = PALETTE[theme][one].delta_e(PALETTE[theme][other], method="2000")
        assert apart >= 5, (one, other, apart)


def test_colours_stand_in_one_place() -> None:
    """Other style sheets and the scripts name them, and have none of their own."""
    for path in STATIC.glob("*.[jc]s*"):
        if path.name != "palette.css":
            found = re.findall(r"#[0-9a-f]{3,8}\b(?=[;,)\"' ])", path.read_text("utf-8"))
            assert not [each for each in found if len(each) in (4, 7, 9)], path.name


def test_all_that_is_drawn_has_a_colour() -> None:
    """Every colour that the pages' catalogue names is in the palette."""
    named = set(re.findall(r'"color":"--([\w-]+)"', page_catalog()))
    assert named <= set(PALETTE["light"])
    assert named >= set(DRAWN) - {"runs", "turned"}
