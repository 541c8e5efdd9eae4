"""A return that is forgotten: nothing of it is kept, nothing of it comes back, and what others wait for stays as it was."""

import json
from typing import Any

import jsonschema
import pytest

from schemas.command_answers import CommandAnswer
from schemas.contracts_generation import contract_files
from schemas.facts import FORGET_KEY, Erasure, LabelTerms, encode_json
from schemas.outputs import decode_escalation
from schemas.vocabulary import AnswerReason, CaseState, ErasureReason, Evidence, Milestone, Reason, RuleId
from streams.batch import HIDDEN_MARK
from streams.forgetting import OtherForgetKeyError
from streams.parcel_stage import parcel_logic
from streams.partition import Partition
from streams.watermark import decode_position
from tests.erasing import Erasing, event, forget, parcel
from tests.stages import DAY, HOUR, MONDAY, Record, marker, only, parcel_fact, parcels_run

REQUESTED = event("return_requested", 0, return_id="RMA-7")
LABELLED = parcel("label_created", 0, "1ZERASE", return_id="RMA-7")
SCANNED = parcel("carrier_scan", 1, "1ZERASE", code="OR")
LIFE = (REQUESTED, LABELLED, SCANNED)
OTHERS = (
    event("return_requested", 0, return_id="RMA-8"),
    parcel("label_created", 0, "1ZOTHER", return_id="RMA-8"),
)


def with_open_case() -> Erasing:
    """Nobody has scanned the parcel of RMA-7 in four days, nor that of RMA-8."""
    shop = Erasing()
    shop.tell(REQUESTED, LABELLED, *OTHERS)
    shop.reach(4)
    return shop


def forgotten(*before: dict[str, Any]) -> Erasing:
    shop = Erasing()
    shop.tell(*before)
    shop.reach(2)
    shop.tell(forget("RMA-7", 2))
    shop.reach(2.5)
    shop.heard()
    return shop


def only_answer(shop: Erasing) -> CommandAnswer:
    (answer,) = shop.answers()
    return answer


# -- what goes ----------------------------------------------------------------------------------------------------


def test_nothing_is_left_of_a_forgotten_return_and_of_others_everything() -> None:
    shop = with_open_case()
    assert shop.traces_of("RMA-7", "1ZERASE")
    shop.tell(forget("RMA-7", 5))
    shop.reach(6)
    assert shop.traces_of("RMA-7", "1ZERASE") == []
    assert {b"RMA-8", b"ups:1ZOTHER"} <= shop.kept().keys()
    assert len(shop.cases()) == 1
    hidden = [key for key in shop.kept() if key.startswith(HIDDEN_MARK)]
    assert len(hidden) == 2, "the return and the parcel"


def test_a_case_that_stood_gets_a_last_word_that_names_nothing_but_the_case() -> None:
    shop = with_open_case()
    opened = next(one for one in shop.news() if one.return_id == "RMA-7")
    shop.tell(forget("RMA-7", 5))
    shop.reach(6)
    told = [out for out in shop.heard() if opened.case_id in repr(out)]
    last = decode_escalation(told[0].value or b"")
    assert (last.case_id, last.revision) == (opened.case_id, opened.revision + 1)
    assert (last.state, last.reason) == (CaseState.RESOLVED, Reason.ERASED)
    assert [(out.topic, out.key, out.value) for out in told[1:]] == [("cases", opened.case_id.encode(), None)]
    said = repr(told[0])
    assert not [name for name in ("RMA-7", "1ZERASE", "ups") if name in said]
    jsonschema.validate(
        json.loads(told[0].value or b""), json.loads(contract_files()["escalation.v1.schema.json"])
    )


def test_a_case_that_was_over_is_only_deleted_and_so_is_the_journey() -> None:
    shop = with_open_case()
    shop.tell(parcel("carrier_scan", 4.5, "1ZERASE", code="OR"))
    shop.reach(5)
    shop.heard()
    shop.tell(forget("RMA-7", 5))
    shop.reach(5.5)
    assert [(out.topic, out.value) for out in shop.heard() if out.topic != "command-answers"] == [
        ("cases", None),
        ("journeys", None),
    ]


