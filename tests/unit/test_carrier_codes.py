"""What carriers' codes prove: the traps that carriers set, and that the tables are whole."""

from collections import Counter

import pytest

from schemas.carrier_codes import CarrierCodes, code_rows, load_carrier_codes
from schemas.carrier_table_checks import CONFIDENCES
from schemas.carrier_tables import CodeRow
from schemas.vocabulary import PHYSICAL_CARRIER_EVIDENCE, Evidence, Milestone


@pytest.fixture(scope="module")
def codes() -> CarrierCodes:
    return load_carrier_codes()


def _meaning(codes: CarrierCodes, carrier: str, code: str, **more: str) -> tuple[Milestone, Evidence]:
    found = codes.lookup(
        carrier, more.get("api"), more.get("kind"), code, more.get("text"), more.get("direction")
    )
    return found.milestone, found.evidence


@pytest.mark.parametrize(
    ("carrier", "code", "milestone", "evidence"),
    [
        ("ups", "MP", Milestone.CARRIER_PREADVISED, Evidence.ANNOUNCED),
        ("ups", "OR", Milestone.ACCEPTED, Evidence.CARRIER_SCAN),
        ("ups", "FS", Milestone.DELIVERED, Evidence.CARRIER_SCAN),
        ("fedex", "OC", Milestone.CARRIER_PREADVISED, Evidence.ANNOUNCED),  # "OC" at UPS: an origin scan
        ("fedex", "PU", Milestone.ACCEPTED, Evidence.CARRIER_SCAN),
        ("fedex", "DL", Milestone.DELIVERED, Evidence.CARRIER_SCAN),
        ("fedex", "AO", Milestone.UNMAPPED, Evidence.CARRIER_INFERRED),  # a forecast is no scan
        ("la_poste", "DR1", Milestone.CARRIER_PREADVISED, Evidence.ANNOUNCED),
        ("la_poste", "ET1", Milestone.IN_TRANSIT, Evidence.CARRIER_SCAN),  # often taken for out for delivery
        ("la_poste", "DI1", Milestone.DELIVERED, Evidence.CARRIER_SCAN),
        ("colissimo", "PCHMQT", Milestone.CARRIER_PREADVISED, Evidence.ANNOUNCED),  # looks like an acceptance
        ("colissimo", "DEPGUI", Milestone.DROPPED_OFF, Evidence.AGENT_SCAN),  # often taken for delivered
        (
            "colissimo",
            "ENEMQT",
            Milestone.PICKUP_FAILED,
            Evidence.CARRIER_INFERRED,
        ),  # nothing in the letter box
        ("dhl_express", "PU", Milestone.ACCEPTED, Evidence.CARRIER_SCAN),
        ("dhl_express", "CS", Milestone.UNMAPPED, Evidence.CARRIER_INFERRED),  # "closed" is not delivered
        ("dhl_express", "OK", Milestone.DELIVERED, Evidence.CARRIER_SCAN),
        ("dhl", "pre-transit", Milestone.CARRIER_PREADVISED, Evidence.ANNOUNCED),
        ("dhl", "transit", Milestone.UNMAPPED, Evidence.SYSTEM),  # a phase, of scans and of papers
    ],
)
def test_a_code_proves_what_its_carrier_means_by_it(
    codes: CarrierCodes, carrier: str, code: str, milestone: Milestone, evidence: Evidence
) -> None:
    assert _meaning(codes, carrier, code) == (milestone, evidence)


def test_the_same_code_of_another_interface_is_another_code(codes: CarrierCodes) -> None:
    """UPS "D" is a status type that covers loading, being out and delivery: it proves no delivery."""
    assert _meaning(codes, "ups", "D", api="ups_track_alert", kind="status_type")[0] is Milestone.UNMAPPED
    assert _meaning(codes, "ups", "FS", api="ups_track_alert", kind="type D")[0] is Milestone.DELIVERED


@pytest.mark.parametrize(
    ("carrier", "code"), [("ups", "QQ"), ("ups", ""), ("nobody", "OK"), ("fedex", "Departed"), ("*", "zzz")]
)
def test_an_unknown_code_proves_nothing_and_says_that_it_is_unknown(
    codes: CarrierCodes, carrier: str, code: str
) -> None:
    for _ in range(2):  # asked again, the answer comes from the cache
        found = codes.lookup(carrier, None, None, code, None, None)
        assert (found.milestone, found.evidence) == (Milestone.UNMAPPED, Evidence.SYSTEM)
        assert not found.known
        assert not found.understood


