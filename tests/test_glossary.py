"""docs/glossary.md: its terms are in use, retired words are not; the docs name files that exist."""

import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
#: Where no retired word may occur: documents, product code, tests.
DOCUMENTS = ("README.md", "CHANGELOG.md", "docs", "deploy")
PRODUCT = ("rollups", "stream_app", "export", "interaction_usage")
OTHERS = (
    "benchmarks",
    "deploy",
    "tests",
    "Makefile",
    "docker-compose.yml",
    "Dockerfile",
    "pyproject.toml",
)
SUFFIXES = {".md", ".py", ".lua", ".js", ".html", ".toml", ".yml", ".json", ""}

#: Retired word to the patterns that find it, whatever their case. `~` is what separates two words:
#: spaces, a new line, the mark of a comment, or an underscore.
_RETIRED = {
    "told": [r"told"],
    "anew": [r"anew"],
    "all the same": [r"all~the~same(?!~\w+~(of|as))"],
    "in force": [r"in~force"],
    "night": [r"nights?"],
    "stood still": [r"(stood|stands?|standing)~still"],
    "letter box": [r"letter~?box(es)?"],
    "letter": [r"(?<!\*)letters?"],
    "held (noun)": [],
    "its (variable)": [r"its_\w+", r"\w+_its"],
    "round": [
        r"(an?|the|one|each|every|next|another|this|such|any|whole|failed|stale)~rounds?",
        r"rounds~(of|as|that|under|in)",
    ],
    "part": [
        r"(an|one|each)~account's~parts?",
        r"parts?~of~((an?|one|each|some|several)~)?accounts?",
        r"part~of~a~(round|micro-batch)",
        r"(smaller|large|small)~parts",
        r"the~part's~(sessions|events|days)",
    ],
    "go over": [r"(go|goes|going|gone|went)~over"],
    "say that it lives": [r"(say|says|said)~(that~)?(it|they|he)~lives?", r"that~it~lives"],
}
#: What contains a retired word and is none.
_ORDINARY = r"dead(-|~)?letters?|round~trips?|(they|which|that)~are~all~the~same"
_GAP = r"(?:(?:[\s_#]|--)+)"
ORDINARY = re.compile(_ORDINARY.replace("~", _GAP), re.IGNORECASE)
RETIRED = {
    word: [
        re.compile(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])".replace("~", _GAP), re.IGNORECASE)
        for pattern in patterns
    ]
    for word, patterns in _RETIRED.items()
}
#: Names that no Python code may use. (The words may be fine in prose.)
RETIRED_NAMES = {
    "held (noun)": {"held", "Held"},
    "its (variable)": {"its"},
    "round": {"Round", "Rounds", "rounds"},
    "part": {"Part"},
}
#: Words that may be the name of a variable, whose type says what it is.
SHORT_NAMES = {"letter"}
#: Where a retired word has its ordinary meaning: file to the words that may occur in it.
ALLOWED = {
    "docs/glossary.md": set(RETIRED),
    "tests/test_glossary.py": set(RETIRED),
    "interaction_usage/commands/demo_events.py": {"night"},
    "benchmarks/memory.py": {"night"},
    "interaction_usage/setting_values.py": {"letter"},
    "rollups/catalog.py": {"letter"},
    "export/file_names.py": {"letter"},
    "docker-compose.yml": {"letter"},
}
#: Product copies and generated files that nobody writes by hand.
SKIPPED = re.compile(r"/(vendor|images|vectors|schemas)/|axe\.|asyncapi|\.min\.js$|/\.|__pycache__")


def table_rows(heading: str = "") -> list[tuple[str, str]]:
    """Return (first, second cell) of the glossary's tables, only below *heading* if given."""
    text = GLOSSARY.read_text("utf-8")
    if heading:
        text = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    else:
        text = text.partition("## Retired words")[0]
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE)
    return [row for row in rows if row[0] not in {"term", "retired"}]


TERMS = [term for term, _ in table_rows()]


