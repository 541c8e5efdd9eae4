"""`returnwatch policy show|check|apply`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from agents.control import apply_policy, read_control
from agents.kafka_connection import open_admin, reachable, run
from agents.policy_reading import (
    Change,
    PolicyInForce,
    as_yaml,
    differences,
    policy_in_force,
    read_policy,
)
from agents.settings import Settings
from agents.settings_loading import load_settings
from agents.terminal import out, say, write_line
from agents.topics import inspect_topics, refuse_missing, refuse_wrong
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from schemas.topics import TopicRole

STAGE_ROLES = {TopicRole.INTERNAL}


def show(flags: Mapping[str, object], *, default: bool, as_json: bool) -> int:
    """Print the policy in force, as a file that `policy apply` takes."""
    if default:
        policy = default_policy()
        force = PolicyInForce(policy, policy.hash, in_log=False)
    else:
        force = run(_in_force(load_settings(flags)))
    if as_json:
        write_line(
            json.dumps(
                {"hash": force.hash, "in_log": force.in_log, "policy": json.loads(force.policy.canonical())}
            )
        )
        return 0
    origin = (
        "in the log" if force.in_log else "the default" if default else "the default; none is in the log yet"
    )
    write_line(f"# policy {force.hash} ({origin})")
    write_line(as_yaml(force.policy).rstrip("\n"))
    return 0


def check(file: Path) -> int:
    """Check a file. Everything that is wrong with it is raised at once."""
    policy = read_policy(file)
    out.print(Text(f"{file}: ok, hash {policy.hash}"))
    return 0


def apply(flags: Mapping[str, object], file: Path, *, dry_run: bool) -> int:
    """Write the policy of a file to the log, unless it is in force already. `dry_run` shows the difference only."""
    policy = read_policy(file)
    run(_apply(load_settings(flags), policy, dry_run=dry_run))
    return 0


async def _in_force(settings: Settings) -> PolicyInForce:
    await reachable(settings)
    return policy_in_force(await read_control(settings))


async def _apply(settings: Settings, policy: Policy, *, dry_run: bool) -> None:
    await reachable(settings)
    await refuse_other_topics(settings)
    force = policy_in_force(await read_control(settings))
    if force.in_log and policy.go_live_at is None and force.policy.go_live_at is not None:
        # A file that does not speak of it does not mean that what was historical pages people now.
        policy = policy.model_copy(update={"go_live_at": force.policy.go_live_at})
    if force.in_log and force.hash == policy.hash:
        say("nothing to do: this policy is in force already")
        write_line(policy.hash)
        return
    _show_changes(differences(force.policy, policy), force)
    if dry_run:
        say("nothing was written (--dry-run)")
        return
    await apply_policy(settings, policy.to_log())
    stages = settings.topics.parcels, settings.topics.returns
    say(f"written to every partition of {stages[0]} and {stages[1]}; workers decide by it from there on")
    write_line(policy.hash)


async def refuse_other_topics(settings: Settings) -> None:
    """With another partition count than that of the settings some partitions would keep the old policy."""
    specs = [spec for spec in settings.topic_specs() if spec.role in STAGE_ROLES]
    async with open_admin(settings) as admin:
        checks = await inspect_topics(admin, specs)
    refuse_wrong(checks)
    refuse_missing(checks)


def _show_changes(changes: Sequence[Change], force: PolicyInForce) -> None:
    base = (
        f"the policy in force ({force.hash[:12]})" if force.in_log else "the default (none is in the log yet)"
    )
    if not changes:
        say(f"no number differs from {base}; its rules or holiday calendars are of another version")
        return
    say(f"against {base}:")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("what", overflow="fold")
    table.add_column("now", style="red", overflow="fold")
    table.add_column("then", style="green", overflow="fold")
    for change in changes:
        table.add_row(*change)
    out.print(table)
