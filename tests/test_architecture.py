"""What may import what, who may read a clock, where names are made, and what must be documented."""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from interaction_usage.commands.main import COMMANDS
from interaction_usage.settings import VARIABLES

ROOT = Path(__file__).parent.parent
ROOTS = ("export", "interaction_usage", "rollups", "stream_app")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for root in ROOTS
    for path in sorted((ROOT / root).rglob("*.py"))
}

DOMAIN = [name for name in MODULES if name.split(".")[0] == "rollups"]
STORE = [name for name in MODULES if name.startswith("interaction_usage.store.")]

#: Every module of the domain is pure, and so are these.
PURE = [
    *DOMAIN,
    *(
        f"interaction_usage.reports.{name}"
        for name in ("build", "errors", "model", "numbers", "periods")
    ),
    *(
        f"interaction_usage.issued.{name}"
        for name in ("cells", "comparison", "errors", "succession", "usage_model")
    ),
    *(
        f"interaction_usage.dashboard.{name}"
        for name in (
            "spans",
            "hosts",
            "live_curve",
            "natural_order",
            "operations",
            "token_terms",
            "views",
        )
    ),
    *(f"interaction_usage.evidence.{name}" for name in ("errors", "licences", "wall_clock")),
    *(
        f"interaction_usage.alerts.{name}"
        for name in ("errors", "notices", "rules", "states", "stretches")
    ),
    "interaction_usage.explanations.claims",
    "interaction_usage.corrections.what_if",
]

#: The packages of this project that each may import, itself left out.
MAY_IMPORT = {
    "rollups": set[str](),
    "store": {"rollups", "prefixes"},
    "prefixes": {"env_file"},
    "kafka_address": set[str](),
    "logs": set[str](),
    "monitoring": set[str](),
    "env_file": set[str](),
    "setting_values": {"store", "kafka_address"},
    "setting_groups": {"kafka_address", "setting_values"},
    "settings": {
        "rollups", "store", "kafka_address", "logs", "env_file", "prefixes", "setting_groups",
        "setting_values",
    },
    "servers": set[str](),
    "reports": {"rollups", "store"},
    "issued": {"rollups", "store", "reports", "export"},
    "stream_app": {
        "rollups", "store", "settings", "kafka_address", "logs", "monitoring", "prefixes",
    },
    "archive": {"rollups", "store", "settings", "stream_app", "monitoring"},
    "alerts": {"rollups", "store", "settings", "stream_app", "monitoring"},
    "corrections": {
        "rollups", "store", "settings", "stream_app", "reports", "issued", "export", "archive",
    },
    "evidence": set[str](),  # two computations that share nothing; a test says so by itself
    "explanations": {
        "evidence", "reports", "rollups", "store", "settings", "stream_app", "archive",
    },
    "export": {"rollups", "reports"},
    "dashboard": {
        "rollups", "store", "reports", "issued", "export", "settings", "monitoring", "evidence",
        "explanations", "alerts",
    },
    "doctor": {"rollups", "store", "settings", "stream_app", "dashboard", "archive"},
    "commands": {
        "rollups", "store", "settings", "servers", "stream_app", "reports", "issued", "export",
        "dashboard", "doctor", "logs", "env_file", "prefixes", "archive", "explanations",
        "evidence", "corrections", "alerts",
    },
}  # fmt: skip


def for_each(modules: Iterable[str]) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Run a check for each of *modules*: as a test for each package, for there are thousands."""
    rooms: dict[str, list[str]] = {}
    for name in modules:
        rooms.setdefault(package(name), []).append(name)

    def test_of(check: Callable[[str], None]) -> Callable[[str], None]:
        def test(room: str) -> None:
            for module in rooms[room]:
                try:
                    check(module)
                except AssertionError as error:
                    error.add_note(f"in {module}")
                    raise

        test.__doc__ = check.__doc__
        mark = pytest.mark.parametrize("room", rooms)
        marked: Callable[[str], None] = mark(test)
        return marked

    return test_of


@cache
def tree(module: str) -> ast.Module:
    """Return the syntax tree of *module*."""
    return ast.parse(MODULES[module].read_text("utf-8"))


def imported(module: str) -> Iterator[str]:
    """Yield the full name of everything that *module* imports, wherever in it."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            yield node.module or ""


def roots(module: str) -> set[str]:
    """Return the top-level packages that *module* imports."""
    return {name.partition(".")[0] for name in imported(module)}


def package(module: str) -> str:
    """Return the package that *module* belongs to: the one under the import root, if it has it."""
    root, _, rest = module.partition(".")
    return (rest.partition(".")[0] or root) if root == "interaction_usage" else root


