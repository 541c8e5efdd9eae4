"""A replay of a simulated world's records says what a worker's stages say about that world."""

import json
from base64 import b64encode
from collections import Counter
from datetime import timedelta
from pathlib import Path

from agents.adapters import readers_named
from schemas.policy_loading import default_policy
from schemas.vocabulary import CaseState, RuleId
from simulation.api_carriers import API_LANES
from simulation.api_shapes import SHAPES
from simulation.api_traffic import Sending, by_apis
from simulation.happenings import SimEvent
from simulation.world import World
from tests.command_line import returnwatch
from tests.scenarios.one_process import OneProcess


def line(event: SimEvent) -> str:
    return json.dumps(
        {
            "kind": event.kind,
            "appended_at": event.appears_at.isoformat(),
            "value_base64": b64encode(event.value).decode(),
            "headers": {name: value.decode() for name, value in event.headers},
        }
    )


def test_a_replay_finds_the_same_cases_as_the_stages(tmp_path: Path) -> None:
    world = World(3, returns=300)
    stages = OneProcess(default_policy())
    stages.play(world.events, world.until_at, timedelta(hours=1))
    file = tmp_path / "world.jsonl"
    file.write_text("\n".join(map(line, reversed(world.events))), encoding="utf-8")
    rest = world.until_at - world.events[-1].appears_at
    answer = returnwatch("replay", "--json", "--until", f"{rest // timedelta(milliseconds=1)}ms", str(file))
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    ends = {change.case_id: (change.rule, change.state, change.reason) for change in stages.observed}
    assert len(ends) > 100
    assert {
        case["case_id"]: (RuleId(case["rule"]), CaseState(case["state"]), case["reason"])
        for case in document["cases"]
    } == ends
    assert Counter(document["refused"]) == world.dead_letters
    assert sum(counts["opened"] for counts in document["rules"].values()) == len(ends)
    assert any(counts["suppressed"] for counts in document["rules"].values())


def line_of_payload(sending: Sending) -> str:
    return json.dumps(
        {
            "kind": sending.kind,
            "topic": sending.api or sending.kind,
            "appended_at": sending.appears_at.isoformat(),
            "value_base64": b64encode(sending.value).decode(),
            "key": sending.key.decode(),
            "headers": {name: value.decode() for name, value in sending.headers},
        }
    )


def test_a_replay_of_payloads_finds_the_same_cases_as_the_stages(tmp_path: Path) -> None:
    world = World(4, returns=120, lanes=API_LANES)
    sendings = by_apis(world.events, world.until_at)
    wired = [f"{shape.adapter}={shape.adapter}" for shape in SHAPES]
    stages = OneProcess(default_policy(), adapters=readers_named(wired))
    stages.play(sendings, world.until_at, timedelta(hours=1))
    file = tmp_path / "world.jsonl"
    file.write_text("\n".join(map(line_of_payload, reversed(sendings))), encoding="utf-8")
    rest = world.until_at - sendings[-1].appears_at
    flags = ["--json", "--until", f"{rest // timedelta(milliseconds=1)}ms", "--scans-topic", "carrier-scans"]
    for shape, entry in zip(SHAPES, wired, strict=True):
        flags += ["--scans-topic", shape.adapter, "--scans-adapter", entry]
    answer = returnwatch("replay", *flags, str(file))
    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    ends = {change.case_id: (change.rule, change.state, change.reason) for change in stages.observed}
    assert len(ends) > 40
    assert {
        case["case_id"]: (RuleId(case["rule"]), CaseState(case["state"]), case["reason"])
        for case in document["cases"]
    } == ends
    assert Counter(document["refused"]) == world.dead_letters
    without = json.loads(returnwatch("replay", "--json", "--until", "0", str(file)).out)
    assert sum(without["refused"].values()) > sum(document["refused"].values()), "payloads are no events"
