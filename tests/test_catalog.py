"""The catalogue: what it says is a contract, and a row of it is all that a counter takes."""

import html
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlrd
from msgspec import Struct

from export.json_renderer import document
from rollups import catalog
from rollups.catalog import (
    EVENT_TYPES,
    METRIC_ROWS,
    SERIES_ROWS,
    CatalogError,
    Count,
    CountBy,
    EventType,
    Metric,
    Section,
    Series,
    check,
)
from rollups.events import Event, SmsSent
from rollups.fold import OffsetEvent, dispatch, fold
from tests.export import samples

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


# ------------------------------------------------------------------------- the contract


def test_types_and_topics_are_the_contract() -> None:
    """Producers publish under these names, and dead letters and fences carry them."""
    assert {row.name: row.topic for row in EVENT_TYPES} == {
        "usage.session.started": "usage.sessions",
        "usage.session.stopped": "usage.sessions",
        "usage.flow.run": "usage.flows",
        "usage.assist.clicked": "usage.clicks",
        "usage.call.minutes": "usage.calls",
        "usage.sms.sent": "usage.sms",
        "usage.number.purchased": "usage.numbers",
        "usage.number.released": "usage.numbers",
        "usage.event.voided": "usage.corrections",
        "usage.session.corrected": "usage.corrections",
    }


def test_stored_names_are_the_contract() -> None:
    """What lies in somebody's Redis is found under these: counters by name, series by place."""
    assert set(catalog.METRICS) == {
        "runs.agent", "runs.ticket-guidance", "runs.mobile-web", "runs.web-self-service",
        "outcome.completed", "outcome.abandoned", "clicks.call-now", "clicks.callback",
        "clicks.chat", "clicks.email", "call.minutes", "sms.link", "sms.plain",
        "numbers.purchased", "numbers.released", "sessions.agent", "sessions.ticket-guidance",
        "sessions.mobile-web", "sessions.web-self-service", "unstopped.agent",
        "unstopped.ticket-guidance", "unstopped.mobile-web", "unstopped.web-self-service",
    }  # fmt: skip
    assert catalog.SERIES == (
        "agent-sessions", "agent", "ticket-guidance", "mobile-web", "web-self-service",
    )  # fmt: skip
    assert catalog.APPLICATIONS == ("agent", "ticket-guidance", "mobile-web", "web-self-service")
    assert catalog.FLOW_PREFIXES == {"completed": "c", "abandoned": "a"}


def test_labels_and_places_are_the_contract() -> None:
    """Each number's section and label in files, and its path in the JSON document."""
    places = {
        ".".join(row.json_path): (row.section and row.section.title, row.label)
        for row in METRIC_ROWS
        if row.json_path
    }
    assert list(places.items()) == [
        ("flow_runs.total", ("Interaction Flows Run", "Total")),
        ("flow_runs.by_application.agent", ("Interaction Flows Run", "Agent Application")),
        ("flow_runs.by_application.ticket-guidance", ("Interaction Flows Run", "Ticket Guidance")),
        ("flow_runs.by_application.mobile-web", ("Interaction Flows Run", "Mobile Web")),
        (
            "flow_runs.by_application.web-self-service",
            ("Interaction Flows Run", "Web Self Service"),
        ),
        ("assistance.call-now", ("Assistance Services", "Call Now clicks")),
        ("assistance.callback", ("Assistance Services", "Callback clicks")),
        ("assistance.chat", ("Assistance Services", "Chat clicks")),
        ("assistance.email", ("Assistance Services", "Email clicks")),
        ("dnis.numbers_purchased", ("DNIS Service", "Phone numbers purchased")),
        ("dnis.call_minutes", ("DNIS Service", "Call Now minutes")),
        ("sms.messages_with_link", ("Outgoing SMS", "SMS messages sent with a campaign link")),
    ]
    assert [(row.id, row.label, row.section.title) for row in SERIES_ROWS] == [
        (
            "agent-sessions",
            "Agent Application and Ticket Guidance",
            "Concurrent Agent Sessions",
        ),
        ("agent", "Agent Application", "Concurrent Agent Sessions"),
        ("ticket-guidance", "Ticket Guidance", "Concurrent Agent Sessions"),
        ("mobile-web", "Mobile Web", "Concurrent Interaction Flows"),
        ("web-self-service", "Web Self Service", "Concurrent Interaction Flows"),
    ]
    assert [(section.title, section.applies) for section in catalog.SECTIONS] == [
        ("Interaction Flows Run", ""),
        ("Concurrent Agent Sessions", ""),
        ("Concurrent Interaction Flows", ""),
        ("Assistance Services", ""),
        ("DNIS Service", "dnis"),
        ("Outgoing SMS", "sms"),
    ]


