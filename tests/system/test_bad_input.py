"""What bad input gets: a dead letter that says why, or a count, and nothing else. The partition goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.embedded_kafka import EmbeddedKafka
from schemas.dead_letters import FIRST_BYTES, DeadLetter
from schemas.policy import Policy
from schemas.topics import InputKind
from schemas.vocabulary import CaseState, DeadLetterReason, RuleId
from simulation.happenings import SimEvent
from streams.watermark import POSITION_KEY, decode_position
from tests.chaos.installation import admin_of, read_all
from tests.system.arena import Arena, Show, append_time_broker
from tests.system.crafted import DELIVERED, HUB, LILLE, LYON, Pen, policy_with_check_in_within
from tests.system.outcome import Outcome

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.kafka,
    pytest.mark.asyncio(loop_scope="module"),
]

HOURS_PER_SECOND = 6
UNTIL_HOUR = 262
OLD_UNTIL_HOUR = 60
"""What appears before this is the history that is sent again."""
DUE_HOUR, FOUND_HOUR = 29, 35
"""When the dock is late with a parcel, and when it finds it."""
REPLAYED_AFTER_HOURS = 25, 205
"""Since the dock has found it."""
BUDGETS = {"stalled_silent": "5d", "stalled_no_progress": "5d", "missing_first_scan": "72h"}
FORGETFUL = {"accept_age": "6d", "orphan_ttl": "5d"}
KEY = b"one-partition"
"""Good and bad records of a topic share this key, and so a partition."""

NAME, MAIL, STREET = "Zoë Canary-Müller", "canary@example.org", "Canary Lane 7"
CANARIES = [text.encode() for text in ("Canary-M", MAIL, STREET)]
PERSONAL = {"customer_name": NAME, "email": MAIL, "address": {"street": STREET}, "customer_ref": MAIL}

UNKNOWN = {"carrier": "ups", "tracking_number": "1ZUNMAPPED", "code": "Q-17", "text": f"with {NAME}"}

R = DeadLetterReason
HUGE = b'{"type":"carrier_scan","text":"' + b"x" * (5 << 20) + b'"}'
BAD: list[tuple[DeadLetterReason, str, bytes | None]] = [
    (R.NOT_JSON, "carrier-scans", b'{"type": "carrier_scan", "email": "canary@example.org", "carrier": '),
    (R.NOT_JSON, "warehouse", b"\x00\x00\x00\x00\x07binary of a schema registry"),
    (R.NOT_AN_OBJECT, "orders", b'["return_requested", "canary@example.org"]'),
    (R.WRONG_TYPE, "orders", b'{"type":"return_requested","return_id":4711,"occurred_at":"2026-03-16T08:00:00Z"}'),
    (R.MISSING_FIELD, "carrier-scans", b'{"type":"carrier_scan","carrier":"ups","occurred_at":"2026-03-16T08:00:00Z"}'),
    (R.BAD_VALUE, "orders", b'{"type":"return_requested","return_id":"R1","occurred_at":"2026-03-16T08:00:00"}'),
    (R.UNKNOWN_TYPE, "warehouse", b'{"type":"pallet_moved","email":"canary@example.org","occurred_at":"2026-03-16T08:00:00Z"}'),
    (R.WRONG_TOPIC, "labels", b'{"type":"checked_in","return_id":"R1","occurred_at":"2026-03-16T08:00:00Z"}'),
    (R.TIME_OUT_OF_RANGE, "orders", b'{"type":"return_requested","return_id":"R1","occurred_at":"2019-03-16T08:00:00Z"}'),
    (R.NOT_FINITE, "orders", b'{"type":"return_requested","return_id":"R1","occurred_at":"2026-03-16T08:00:00Z","items":NaN}'),
    (R.TOO_DEEP, "labels", b'{"type":"label_created","x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    (R.WRONG_ENCODING, "carrier-scans", '{"type":"carrier_scan","text":"livré à Zoë Canary-Müller"}'.encode("latin-1")),
    (R.BAD_VALUE, "commands", b'{"type":"assign","id":"C1","return_id":"R1","occurred_at":"2026-03-16T08:00:00Z",'
     b'"case_id":"6c7a0b4e-90de-5f0a-8a57-3d8d5a2c6a11","by":"ops-1","to":"canary@example.org"}'),
    (R.MISSING_FIELD, "commands", b'{"type":"reopen","return_id":"R1","occurred_at":"2026-03-16T08:00:00Z",'
     b'"case_id":"6c7a0b4e-90de-5f0a-8a57-3d8d5a2c6a11","by":"ops-1"}'),
    (R.NULL_VALUE, "orders", None),
    (R.TOO_LARGE, "carrier-scans", HUGE),
]  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """A bad record as it was written."""

    reason: DeadLetterReason
    value: bytes | None
    topic: str
    partition: int
    offset: int


@dataclass
class Run:
    """One installation that was fed everything, and what could be seen of it."""

    arena: Arena
    outcome: Outcome
    refused: list[Refused]
    letters: list[Any]
    metrics: str
    counts: dict[str, float]
    records: list[Any]
    """Of every topic but the inputs and the dead letters."""
    replayed_at: datetime
    """When the history came for the second time."""


def policy() -> Policy:
    numbers = policy_with_check_in_within("24h").model_dump(mode="json")
    for rule, budget in BUDGETS.items():
        numbers["rules"][rule] |= {"budget": budget, "international": None}
    return Policy.model_validate(numbers | FORGETFUL)


def history(pen: Pen) -> list[SimEvent]:
    """Good events, with what no producer should send in them."""
    long_ago = pen.at(-48).isoformat()
    return [
        # will be found late on the dock: a case that opens and is resolved, and then forgotten
        pen.order(0.5, "return_requested", "R-LATE", **PERSONAL),
        *pen.journey("1ZLATE", "R-LATE", label=1, delivered=5),
        # all is well, and told in the wrong order
        pen.check_in(20, tracking_number="1ZDISORDER"),
        pen.scan(20.2, "1ZDISORDER", DELIVERED, LILLE),
        pen.scan(20.4, "1ZDISORDER", HUB, LYON | {"street": STREET}, signed_by=NAME),
        pen.label(20.6, "1ZDISORDER", "R-DISORDER", recipient=PERSONAL),
        # scanned days before its label is told
        pen.scan(3, "1ZORPHAN", HUB, LYON),
        pen.label(50, "1ZORPHAN", "R-ORPHAN"),
        pen.scan(52, "1ZORPHAN", DELIVERED, LILLE),
        pen.check_in(53, return_id="R-ORPHAN"),
        # nobody ever knows what these are
        pen.scan(4, "1ZNOLABEL", HUB, LYON),
        pen.check_in(4, return_id="R-NOBODYS"),
        # a code of no table proves nothing, nor does a carrier of no table; so late that the case stands at the end, and
        # is not forgotten before a slow machine has stopped the worker
        pen.label(180, "1ZUNMAPPED", "R-UNMAPPED"),
        pen.write("carrier-scans", "u", 181, type="carrier_scan", **UNKNOWN),
        pen.write("carrier-scans", "u", 6, type="carrier_scan", carrier="Llama Express", tracking_number="LL1", code="OR"),
        # clocks that are wrong
        pen.label(2, "1ZFUTURE", "R-FUTURE"),
        pen.order(7, "return_approved", "R-FUTURE", occurred_at=pen.at(5000).isoformat()),
        pen.check_in(8, tracking_number="1ZFUTURE"),
        pen.scan(9, "1ZFUTURE", HUB, LYON, occurred_at=pen.at(5000).isoformat()),
        pen.order(9, "return_approved", "R-LATE", occurred_at=long_ago),
    ]  # fmt: skip


async def write_bad(arena: Arena) -> list[Refused]:
    refused = []
    producer = AIOKafkaProducer(
        bootstrap_servers=arena.broker.bootstrap_servers, max_request_size=16 << 20, enable_idempotence=True
    )
    async with producer:
        for reason, kind, value in BAD:
            topic = arena.settings.topics.inputs[InputKind(kind)][0]
            sent = await producer.send_and_wait(topic, value, key=KEY, headers=[("trace", b"t-1")])
            refused.append(Refused(reason, value, topic, sent.partition, sent.offset))
    return refused


async def found_late(arena: Arena, found: SimEvent) -> None:
    """The dock finds the parcel when its case is open, however late the worker came to read of it."""
    starts_at = arena.show.starts_at
    await arena.until(starts_at + timedelta(hours=DUE_HOUR))
    # What was read last has been read by now, and a deadline is half an hour from there at the latest.
    await arena.until(arena.simulated_now() + timedelta(hours=1))
    await arena.sleep_until(starts_at + timedelta(hours=FOUND_HOUR))
    await arena.say(found)


async def let_in_large_records(arena: Arena) -> None:
    topic = arena.settings.scans_topics[0]
    limit = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(8 << 20)})
    async with admin_of(arena.settings) as admin:
        await admin.alter_configs([limit])


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with append_time_broker(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Run:
    pen = Pen()
    once = sorted((event._replace(key=KEY) for event in history(pen)), key=lambda event: event.appears_at)
    show = Show(once, pen.starts_at, pen.at(UNTIL_HOUR), HOURS_PER_SECOND * 3600, policy())
    arena = Arena(broker, tmp_path_factory.mktemp("arena"), show, name="bad")
    refused: list[Refused] = []
    replayed_at: list[datetime] = []

    async def bad(_arena: Arena) -> None:
        await let_in_large_records(arena)
        for hour in (5, 40):
            await arena.sleep_until(pen.at(hour))
            refused.extend(await write_bad(arena))

    async def again(_arena: Arena) -> None:
        found = pen.check_in(FOUND_HOUR, tracking_number="1ZLATE", operator=NAME)._replace(key=KEY)
        await found_late(arena, found)
        found_at = arena.simulated_now()
        old = [event for event in once if event.appears_at < pen.at(OLD_UNTIL_HOUR)]
        for hours in REPLAYED_AFTER_HOURS:
            await arena.sleep_until(found_at + timedelta(hours=hours))
            replayed_at.append(arena.simulated_now())
            await arena.say(*old, found)
        await arena.sleep_until(arena.simulated_now() + timedelta(hours=20))

    async with arena.running():
        await arena.play(bad, again)
        member = arena.members[0]
        metrics = member.get("/metrics")[1]
        counts = {
            name: member.metric(f"returnwatch_{name}_total")
            for name in ("unknown_carriers", "clamped_times", "orphans_expired", "too_old")
        }
        counts["unmapped_ups"] = member.metric("returnwatch_unmapped_codes_total", carrier="ups")
        for reason in DeadLetterReason:
            counts[reason] = member.metric("returnwatch_dead_letters_total", reason=reason)
    names = arena.settings.topics
    ours = [spec.name for spec in arena.settings.topic_specs() if spec.name not in names.kinds()]
    read = await read_all(arena.settings, ours, committed=False)
    return Run(
        arena,
        await arena.outcome(),
        refused,
        [record for tp, log in read.items() if tp.topic == names.dead_letters for record in log],
        metrics,
        counts,
        [record for tp, log in read.items() if tp.topic != names.dead_letters for record in log],
        replayed_at[0],
    )


async def test_each_bad_record_is_a_dead_letter_with_its_bytes_its_place_and_what_to_do(run: Run) -> None:
    letters = {}
    for record in run.letters:
        letter = DeadLetter.from_headers(record.headers)
        letters[letter.topic, letter.partition, letter.offset] = letter, record
    assert len(letters) == len(run.letters) == len(run.refused)
    for bad in run.refused:
        letter, record = letters[bad.topic, bad.partition, bad.offset]
        assert letter.reason == bad.reason
        assert letter.detail
        assert letter.action
        assert dict(record.headers)["trace"] == b"t-1"
        assert record.key == KEY
        if bad.value is None:
            assert record.value is None
            continue
        kept = bad.value[:FIRST_BYTES] if bad.reason is R.TOO_LARGE else bad.value
        assert record.value == kept, bad.reason
        assert letter.sha256 == hashlib.sha256(bad.value).hexdigest()
        assert (letter.size, letter.truncated) == (len(bad.value), bad.reason is R.TOO_LARGE)


async def test_every_refusal_is_counted_by_its_reason(run: Run) -> None:
    for reason in {bad.reason for bad in run.refused}:
        assert run.counts[reason] == sum(bad.reason is reason for bad in run.refused), reason


async def test_the_worker_does_not_restart_and_the_good_records_around_decide_as_ever(run: Run) -> None:
    assert (run.arena.members[0].starts, run.arena.exits) == (1, [])
    run.outcome.assert_true("bad input")
    opened = {told.return_id: told.rule for told in run.outcome.escalations if told.state is CaseState.OPEN}
    assert opened == {
        "R-LATE": RuleId.DELIVERED_NOT_CHECKED_IN,
        "R-UNMAPPED": RuleId.MISSING_FIRST_SCAN,
    }


async def test_a_history_sent_again_says_nothing_even_when_it_was_forgotten(run: Run) -> None:
    appended = [record for record in run.records if record.topic == run.arena.settings.topics.escalations]
    since_ms = run.arena.clock.append_ms(int(run.replayed_at.timestamp() * 1000))
    late = [record for record in appended if record.timestamp > since_ms and b'"R-LATE"' in record.value]
    assert not late
    assert run.outcome.score.repeats == 0
    forgotten = [r for r in run.records if r.topic == run.arena.settings.topics.cases and r.value is None]
    assert len(forgotten) == 1, "the case of R-LATE was closed and forgotten before the history came again"
    assert run.counts["too_old"] > 0


async def test_what_proves_nothing_is_counted(run: Run) -> None:
    assert run.counts["unmapped_ups"] == 1
    assert run.counts["unknown_carriers"] == 3, "one event, told three times"
    assert run.counts["orphans_expired"] >= 1


async def test_a_wrong_clock_is_counted_and_moves_no_watermark(run: Run) -> None:
    assert run.counts["clamped_times"] == 6
    standstill = run.outcome.standstill
    assert standstill.longest > timedelta(0)
    clock = run.arena.clock
    for record in run.records:
        if record.topic.endswith("changelog") and record.key == POSITION_KEY:
            assert decode_position(record.value).watermark_ms <= clock.simulated_ms(record.timestamp)


async def test_no_name_and_no_address_is_in_any_output_state_log_or_metric(run: Run) -> None:
    for record in run.records:
        texts = [record.key or b"", record.value or b"", *(value or b"" for _, value in record.headers)]
        assert not found(b"\n".join(texts)), record
    for record in run.letters:
        ours = b"\n".join(value or b"" for name, value in record.headers if name.startswith("returnwatch-"))
        assert not found(ours), ours
    assert not found(run.metrics.encode())
    member = run.arena.members[0]
    assert not found(member.log_file.read_bytes())
    for file in member.settings.data_dir.rglob("*"):
        assert file.is_dir() or not found(file.read_bytes()), file


def found(text: bytes) -> list[bytes]:
    return [canary for canary in CANARIES if canary in text]
