"""`usage alerts`: rules, their states, deliveries, and the process that evaluates."""

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from interaction_usage import settings
from interaction_usage.commands.account_id import active_rollups, check_id
from interaction_usage.commands.alert_options import chosen_rules, condition_options
from interaction_usage.commands.connection import ledger_connection, redis_connection
from interaction_usage.commands.errors import CommandError
from interaction_usage.commands.help_format import Subcommands
from interaction_usage.commands.terminal import plain, print_json, print_table

if TYPE_CHECKING:
    from interaction_usage.alerts.book import Book, Watched

#: Seconds for which a test waits for its outcome.
_PATIENCE_S = 15.0


@click.group("alerts", cls=Subcommands)
def alerts() -> None:
    """Notify somebody when usage crosses a threshold, and when it is over.

    A rule watches one number of an account, or how the deployment is. Each change of its state is
    sent once, to a webhook or an e-mail address, by `usage alerts run`.

    \b
    Examples:
      usage alerts set acme --series agent-sessions --above 25 --to https://example.com/hook
      usage alerts list acme
    """


@alerts.command("set")
@click.argument("account_id", metavar="[ACCOUNT]", required=False, callback=check_id)
@condition_options
@click.option(
    "--to",
    required=True,
    metavar="URL|ADDRESS",
    help="A webhook's https:// URL, or an e-mail address.",
)
@click.option("--label", default="", help="Shown with the rule, and in each notification.")
@click.option("--force", is_flag=True, help="Set it even if the account does not exist.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the rule, and how often it would have fired in the last 90 days.",
)
def set_(
    account_id: str | None, to: str, label: str, force: bool, dry_run: bool, **given: Any
) -> None:
    """Set a rule for ACCOUNT; without ACCOUNT one for operators: --lag, --gaps or --stale-for.

    A threshold that is reached is exceeded. Setting the same rule again changes nothing; its id is
    printed. Months are those of the account's time zone.

    \b
    Examples:
      usage alerts set acme --series agent-sessions --above 25 --to https://example.com/hook
      usage alerts set acme --series mobile-web --above 40 --for 10m --to ops@example.com
      usage alerts set acme --maximum agent-sessions --above 50 --to https://example.com/hook
      usage alerts set acme --counter runs --allowance 10000 --at 80 --at 100 --to ops@example.com
      usage alerts set acme --silent-for 30m --to ops@example.com
      usage alerts set --stale-for 5m --to ops@example.com
    """
    from interaction_usage.alerts import book, rules
    from interaction_usage.alerts.errors import InvalidRuleError
    from interaction_usage.commands.user_name import user_name

    config = settings.read()
    wanted = chosen_rules(account_id, to, label, int(time.time()), user_name(), given)
    if dry_run:
        _preview(config, wanted)
        return
    _must_be_deliverable(config, wanted[0].to)
    with ledger_connection(config) as ledger:
        if account_id is not None and not force:
            active_rollups(ledger.redis, account_id, "To set the rule anyway, pass --force.")
        try:
            found = book.set_rules(ledger, wanted)
        except InvalidRuleError as error:
            raise CommandError(f"{error}; nothing was changed.") from None
    for rule in found:
        click.echo(f"{rule.id}  {rules.sentence(rule)}")


def _must_be_deliverable(config: settings.Settings, to: str) -> None:
    if to.startswith("mailto:"):
        if not config.smtp.host:
            raise CommandError(
                "USAGE_SMTP_HOST is not set, so no e-mail can be sent; set it here and for "
                "`usage alerts run`."
            )
    elif not config.alerts_secret:
        raise CommandError(
            "USAGE_ALERTS_SECRET is not set, so no webhook can be signed; set it here and for "
            "`usage alerts run`, for example to the output of: openssl rand -hex 32"
        )
    else:
        from interaction_usage.alerts.errors import ForbiddenAddressError
        from interaction_usage.alerts.webhooks import check_url

        try:
            check_url(to, config.alerts_allowed_networks)
        except ForbiddenAddressError as error:
            raise CommandError(f"{error}; nothing was changed.") from None


