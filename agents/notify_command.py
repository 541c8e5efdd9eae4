"""`returnwatch notify run|check|test|log|retry`: reads the routes' file, and shows or does what it says."""

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import msgspec
from rich.table import Table

from agents.case_log import read_cases
from agents.errors import Finding, NotifyError, SettingsError, did_you_mean
from agents.kafka_connection import reachable, run
from agents.logging_setup import configure_logging
from agents.notify_delivery import Endpoint, NotTakenError, Secrets
from agents.notify_process import Notifier
from agents.notify_record import Entry, NotifyRecord
from agents.safe_text import safe
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import out, say, write_line
from schemas.notify_routes import (
    NotifyRoutes,
    PagerDutyReceiver,
    Receiver,
    Route,
    SlackReceiver,
    WebhookReceiver,
    known_address,
)
from schemas.outputs import Case, Escalation, Money, Severity, encode_escalation
from schemas.vocabulary import CaseState, Reason, RuleId
from schemas.yaml_models import ModelError, model_from_yaml
from streams.notify_bodies import signing_key, told_singly
from streams.notify_routing import counts_of, told_of

_ACTIVE = frozenset({CaseState.OPEN, CaseState.ESCALATED})


class RunOptions(NamedTuple):
    """What was asked for. `from_start`: the first run begins with everything that the topic has."""

    file: Path
    from_start: bool


def run_notify(flags: Mapping[str, object], options: RunOptions) -> int:
    """Serve until told to stop. Raises UserError for what the user can mend."""
    settings = load_settings(flags)
    routes = routes_of(options.file)
    endpoints = endpoints_of(routes, os.environ, str(options.file))
    configure_logging(settings.log_format, settings.log_level)
    record = NotifyRecord(settings.notify_record)
    try:
        run(_outcome(Notifier(settings, routes, endpoints, record).run(from_start=options.from_start)))
    finally:
        record.close()
    return 0


