"""The `returnwatch` command. Each command loads what it needs when it runs: `--help` must answer at once."""
# ruff: noqa: PLC0415 - the lazy imports are the point of this file

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from agents.cli_board import add_board
from agents.cli_canary import add_canary
from agents.cli_carriers import add_carriers
from agents.cli_dead_letters import add_dead_letters
from agents.cli_durations import duration_of as _duration
from agents.cli_kpis import add_kpis
from agents.cli_notify import add_notify
from agents.cli_operations import add_operations
from agents.cli_payloads import AdapterName, Arrived, PayloadKey, Payloads, payloads_of
from agents.cli_receive import add_receive
from agents.cli_size import add_size
from agents.cli_sources import add_sources
from agents.cli_state import add_state
from agents.cli_verbs import add_verbs
from agents.errors import Finding, SettingsError, UserError
from agents.flags import FLAGS, FlagValues, Group, flags_of, takes_settings

WORKER_FLAGS = flags_of(set(Group) - {Group.LETTERS, Group.NOTIFY, Group.BOARD})
POLICY_FLAGS = flags_of(
    [Group.CONNECTION],
    ["topic_prefix", "parcels_partitions", "returns_partitions", "replication_factor"],
)
READING_FLAGS = flags_of([Group.CONNECTION], ["topic_prefix"])
TOPICS_FLAGS = flags_of([Group.CONNECTION, Group.TOPICS])
CHECK_FLAGS = flags_of([Group.CONNECTION, Group.TOPICS, Group.LETTERS], ["policy_file", "carrier_codes"])
REPLAY_FLAGS = flags_of([Group.CONNECTION, Group.TOPICS], ["carrier_codes"])
INPUT_FIELDS = [
    "orders_topics",
    "labels_topics",
    "scans_topics",
    "warehouse_topics",
    "scans_adapters",
    "sources",
]
EXPLAIN_FLAGS = flags_of([Group.CONNECTION], ["topic_prefix", "carrier_codes", *INPUT_FIELDS])