def _preview(config: settings.Settings, wanted: Any) -> None:
    from interaction_usage.alerts import preview, rules
    from interaction_usage.alerts.errors import InvalidRuleError

    with redis_connection(config) as redis:
        for rule in wanted:
            try:
                rules.check(rule)
            except InvalidRuleError as error:
                raise CommandError(f"{error}.") from None
            click.echo(f"{rule.id}  {rules.sentence(rule)}")
            found = preview.preview(redis, rule, int(time.time()))
            click.echo(f"  {found.sentence}", err=True)
            for stretch in found.stretches[-10:]:
                end = "now" if stretch.end is None else rules.instant(stretch.end)
                value = "" if stretch.value is None else f"  {rules.shown(rule, stretch.value)}"
                click.echo(f"  {rules.instant(stretch.since)} to {end}{value}", err=True)


@alerts.command("list")
@click.argument("account_id", metavar="[ACCOUNT]", required=False, callback=check_id)
@click.option("--failed", is_flag=True, help="Only rules with a notification that was given up.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(account_id: str | None, failed: bool, as_json: bool) -> None:
    """List the rules, those of ACCOUNT alone if given, with their states.

    A rule is unknown while the numbers are stale, or while no `usage alerts run` is running.

    \b
    Example:
      usage alerts list acme --json
    """
    from interaction_usage.alerts import book

    with redis_connection(settings.read()) as redis:
        found = book.read(redis)
        every = sorted(
            (each for each in found.watched.values() if account_id in (None, each.rule.account)),
            key=book.in_order,
        )
        if account_id and not every:
            active_rollups(redis, account_id)  # or else it is mistyped
    chosen = [each for each in every if each.state.failed or not failed]
    if as_json:
        print_json([book.members(found, each) for each in chosen])
        return
    if not chosen:
        none = "No rule has a notification that was given up." if every else "There is no rule yet."
        click.echo(none, err=True)
        return
    headings = ("Id", "Account", "Rule", "To", "Status", "Since", "Not delivered")
    print_table(headings, [_row(found, each) for each in chosen])
    if found.evaluator is None:
        click.echo("No `usage alerts run` is running, so nothing is evaluated.", err=True)


def _row(found: "Book", watched: "Watched") -> list[str]:
    from interaction_usage.alerts import book
    from interaction_usage.alerts.delivery import shown

    members = book.members(found, watched)
    notes = [f"{members['waiting']} waiting"] if members["waiting"] else []
    notes += [f"{members['failed']} given up"] if members["failed"] else []
    since = "" if members["status"] == "unknown" else members["since"]
    return [
        members["id"], members["account"] or "*", members["sentence"], shown(members["to"]),
        members["status"], since, ", ".join(notes),
    ]  # fmt: skip


@alerts.command("remove")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def remove(ids: tuple[str, ...]) -> None:
    """Remove the rules with these IDs; nothing more of them is delivered.

    \b
    Example:
      usage alerts remove 3f9a0c52e1b4
    """
    from interaction_usage.alerts import book, rules
    from interaction_usage.alerts.errors import RuleNotFoundError

    with ledger_connection(settings.read()) as ledger:
        try:
            gone = book.remove(ledger, ids)
        except RuleNotFoundError as error:
            raise CommandError(
                f"{plain(str(error))[:1].upper()}{plain(str(error))[1:]}; see `usage alerts list`. "
                "Nothing was removed."
            ) from None
    for rule in gone:
        click.echo(f"Removed: {rule.id}, {rules.sentence(rule)}")


@alerts.command("test")
@click.argument("rule_id", metavar="ID")
def test(rule_id: str) -> None:
    """Send a test to where the rule with this ID notifies, and show what was answered.

    `usage alerts run` sends it, so that what is tested is its network and its settings.

    \b
    Example:
      usage alerts test 3f9a0c52e1b4
    """
    from interaction_usage.alerts import book
    from interaction_usage.alerts.errors import RuleNotFoundError
    from interaction_usage.alerts.testing import send_test

    with redis_connection(settings.read()) as redis:
        known = book.read(redis)
        try:
            watched = book.find(known.watched, rule_id)
        except RuleNotFoundError as error:
            raise CommandError(
                f"{plain(str(error))[:1].upper()}{plain(str(error))[1:]}; see `usage alerts list`."
            ) from None
        if known.evaluator is None:
            raise CommandError("No `usage alerts run` is running; start it, and try again.")
        attempt = send_test(redis, watched.rule, f"msg_{uuid4().hex[:24]}", _PATIENCE_S)
    if attempt is None:
        raise CommandError(
            f"There is no outcome after {_PATIENCE_S:g} s; see `usage alerts deliveries`."
        )
    if attempt.outcome != "delivered":
        raise CommandError(f"Not delivered: {plain(attempt.answer)}.")
    click.echo(f"Delivered: {plain(attempt.answer)}")


@alerts.command("deliveries")
@click.argument("account_id", metavar="[ACCOUNT]", required=False, callback=check_id)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def deliveries(account_id: str | None, as_json: bool) -> None:
    """List the last 200 attempts to deliver notifications of ACCOUNT, newest first.

    Without ACCOUNT those of the rules for operators. Each notification is tried for a day.

    \b
    Example:
      usage alerts deliveries acme
    """
    from interaction_usage.alerts import delivery, rules
    from interaction_usage.store import alert_table

    with redis_connection(settings.read()) as redis:
        stored = alert_table.attempts(redis, account_id or rules.OPERATIONS)
        if account_id and not stored:
            active_rollups(redis, account_id)  # or else it is mistyped
    found = [delivery.decode(content) for content in stored]
    if as_json:
        print_json([delivery.members(each) for each in found])
        return
    if not found:
        click.echo("Nothing was sent yet.", err=True)
        return
    print_table(
        ("At", "Rule", "Change", "To", "Attempt", "Outcome", "Answer", "Next"),
        [
            [
                members["at"], members["rule"], members["change"], members["to"],
                str(members["number"]), members["outcome"], plain(members["answer"]),
                members["next"] or "",
            ]
            for members in map(delivery.members, found)
        ],
    )  # fmt: skip


@alerts.command("secret")
@click.argument("account_id", metavar="[ACCOUNT]", required=False, callback=check_id)
def secret(account_id: str | None) -> None:
    """Print the secret that webhooks of ACCOUNT are signed with, to give to their receiver.

    It follows from USAGE_ALERTS_SECRET and the account, and verifies with any library of Standard
    Webhooks. Without ACCOUNT it is that of the rules for operators. Where
    USAGE_ALERTS_PREVIOUS_SECRET is set, a second line has the secret before: webhooks are signed
    with both.

    \b
    Example:
      usage alerts secret acme
    """
    from interaction_usage.alerts.rules import OPERATIONS
    from interaction_usage.alerts.webhooks import secret_of

    config = settings.read()
    if not config.alerts_secret:
        raise CommandError("USAGE_ALERTS_SECRET is not set, so there is no secret.")
    if account_id:
        _note_typo(config, account_id)
    click.echo(secret_of(config.alerts_secret, account_id or OPERATIONS))
    if config.alerts_previous_secret:
        click.echo(secret_of(config.alerts_previous_secret, account_id or OPERATIONS))
        click.echo(
            "Give the receiver the first one. The second is valid as long as "
            "USAGE_ALERTS_PREVIOUS_SECRET is set.",
            err=True,
        )


def _note_typo(config: settings.Settings, account_id: str) -> None:
    """Say where an account is not there: another one's secret verifies nothing."""
    try:
        with redis_connection(config) as redis:
            active_rollups(redis, account_id)
    except CommandError as error:
        click.echo(f"Note: {error}", err=True)


@alerts.command("run")
def run() -> None:
    """Evaluate the rules and deliver notifications, until SIGTERM or Ctrl-C.

    One process does so at a time; others are on standby, and one of them takes over within seconds.
    With USAGE_HEALTH_PORT it answers /healthz, /readyz and /metrics.

    \b
    Example:
      usage alerts run
    """
    asyncio.run(_run(settings.read()))


async def _run(config: settings.Settings) -> None:
    from interaction_usage import logs
    from interaction_usage.alerts.process import AlertsProcess
    from interaction_usage.commands.signals import call_on_signals

    logs.configure(config.log_level, config.log_format)
    process = AlertsProcess(config)
    call_on_signals(asyncio.get_running_loop(), process.stop)
    await process.run()