async def _outcome(work: Coroutine[Any, Any, None]) -> None:
    """What ends one of several tasks ends the process, and is told as if it had been the only one."""
    try:
        await work
    except BaseExceptionGroup as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def routes_of(file: Path) -> NotifyRoutes:
    """The routes of a file. Raises SettingsError with everything that is wrong."""
    try:
        return model_from_yaml(NotifyRoutes, file.read_text(encoding="utf-8"), str(file))
    except ModelError as error:
        raise SettingsError(
            [Finding(one.where, one.what, todo=one.todo) for one in error.findings]
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        raise SettingsError([Finding(str(file), what, todo="correct the path, or the file")]) from error


def endpoints_of(routes: NotifyRoutes, environ: Mapping[str, str], filename: str) -> dict[str, Endpoint]:
    """The receivers with their secrets. Raises SettingsError with all that are missing or cannot be used."""
    findings: list[Finding] = []
    endpoints = {
        name: Endpoint(receiver, _secrets(receiver, environ, f"{filename}: {name}", findings))
        for name, receiver in routes.receivers.items()
    }
    if findings:
        raise SettingsError(findings)
    return endpoints


def _secrets(receiver: Receiver, environ: Mapping[str, str], where: str, findings: list[Finding]) -> Secrets:
    if isinstance(receiver, PagerDutyReceiver):
        return Secrets(receiver.url, key=_secret(receiver.routing_key, environ, where, findings))
    if isinstance(receiver, SlackReceiver):
        return Secrets(_address(receiver.url_from, environ, where, findings))
    assert isinstance(receiver, WebhookReceiver)
    url = receiver.url or _address(receiver.url_from or "", environ, where, findings)
    secret = _secret(receiver.secret, environ, where, findings)
    try:
        return Secrets(url, signing=signing_key(secret)) if secret else Secrets(url)
    except ValueError as error:
        findings.append(
            Finding(
                where,
                f"{receiver.secret}: {error}",
                todo="write it as its receiver showed it, or agree on a longer one",
            )
        )
        return Secrets(url)


def _secret(variable: str, environ: Mapping[str, str], where: str, findings: list[Finding]) -> str:
    """What an environment variable holds, or the file that `<variable>_FILE` names."""
    file = environ.get(f"{variable}_FILE", "")
    try:
        text = environ.get(variable, "") or (Path(file).read_text(encoding="utf-8") if file else "")
    except (OSError, UnicodeDecodeError) as error:
        what = f"{variable}_FILE cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        findings.append(Finding(where, what, todo="correct the path, or the rights of the file"))
        return ""
    if not text.strip():
        findings.append(
            Finding(
                where,
                f"there is no environment variable {variable}, or it is empty",
                "without it nothing can be sent there",
                f"set {variable}, or {variable}_FILE to a file that holds it",
            )
        )
    return text.strip()


def _address(variable: str, environ: Mapping[str, str], where: str, findings: list[Finding]) -> str:
    url = _secret(variable, environ, where, findings)
    if url:
        try:
            known_address(url)
        except ValueError as error:
            findings.append(Finding(where, f"the address in {variable} {error}"))
    return url


def check(flags: Mapping[str, object], file: Path, *, with_cases: bool) -> int:
    """Show who is told of what, and of `with_cases` how many of the cases of now each would have. Sends nothing."""
    routes = routes_of(file)
    cases: Sequence[Case] = ()
    if with_cases:
        cases = run(_active_cases(load_settings(flags)))
    counts = counts_of(routes, cases)
    table = Table(box=None, pad_edge=False)
    for column in ("route", "takes", "tells", *(["cases now"] if with_cases else [])):
        table.add_column(column)
    for route in routes.routes:
        table.add_row(
            route.name,
            _match_text(route),
            ", ".join(route.to),
            *([str(counts[route.name])] if with_cases else []),
        )
    out.print(table)
    if with_cases:
        unheard = sum(not told_of(routes, case) for case in cases)
        say(f"{unheard} of {len(cases)} open cases are told to nobody")
    missing: list[Finding] = []
    for name, receiver in routes.receivers.items():
        _secrets(receiver, os.environ, f"{file}: {name}", missing)
    if missing:
        raise SettingsError(missing)
    return 0


async def _active_cases(settings: Settings) -> list[Case]:
    await reachable(settings)
    return [case for case in (await read_cases(settings)).cases.values() if case.state in _ACTIVE]


def _match_text(route: Route) -> str:
    match = route.match
    parts = [
        " or ".join(rule.value for rule in match.rules),
        f"{match.severity.value} or worse" if match.severity is not Severity.INFO else "",
        f"level {match.level} or higher" if match.level > 1 else "",
        " or ".join(match.carriers),
        " or ".join(match.facilities),
        "worth " + " or ".join(f"{amount} {currency}" for currency, amount in match.value.items())
        if match.value
        else "",
    ]
    return "; ".join(part for part in parts if part) or "everything"


def test_route(file: Path, name: str) -> int:
    """Send an example to every receiver of a route, once each. Raises NotifyError with those that did not take it."""
    routes = routes_of(file)
    found = [route for route in routes.routes if route.name == name]
    if not found:
        names = [route.name for route in routes.routes]
        todo = did_you_mean(name, names) or f"known are {', '.join(names)}"
        raise SettingsError([Finding(str(file), f"there is no route {name!r}", todo=todo)])
    wanted = {one: routes.receivers[one] for one in found[0].to}
    narrowed = NotifyRoutes.model_construct(receivers=wanted, routes=found)
    endpoints = endpoints_of(narrowed, os.environ, str(file))
    findings = asyncio.run(_sent_examples(endpoints, example(found[0], datetime.now(UTC))))
    if findings:
        raise NotifyError(findings)
    return 0


async def _sent_examples(endpoints: Mapping[str, Endpoint], change: Escalation) -> list[Finding]:
    findings = []
    async with aiohttp.ClientSession() as session:
        for name, endpoint in endpoints.items():
            try:
                answer = await endpoint.send(session, told_singly(encode_escalation(change)))
            except NotTakenError as error:
                todo = "correct its address and secrets, then try again; nothing else was sent"
                findings.append(Finding(name, f"did not take the example: {error.answer}", todo=todo))
            else:
                out.print(f"{name}: {answer}")
    return findings


def example(route: Route, now: datetime) -> Escalation:
    """A change that fits a route and is about no return that there is."""
    match = route.match
    value = None
    if match.value:
        currency, amount = next(iter(match.value.items()))
        value = Money(int(amount * 1_000), currency)
    return Escalation(
        case_id=str(uuid4()),
        revision=1,
        rule=match.rules[0] if match.rules else RuleId.MISSING_FIRST_SCAN,
        state=CaseState.OPEN,
        reason=Reason.DUE,
        level=match.level,
        severity=match.severity,
        action="nothing: this is an example of `returnwatch notify test`",
        return_id="EXAMPLE",
        carrier=match.carriers[0] if match.carriers else "",
        facility=match.facilities[0] if match.facilities else "",
        value=value,
        since_at=now - timedelta(days=3),
        due_at=now,
        effective_at=now,
        explanation="An example. No return is late.",
    )


def show_log(flags: Mapping[str, object], state: str | None, *, limit: int, as_json: bool) -> int:
    """Print what was sent, what waits and what was given up, the newest first."""
    record = _opened(load_settings(flags))
    try:
        entries = record.entries(state, limit)
    finally:
        record.close()
    if as_json:
        for entry in entries:
            write_line(msgspec.json.encode(_plain(entry)).decode())
        return 0
    table = Table(box=None, pad_edge=False)
    for column in ("queued", "receiver", "route", "rule", "change", "state", "tries", "answer"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        state_text = f"{entry.state}, in a digest" if entry.digest else entry.state
        table.add_row(
            _time_text(entry.queued_at),
            safe(entry.receiver),
            entry.route,
            entry.rule,
            safe(entry.ce_id),
            state_text,
            str(entry.tries),
            safe(entry.answer),
        )
    out.print(table)
    return 0


def retry(flags: Mapping[str, object], receiver: str | None) -> int:
    """Queue what was given up once more; the process that runs sends it."""
    record = _opened(load_settings(flags))
    try:
        again = record.again(receiver, time())
    finally:
        record.close()
    say(f"{again.queued} changes are queued again")
    if again.late:
        say(
            f"{again.late} are not: their receivers have a later change of the same case, which they would undo"
        )
    if again.gone:
        say(f"{again.gone} are not: their receivers are not in the file of the process that runs")
    return 0


def _opened(settings: Settings) -> NotifyRecord:
    if not settings.notify_record.exists():
        what = "is not there: nothing was ever sent from here"
        todo = "run this where `returnwatch notify run` runs, or name its file with --record"
        raise NotifyError([Finding(str(settings.notify_record), what, todo=todo)])
    return NotifyRecord(settings.notify_record, is_shared=True)


def _plain(entry: Entry) -> dict[str, object]:
    times = {"queued_at": entry.queued_at, "ended_at": entry.ended_at}
    return entry._asdict() | {name: None if at is None else _time_text(at) for name, at in times.items()}


def _time_text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