def neighbours(module: str) -> set[str]:
    """Return the packages of this project that *module* imports, its own left out."""
    ours: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module == "interaction_usage":
            ours |= {alias.name for alias in node.names}
    ours |= {package(name) for name in imported(module) if name.partition(".")[0] in ROOTS}
    return ours - {package(module), "interaction_usage"}


# ---------------------------------------------------------------------------- directions


@for_each(MODULES)
def test_imports_follow_the_directions(module: str) -> None:
    """Rollups know none of their neighbours; the parts around them do not know each other."""
    if module != "interaction_usage":
        assert neighbours(module) <= MAY_IMPORT[package(module)]


def test_every_package_has_the_direction() -> None:
    """A new package is not free to import what it likes."""
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders - {"tests", "benchmarks"} == set(ROOTS)
    assert {package(module) for module in MODULES} - {"interaction_usage"} == set(MAY_IMPORT)


@for_each(MODULES)
def test_only_the_stream_app_imports_faust(module: str) -> None:
    """The rest runs without it, and Faust could be replaced in one place."""
    if package(module) != "stream_app":
        assert not roots(module) & {"faust", "mode"}


def test_evidence_shares_no_code_with_what_it_verifies() -> None:
    """A mistake in the rollups must not be made again by the code that is to find it."""
    own = [name for name in MODULES if package(name) == "evidence"]
    assert own
    for module in own:
        ours = {name for name in imported(module) if name.partition(".")[0] in ROOTS}
        assert all(name.startswith("interaction_usage.evidence") for name in ours)


@for_each(MODULES)
def test_nothing_imports_the_tests(module: str) -> None:
    """What is installed is complete without them."""
    assert not roots(module) & {"tests", "pytest", "hypothesis", "conftest", "benchmarks"}


@for_each(DOMAIN)
def test_rollups_import_few_others(module: str) -> None:
    """The standard library, structs and a hash, nothing else."""
    others = roots(module) - set(sys.stdlib_module_names) - {"rollups"}
    assert others <= {"msgspec", "siphashc"}


#: Packages of this project that need an extra, and what it brings.
EXTRA_OF = {
    "archive": {"deltalake", "duckdb", "pyarrow"},
    "evidence": {"duckdb"},
    "explanations": {"pyarrow"},
}


def test_what_is_imported_is_declared() -> None:
    """A plain `pip install .` brings every package that the code imports, but those of extras."""
    plain = re.findall(r'^  "([A-Za-z0-9_.-]+)', _dependencies(), re.MULTILINE)
    owners = packages_distributions()
    for module in MODULES:
        declared = [*plain, *EXTRA_OF.get(package(module), ())]
        for name in roots(module) - set(sys.stdlib_module_names) - set(ROOTS):
            mine = {_plain(owner) for owner in owners.get(name, [name])}
            assert mine & set(map(_plain, declared)), f"{module} imports {name}"


def _dependencies() -> str:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return text.partition("\ndependencies = [")[2].partition("\n]")[0]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# -------------------------------------------------------------------------------- purity


@for_each(PURE)
def test_pure_modules_touch_nothing(module: str) -> None:
    """No Redis, no socket, no file, no environment, no chance."""
    impure = {
        "asyncio", "faust", "io", "logging", "os", "pathlib", "random", "redis", "secrets",
        "shutil", "socket", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
    }  # fmt: skip
    assert not roots(module) & impure
    called = {node.func.id for node in _calls(module) if isinstance(node.func, ast.Name)}
    assert not called & {"open", "print", "input"}


@for_each(PURE)
def test_pure_modules_import_pure_modules_only(module: str) -> None:
    """What they rest on is as pure as they are."""
    ours = {name for name in imported(module) if name.partition(".")[0] in ROOTS}
    assert ours <= {*PURE}


@for_each(PURE)
def test_pure_modules_read_no_clock(module: str) -> None:
    """Time is an argument."""
    clocks = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter"}
    attributes = {node.func.attr for node in _calls(module) if isinstance(node.func, ast.Attribute)}
    assert not attributes & clocks


@for_each([*DOMAIN, *STORE])
def test_no_rollup_depends_on_the_time_of_day(module: str) -> None:
    """The store reads no clock either."""
    assert "time" not in roots(module)
    attributes = {node.func.attr for node in _calls(module) if isinstance(node.func, ast.Attribute)}
    assert not attributes & {"now", "utcnow", "today", "monotonic"}


