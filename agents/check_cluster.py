"""The part of `returnwatch check` that asks the cluster. Changes nothing there."""

from datetime import timedelta

from rich import box
from rich.table import Table
from rich.text import Text

from agents.check import SAMPLES, Report
from agents.errors import Finding, SettingsError, UserError
from agents.kafka_connection import open_admin, reachable, run
from agents.registry_client import UnavailableError, greet
from agents.rights import Right, ask_rights, user_of
from agents.samples import Sample, newest_samples
from agents.settings import Settings
from agents.terminal import out
from agents.topics import TopicCheck, TopicState, inspect_topics
from schemas.envelopes import needs_registry
from schemas.topics import TopicRole


def check_cluster(report: Report, settings: Settings, wait: timedelta) -> None:
    """Brokers, topics, rights, then the newest events of each input topic."""
    try:
        run(_check(report, settings, wait))
    except UserError as error:
        report.say("brokers", "", list(error.findings))


async def _check(report: Report, settings: Settings, wait: timedelta) -> None:
    await reachable(settings, wait)
    async with open_admin(settings) as admin:
        cluster = await admin.describe_cluster()
        brokers = cluster["brokers"]
        report.say("brokers", _counted(len(brokers), "broker"), _too_few(len(brokers), settings))
        checks = await inspect_topics(admin, settings.topic_specs())
    _tell_topics(report, checks)
    _tell_rights(report, settings, await ask_rights(settings, checks))
    await _tell_registry(report, settings)
    kinds = settings.topics.kinds()
    for check in checks:
        if check.spec.role is TopicRole.INPUT and check.partitions:
            name = check.spec.name
            _tell_samples(report, name, await newest_samples(settings, name, kinds[name], SAMPLES))


def _too_few(brokers: int, settings: Settings) -> list[Finding]:
    if brokers >= settings.replication_factor:
        return []
    what = f"{_counted(brokers, 'broker')} cannot hold {settings.replication_factor} copies of a topic"
    return [Finding("replication_factor", what, todo="on a test cluster use --replication-factor 1")]


def _tell_topics(report: Report, checks: list[TopicCheck]) -> None:
    wrong, doubtful = [], []
    creatable = 0
    for check in checks:
        if check.state is TopicState.DOUBTFUL:
            doubtful += check.findings()
        elif check.state is TopicState.MISSING and check.spec.role is not TopicRole.INPUT:
            creatable += 1
        else:
            wrong += check.findings()
    there = sum(1 for check in checks if check.partitions)
    missing = f", {creatable} of ours to be created (`returnwatch topics create`)" if creatable else ""
    report.say("topics", f"{there} of {len(checks)} are there{missing}", wrong, doubts=doubtful)


def _tell_rights(report: Report, settings: Settings, rights: list[Right]) -> None:
    missing = [right.finding(user_of(settings)) for right in rights if right.allowed is False]
    untold = sum(1 for right in rights if right.allowed is None)
    more = f", {untold} could not be asked" if untold else ""
    text = f"{_counted(len(rights) - len(missing) - untold, 'right')} of {len(rights)} held{more}"
    report.say("rights", text, missing)


async def _tell_registry(report: Report, settings: Settings) -> None:
    if not needs_registry(settings.envelopes):
        return
    url, findings = settings.schema_registry_url, list[Finding]()
    try:
        await greet(settings)
    except UnavailableError as error:
        what = f"the schema registry at {url}: {error}"
        why = "records that need a schema which is not known yet would go to the dead letters"
        findings = [
            Finding("schema_registry_url", what, why, "correct the address, credentials or authorities")
        ]
    except SettingsError as error:
        findings = list(error.findings)
    report.say("registry", url, findings)


def _tell_samples(report: Report, topic: str, samples: list[Sample]) -> None:
    refused = sum(1 for sample in samples if sample.refused)
    nothing = sum(1 for sample in samples if sample.proves_nothing)
    parts = [
        f"{topic}: the newest {_counted(len(samples), 'event')}" if samples else f"{topic}: nothing in it yet"
    ]
    parts += [f"{refused} would be refused"] if refused else []
    parts += [f"{nothing} with a code that is not mapped, which proves nothing"] if nothing else []
    report.say("events", ", ".join(parts), [])
    if not samples:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("record", no_wrap=True, style="cyan")
    table.add_column("becomes", overflow="fold")
    for sample in samples:
        table.add_row(sample.where, _becomes(sample))
    out.print(table)


def _becomes(sample: Sample) -> Text:
    if sample.refused:
        return Text(f"refused, {sample.refused}", style="red")
    style = "yellow" if sample.proves_nothing else ""
    nothing = f"no event: {sample.no_event}" if sample.no_event else "nothing that is kept"
    return Text("\n".join(sample.becomes) or nothing, style=style)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
