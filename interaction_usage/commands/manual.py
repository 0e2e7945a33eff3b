"""Makes the manual page of `usage` from what the commands and the settings say of themselves."""

import re
from collections.abc import Iterator

import click

from interaction_usage.commands.main import COMMANDS, main
from interaction_usage.settings import VARIABLES

_HEAD = '.TH USAGE 1 "" "interaction-usage" "User Commands"'


def manual() -> str:
    """Return the page, in the format of man(7)."""
    lines = [
        _HEAD,
        ".SH NAME",
        r"usage \- usage metering for interaction platforms: Kafka events in, Usage Reports out",
        ".SH SYNOPSIS",
        r".B usage\fR \fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]",
        ".SH COMMANDS",
        *_commands(),
        ".SH EXIT STATUS",
        "0 is done, 2 wrong usage, 1 a failure, which standard error says in one line.",
        ".SH ENVIRONMENT",
        "What the environment does not set is read from the file .env in the working directory.",
        *_settings(),
    ]
    return "\n".join(lines) + "\n"


def _commands() -> Iterator[str]:
    context = click.Context(main, info_name="usage")
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        yield from _command(command, click.Context(command, context, info_name=name))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield a section of a command, and those of its subcommands."""
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_text(f'{context.command_path} {pieces}')}"
    yield from _prose(command.help or "")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            yield from (".TP", rf"\fB{_text(record[0])}\fR", _text(record[1]))
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from _command(each, click.Context(each, context, info_name=name))


def _prose(text: str) -> Iterator[str]:
    """Yield paragraphs; one that begins with `\\b` keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.splitlines()
        yield ".PP"
        if lines[0].strip() == "\b":
            yield from (".nf", *map(_text, lines[1:]), ".fi")
        else:
            yield _text(" ".join(line.strip() for line in lines))


def _settings() -> Iterator[str]:
    for variable, row in VARIABLES.items():
        default = f" Default: {row.default}." if row.default else ""
        meaning = row.meaning.replace("`", "")
        yield from (".TP", rf"\fB{variable}\fR", _text(f"{meaning}.{default}"))


def _text(text: str) -> str:
    """Return *text* so that nothing in it is a request or an escape of the format."""
    text = re.sub(r"\s*\n\s*", " ", text).replace("\\", r"\e").replace("-", r"\-")
    text = text.replace("…", "...").replace("'", r"\(aq").replace("`", r"\(ga")
    return rf"\&{text}" if text.startswith((".", r"\(aq")) else text