@cache
def files_in(place: str) -> tuple[Path, ...]:
    """Return the text files at *place*, a file or a folder."""
    path = ROOT / place
    if path.is_file():
        return (path,)
    found = (each for each in sorted(path.rglob("*")) if each.is_file())
    return tuple(
        each
        for each in found
        if each.suffix in SUFFIXES and not SKIPPED.search(f"/{each.relative_to(ROOT).as_posix()}")
    )


@cache
def texts_with_terms() -> tuple[str, ...]:
    """Return the texts in which a term may be in use."""
    paths = (path for place in (*DOCUMENTS, *PRODUCT) for path in files_in(place))
    return tuple(path.read_text("utf-8") for path in paths if path != GLOSSARY)


def is_allowed(path: str, word: str) -> bool:
    """Tell whether *word* has an ordinary meaning in the file at *path*."""
    return any(path.startswith(place) and word in words for place, words in ALLOWED.items())


def without_ordinary(text: str) -> str:
    """Return *text* with dots for what only looks like a retired word; its lines stay."""
    return ORDINARY.sub(lambda hit: re.sub(r"\w", ".", hit[0]), text)


def retired_in(path: Path) -> Iterator[str]:
    """Yield every use of a retired word in a file, as `path:line: word (text)`."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text("utf-8")
    if path.suffix == ".md":  # a test's name is checked where the test is
        text = re.sub(r"`(test_[a-z0-9_]*…?|tests/[\w/.]+)`", "", text)
    shown = without_ordinary(text)
    for word, patterns in RETIRED.items():
        if is_allowed(name, word):
            continue
        for pattern in patterns:
            for hit in pattern.finditer(shown):
                if (
                    word in SHORT_NAMES
                    and path.suffix == ".py"
                    and _is_in_a_name(path, hit.start())
                ):
                    continue
                line = text.count("\n", 0, hit.start()) + 1
                yield f"{name}:{line}: {word} ({hit[0]})"
        if path.suffix == ".py":
            for line in lines_with_names(text, RETIRED_NAMES.get(word, set())):
                yield f"{name}:{line}: {word} (a name)"


def lines_with_names(code: str, names: set[str]) -> Iterator[int]:
    """Yield the number of each line of Python *code* that uses one of *names*."""
    if not any(name in code for name in names):
        return  # taking a file apart takes longer than everything else here
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.NAME and token.string in names:
            yield token.start[0]


@cache
def _names_of(path: Path) -> dict[int, list[tuple[int, int]]]:
    """Return, per line of a Python file, where its names begin and end, those of tests left out."""
    names: dict[int, list[tuple[int, int]]] = {}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type == tokenize.NAME and not token.string.startswith("test_"):
            names.setdefault(token.start[0], []).append((token.start[1], token.end[1]))
    return names


def _is_in_a_name(path: Path, at: int) -> bool:
    before = path.read_text("utf-8")[:at]
    line, column = before.count("\n") + 1, at - before.rfind("\n") - 1
    return any(begin <= column < end for begin, end in _names_of(path).get(line, []))


# -------------------------------------------------------------------------------- the glossary


def test_every_term_has_one_meaning() -> None:
    """No term is listed twice, and each meaning is a sentence or two."""
    assert len(TERMS) == len(set(TERMS)) > 40
    assert [meaning for _, meaning in table_rows() if not meaning.endswith(".")] == []


@pytest.mark.parametrize("term", TERMS)
def test_every_term_is_in_use(term: str) -> None:
    """In product code, or in a document other than the glossary."""
    word = re.compile(rf"\b{re.escape(term)}(s|es|ed)?\b".replace(r"\ ", r"[ _-]"), re.IGNORECASE)
    assert any(word.search(text) for text in texts_with_terms())


def test_every_retired_word_has_a_replacement() -> None:
    """The page and this test list the same words."""
    assert [word for word, _ in table_rows("Retired words")] == list(RETIRED)
    assert set(RETIRED_NAMES) <= set(RETIRED)
    assert not any(keyword.iskeyword(name) for names in RETIRED_NAMES.values() for name in names)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The worker was told so", "told"),
        ("_told = 1", "told"),
        ("topics created anew", "anew"),
        ("the namespace in force", "in force"),
        ("def test_a_small_night_ends", "night"),
        ("a publisher's letters", "letter"),
        ("class LetterBox", "letter box"),
        ("its_days = 3", "its (variable)"),
        ("an account's part", "part"),
        ("rounds of batches", "round"),
        ("test_counts_once_in_a_round", "round"),
        ("workers go over to it", "go over"),
        ("the namespace in\n# force", "in force"),
    ],
)
def test_the_patterns_find_what_they_are_for(text: str, word: str) -> None:
    """A retired word is found in prose and in names."""
    assert any(pattern.search(without_ordinary(text)) for pattern in RETIRED[word])


@pytest.mark.parametrize(
    "text",
    [
        "midnight", "a dead letter", "dead_letters", "DeadLetter", "round(x)", "a round trip",
        "part of the package", "its days", "reinforce", "is rounded", "they are all the same",
        "median of three rounds", "must not round", "in one round\ntrip", "a dead\n# letter",
        "a dead-letter topic",
    ],
)  # fmt: skip
def test_the_patterns_find_nothing_else(text: str) -> None:
    """Ordinary words stay."""
    found = [
        word
        for word, patterns in RETIRED.items()
        if any(pattern.search(without_ordinary(text)) for pattern in patterns)
    ]
    assert found == []


# --------------------------------------------------------------------------------- the texts


@pytest.mark.parametrize("place", [*DOCUMENTS, *PRODUCT, *OTHERS])
def test_no_retired_word_is_in_use(place: str) -> None:
    """Neither in prose nor in a name."""
    hits = [hit for path in files_in(place) for hit in retired_in(path)]
    assert not hits, f"{len(hits)} uses of retired words:\n" + "\n".join(hits)


def _pages() -> list[Path]:
    return [path for place in DOCUMENTS for path in files_in(place) if path.suffix == ".md"]


@pytest.mark.parametrize("page", _pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_in_the_documents_exists(page: Path) -> None:
    """A link's target from its page, and a path in backticks from the project's root."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [
        link
        for link in links
        if not link.startswith(("https://", "http://", "mailto:"))
        and not (page.parent / link).exists()
    ]
    tops = "|".join((*PRODUCT, "tests", "benchmarks", "docs", "requirements"))
    for path in re.findall(rf"`((?:{tops})/[\w./-]+)`", text):
        if not (ROOT / path).exists():
            missing.append(path)
    assert missing == []