def test_it_is_answered_with_who_and_when_and_without_the_return() -> None:
    shop = with_open_case()
    shop.heard()
    shop.tell(forget("RMA-7", 5, by="dpo-1"))
    shop.reach(6)
    message = next(out for out in shop.heard() if out.topic == "command-answers")
    answer = json.loads(message.value or b"")
    assert (answer["reason"], answer["accepted"], answer["by"]) == ("done", True, "dpo-1")
    assert (answer["at"], answer["why"]) == ("2026-01-10T00:00:00Z", ErasureReason.DATA_SUBJECT_REQUEST)
    assert "RMA-7" not in repr(message)
    assert message.key == b"F1"
    jsonschema.validate(answer, json.loads(contract_files()["command-answer.v1.schema.json"]))


def test_a_case_that_stood_is_counted_no_more() -> None:
    shop = with_open_case()
    shop.tell(forget("RMA-7", 5))
    shop.reach(6)
    counts = [log.partition.standing_cases() for log in shop.engine._returns]
    assert sum(sum(one.values()) for one in counts) == 1


def test_what_a_parcel_had_of_its_own_goes_with_it() -> None:
    shop = Erasing(only(RuleId.UNEXPECTED_PARCEL))
    shop.tell(parcel("checked_in", 0, "1ZERASE"))
    shop.reach(3)
    assert shop.cases()
    shop.tell(parcel("label_created", 3, "1ZERASE", return_id="RMA-7"))
    shop.reach(4)
    shop.tell(forget("RMA-7", 4))
    shop.reach(5)
    assert shop.traces_of("RMA-7", "1ZERASE") == []
    assert shop.cases() == {}


# -- what does not come back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [LIFE, LIFE[::-1], LIFE[1:], (LABELLED,), (SCANNED, LABELLED)])
@pytest.mark.parametrize("before", [LIFE, (), (SCANNED,)])
def test_later_events_of_it_are_passed_over(before: tuple[Any, ...], again: tuple[Any, ...]) -> None:
    shop = forgotten(*before)
    shop.tell(*again, at_day=3)
    shop.reach(4)
    shop.tell(
        parcel("label_created", 4, "1ZERASE", return_ids=["RMA-7"]),
        parcel("carrier_scan", 5, "1ZERASE", code="OR"),
        parcel("checked_in", 6, "1ZERASE"),
        event("refund_approved", 6, return_id="RMA-7"),
    )
    shop.reach(30)
    if before != () or again[0] is not SCANNED:
        assert shop.traces_of("1ZERASE") == []
    assert shop.traces_of("RMA-7") == []
    assert shop.news() == []
    assert shop.engine.counts()["forgotten", "returns"]
    assert shop.engine.counts()["forgotten", "parcels"]


def test_a_parcel_whose_number_is_used_for_somebody_else_is_watched_again() -> None:
    shop = forgotten(*LIFE)
    shop.tell(parcel("label_created", 5, "1ZERASE", return_ids=["RMA-7", "RMA-9"]))
    shop.reach(20)
    assert {(one.return_id, one.rule) for one in shop.news()} == {("RMA-9", RuleId.MISSING_FIRST_SCAN)}
    assert shop.traces_of("RMA-7") == []