def test_a_code_that_says_nothing_is_known_all_the_same(codes: CarrierCodes) -> None:
    assert codes.lookup("dhl_express", None, None, "IA", None, None).understood


def test_a_code_that_can_mean_several_things_is_known_and_not_understood(codes: CarrierCodes) -> None:
    found = codes.lookup("fedex", None, None, "AP", None, None)
    assert found.known
    assert not found.understood


@pytest.mark.parametrize(
    ("api", "kind", "code"),
    [
        ("aftership_v4", "subtag", "InTransit_001"),
        ("easypost_v2", "status", "in_transit"),
        ("shippo_tracks", "status", "TRANSIT"),
        ("shipengine_v1", "status_code", "IT"),
        ("17track_v2", "sub_status", "InTransit_Other"),
        ("ups_track_alert", "status_type", "I"),
        ("shippo_tracks", "status", "FAILURE"),
    ],
)
def test_a_phase_is_no_event(codes: CarrierCodes, api: str, kind: str, code: str) -> None:
    """It covers scans and papers; only the carrier's words tell them apart, and they are asked first."""
    found = codes.lookup("ups", api, kind, code, "words that nobody knows", None)
    assert found.milestone is Milestone.UNMAPPED
    assert not found.understood


def test_words_that_contradict_an_aggregators_status_leave_it_unmapped(codes: CarrierCodes) -> None:
    asked = ("gls", "aftership_v4", "subtag", "OutForDelivery_001")
    assert codes.lookup(*asked, "Unterwegs zum Kunden", None).milestone is Milestone.OUT_FOR_DELIVERY
    handed_on = codes.lookup(*asked, "In transit - Tendered to the local post", None)
    assert handed_on.milestone is Milestone.UNMAPPED
    assert not handed_on.understood


def test_a_text_decides_where_the_code_does_not(codes: CarrierCodes) -> None:
    assert _meaning(codes, "ups", "AR", text="Arrival Scan")[0] is Milestone.IN_TRANSIT
    assert _meaning(codes, "ups", "AR", text="Access restricted")[0] is Milestone.UNMAPPED
    assert _meaning(codes, "ups", "AR")[0] is Milestone.UNMAPPED
    assert _meaning(codes, "ups", "", text="Delivered") == (Milestone.DELIVERED, Evidence.CARRIER_SCAN)


def test_the_direction_decides_what_back_to_the_sender_means(codes: CarrierCodes) -> None:
    assert _meaning(codes, "fedex", "RS")[0] is Milestone.RETURNED_TO_SENDER
    assert _meaning(codes, "fedex", "RS", direction="return")[0] is Milestone.RETURNED_TO_SENDER
    assert _meaning(codes, "fedex", "RS", direction="outbound")[0] is Milestone.IN_TRANSIT


def test_a_delivery_on_the_way_to_the_customer_is_none_at_our_dock(codes: CarrierCodes) -> None:
    assert _meaning(codes, "fedex", "DL", direction="outbound")[0] is Milestone.UNMAPPED


def test_an_aggregators_code_is_read_for_every_carrier_behind_it(codes: CarrierCodes) -> None:
    for carrier in ("ups", "some_small_carrier"):
        assert _meaning(codes, carrier, "Delivered_001", api="aftership_v4")[0] is Milestone.DELIVERED


def test_la_postes_interface_answers_for_colissimo_parcels_too(codes: CarrierCodes) -> None:
    assert _meaning(codes, "colissimo", "DI1", api="laposte_suivi_v2")[0] is Milestone.DELIVERED


@pytest.mark.parametrize(
    ("written", "carrier"),
    [
        ("UPS", "ups"),
        (" United Parcel  Service ", "ups"),
        ("DHL-Express", "dhl_express"),
        ("La Poste", "la_poste"),
        ("Speedy:Parcels GmbH", "speedy_parcels_gmbh"),
        ("!!", ""),
    ],
)
def test_a_carrier_has_one_name_however_it_is_written(
    codes: CarrierCodes, written: str, carrier: str
) -> None:
    assert codes.carrier(written) == carrier


