"""Dead letters in the hands of people: what goes back, what cannot, what is told, and that bytes do no harm."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import SettingsError
from agents.letter_filter import Asked, letter_filter, refuse_unknown_topic
from agents.letter_view import Listed, Stats, letter_object, show_letter, show_letters
from agents.safe_text import safe, safe_bytes, safe_lines
from agents.terminal import out
from schemas.contracts_generation import contract_files
from schemas.dead_letter_outcomes import LetterOutcome, Outcome, decode_outcome, encode_outcome
from schemas.dead_letters import DeadLetter, DeadLetterRecord, Headers, Redriven, without_history
from schemas.topics import MIB
from schemas.vocabulary import DeadLetterReason
from streams.letters import OBSTACLES, Letter, Obstacle, Terms, history, obstacle, read_letter
from tests.dead_letters import WRITTEN_MS, Refusal

NOW = datetime.fromtimestamp(WRITTEN_MS / 1000 + 3600, UTC)
TERMS = Terms({"orders": 2}, most_redrives=3, again=False, audit_id="audit-2")
OWN: Headers = [("ce_id", b"1"), ("empty", None), ("ce_id", b"2")]


def read(record: DeadLetterRecord, lies_at: str = "dead-letters/0@7") -> Letter:
    letter = read_letter(lies_at, WRITTEN_MS, record.key, record.value, record.headers)
    assert letter is not None
    return letter


def letter_of(refusal: Refusal, **more: Any) -> Letter:
    return read(refusal.letter(**more))


def decided(letter: Letter, outcome: Outcome = Outcome.REDRIVEN, **more: Any) -> LetterOutcome:
    fields: dict[str, Any] = {"by": "ops-1", "at": NOW, "audit_id": "audit-1", "redrives": 1, **more}
    header = letter.header
    return LetterOutcome(
        record=letter.record,
        sha256=header.sha256,
        letter=letter.lies_at,
        reason=header.reason,
        outcome=outcome,
        **fields,
    )


# -- what a letter keeps, and what goes back


@pytest.mark.parametrize("value", [b"{oops", b"", b"\x00\xff", None])
@pytest.mark.parametrize("key", [b"k", b"", None])
def test_a_letter_gives_back_what_was_refused(key: bytes | None, value: bytes | None) -> None:
    letter = letter_of(Refusal(17, value, key, OWN))
    assert (letter.key, letter.value, letter.headers) == (key, value, OWN)
    assert letter.record == "orders/0@17"


def test_a_record_without_key_and_value_is_still_one_in_its_letter() -> None:
    record = (
        Refusal(1, None, None).letter()._replace(value=b"")
    )  # a Kafka client sends no record without both
    assert read(record).value is None


def test_headers_of_a_strangers_that_look_like_ours_stay_the_strangers() -> None:
    forged: Headers = [
        ("returnwatch-topic", b"somewhere-else"),
        ("returnwatch-redrives", b"0"),
        ("returnwatch-redrives", b"many"),
        ("returnwatch-redriven-from", b"../../etc"),
        ("returnwatch-first-refused-at", b"2026-03-01T00:00:00Z"),
    ]
    letter = letter_of(Refusal(17, headers=forged))
    assert letter.header.topic == "orders"
    assert letter.header.redrives == 0
    assert letter.headers == forged


def test_what_was_redriven_and_refused_again_says_so_and_keeps_its_own_headers() -> None:
    first = letter_of(Refusal(17, headers=OWN))
    sent = [*first.headers, *history(first, None).headers()]
    again = read(Refusal(40, headers=sent).letter(), "dead-letters/0@8")
    assert again.headers == OWN
    header = again.header
    assert (header.redrives, header.redriven_from) == (1, "dead-letters/0@7")
    assert header.first_refused_at == "2026-03-02T10:00:00Z"
    sent = [*again.headers, *history(again, None).headers()]
    third = letter_of(Refusal(41, headers=sent)).header
    assert (third.redrives, third.redriven_from) == (2, "dead-letters/0@8")
    assert third.first_refused_at == header.first_refused_at


@given(
    st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=5),
    st.integers(1, 999_999),
)
def test_a_history_comes_off_as_it_was_put_on(headers: Headers, times: int) -> None:
    told = Redriven(times, "dead-letters/3@99", "2026-03-01T12:00:00Z")
    assert without_history([*headers, *told.headers()]) == (headers, told)
    assert without_history(headers) == (headers, None)


def test_letters_of_an_earlier_version_are_read() -> None:
    record = Refusal(17, headers=OWN).letter()
    newer = {"returnwatch-" + name for name in ("left-out", "redrives", "redriven-from", "first-refused-at")}
    letter = read(record._replace(headers=[one for one in record.headers if one[0] not in newer]))
    assert (letter.headers, letter.header.redrives) == (OWN, 0)


def test_what_is_no_letter_is_told_from_one() -> None:
    record = Refusal(17).letter()
    for headers in ([], OWN, record.headers[1:], [("returnwatch-reason", b"\xff"), *record.headers[1:]]):
        assert read_letter("dead-letters/0@1", 0, b"k", b"v", headers) is None


# -- what cannot go back


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        (letter_of(Refusal(1)), None),
        (letter_of(Refusal(1, None)), None),
        (letter_of(Refusal(1, b"x" * 5 * MIB)), Obstacle.CUT),
        (letter_of(Refusal(1, key=b"k" * MIB)), Obstacle.INCOMPLETE),
        (letter_of(Refusal(1, headers=[("h", b"h" * MIB)])), Obstacle.INCOMPLETE),
        (letter_of(Refusal(1, None, None)), Obstacle.EMPTY),
        (letter_of(Refusal(1, topic="other")), Obstacle.OTHER_TOPIC),
        (letter_of(Refusal(1, partition=2)), Obstacle.NO_PARTITION),
        (read(Refusal(1).letter()._replace(value=b"{other")), Obstacle.ALTERED),
    ],
)
def test_a_letter_goes_back_whole_or_not_at_all(letter: Letter, why: Obstacle | None) -> None:
    assert obstacle(letter, None, TERMS) is why


def test_every_obstacle_says_what_to_do() -> None:
    assert set(OBSTACLES) == set(Obstacle)


def test_what_was_redriven_too_often_waits_for_somebody_who_wants_it() -> None:
    often = Redriven(3, "dead-letters/0@1", "2026-03-01T12:00:00Z").headers()
    letter = letter_of(Refusal(1, headers=often))
    assert obstacle(letter, None, TERMS) is Obstacle.TOO_OFTEN
    assert obstacle(letter, None, TERMS._replace(most_redrives=4)) is None
    assert history(letter, None).times == 4


def test_what_was_decided_is_not_decided_again_unless_that_is_asked_for() -> None:
    letter, again = letter_of(Refusal(1)), TERMS._replace(again=True)
    redriven, discarded = decided(letter), decided(letter, Outcome.DISCARDED, redrives=0)
    assert obstacle(letter, redriven, TERMS) is Obstacle.REDRIVEN
    assert obstacle(letter, discarded, TERMS) is Obstacle.DISCARDED
    assert obstacle(letter, redriven, again) is None
    assert obstacle(letter, discarded, again) is None
    assert history(letter, redriven).times == 2
    # The same run, given again after it was cut off, goes on with what is left.
    assert obstacle(letter, redriven, again._replace(audit_id="audit-1")) is Obstacle.REDRIVEN


def test_sending_the_same_letter_again_and_again_is_a_loop_too() -> None:
    letter = letter_of(Refusal(1))
    assert obstacle(letter, decided(letter, redrives=3), TERMS._replace(again=True)) is Obstacle.TOO_OFTEN


def test_an_outcome_reads_as_it_was_written_and_as_its_contract_says() -> None:
    outcome = decided(letter_of(Refusal(1)), why="mended", sent_to="orders/0@90")
    assert decode_outcome(encode_outcome(outcome)) == outcome
    schema = json.loads(contract_files()["dead-letter-outcome.v1.schema.json"])["$defs"]["LetterOutcome"]
    assert set(json.loads(encode_outcome(outcome))) == set(schema["properties"])


# -- which letters are meant


def takes(letter: Letter, **asked: Any) -> bool:
    return letter_filter(Asked(**asked), NOW).takes(letter)


def test_letters_are_chosen_by_reason_topic_time_and_place() -> None:
    letter = letter_of(Refusal(17))  # written at 10:00, it is 11:00 now
    assert takes(letter)
    assert takes(letter, reason="not_json", topic="orders", since="2026-03-02T11:00:00+01:00")
    assert not takes(letter, reason="too_deep")
    assert not takes(letter, topic="labels")
    assert takes(letter, before="2026-03-02T10:00:01Z")
    assert not takes(letter, before="2026-03-02T10:00:00Z")
    assert not takes(letter, since="2026-03-02T10:00:01Z")
    assert takes(letter, older_than="59m", newer_than="61m")
    assert not takes(letter, older_than="61m")
    assert not takes(letter, newer_than="59m")
    assert takes(letter, places=("orders/0@17",))
    assert takes(letter, places=("dead-letters/0@7",))
    assert not takes(letter, places=("orders/0@18",))


def test_everything_that_cannot_be_meant_is_told_at_once() -> None:
    asked = Asked("bad_valu", None, "yesterday", "2026-03-01T00:00:00", "long", None, ("orders 17",))
    with pytest.raises(SettingsError) as caught:
        letter_filter(asked, NOW)
    told = [str(finding) for finding in caught.value.findings]
    assert [one.partition(":")[0] for one in told] == ["--reason", "PLACE", "--from", "--to", "--older-than"]
    assert "did you mean `bad_value`?" in told[0]
    assert "TOPIC/PARTITION@OFFSET" in told[1]


def test_a_time_span_in_which_nothing_lies_is_told() -> None:
    with pytest.raises(SettingsError, match="nothing lies between 2026-03-02T00:00:00Z and 2026-03-01T00"):
        letter_filter(Asked(since="2026-03-02T00:00:00Z", before="2026-03-01T00:00:00Z"), NOW)


def test_a_topic_that_nobody_knows_is_told_with_what_was_meant() -> None:
    refuse_unknown_topic("orders", ["orders", "labels"])
    refuse_unknown_topic("retired", ["orders"], ["retired"])
    with pytest.raises(SettingsError, match="did you mean `orders`"):
        refuse_unknown_topic("order", ["orders", "labels"])


# -- bytes of strangers on a terminal

HOSTILE = (
    b'{"text": "\x1b[2J\x1b]0;owned\x07 \r overwritten \xc2\x9b31m \xe2\x80\xae evil \xe2\x80\x8b",\n'
    b"  \xc2\xb7 detail      all is well\n\x00\x08}"
)


def rendered(letter: Letter, outcome: LetterOutcome | None = None) -> str:
    one = Listed(letter, outcome, Obstacle.CUT)
    with out.capture() as capture:
        show_letter(one, NOW, 1)
        show_letters([one], NOW)
    return capture.get()


def test_nothing_that_a_stranger_wrote_moves_a_cursor_or_fakes_a_line() -> None:
    hostile: Headers = [("na\x1bme\u202e", HOSTILE), ("[bold]x[/bold]", b"[red]y[/red]"), ("n", b"\xff\xfe")]
    refusal = Refusal(17, HOSTILE, b"\x1b[1A", hostile, detail="type: '\x1b[31m' \u2066")
    letter = letter_of(refusal)
    text = rendered(letter, decided(letter, why="\x1b[5m", by="\u202eops"))
    assert all(one.isprintable() for line in text.splitlines() for one in line)
    assert "\\x1b[2J" in text
    assert "\\u202e" in text
    assert "[red]y[/red]" in text
    assert "0xfffe" in text
    body = text[text.index('  │ {"text"') :].splitlines()
    faked = next(line for line in body if "all is well" in line)
    assert faked.startswith("  │ ")


@given(st.text())
def test_safe_text_is_printable_and_on_one_line(text: str) -> None:
    assert safe(text).isprintable()


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_can_be_shown(value: bytes) -> None:
    assert all(line.isprintable() for line in safe_lines(value))
    assert safe_bytes(value).isprintable()
    text = rendered(letter_of(Refusal(1, value, value, [("h", value)])))
    assert all(one.isprintable() for line in text.split("\n") for one in line)


def test_what_is_no_text_is_shown_in_hexadecimal_digits() -> None:
    assert list(safe_lines(b"\x00\x00\x00\x00\x07abc\xff" + bytes(9))) == [
        "00000000  00 00 00 00 07 61 62 63 ff 00 00 00 00 00 00 00  .....abc........",
        "00000010  00 00                                            ..",
    ]


def test_a_large_text_is_cut_between_characters_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    text = rendered(letter_of(Refusal(1, b"a" + "ü".encode() * 20_000)))
    assert "üü" in text
    assert "c3 bc" not in text
    assert "23,617 bytes more; --save FILE" in " ".join(capsys.readouterr().err.split())


# -- for programs


def test_a_letter_for_programs_has_the_whole_record() -> None:
    letter = letter_of(Refusal(17, b"\xff", b"k", OWN))
    told = letter_object(Listed(letter, decided(letter)), with_record=True)
    assert json.loads(json.dumps(told)) == told
    assert told["value"] == {"base64": "/w=="}
    assert told["key"] == {"text": "k"}
    assert [one["content"] for one in told["headers"]] == [{"text": "1"}, None, {"text": "2"}]
    assert (told["record"], told["letter"]) == ("orders/0@17", "dead-letters/0@7")
    assert told["refused_at"] == "2026-03-02T10:00:00Z"
    assert told["sha256"] == sha256(b"\xff").hexdigest()
    assert told["outcome"]["by"] == "ops-1"
    names = {field.encode_name for field in msgspec.structs.fields(DeadLetter)}
    assert {name.removeprefix("returnwatch-").replace("-", "_") for name in names} <= set(told)


def test_stats_count_what_waits_by_reason_topic_and_hour() -> None:
    stats = Stats()
    first, second = (
        letter_of(Refusal(1)),
        letter_of(Refusal(2, reason=DeadLetterReason.TOO_DEEP, topic="labels")),
    )
    stats.add(first, None, everything=False)
    stats.add(second, None, everything=False)
    stats.add(letter_of(Refusal(3)), decided(first), everything=False)
    told = stats.as_object()
    assert (told["letters"], told["redriven"], told["discarded"]) == (2, 1, 0)
    assert told["reasons"] == {"not_json": 1, "too_deep": 1}
    assert told["topics"] == {"orders": 1, "labels": 1}
    assert told["hours"] == {"2026-03-02T10:00Z": 2}