@pytest.mark.parametrize("apart", [True, False])
def test_who_shares_the_parcel_has_the_same_cases_as_without(apart: bool) -> None:
    def told(*more: dict[str, Any]) -> Any:
        shop = Erasing()
        if apart:
            shop.tell(parcel("label_created", 0, "1ZBOTH", return_id="RMA-7"))
            shop.tell(parcel("label_created", 0.1, "1ZBOTH", return_id="RMA-8"))
        else:
            shop.tell(parcel("label_created", 0, "1ZBOTH", return_ids=["RMA-7", "RMA-8"]))
        shop.tell(parcel("label_voided", 1, "1ZBOTH", return_id="RMA-7"))
        shop.reach(4)
        shop.tell(*more)
        shop.reach(5)
        shop.tell(parcel("label_voided", 1, "1ZBOTH", return_id="RMA-7"), at_day=5)
        shop.tell(parcel("carrier_scan", 5, "1ZBOTH", code="OR"))
        shop.reach(30)
        return shop, [one for one in shop.news() if one.return_id == "RMA-8"]

    (_, without), (shop, with_it) = told(), told(forget("RMA-7", 4))
    assert len(without) > 2
    assert with_it == without
    assert shop.traces_of("RMA-7") == []


def test_what_is_forgotten_is_remembered_until_all_of_before_is_too_old() -> None:
    shop = forgotten(*LIFE)
    shop.reach(2 + 120 + 29.9)
    assert [key for key in shop.kept() if key.startswith(HIDDEN_MARK)]
    shop.reach(2 + 120 + 30.1)
    assert shop.kept() == {}
    shop.tell(*LIFE, at_day=153)
    shop.reach(154)
    assert shop.kept() == {}, "too old"


# -- commands -----------------------------------------------------------------------------------------------------


def test_a_repeat_gets_the_same_answer_and_another_one_that_it_was_so_already() -> None:
    shop = with_open_case()
    shop.heard()
    shop.tell(forget("RMA-7", 5))
    shop.reach(6)
    first = [out for out in shop.heard() if out.topic == "command-answers"]
    shop.tell(forget("RMA-7", 5), at_day=8)
    shop.reach(9)
    assert [out for out in shop.heard() if out.topic == "command-answers"] == first
    shop.tell(forget("RMA-7", 9, command_id="F2", by="dpo-2"))
    shop.reach(10)
    again = only_answer(shop)
    assert (again.reason, again.accepted, again.by) == (AnswerReason.ALREADY_SO, True, "dpo-2")


def test_to_forget_what_nobody_knows_is_noted_and_said() -> None:
    shop = Erasing()
    shop.tell(forget("RMA-7", 2))
    shop.reach(3)
    answer = only_answer(shop)
    assert (answer.reason, answer.accepted) == (AnswerReason.NOTHING_KNOWN, True)
    assert "Check the id" in answer.explanation
    shop.tell(*LIFE, at_day=3)
    shop.reach(30)
    assert shop.traces_of("RMA-7") == []
    assert shop.news() == []


def test_a_command_about_a_forgotten_return_is_refused_and_leaves_no_trace() -> None:
    shop = with_open_case()
    case = next(one for one in shop.news() if one.return_id == "RMA-7").case_id
    shop.tell(forget("RMA-7", 5))
    shop.reach(6)
    shop.heard()
    note = event("note", 6, return_id="RMA-7", case_id=case, by="ops-1", text="rang at RMA-7")
    shop.tell(note)
    shop.reach(7)
    (message,) = shop.heard()
    answer = json.loads(message.value or b"")
    assert (answer["reason"], answer["accepted"]) == ("forgotten", False)
    assert "rang" not in repr(message)
    assert "RMA-7" not in repr(message.value)
    assert shop.traces_of("RMA-7") == []


# -- one partition, in small batches ------------------------------------------------------------------------------


def test_a_sweep_goes_on_where_a_stop_cut_it_off() -> None:
    run = parcels_run(max_facts=2)
    names = [f"ups:{number}" for number in range(9)]
    for number, name in enumerate(names):
        returns = ("R1", "R2") if number % 2 else ("R1",)
        label = parcel_fact(
            Milestone.LABEL_CREATED, 0, evidence=Evidence.ANNOUNCED, label=LabelTerms(returns, "ups")
        )
        run.feed([Record(number, name.encode(), encode_json(label))])
    last = [
        Record(9, FORGET_KEY, encode_json(Erasure("salt", MONDAY, "R1"))),
        Record(10, b"\x00marker", marker(MONDAY)),
    ]
    run.start()
    start = 0
    batches = 0
    while run.engine.next_offset < 11:
        batch = run.engine.step(last, start, run.store, 11)
        run.store.apply(batch)
        start += batch.consumed
        batches += 1
        if batches % 2:
            run.lose_disk()
            last, start = [record for record in last if record.offset >= run.engine.next_offset], 0
    assert batches > 4
    kept = {key for key in run.store.rows if not key.startswith(HIDDEN_MARK)}
    assert kept == {name.encode() for name in names[1::2]}
    assert not [raw for _, raw in run.store.rows.values() if b"R1" in raw]
    told = decode_position(run.store.position or b"").forgotten
    assert (told.pending, told.swept, told.hidden) == ([], None, 1 + 5)