def test_letter_case_and_spaces_around_a_code_do_not_matter(codes: CarrierCodes) -> None:
    assert _meaning(codes, "fedex", " dl ") == _meaning(codes, "fedex", "DL")


@pytest.mark.parametrize(
    ("carrier", "code"),
    [
        ("colissimo", "DEPGUI"),
        ("colissimo", "DEPREL"),
        ("dpd", "DOPKY"),
        ("hermes_de", "PARCELSHOP_DROP_OFF"),
        ("inpost", "dispatched_by_sender"),
        ("inpost", "dispatched_by_sender_to_pok"),
        ("meest", "606"),
        ("chronopost", "DB"),
    ],
)
def test_a_senders_drop_off_is_a_first_scan_and_never_a_delivery(
    codes: CarrierCodes, carrier: str, code: str
) -> None:
    assert _meaning(codes, carrier, code) == (Milestone.DROPPED_OFF, Evidence.AGENT_SCAN)


@pytest.mark.parametrize(
    ("carrier", "code"),
    [("inpost", "collected_from_sender"), ("inpost", "taken_by_courier"), ("canada_post", "2300")],
)
def test_a_collection_at_the_sender_is_no_delivery_either(
    codes: CarrierCodes, carrier: str, code: str
) -> None:
    assert _meaning(codes, carrier, code) == (Milestone.ACCEPTED, Evidence.CARRIER_SCAN)


@pytest.mark.parametrize(
    ("carrier", "code", "api"),
    [
        ("fedex", "AP", None),  # at pickup: the parcel may be taken, or not yet
        ("usps", "43", None),  # picked up, by whom is not said
        ("hermes_de", "RETOURE_DELIVERED", None),  # a customer's return, or one to the sender
        ("postnl", "01B", None),
        ("colissimo", "RENAVI", None),
        ("ukrposhta", "41000", None),
        ("anybody", "UNKNOWN", "shippo_tracks"),
    ],
)
def test_what_sources_do_not_agree_on_is_known_and_proves_nothing(
    codes: CarrierCodes, carrier: str, code: str, api: str | None
) -> None:
    kind = {"hermes_de": "status_enum"}.get(carrier)
    found = codes.lookup(carrier, api, kind, code, None, None)
    assert found[:3] == (Milestone.UNMAPPED, Evidence.SYSTEM, True)


@pytest.mark.parametrize(
    ("carrier", "code", "text", "milestone"),
    [
        ("postnl", "01B", "Zending is bezorgd", Milestone.DELIVERED),
        ("postnl", "01B", "Zending is bij PostNL", Milestone.ACCEPTED),
        ("colissimo", "RENAVI", "Disponible dans votre bureau de poste", Milestone.AVAILABLE_FOR_PICKUP),
        ("colissimo", "RENAVI", "Votre colis n'a pas pu être livré", Milestone.DELIVERY_ATTEMPTED),
        ("ukrposhta", "41000", "Відправлення вручено", Milestone.DELIVERED),
        ("ukrposhta", "41000", "Відправлення вручено: відправнику", Milestone.RETURNED_TO_SENDER),
        ("evri", "", "Delivered", Milestone.DELIVERED),
        ("evri", "", "Not delivered", Milestone.UNMAPPED),
    ],
)
def test_only_the_text_tells_some_codes_apart(
    codes: CarrierCodes, carrier: str, code: str, text: str, milestone: Milestone
) -> None:
    assert _meaning(codes, carrier, code, text=text)[0] is milestone


def test_what_arrived_in_part_is_no_delivery(codes: CarrierCodes) -> None:
    assert _meaning(codes, "dhl_express", "PD")[0] is Milestone.DELIVERY_EXCEPTION
    partly = _meaning(codes, "ups", "DELIVERED_IN_PART", api="shipengine_v1")
    assert partly[0] is Milestone.DELIVERY_EXCEPTION


def test_no_code_is_a_delivery_or_a_turn_back_on_the_way_to_the_customer(codes: CarrierCodes) -> None:
    never = {Milestone.DELIVERED, Milestone.DELIVERED_ELSEWHERE, Milestone.RETURNED_TO_SENDER}
    texts = ("", "Delivered", "Zending is bezorgd", "Відправлення вручено", "Retour en cours")
    found = [
        (row.where, text)
        for row in code_rows()
        for text in texts
        if codes.lookup(row.carrier, row.api, row.code_type, row.code, text, "outbound").milestone in never
    ]
    assert found == []


