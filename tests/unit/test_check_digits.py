"""Check digits: a number that fails its carrier's is told of and counted, and goes the way of any other.

The numbers are test vectors of jkeen/tracking_number_data (MIT), and made from them.
"""

from datetime import UTC, datetime, timedelta

import pytest

from agents.virtual_time import InputRecord, VirtualTime
from schemas.topics import InputKind
from schemas.vocabulary import RuleId
from streams.check_digits import doubt_of, doubts_of
from streams.intake import DOUBTFUL_NUMBER
from streams.keys import parcel_key
from tests.input_events import label, only_parcel_fact, records, scan, take_in
from tests.stages import only

GOOD = [
    ("ups", "1Z5R89390357567127"),
    ("ups", "1Z879E930346834440"),
    ("fedex", "986578788855"),
    ("fedex", "477179081230"),
    ("fedex", "041441760228964"),
    ("fedex", "000123450000000027"),
    ("fedex", "9611020987654312345672"),
    ("fedex", "9622001900000000000000776632517510"),
    ("fedex", "1001921334250001000300779017972697"),
    ("usps", "03071790000523483741"),
    ("usps", "71969010756003077385"),
    ("usps", "9400111206206406260787"),
    ("usps", "9261290113185417468510"),
    ("usps", "9101123456789000000013"),
    ("usps", "RB123456785US"),
    ("royal_mail", "RB123456785GB"),
    ("la_poste", "RB123456785FR"),
    ("dhl_express", "3318810025"),
    ("dhl_parcel_de", "00340434161094000014"),
    ("dpd", "09980000020033F"),
    ("dpd", "008182709980000020033350276C"),
    ("canada_post", "0073938000549297"),
]
OF_NO_KIND = [
    ("ups", "1Z999"),
    ("ups", "K1506235620"),
    ("fedex", "DT123456789012"),
    ("dhl_express", "JJD0099999999"),
    ("dpd", "09980000020033"),
    ("gls", "RB123456786GB"),
    ("nobody", "1Z5R89390357567128"),
    ("chronopost", "XY123456786FR"),
]


@pytest.mark.parametrize(("carrier", "number"), GOOD)
def test_a_good_number_is_not_doubted_and_one_with_another_digit_is(carrier: str, number: str) -> None:
    assert doubt_of(carrier, number) == ""
    place = next(at for at in range(len(number) - 3, 0, -1) if number[at].isdecimal())
    digits = [
        number[:place] + str((int(number[place]) + more) % 10) + number[place + 1 :] for more in range(10)
    ]
    assert sum(doubt_of(carrier, other) == "" for other in digits) <= 2


@pytest.mark.parametrize(("carrier", "number"), OF_NO_KIND)
def test_a_number_of_no_known_kind_is_not_judged(carrier: str, number: str) -> None:
    assert doubt_of(carrier, number) == ""


def test_a_label_with_a_doubtful_number_is_taken_in_and_counted() -> None:
    intake = take_in(InputKind.LABELS, label(tracking_number="1Z5R89390357567128"))
    assert only_parcel_fact(intake)[0] == "ups:1Z5R89390357567128"
    assert not intake.refused
    assert intake.counters[DOUBTFUL_NUMBER, "ups"] == 1
    good = take_in(InputKind.LABELS, label(tracking_number="1z 5r8939 03 5756 7127"))
    assert (DOUBTFUL_NUMBER, "ups") not in good.counters


def test_a_scan_is_not_doubted() -> None:
    """Its number is the carrier's own."""
    intake = take_in(InputKind.CARRIER_SCANS, scan(tracking_number="1Z5R89390357567128"))
    assert not any(name == DOUBTFUL_NUMBER for name, _ in intake.counters)


def test_it_is_told_in_words() -> None:
    assert doubts_of(["ups:1Z5R89390357567127"]) == []
    (told,) = doubts_of(["ups:1Z5R89390357567128", "feed:ups"])
    assert "ups:1Z5R89390357567128 fails its check digit (UPS 1Z)" in told


@pytest.mark.parametrize(
    "written",
    [
        "420787459400111206206406260787",
        "420 78745 9400 1112 0620 6406 2607 87",
        "4207874512349400111206206406260787",
        "9400111206206406260787",
    ],
)
def test_the_bar_code_of_a_usps_label_is_its_number(written: str) -> None:
    assert parcel_key("usps", written) == "usps:9400111206206406260787"


@pytest.mark.parametrize(
    ("carrier", "number"), [("fedex", "420787459400111206206406260787"), ("usps", "42012345")]
)
def test_other_numbers_that_begin_like_it_stay(carrier: str, number: str) -> None:
    assert parcel_key(carrier, number) == f"{carrier}:{number}"


def test_the_same_number_of_two_carriers_is_two_parcels() -> None:
    ups = take_in(InputKind.LABELS, label(carrier="UPS", tracking_number="986578788855"))
    fedex = take_in(InputKind.LABELS, label(carrier="FedEx", tracking_number="986578788855"))
    assert only_parcel_fact(ups)[0] != only_parcel_fact(fedex)[0]


def test_a_scan_of_another_carrier_with_the_number_stops_no_clock() -> None:
    start = datetime(2026, 3, 2, 10, tzinfo=UTC)
    engine = VirtualTime(only(RuleId.MISSING_FIRST_SCAN).to_log())

    def append(kind: InputKind, event: dict[str, object], at: datetime) -> None:
        (record,) = records({**event, "occurred_at": at.isoformat()})
        engine.append([InputRecord(0, record.value)], kind, int(at.timestamp() * 1000))
        engine.advance(int(at.timestamp() * 1000))

    append(InputKind.LABELS, label(tracking_number="986578788855"), start)
    append(
        InputKind.CARRIER_SCANS,
        scan(carrier="fedex", tracking_number="986578788855", code="PU"),
        start + timedelta(hours=5),
    )
    engine.advance(int((start + timedelta(days=20)).timestamp() * 1000))
    assert {case.rule for case in engine.news()} == {RuleId.MISSING_FIRST_SCAN}


def test_a_number_that_comes_again_after_months_is_another_parcel() -> None:
    """The scans of last spring do not count for the label of this autumn."""
    start = datetime(2026, 3, 2, 10, tzinfo=UTC)
    engine = VirtualTime(only(RuleId.MISSING_FIRST_SCAN).to_log())

    def append(kind: InputKind, event: dict[str, object], at: datetime) -> None:
        (record,) = records({**event, "occurred_at": at.isoformat()})
        engine.append([InputRecord(0, record.value)], kind, int(at.timestamp() * 1000))
        engine.advance(int(at.timestamp() * 1000))

    append(InputKind.LABELS, label(id="L1"), start)
    append(InputKind.CARRIER_SCANS, scan(id="S1"), start + timedelta(hours=5))
    append(
        InputKind.CARRIER_SCANS,
        scan(id="S2", api="ups_track_alert", code_type="type D", code="FS"),
        start + timedelta(days=2),
    )
    later = start + timedelta(days=100)
    append(InputKind.LABELS, label(id="L2", return_ids=["R2"]), later)
    engine.advance(int((later + timedelta(days=20)).timestamp() * 1000))
    assert {(case.rule, case.return_id) for case in engine.news()} == {(RuleId.MISSING_FIRST_SCAN, "R2")}
