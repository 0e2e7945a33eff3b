"""How a command says why a report cannot be made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from interaction_usage.commands.account_id import unknown_account, unusable_zone
from interaction_usage.reports.errors import (
    AccountZoneError,
    PeriodError,
    TimeZoneError,
    UnknownAccountError,
)


@contextmanager
def report_errors(redis: Any = None) -> Iterator[None]:
    """Turn a ReportError into wrong usage where the request is at fault, else a CommandError.

    Where accounts are read from *redis*, an unknown one comes with a similar one.
    """
    try:
        yield
    except PeriodError as error:
        raise click.UsageError(str(error)) from None
    except TimeZoneError as error:
        raise click.BadParameter(str(error), param_hint=["--tz"]) from None
    except AccountZoneError as error:
        raise unusable_zone(error.account, error) from None
    except UnknownAccountError as error:
        raise unknown_account(redis, error.account) from None