app = typer.Typer(
    name="returnwatch",
    help="Notices what did not happen to e-commerce returns: parcels never scanned, stalled, or delivered "
    "and never checked in.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
topics_app = typer.Typer(no_args_is_help=True, help="The topics that Returnwatch needs.")
policy_app = typer.Typer(no_args_is_help=True, help="What is worth an escalation, and when.")
cases_app = typer.Typer(no_args_is_help=True, help="What did not happen, and how it stands.")
journeys_app = typer.Typer(no_args_is_help=True, help="Where each return is, and what comes next.")
app.add_typer(topics_app, name="topics")
app.add_typer(policy_app, name="policy")
app.add_typer(cases_app, name="cases")
app.add_typer(journeys_app, name="journeys")

Wait = Annotated[str, typer.Option(help="How long to wait for Kafka.", metavar="DURATION")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Rule = Annotated[str | None, typer.Option(help="Only this rule.")]
Carrier = Annotated[str | None, typer.Option(help="Only this carrier.")]
Scenarios = Annotated[
    list[Path] | None,
    typer.Option("--scenarios", help="Play the scenarios in these files.", metavar="DIR_OR_FILE..."),
]
MoreScenarios = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[DIR_OR_FILE]...", help="More files of scenarios.", show_default=False),
]
PolicyFile = Annotated[Path, typer.Argument(help="Policy in YAML.", metavar="FILE")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. What a person can put right is printed as findings; exit code 1."""
    try:
        app(arguments, prog_name="returnwatch")
    except UserError as error:
        from agents.terminal import show_findings

        show_findings(error.findings)
        sys.exit(error.exit_code)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("returnwatch"))
        raise typer.Exit


@app.callback()
def returnwatch(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Hold the options that belong to no command; the help text is the app's."""


@app.command()
@takes_settings(WORKER_FLAGS)
def worker(flags: FlagValues) -> None:
    """Run a worker until it is told to stop."""
    from agents.settings_loading import load_settings

    settings = load_settings(flags)
    from agents.logging_setup import configure_logging
    from agents.worker import run

    configure_logging(settings.log_format, settings.log_level)
    raise typer.Exit(run(settings))


@app.command()
def demo(  # noqa: PLR0913, PLR0917 - one parameter for each option
    once: Annotated[bool, typer.Option("--once", help="End by itself; fail if anything was wrong.")] = False,
    returns: Annotated[
        int, typer.Option(min=1, metavar="COUNT", help="How many returns the shop sees.")
    ] = 5000,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="The same seed plays the same month.")] = 1,
    speed: Annotated[
        float | None, typer.Option(min=1, metavar="NUMBER", help="Simulated seconds per second.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, metavar="NUMBER", help="How long the month takes.")
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option("--bootstrap-servers", "-b", metavar="HOST:PORT,...", help="Use this Kafka.")
    ] = None,
    days: Annotated[
        float, typer.Option(min=1, metavar="NUMBER", help="Days within which the requests come.")
    ] = 30.0,
    play_only: Annotated[
        bool,
        typer.Option("--play-only", help="Only play the events, by the simulated clock of the settings."),
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the data behind.")] = False,
    carriers: Annotated[
        bool,
        typer.Option("--carriers", help="Play payloads as carriers' APIs and aggregators write them."),
    ] = False,
) -> None:
    """Start a Kafka and a worker, and play a month of a shop's returns to them."""
    if speed is not None and minutes is not None:
        raise SettingsError([Finding("--speed", "comes together with --minutes", todo="give one of the two")])
    if carriers and play_only:
        why = "a running worker has to be wired to the topics of the payloads"
        raise SettingsError(
            [Finding("--carriers", "does not go with --play-only", why, "leave one of the two out")]
        )
    from agents.demo_options import DemoOptions
    from agents.settings_loading import load_settings

    given = bootstrap_servers or None
    loaded = load_settings({"bootstrap_servers": given}) if given or play_only else None
    options = DemoOptions(
        once=once,
        returns=returns,
        seed=seed,
        speed=speed,
        minutes=minutes,
        bootstrap_servers=loaded.bootstrap_servers if given and loaded else (),
        days=days,
        play_only=play_only,
        keep=keep,
        carriers=carriers,
    )
    from agents.demo import run_demo

    raise typer.Exit(run_demo(options, loaded if play_only else None))


@app.command()
@takes_settings(CHECK_FLAGS)
def check(
    flags: FlagValues,
    more: MoreScenarios = None,
    connect: Annotated[bool, typer.Option("--connect", help="Ask the cluster too. Changes nothing.")] = False,
    scenarios: Scenarios = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only scenarios that failed.")] = False,
    wait: Wait = "0s",
) -> None:
    """Check settings and policy, and with --connect the cluster: brokers, rights, topics, events.

    With --scenarios: play stories of returns by the policy instead, in virtual time and without Kafka.
    """
    from agents import check as check_command

    if more and not scenarios:
        todo = "put --scenarios before files of scenarios, and --policy before a policy"
        raise SettingsError([Finding(str(more[0]), "belongs to no option", todo=todo)])
    if scenarios:
        if connect:
            what = "asks no cluster, and --connect does"
            raise SettingsError([Finding("--scenarios", what, todo="run them one after the other")])
        paths = [*scenarios, *(more or [])]
        raise typer.Exit(check_command.check_scenarios(flags, paths, quiet=quiet))
    raise typer.Exit(check_command.check(flags, connect=connect, wait=_duration("--wait", wait)))


@app.command()
@takes_settings(REPLAY_FLAGS)
def replay(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Recorded events: JSONL, JSONL.gz or Parquet.", metavar="FILE..."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Policy in YAML; left out, the default.", metavar="FILE")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Show how the cases differ from this one's.", metavar="FILE")
    ] = None,
    step: Annotated[str, typer.Option(help="How far time moves at once.", metavar="DURATION")] = "1h",
    until: Annotated[
        str, typer.Option(help="How long time goes on after the last record.", metavar="DURATION")
    ] = "30d",
    arrival: Annotated[
        str, typer.Option(help="When events without appended_at were appended.", metavar="COLUMN")
    ] = "occurred_at",
    html: Annotated[
        Path | None, typer.Option(help="With --against: write a report too.", metavar="FILE")
    ] = None,
    topics: Annotated[
        bool, typer.Option("--topics", help="Play a cluster's input topics, in place of files.")
    ] = False,
    since: Annotated[
        str | None, typer.Option("--from", help="With --topics: from this append time.", metavar="TIME")
    ] = None,
    before: Annotated[
        str | None, typer.Option("--to", help="With --topics: before this append time.", metavar="TIME")
    ] = None,
    log: Annotated[
        bool,
        typer.Option("--log", help="Play a cluster's `parcels` and `returns`: is the same said to the byte?"),
    ] = False,
    payload: Payloads = None,
    adapter: AdapterName = None,
    arrived: Arrived = None,
    key: PayloadKey = None,
    as_json: AsJson = False,
) -> None:
    """Play recorded events by a policy, in virtual time and without Kafka: what would have been said?"""
    if log:
        if files or policy or against or topics or payload:
            why = "a log has its events, its policy and its times in it"
            raise SettingsError(
                [Finding("--log", "goes with no events and no policy", why, "leave them out")]
            )
        from agents.replay_log import replay_log

        raise typer.Exit(replay_log(flags))
    if bool(files or payload) == topics:
        todo = "name files with records, or give --topics or --log to read a cluster"
        what = "does not go with --topics" if topics else "is missing"
        raise SettingsError([Finding("FILE", what, todo=todo)])
    payloads = payloads_of(payload, adapter, arrived, key)
    if (since or before) and not topics:
        raise SettingsError(
            [Finding("--from, --to", "are of topics", todo="add --topics, or leave them out")]
        )
    step_by = _duration("--step", step)
    if not step_by >= timedelta(seconds=1):
        raise SettingsError([Finding("--step", f"{step!r} is too short", todo="give 1s or more, as 10m")])
    if html and not against:
        raise SettingsError([Finding("--html", "is a report of two policies", todo="add --against FILE")])
    from agents import replay_command
    from agents.adapters import readers_of
    from agents.payload_files import Wiring
    from agents.settings_loading import load_settings

    settings = load_settings(flags)
    options = replay_command.ReplayOptions(
        policy=policy,
        against=against,
        arrival=arrival,
        step=step_by,
        until=_duration("--until", until),
        html=html,
        as_json=as_json,
        carrier_codes=settings.carrier_codes,
        wiring=Wiring(readers_of(settings), payloads),
    )
    if not topics:
        raise typer.Exit(replay_command.replay(files or [], options))
    from agents.explain_command import time_asked_for

    since_at = time_asked_for(since, "--from") if since is not None else None
    before_at = time_asked_for(before, "--to") if before is not None else None
    asked = replay_command.TopicRange(settings, since_at, before_at)
    raise typer.Exit(replay_command.replay(asked, options))