def test_what_is_told_of_a_code_is_what_is_made_of_it(codes: CarrierCodes) -> None:
    for row in code_rows():
        for text in (None, "Delivered", "Arrival Scan", "Zending is bij PostNL"):
            for direction in (None, "outbound"):
                question = (row.carrier, row.api, row.code_type, row.code, text, direction)
                told = codes.explain(*question)
                assert told.meaning == codes.lookup(*question)
                assert told.meaning.known is (told.row is not None)


def _row(carrier: str, milestone: Milestone, text: str = "", direction: str = "") -> CodeRow:
    return CodeRow(
        carrier, "api", "kind", "7", text, direction, milestone, Evidence.CARRIER_SCAN, "observed", "x"
    )


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        (_row("c", Milestone.ACCEPTED), _row("c", Milestone.IN_TRANSIT, text="here")),
        (_row("*", Milestone.ACCEPTED, text="here"), _row("c", Milestone.IN_TRANSIT)),
        (_row("c", Milestone.ACCEPTED, text="here"), _row("*", Milestone.IN_TRANSIT, direction="outbound")),
    ],
)
def test_a_direction_weighs_more_than_a_carrier_and_a_carrier_more_than_a_text(
    weaker: CodeRow, stronger: CodeRow
) -> None:
    for rows in ((weaker, stronger), (stronger, weaker)):
        codes = CarrierCodes(rows, {}, ())
        found = codes.lookup("c", "api", "kind", "7", "it is here", "outbound")
        assert found.milestone is stronger.milestone
        told = codes.explain("c", "api", "kind", "7", "it is here", "outbound")
        assert [one.why for one in told.passed_over] == ["a row that fits more closely comes first"]


def test_rows_of_another_direction_do_not_hide_those_of_any_carrier() -> None:
    codes = CarrierCodes(
        (_row("c", Milestone.ACCEPTED, direction="outbound"), _row("*", Milestone.IN_TRANSIT)), {}, ()
    )
    assert codes.lookup("c", "api", "kind", "7", None, None).milestone is Milestone.IN_TRANSIT


def test_every_row_names_its_source_and_how_sure_it_is() -> None:
    rows = list(code_rows())
    assert len(rows) > 1000
    assert [row for row in rows if not row.source or row.confidence not in CONFIDENCES] == []


def test_no_row_lets_a_carrier_say_what_only_our_own_topics_know() -> None:
    ours = {
        Milestone.LABEL_CREATED,
        Milestone.CHECKED_IN,
        Milestone.DROPOFF_CLAIMED,
        Milestone.RETURN_REQUESTED,
    }
    assert [row for row in code_rows() if row.milestone in ours] == []


def test_nothing_announced_or_planned_counts_as_a_scan() -> None:
    words_only = {
        Milestone.UNMAPPED,
        Milestone.CARRIER_PREADVISED,
        Milestone.LABEL_VOIDED,
        Milestone.PICKUP_FAILED,
    }
    scans = (row for row in code_rows() if row.evidence in PHYSICAL_CARRIER_EVIDENCE)
    assert [row for row in scans if row.milestone in words_only] == []


def test_no_question_has_two_answers() -> None:
    asked = Counter((*row.key, row.text_pattern, row.direction) for row in code_rows())
    assert [question for question, times in asked.items() if times > 1] == []


def test_the_carriers_and_aggregators_that_this_version_promises_are_there(codes: CarrierCodes) -> None:
    promised = "an_post canada_post chronopost colissimo correos_es dhl dhl_express dhl_nl dhl_parcel_de dpd evri fedex gls"
    promised += " hermes_de inpost la_poste meest mondial_relay nova_poshta postnl postnord royal_mail ukrposhta ups usps"
    with_rows = {row.carrier for row in codes.rows}
    assert codes.carriers == set(promised.split())
    assert codes.carriers <= with_rows
    of_anybody = {row.api for row in codes.rows if row.carrier == "*"}
    assert of_anybody == {
        "17track_buyer_web",
        "17track_v2",
        "aftership_v4",
        "easypost_v2",
        "emsevt",
        "epcis_2",
        "shipengine_v1",
        "shippo_tracks",
    }