@pytest.mark.parametrize(
    "script", sorted((ROOT / "interaction_usage" / "store" / "lua").glob("*.lua"))
)
def test_no_script_reads_a_clock_or_throws_dice(script: Path) -> None:
    """Neither Redis' TIME nor Lua's own."""
    text = re.sub(r"--.*", "", script.read_text("utf-8"))
    assert not re.search(r'"TIME"|os\.|math\.random|"RANDOMKEY"|"SRANDMEMBER"|"KEYS"', text)


def _calls(module: str) -> list[ast.Call]:
    return [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]


# --------------------------------------------------------------------------------- names


@for_each(MODULES)
def test_modules_are_named_for_what_they_hold(module: str) -> None:
    """Not for how little their author could say of them."""
    vague = {"utils", "util", "helpers", "helper", "base", "manager", "misc", "common"}
    assert not set(module.split(".")) & vague


@for_each(MODULES)
def test_keys_are_built_in_one_module(module: str) -> None:
    """Every literal that begins like a key stands in `interaction_usage/store/keys.py`."""
    if module == "interaction_usage.store.keys":
        return
    texts = [node.value for node in ast.walk(tree(module)) if isinstance(node, ast.Constant)]
    found = [
        text for text in texts if isinstance(text, str) and re.match(r"(u|usage):(\S|$)", text)
    ]
    assert found == []


def test_every_key_begins_with_the_prefix() -> None:
    """Each name in `keys.py` that is not of an account's own comes from `prefixes`."""
    makers = {"key", "anchor", "beside"}
    made = {
        id(text)
        for call in _calls("interaction_usage.store.keys")
        if isinstance(call.func, ast.Name) and call.func.id in makers
        for text in ast.walk(call)
    }
    texts = [node for node in _texts("interaction_usage.store.keys") if id(node) not in made]
    assert [each.value for each in texts if re.match(r"\{?(u|usage)(:\S|$)", each.value)] == []


@for_each(MODULES)
def test_every_topic_begins_with_the_prefix(module: str) -> None:
    """Whoever names a topic does so by `prefixes.topic`; the catalogue's are named in one place."""
    if package(module) == "rollups":
        return
    made = {
        id(text)
        for call in _calls(module)
        if ast.unparse(call.func) == "prefixes.topic"
        for text in ast.walk(call)
    }
    topics = r"usage\.(?!xlsx?$|csv$|json$)[a-z-]+"
    literal = [node.value for node in _texts(module) if id(node) not in made]
    assert [text for text in literal if re.fullmatch(topics, text)] == []
    raw = [ast.unparse(node) for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)]
    if module not in ("stream_app.topics", "stream_app.codec.json_schema"):
        assert "row.topic" not in raw


def _texts(module: str) -> list[ast.Constant]:
    """Return the texts of *module* but its docstrings."""
    nodes = list(ast.walk(tree(module)))
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [
        node
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]


@for_each(MODULES)
def test_a_module_says_what_it_is(module: str) -> None:
    """It opens with a sentence."""
    if MODULES[module].stat().st_size:
        assert (ast.get_docstring(tree(module)) or "").partition("\n")[0].endswith((".", ":"))


# ------------------------------------------------------------------------- documentation


@pytest.fixture(scope="module")
def readme() -> str:
    """Return the text of the README."""
    return (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_has_every_command(readme: str, command: str) -> None:
    """As it is typed."""
    assert re.search(rf"\busage {command}\b", readme)


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_page_has_every_setting(readme: str, variable: str) -> None:
    """By the name of its variable; how clients log in has pages of its own."""
    pages = [
        readme,
        *((ROOT / "docs" / f"{name}.md").read_text() for name in ("kafka", "redis", "alerts")),
    ]
    assert any(re.search(rf"`{variable}`", page) for page in pages)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_the_module(command: str) -> None:
    """What `usage --help` lists can be run."""
    assert COMMANDS[command][0] in MODULES


#: What makes a client of Kafka, by name.
_CLIENTS = {"AdminClient", "Producer", "Consumer", "AIOKafkaConsumer", "AIOKafkaProducer"}
#: Where the broker is one that was started here, without any login.
_LOCAL = ("interaction_usage.servers.", "interaction_usage.commands.demo")


@for_each([name for name in MODULES if not name.startswith(_LOCAL)])
def test_every_client_of_kafka_logs_in_as_the_settings_say(module: str) -> None:
    """None of them can ignore a setting: it is made with what `stream_app.clients` returns."""
    for node in ast.walk(tree(module)):
        made = node.func if isinstance(node, ast.Call) else None
        if isinstance(made, ast.Name) and made.id in _CLIENTS:
            assert "clients." in ast.unparse(node), f"{module} makes {made.id} without"