def test_what_a_deleted_parcel_had_to_say_is_said_again_after_a_stop() -> None:
    run = parcels_run()
    dock = parcel_fact(Milestone.CHECKED_IN, 0, evidence=Evidence.WAREHOUSE_SCAN)
    policy = only(RuleId.UNEXPECTED_PARCEL).to_log()
    run.feed([Record(0, b"\x00policy", policy), Record(1, b"ups:1", encode_json(dock))])
    run.feed([Record(2, b"\x00marker", marker(MONDAY + 9 * DAY))])
    terms = LabelTerms(("R1",), "ups")
    labelled = parcel_fact(Milestone.LABEL_CREATED, 9 * DAY, evidence=Evidence.ANNOUNCED, label=terms)
    run.feed([Record(3, b"ups:1", encode_json(labelled))])
    run.feed([Record(4, FORGET_KEY, encode_json(Erasure("salt", MONDAY, "R1")))])
    run.feed([Record(5, b"\x00marker", marker(MONDAY + 9 * DAY + 1))])
    (farewell,) = run.last_said
    assert (farewell.key, b'"erasure"' in (farewell.value or b"")) == (b"\x01ups:1", True)
    run.start()
    assert run.engine.repeat(run.store) == [farewell]


def test_another_secret_will_do_once_nothing_is_remembered_by_the_first() -> None:
    run = parcels_run()
    run.feed([Record(0, b"\x00policy", only().to_log())])
    run.feed([Record(1, FORGET_KEY, encode_json(Erasure("salt", MONDAY, "R1")))])
    run.feed([Record(2, b"\x00marker", marker(MONDAY + 200 * DAY))])
    position = run.store.position
    Partition(parcel_logic(1), 0, position=position, policy=None, sources=("inputs",), secret=b"another")


def test_a_worker_with_another_secret_does_not_start() -> None:
    run = parcels_run()
    run.feed([Record(0, FORGET_KEY, encode_json(Erasure("salt", MONDAY, "R1")))])
    with pytest.raises(OtherForgetKeyError, match="forget_key"):
        Partition(
            parcel_logic(1),
            0,
            position=run.store.position,
            policy=None,
            sources=("inputs",),
            secret=b"another",
        )


def test_the_same_return_has_other_names_in_other_installations() -> None:
    keys: set[bytes] = set()
    for salt in ("one", "two"):
        run = parcels_run()
        run.feed([Record(0, FORGET_KEY, encode_json(Erasure(salt, MONDAY, "R1")))])
        keys |= run.store.rows.keys()
    assert len(keys) == 2


def test_before_the_first_policy_it_works_as_well() -> None:
    run = parcels_run()
    run.feed([Record(0, FORGET_KEY, encode_json(Erasure("salt", MONDAY, "R1")))])
    label = parcel_fact(
        Milestone.LABEL_CREATED, HOUR, evidence=Evidence.ANNOUNCED, label=LabelTerms(("R1",), "ups")
    )
    run.feed([Record(1, b"ups:1", encode_json(label))])
    assert b"ups:1" not in run.store.rows
    run.feed(
        [Record(2, b"\x00policy", only().to_log()), Record(3, b"\x00marker", marker(MONDAY + 200 * DAY))]
    )
    assert run.store.rows == {}
