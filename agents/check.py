"""`returnwatch check`: everything that would stop a worker, or make it blind, told before it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from rich.text import Text

from agents.carrier_tables import read_carrier_codes, read_own_tables
from agents.carriers_view import counted
from agents.errors import Finding, SettingsError
from agents.policy_reading import policy_findings, read_policy
from agents.sealing_settings import sealer_of
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import out, show_findings
from schemas.carrier_codes import load_carrier_codes
from schemas.policy_loading import default_policy
from schemas.topics import InputKind

SAMPLES = 10


@dataclass(slots=True)
class Report:
    """What was looked at: a line for each area, findings below it."""

    failed: bool = False
    settings: Settings | None = field(default=None)

    def say(
        self, area: str, text: str, findings: list[Finding], *, doubts: list[Finding] | None = None
    ) -> None:
        """Print one area. Doubts are shown and do not fail the check."""
        mark, style = ("failed", "bold red") if findings else ("ok", "green")
        out.print(Text.assemble((f"{area:<9}", "bold"), (f"{mark:<7}", style), text))
        show_findings(findings)
        show_findings(doubts or [], title="doubtful")
        self.failed = self.failed or bool(findings)


def check(flags: Mapping[str, object], *, connect: bool, wait: timedelta) -> int:
    """Check everything and print it. Exit code 1 if anything would stop a worker."""
    report = Report()
    _check_settings(report, flags)
    _check_keys(report)
    _check_policy(report, flags)
    _check_carriers(report)
    if connect and report.settings is not None:
        from agents.check_cluster import check_cluster  # noqa: PLC0415 - without --connect no Kafka client is needed

        check_cluster(report, report.settings, wait)
    elif connect:
        out.print(Text("brokers  not asked: mend the settings first", style="dim"))
    return 1 if report.failed else 0


def check_scenarios(flags: Mapping[str, object], paths: Sequence[Path], *, quiet: bool) -> int:
    """Play scenarios by the policy of the settings; asks no cluster. Exit code 1 if any failed."""
    from agents.scenarios_command import check_scenarios as play_all  # noqa: PLC0415 - only these need the rules

    settings = load_settings(flags)
    path, codes = settings.policy_file, read_carrier_codes(settings.carrier_codes)
    policy = read_policy(path) if path else default_policy()
    name = f"the policy in {path}" if path else "the default policy"
    return 0 if play_all(paths, policy, name, codes, quiet=quiet) else 1


def _check_settings(report: Report, flags: Mapping[str, object]) -> None:
    without_policy = {name: value for name, value in flags.items() if name != "policy_file"}
    try:
        settings = report.settings = load_settings(without_policy)
    except SettingsError as error:
        report.say("settings", "", list(error.findings))
        return
    inputs = sum(len(settings.topics.inputs[kind]) for kind in InputKind)
    servers = ", ".join(settings.bootstrap_servers)
    report.say("settings", f"{settings.app_id} at {servers}, {inputs} input topics", [])


def _check_keys(report: Report) -> None:
    """What is wrong with them is a finding of the settings."""
    sealer = sealer_of(report.settings) if report.settings else None
    if sealer is not None:
        report.say("letters", f"sealed for {', '.join(sealer.fingerprints)}", [])


def _check_policy(report: Report, flags: Mapping[str, object]) -> None:
    given = flags.get("policy_file")
    path = Path(str(given)) if given else report.settings.policy_file if report.settings else None
    policy, findings = policy_findings(path)
    name = str(path) if path else "the default"
    report.say("policy", f"{name}, hash {policy.hash[:12]}" if policy else name, findings)


def _check_carriers(report: Report) -> None:
    path = report.settings.carrier_codes if report.settings else None
    ours = len(load_carrier_codes().rows)
    if path is None:
        report.say("carriers", f"{ours:,} rows of codes, none of yours", [])
        return
    own = read_own_tables(path)
    text = "" if own.findings else f", {counted(own.tables.rows)} of yours beside {ours:,} of ours"
    report.say("carriers", f"{path}{text}", list(own.findings))