@app.command()
@takes_settings(EXPLAIN_FLAGS)
def explain(  # noqa: PLR0913, PLR0917 - one parameter for each option
    flags: FlagValues,
    name: Annotated[str, typer.Argument(help="Return id or tracking number.", metavar="NAME")],
    events: Annotated[
        list[Path] | None,
        typer.Option(help="Play these recorded events instead of asking the cluster.", metavar="FILE"),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="With --events: policy in YAML; left out, the default.", metavar="FILE"),
    ] = None,
    at: Annotated[str | None, typer.Option(help="With --events: up to this time.", metavar="TIME")] = None,
    arrival: Annotated[
        str, typer.Option(help="With --events: when those without appended_at came.", metavar="COLUMN")
    ] = "occurred_at",
    rule: Rule = None,
    everything: Annotated[bool, typer.Option("--all", help="Also rules that wait for nothing.")] = False,
    payload: Payloads = None,
    adapter: AdapterName = None,
    arrived: Arrived = None,
    key: PayloadKey = None,
    as_json: AsJson = False,
) -> None:
    """Tell why a rule fired for a return or a parcel, or why not: facts, clocks, verdicts."""
    payloads = payloads_of(payload, adapter, arrived, key)
    if not events and payloads is None and (policy or at):
        given = "--policy" if policy else "--at"
        why = "a cluster has its policy and its time in its log"
        raise SettingsError([Finding(given, "belongs to recorded events", why, "add --events FILE")])
    from agents import explain_command
    from agents.case_filter import case_filter
    from schemas.vocabulary import RuleId

    options = explain_command.ExplainOptions(
        events=tuple(events or ()),
        policy=policy,
        at=explain_command.time_asked_for(at) if at is not None else None,
        arrival=arrival,
        rule=RuleId(case_filter(rule, None, "all", None, None).rule) if rule else None,
        everything=everything,
        as_json=as_json,
        payloads=payloads,
    )
    raise typer.Exit(explain_command.explain_name(flags, name, options))


@app.command()
@takes_settings(FLAGS)
def settings(flags: FlagValues, as_json: AsJson = False) -> None:
    """Show the settings in effect and where each comes from; secrets are hidden."""
    from agents.settings_command import show

    show(flags, as_json=as_json)


@topics_app.command()
@takes_settings(TOPICS_FLAGS)
def plan(flags: FlagValues, wait: Wait = "0s", as_json: AsJson = False) -> None:
    """Show every topic: there, missing, or not as it must be. Changes nothing."""
    from agents import topics_command
    from agents.settings_loading import load_settings

    loaded = load_settings(flags)
    raise typer.Exit(topics_command.plan(loaded, wait=_duration("--wait", wait), as_json=as_json))


@topics_app.command()
@takes_settings(TOPICS_FLAGS)
def create(
    flags: FlagValues,
    inputs: Annotated[bool, typer.Option("--inputs", help="Create missing input topics too.")] = False,
    wait: Wait = "0s",
) -> None:
    """Create what is missing. Creates nothing if a topic of ours is not as it must be."""
    from agents import topics_command
    from agents.settings_loading import load_settings

    loaded = load_settings(flags)
    raise typer.Exit(topics_command.create(loaded, wait=_duration("--wait", wait), inputs=inputs))