def test_the_json_document_has_the_members_in_order() -> None:
    """The order is not promised, but files that differ in nothing else should not differ."""
    assert list(document(samples.report())) == [
        "account", "name", "from", "to", "timezone", "as_of", "flow_runs", "concurrency",
        "sessions", "assistance", "dnis", "sms", "completeness",
    ]  # fmt: skip


# ---------------------------------------------------------------- rows that contradict


class Faxed(Struct, frozen=True, gc=False):
    """A fax was sent."""

    pages: int


FAX = EventType("usage.fax.sent", "usage.faxes", Faxed, (Count("faxes"),))
FAXES = Metric("faxes", "Faxes", Section("Outgoing Fax"), ("fax", "sent"))


def test_a_type_with_counter_fits() -> None:
    """What the other cases differ from by one thing each."""
    check((*EVENT_TYPES, FAX), (*METRIC_ROWS, FAXES))


@pytest.mark.parametrize(
    ("types", "metrics", "problem"),
    [
        ([FAX._replace(counts=())], [], "usage.fax.sent counts nothing"),
        ([FAX], [], "no row in METRIC_ROWS for faxes"),
        ([], [FAXES], "no event counts faxes"),
        ([FAX, FAX], [FAXES], "event types listed twice: usage.fax.sent"),
        ([FAX._replace(data=SmsSent)], [FAXES], "structs .* twice: SmsSent"),
        (
            [FAX._replace(counts=EVENT_TYPES[0].counts)],
            [],
            "no session or correction can be read from Faxed",
        ),
        ([FAX._replace(counts=(CountBy("page", {1: "faxes"}),))], [FAXES], "no member page"),
        ([FAX], [FAXES, FAXES], "metrics listed twice: faxes"),
        ([FAX], [FAXES._replace(section=None)], "no section"),
        ([FAX], [FAXES._replace(section=Section("Fax", "fax"))], "no setting 'fax'"),
        ([FAX], [FAXES._replace(json_path=("concurrency", "fax"))], "cannot be at"),
        ([FAX], [FAXES._replace(json_path=("sms", "fax"))], "two sections share the member sms"),
        (
            [FAX],
            [FAXES, FAXES._replace(id="more", label="More", sum_of=("none",))],
            "sum of unknown counters",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_refused(
    types: list[EventType], metrics: list[Metric], problem: str
) -> None:
    """At import, so that no worker starts which would count by half."""
    with pytest.raises(CatalogError, match=problem):
        check((*EVENT_TYPES, *types), (*METRIC_ROWS, *metrics))


@pytest.mark.parametrize("name", ["c:faxes", "f:axes", "0faxes", "fx", "a:"])
def test_a_counter_cannot_be_taken_for_another_field_of_the_day(name: str) -> None:
    """Single flows have a colon, series are digits, `t` is when the day was touched."""
    fax = FAX._replace(counts=(Count(name),))
    with pytest.raises(CatalogError, match="cannot be called"):
        check((*EVENT_TYPES, fax), (*METRIC_ROWS, FAXES._replace(id=name)))


def test_there_are_no_more_series_than_a_record_holds() -> None:
    """A day of the block and a series share one byte: eight series, not nine."""
    section = SERIES_ROWS[0].section
    more = [Series(f"more-{number}", f"More {number}", ("agent",), section) for number in range(4)]
    check(series=(*SERIES_ROWS, *more[:3]))
    with pytest.raises(CatalogError, match="9 series; a record of nets has room for 8"):
        check(series=(*SERIES_ROWS, *more))


@pytest.mark.parametrize(
    "prefixes",
    [
        {"completed": "c"},
        {"completed": "c", "abandoned": "c"},
        {"completed": "co", "abandoned": ""},
    ],
)
def test_outcomes_have_prefixes_of_their_own(prefixes: dict[str, str]) -> None:
    """One for each outcome, or runs of one would be counted as those of another."""
    with pytest.raises(CatalogError):
        check(prefixes=prefixes)


def test_no_data_is_swallowed() -> None:
    """Data of a type that has no row is an error, and a row that counts nothing is one, too."""
    with pytest.raises(KeyError):
        fold([("t/0", [OffsetEvent(0, Event("s", "1", "acme", 0, Faxed(1)))])], bytes(16), {})
    with pytest.raises(CatalogError, match="counts nothing"):
        dispatch([FAX._replace(counts=())])


def test_a_type_may_count_several_things() -> None:
    """Each of its rules is applied to each event."""
    counting = dispatch([FAX._replace(counts=(Count("faxes"), catalog.Sum("pages", "pages")))])
    counters = {"pages": 2}
    count = counting[Faxed]
    assert count is not None
    count(counters, Faxed(5))
    assert counters == {"faxes": 1, "pages": 7}


# -------------------------------------------------------------------------- the documents


def generated(folder: Path) -> Any:
    """Return the module that writes the documentation, from the tree in *folder*."""
    spec = importlib.util.spec_from_file_location("generate", folder / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_schemas_are_those_of_the_catalogue() -> None:
    """If this fails: make docs."""
    files = {path.name: path.read_text("utf-8") for path in (DOCS / "schemas").glob("*.json")}
    assert files == generated(ROOT).schemas()


def test_the_asyncapi_document_is_current_and_valid() -> None:
    """If this fails: make docs. The schema is that of the AsyncAPI Initiative, version 3.0.0."""
    text = (DOCS / "asyncapi.json").read_text("utf-8")
    assert generated(ROOT).asyncapi() == text
    schema = json.loads((ROOT / "tests" / "support" / "asyncapi-3.0.0.json").read_text("utf-8"))
    document = json.loads(text)
    # Here, for it takes a second that the collection of other tests would pay.
    from jsonschema import Draft7Validator

    assert [*Draft7Validator(schema).iter_errors(document)] == []
    assert [*document["components"]["messages"]] == [row.name for row in EVENT_TYPES]
    assert [*document["channels"]] == [*dict.fromkeys(row.topic for row in EVENT_TYPES)]


def test_the_page_of_metrics_is_current() -> None:
    """If this fails: make docs."""
    page = (DOCS / "metrics.md").read_text("utf-8")
    assert generated(ROOT).metrics_page(page) == page


def test_the_page_for_producers_is_current() -> None:
    """If this fails: make docs."""
    page = (DOCS / "events.md").read_text("utf-8")
    assert generated(ROOT).page(page) == page


# ---------------------------------------------------------- a type that is added to a copy

STRUCT = '''

class EmailSent(Struct, frozen=True, gc=False):
    """An email was sent."""

    campaign: Annotated[Text, Meta(description="The campaign's name.", examples=["spring"])]
'''
TYPE = '    EventType("usage.email.sent", "usage.emails", EmailSent, (Count("emails.sent"),)),\n'
METRIC = (
    '    Metric("emails.sent", "Emails sent", Section("Outgoing Email"), ("email", "messages")),\n'
)


def add_emails(tree: Path) -> None:
    """Add a type of event with a counter to the copy *tree*: a struct and two rows."""
    events, rows = tree / "rollups" / "events.py", tree / "rollups" / "catalog.py"
    events.write_text(events.read_text("utf-8") + STRUCT)
    text = rows.read_text("utf-8").replace("    Data,\n", "    Data,\n    EmailSent,\n", 1)
    for name, row in (("METRIC_ROWS", METRIC), ("EVENT_TYPES", TYPE)):
        begin = text.index(f"{name}: Final = (\n")
        end = text.index("\n)  # fmt: skip\n", begin) + 1
        text = text[:end] + row + text[end:]
    rows.write_text(text)


def email(number: int) -> bytes:
    """Return an event of the added type."""
    event = {
        "specversion": "1.0", "id": str(number), "source": "mailer", "type": "usage.email.sent",
        "subject": "acme", "time": f"2026-10-0{number % 9 + 1}T10:00:00Z",
        "data": {"campaign": "spring"},
    }  # fmt: skip
    return json.dumps(event).encode()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree with the type added, its documents generated."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("rollups", "stream_app", "export", "interaction_usage", "docs", "tests"):
        without = shutil.ignore_patterns("__pycache__", "vectors", "browser")
        shutil.copytree(ROOT / name, copy / name, ignore=without)
    add_emails(copy)
    run(copy, "docs/generate.py")
    return copy


def run(tree: Path, *command: str) -> str:
    """Run Python in *tree*, which comes before everything that is installed; return its output."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True,
        timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def results(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with everything that shows 7 emails, sent through Kafka and a worker."""
    folder = tmp_path_factory.mktemp("results")
    lines = folder / "events.ndjson"
    lines.write_bytes(b"\n".join(map(email, [*range(7), 3, 0])))  # two of them twice
    run(tree, "-m", "tests.support.added_type", str(lines), str(folder))
    return folder


def test_an_added_type_is_in_every_file(results: Path) -> None:
    """In a section of its own, behind those that were there, and as a column per day."""
    assert json.loads((results / "usage.json").read_bytes())["email"] == {"messages": 7}
    assert "Outgoing Email,,,\r\nEmails sent,7,,\r\n" in (
        results / "usage.csv"
    ).read_bytes().decode("utf-8-sig")
    xls = xlrd.open_workbook(results / "usage.xls")
    rows = [xls.sheet_by_index(0).row_values(n)[:2] for n in range(xls.sheet_by_index(0).nrows)]
    assert rows[-2:] == [["Outgoing Email", ""], ["Emails sent", 7.0]]
    xlsx = openpyxl.load_workbook(results / "usage.xlsx")
    first = [[cell.value for cell in row[:2]] for row in xlsx.worksheets[0].iter_rows()]
    assert first[-2:] == [["Outgoing Email", None], ["Emails sent", 7]]
    days = [[cell.value for cell in row] for row in xlsx["Per day"].iter_rows()]
    column = next(row.index("Emails sent") for row in days if "Emails sent" in row)
    assert next(row[column] for row in days if row[0] == "Sum") == 7
    assert [row[column] for row in days if row[column] == 1] == [1] * 8  # 7 days, the maximum


def test_an_added_type_is_in_the_api_and_on_the_page(results: Path) -> None:
    """With its number in the report, its shape in OpenAPI, its label and place on the page."""
    found = json.loads((results / "dashboard.json").read_text())
    assert found["api"]["email"] == {"messages": 7}
    schemas = found["openapi"]["components"]["schemas"]
    assert schemas["Email"]["properties"]["messages"]["type"] == "integer"
    assert schemas["Report"]["properties"]["email"] == {"$ref": "#/components/schemas/Email"}
    data = re.search(r'data-catalog="([^"]*)"', found["page"])
    assert data is not None
    assert json.loads(html.unescape(data[1]))["sections"][-1] == {
        "title": "Outgoing Email",
        "counters": [{"label": "Emails sent", "path": ["email", "messages"], "unit": "events"}],
        "series": [],
    }


def test_an_added_type_is_documented_and_in_the_demo(tree: Path, results: Path) -> None:
    """Its schema and its place on the page for producers are generated; the demo sends some."""
    schema = json.loads((tree / "docs" / "schemas" / "usage.email.sent.json").read_text())
    assert "usage.emails" in json.loads((tree / "docs" / "asyncapi.json").read_text())["channels"]
    assert schema["properties"]["data"]["required"] == ["campaign"]
    assert schema["examples"][0]["data"] == {"campaign": "spring"}
    page = (tree / "docs" / "events.md").read_text("utf-8")
    assert "| `usage.emails` | `usage.email.sent` |" in page
    assert "### usage.email.sent\n\nAn email was sent. [schema](schemas/" in page
    assert "| `campaign` | yes | text. The campaign's name. |" in page
    assert generated(ROOT).page(page) != page  # this tree knows no emails
    assert "usage.emails" in json.loads((results / "demo.json").read_text())


def test_an_added_counter_leaves_old_days_readable(tree: Path) -> None:
    """Days that were sealed before are read as they were, and sealed again as the same bytes."""
    code = (
        "from tests.store.test_days import KEPT, WRITTEN\n"
        "from interaction_usage.store.day_encoding import seal, sealed_days\n"
        "from rollups.catalog import METRICS\n"
        "assert 'emails.sent' in METRICS\n"
        "assert sealed_days(bytes.fromhex(WRITTEN)) == KEPT\n"
        "print(seal(KEPT).hex())"
    )
    here = subprocess.run(
        [sys.executable, "-c", code.replace("assert 'emails.sent' in METRICS", "")],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert run(tree, "-c", code) == here.stdout
