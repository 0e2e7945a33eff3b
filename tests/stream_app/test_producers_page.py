"""docs/producers.md shows pieces of the programs in examples/producers, as they are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "producers.md").read_text("utf-8")
PIECES = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def source(language: str) -> str:
    """Return the program in *language*, where the page's table links it."""
    [path] = [
        path
        for path in re.findall(r"\(\.\./(examples/producers/[^)]+)\)", PAGE)
        if path.split("/")[2] == language
    ]
    return (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize(("language", "piece"), PIECES)
def test_a_piece_is_part_of_the_program(language: str, piece: str) -> None:
    """Line by line."""
    assert piece in source(language)


def test_every_program_is_shown() -> None:
    """Two pieces of each: how it reaches Kafka, and what it sends."""
    folders = sorted(path.name for path in (ROOT / "examples" / "producers").iterdir())
    assert sorted(language for language, _ in PIECES) == sorted(2 * folders)
