"""`usage config`: the settings that commands and workers started here would have."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import click
import orjson

from interaction_usage import env_file, settings
from interaction_usage.commands.terminal import plain

_HIDDEN = "set, not shown"


class Effective(NamedTuple):
    """A setting as it is."""

    variable: str
    value: str | None  #: what may be shown; None if that is nothing, or it cannot be used
    source: str  #: `default`, `environment` or `file`
    is_secret: bool
    is_set: bool
    given_as: str  #: the variable that it comes from: its own, or the one with `_FILE`
    meaning: str


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object, with all settings.")
@click.option("--all", "with_all", is_flag=True, help="Also settings without a value.")
def config(as_json: bool, with_all: bool) -> None:
    """Show the settings that are used here, and where each comes from. No secret is shown.

    A setting comes from the environment, from the file .env in this directory (or the one that
    USAGE_ENV_FILE names), or is the default. Exit code 1 if any is invalid; all of them are listed.

    \b
    Examples:
      usage config
      usage config --json
    """
    problems = settings.problems_of_process()
    try:
        filed = dict(settings.from_file())
    except settings.InvalidSettingError:  # it is one of the problems
        filed = {}
    invalid = {problem.variable for problem in problems}
    found = list(_effective(filed, invalid))
    if as_json:
        shown = {
            "valid": not problems,
            "settings": [_members(each) for each in found],
            "problems": [
                {"variable": problem.variable, "message": str(problem)} for problem in problems
            ],
        }
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
    else:
        _print(found, with_all=with_all)
        for problem in problems:
            click.echo(f"Error: {plain(str(problem))}", err=True)
    if problems:
        raise SystemExit(1)


def _effective(filed: dict[str, str], invalid: set[str]) -> Iterator[Effective]:
    """Yield every setting: those that are set, of the environment and the file, and defaults."""
    given = {**os.environ, **filed}
    for variable, row in settings.VARIABLES.items():
        if variable.removesuffix("_FILE") in settings.VARIABLES and variable.endswith("_FILE"):
            continue  # the row of its secret says so
        name = variable
        if row.is_secret and not given.get(name) and given.get(f"{name}_FILE"):
            name = f"{variable}_FILE"
        is_set = bool(given.get(name))
        source = "file" if name in filed else "environment" if is_set else "default"
        value: str | None = row.show(given.get(name) or row.default)
        if row.is_secret or {variable, name} & invalid:
            value = None
        elif variable == env_file.VARIABLE and variable in given:
            value, source, is_set = given[variable] or "none", "environment", True
        yield Effective(
            variable, value, source, row.is_secret, is_set, name, row.meaning.replace("`", "")
        )


def _members(each: Effective) -> dict[str, Any]:
    return {
        "variable": each.variable, "value": each.value, "set": each.is_set,
        "source": each.source, "given_as": each.given_as, "secret": each.is_secret,
        "meaning": each.meaning,
    }  # fmt: skip


def _print(found: list[Effective], *, with_all: bool) -> None:
    shown = [each for each in found if with_all or each.is_set or each.value]
    rows = [("Setting", "Value", "From")]
    rows += [(each.variable, _value(each), _source(each)) for each in shown]
    names = max(len(name) for name, _, _ in rows)
    values = min(44, max(len(value) for _, value, _ in rows))
    for name, value, source in rows:  # not wrapped, so that a line can be searched for
        click.echo(f"{name:{names}}  {value:{values}}  {source}")
    if left := len(found) - len(shown):
        click.echo(f"{left} more have no value; --all shows them.")


def _value(each: Effective) -> str:
    if each.value is None:
        return (_HIDDEN if each.is_secret else "invalid") if each.is_set else ""
    return plain(each.value)


def _source(each: Effective) -> str:
    source = each.source
    if source == "file":
        source = plain(os.environ.get(env_file.VARIABLE, env_file.NAME))
    return source if each.given_as == each.variable else f"{source}, {each.given_as}"