def where_is_what() -> list[tuple[str, str]]:
    """Return the questions of docs/architecture.md with the answer to each."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = text.partition("## Where is what\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (.+?\?) \| (.+) \|$", table, re.MULTILINE)


@pytest.mark.parametrize(("question", "answer"), where_is_what())
def test_where_something_is_it_is(question: str, answer: str) -> None:
    """An answer links to its files, and the names in it are found there."""
    files = [
        ROOT / "docs" / link for link in re.findall(r"\]\(([^)#]+\.(?:py|lua|css|js))\)", answer)
    ]
    assert files, question
    texts = [f"{path.name}\n{path.read_text('utf-8')}" for path in files if path.exists()]
    names = re.findall(r"`([\w.]+)`", answer)
    assert [name for name in names if not any(name in text for text in texts)] == []


@pytest.mark.parametrize("page", _pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_anchor_in_the_documents_exists(page: Path) -> None:
    """A link to a heading, on its own page or another one."""
    missing = []
    for path, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8")):
        if path.startswith("http"):
            continue
        target = page.parent / path if path else page
        if target.suffix == ".md" and anchor not in _anchors(target):
            missing.append(f"{path}#{anchor}")
    assert missing == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of *page*, as GitHub makes them."""
    if not page.exists():
        return set()
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
