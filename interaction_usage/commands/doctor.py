"""`usage doctor`: whether everything is in place for exact reports; if not, what to do."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click
import orjson

from interaction_usage.commands.terminal import console, plain

if TYPE_CHECKING:
    from interaction_usage.doctor.findings import Finding


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def doctor(as_json: bool) -> None:
    """Check settings, Kafka, the archive, Redis, the rollups and the workers.

    One line for each thing that was checked, and what to do where it is not as it should be. Exit
    code 1 if anything is wrong. Nothing is changed anywhere.

    \b
    Example:
      usage doctor
    """
    from interaction_usage.doctor.examination import examine
    from interaction_usage.doctor.findings import is_healthy

    findings = list(examine())
    healthy = is_healthy(findings)
    if as_json:
        shown = {"healthy": healthy, "findings": [finding._asdict() for finding in findings]}
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
    else:
        _print(findings)
    if not healthy:
        raise SystemExit(1)


_SIGNS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "wrong": ("✗", "red")}
_PLAIN_SIGNS: Final = {"ok": (".", "green"), "warning": ("!", "yellow"), "wrong": ("x", "red")}


def _print(findings: Sequence["Finding"]) -> None:
    """Print the findings by area, and what to do below each that asks for something."""
    from rich.text import Text

    out = console()
    signs = _SIGNS if _can_show("✓✗") else _PLAIN_SIGNS
    areas = list(dict.fromkeys(finding.area for finding in findings))  # some come in two parts
    area = ""
    for finding in sorted(findings, key=lambda finding: areas.index(finding.area)):
        if finding.area != area:
            area = finding.area
            out.print(Text(f"\n{area}" if area != areas[0] else area, style="bold"))
        sign, style = signs[finding.level]
        subject, sentence = plain(finding.subject), plain(finding.sentence)
        line = Text.assemble((f"  {sign} ", style), (subject, "bold"), "  ", sentence)
        out.print(line, soft_wrap=True)
        if finding.advice:
            out.print(Text(f"      -> {plain(finding.advice)}", style="dim"), soft_wrap=True)
    wrong = sum(finding.level == "wrong" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if not wrong and not warnings:
        summary = "Everything is as it should be."
    else:
        summary = f"{wrong} wrong, {warnings} to look at."
    out.print(Text(f"\n{summary}", style="bold"))


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
