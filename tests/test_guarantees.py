"""docs/guarantees.md promises nothing without a test, and every test that it names exists."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guarantees.md"
#: What the page calls a test: its name, whose end may be left out.
_TEST = re.compile(r"`(test_[a-z0-9_]*)(…?)`")
#: A fault of a fault-injection run, by its method, and what its producers do.
_FAULT = re.compile(r"`Faults\.([a-z_]+)`")
_PRODUCERS = re.compile(r"`Publisher\.([a-z_]+)`")


def rows() -> list[list[str]]:
    """Return the cells of every row of the page's tables, without the heads."""
    lines = PAGE.read_text("utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]
    rules = [number for number, row in enumerate(cells) if set(row[0]) <= {"-", ":"}]
    heads = {number - 1 for number in rules}
    return [row for number, row in enumerate(cells) if number not in {*rules, *heads}]


@cache
def known_tests() -> list[str]:
    """Return the name of every test there is."""
    return sorted(set(_defined_in(*(ROOT / "tests").rglob("test_*.py"))))


def _defined_in(*paths: Path) -> Iterator[str]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name


def test_the_readme_begins_with_the_guarantee() -> None:
    """In one sentence, before the first heading, and as the page has it."""
    first = (ROOT / "README.md").read_text("utf-8").partition("\n## ")[0]
    [sentence] = re.findall(r"\*\*Delivery guarantee: (.+?\.)\*\*", first, re.DOTALL)
    sentence = " ".join(sentence.split())
    assert sentence[0].upper() + sentence[1:] in " ".join(PAGE.read_text("utf-8").split())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_every_row_names_a_test(row: list[str]) -> None:
    """In its last cell; a guarantee without a test is a wish."""
    assert _TEST.search(row[-1])


@pytest.mark.parametrize(
    ("name", "cut"), sorted(set(_TEST.findall(PAGE.read_text("utf-8")))), ids=lambda part: part
)
def test_every_test_that_is_named_exists(name: str, cut: str) -> None:
    """Once: a beginning that two tests share names neither."""
    found = [test for test in known_tests() if (test.startswith(name) if cut else test == name)]
    assert len(found) == 1


def test_every_fault_that_is_named_is_injected() -> None:
    """A fault-injection run draws from these methods."""
    tree = ast.parse((ROOT / "tests" / "faults" / "faults.py").read_text("utf-8"))
    [faults] = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Faults"
    ]
    [plan] = [
        node for node in faults.body if isinstance(node, ast.FunctionDef) and node.name == "plan"
    ]
    drawn = {node.attr for node in ast.walk(plan) if isinstance(node, ast.Attribute)}
    named = set(_FAULT.findall(PAGE.read_text("utf-8")))
    assert named
    assert named <= drawn


def test_what_producers_are_said_to_do_they_do() -> None:
    """A method of the publisher of fault-injection runs."""
    named = set(_PRODUCERS.findall(PAGE.read_text("utf-8")))
    assert named
    tree = ast.parse((ROOT / "tests" / "faults" / "publisher.py").read_text("utf-8"))
    assert named <= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_file_that_is_named_exists() -> None:
    """As a path from the project's root, or a link from the page."""
    text = PAGE.read_text("utf-8")
    named = re.findall(r"`((?:tests|stream_app|rollups)/[a-z_/.]+)`", text)
    linked = re.findall(r"\]\(([^)#:]+)\)", text)
    missing = [path for path in named if not (ROOT / path).exists()]
    missing += [path for path in linked if not (PAGE.parent / path).exists()]
    assert missing == []