@topics_app.command()
@takes_settings(TOPICS_FLAGS)
def retire(
    flags: FlagValues,
    name: Annotated[str, typer.Argument(help="Input topic that no worker reads any more.", metavar="NAME")],
    undo: Annotated[bool, typer.Option("--undo", help="Wait for it again.")] = False,
    wait: Wait = "0s",
) -> None:
    """Stop waiting for an input topic that was taken out of the settings of all workers."""
    from agents import topics_command
    from agents.settings_loading import load_settings

    loaded = load_settings(flags)
    raise typer.Exit(topics_command.retire(loaded, name, undo=undo, wait=_duration("--wait", wait)))


@policy_app.command("show")
@takes_settings(READING_FLAGS)
def policy_show(
    flags: FlagValues,
    default: Annotated[bool, typer.Option("--default", help="The built-in one; asks no cluster.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the policy in effect: the one in the log, or the default where none was written yet."""
    from agents import policy_command

    raise typer.Exit(policy_command.show(flags, default=default, as_json=as_json))


@policy_app.command("check")
def policy_check(file: PolicyFile) -> None:
    """Check a policy file, all findings at once. Asks no cluster."""
    from agents import policy_command

    raise typer.Exit(policy_command.check(file))


@policy_app.command("apply")
@takes_settings(POLICY_FLAGS)
def policy_apply(
    flags: FlagValues,
    file: PolicyFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference only.")] = False,
) -> None:
    """Write a policy to the log; workers decide by it from there on."""
    from agents import policy_command

    raise typer.Exit(policy_command.apply(flags, file, dry_run=dry_run))


@cases_app.command("list")
@takes_settings(READING_FLAGS)
def cases_list(
    flags: FlagValues,
    rule: Rule = None,
    carrier: Carrier = None,
    state: Annotated[
        str, typer.Option(help="active, open, escalated, resolved, retracted or all.")
    ] = "active",
    older_than: Annotated[
        str | None, typer.Option(help="Due longer ago than this.", metavar="DURATION")
    ] = None,
    newer_than: Annotated[str | None, typer.Option(help="Due more recently.", metavar="DURATION")] = None,
    limit: Annotated[int, typer.Option(min=0, metavar="COUNT", help="At most so many; 0 for all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List cases, the most urgent first."""
    from agents import cases_command
    from agents.case_filter import case_filter

    wanted = case_filter(rule, carrier, state, older_than, newer_than)
    raise typer.Exit(cases_command.list_cases(flags, wanted, limit=limit, as_json=as_json))


@cases_app.command("show")
@takes_settings(READING_FLAGS)
def cases_show(
    flags: FlagValues,
    name: Annotated[str, typer.Argument(help="Case id, return id or tracking number.", metavar="ID")],
    as_json: AsJson = False,
) -> None:
    """Show all about a case, or about the cases of a return or parcel, with every change."""
    from agents import cases_command

    raise typer.Exit(cases_command.show_cases(flags, name, as_json=as_json))


@cases_app.command("tail")
@takes_settings(READING_FLAGS)
def cases_tail(
    flags: FlagValues,
    rule: Rule = None,
    carrier: Carrier = None,
    state: Annotated[str, typer.Option(help="active, open, escalated, resolved, retracted or all.")] = "all",
    from_start: Annotated[bool, typer.Option("--from-start", help="Also what was said before.")] = False,
    count: Annotated[
        int, typer.Option(min=0, metavar="COUNT", help="End after so many; 0: go on until Ctrl-C.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Follow the escalations as they are published."""
    from agents import cases_command
    from agents.case_filter import case_filter

    wanted = case_filter(rule, carrier, state, None, None)
    options = cases_command.TailOptions(from_start=from_start, count=count, as_json=as_json)
    raise typer.Exit(cases_command.tail(flags, wanted, options))


@journeys_app.command("show")
@takes_settings(READING_FLAGS)
def journeys_show(
    flags: FlagValues,
    return_id: Annotated[str, typer.Argument(help="Return id.", metavar="RETURN_ID")],
    as_json: AsJson = False,
) -> None:
    """Show where a return is, what comes next and by when, and what its customer is told."""
    from agents import journeys_command

    raise typer.Exit(journeys_command.show_journey(flags, return_id, as_json=as_json))


add_verbs(cases_app)
add_operations(app)
add_kpis(app)
add_dead_letters(app)
add_carriers(app)
add_receive(app)
add_board(app)
add_canary(app)
add_sources(app)
add_notify(app)
add_size(app)
add_state(app)
