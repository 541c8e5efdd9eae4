"""Tables of carrier codes as files: what is wrong with them is found, all at once, and a user's own lie beside ours."""

import pytest

from schemas.carrier_codes import CarrierCodes, load_carrier_codes, our_tables
from schemas.carrier_table_checks import read_tables
from schemas.vocabulary import Evidence, Milestone

HEADER = "carrier,api,code_type,code,text_pattern,direction,milestone,evidence,reason,confidence,source"
GOOD = "ups,,,QQ,,,accepted,carrier_scan,,observed,our parcels"


def findings(*rows: str, header: str = HEADER, **more: str) -> list[str]:
    files = {"mine.csv": "\n".join((header, *rows)) + "\n"}
    files |= {f"{name}.csv": text for name, text in more.items()}
    return [str(one) for one in read_tables(files, our_tables())[1]]


def with_own(*rows: str, **more: str) -> CarrierCodes:
    files = {"mine.csv": "\n".join((HEADER, *rows)) + "\n"}
    files |= {f"{name}.csv": text for name, text in more.items()}
    tables, wrong = read_tables(files, our_tables())
    assert wrong == []
    return load_carrier_codes(tables)


# -- what is wrong ----------------------------------------------------------------------------------------------------


def test_a_good_row_has_no_findings() -> None:
    assert findings(GOOD) == []


@pytest.mark.parametrize(
    ("row", "place", "what"),
    [
        ("upps,,,QQ,,,accepted,carrier_scan,,observed,x", "2:1", "nobody knows the carrier `upps`"),
        ("upps,,,QQ,,,accepted,carrier_scan,,observed,x", "2:1", "did you mean `ups`?"),
        ("U.P.S.N,,,QQ,,,accepted,carrier_scan,,observed,x", "2:1", "nobody knows the carrier"),
        ("Fed Ex,,,QQ,,,accepted,carrier_scan,,observed,x", "2:1", "did you mean `fedex`?"),
        ("United Parcel Service,,,QQ,,,accepted,carrier_scan,,observed,x", "2:1", "write `ups`"),
        ("ups,,,QQ,,,acepted,carrier_scan,,observed,x", "2:12", "did you mean `accepted`?"),
        ("ups,,,QQ,,,ACCEPTED,carrier_scan,,observed,x", "2:12", "did you mean `accepted`?"),
        ("ups,,,QQ,,,checked_in,carrier_scan,,observed,x", "2:12", "only other topics of yours can say it"),
        ("ups,,,QQ,,,accepted,carrier_scam,,observed,x", "2:21", "did you mean `carrier_scan`?"),
        ("ups,,,QQ,,,accepted,warehouse_scan,,observed,x", "2:21", "is not a carrier's evidence"),
        ("ups,,,QQ,,,accepted,carrier_scan,,sure,x", "2:35", "there is no confidence `sure`"),
        ("ups,,,QQ,,back,accepted,carrier_scan,,observed,x", "2:11", "there is no direction `back`"),
        ("ups,,,QQ,,,accepted,carrier_scan,,observed,", "2:44", "has no source"),
        ("ups,,,,,,accepted,carrier_scan,,observed,x", "2:7", "has neither a code nor a text pattern"),
        ("ups,,,QQ,(at,,accepted,carrier_scan,,observed,x", "2:10", "is no pattern"),
        ("ups,,,QQ,(at)?,,accepted,carrier_scan,,observed,x", "2:10", "fits an event without a text"),
        ("ups,,,QQ,,,accepted,announced,,observed,x", "2:21", "`announced` cannot show `accepted`"),
        ("ups,,,QQ,,,delivered,system,,observed,x", "2:22", "`system` cannot show `delivered`"),
        ("ups,,,QQ,,,carrier_preadvised,carrier_scan,,observed,x", "2:31", "goes with announced"),
        ("ups,,,QQ,,,pickup_failed,agent_scan,,observed,x", "2:26", "`agent_scan` cannot show"),
        ("ups,,,QQ,,,unmapped,carrier_scan,,observed,x", "2:21", "`carrier_scan` cannot show `unmapped`"),
        ("ups,,,QQ,,,lost,carrier_scan,,observed,x", "2:17", "`carrier_scan` cannot show `lost`"),
        ("ups,,,QQ,,,accepted,carrier_scan,either,ambiguous,x", "2:12", "is ambiguous, and yet `accepted`"),
        ("ups,,,QQ,,,unmapped,system,,ambiguous,x", "2:29", "nobody says between what"),
        ("ups,,,QQ,,,accepted,carrier_scan,,observed", "2:1", "has 10 cells, and the header 11 columns"),
        ('ups,,,QQ,,,accepted,carrier_scan,"a,observed,x', "2:1", "is no line of CSV"),
    ],
)
def test_a_wrong_cell_is_told_with_its_place_and_what_to_do(row: str, place: str, what: str) -> None:
    (found,) = findings(row)
    assert found.startswith(f"mine.csv:{place}: ")
    assert what in found


def test_a_place_counts_the_quotes_of_the_cells_before_it() -> None:
    (found,) = findings('ups,,,QQ,"at, or ""near""",,acepted,carrier_scan,,observed,x')
    assert found.startswith("mine.csv:2:29: there is no milestone")


def test_everything_is_told_at_once_in_the_order_of_the_file() -> None:
    found = findings(
        "upps,,,QQ,,,acepted,carrier_scan,,sure,",
        "ups,,,QQ,(,,accepted,announced,,observed,x",
    )
    assert [one.split(": ")[0] for one in found] == [
        f"mine.csv:{place}" for place in ("2:1", "2:13", "2:35", "2:40", "3:10", "3:22")
    ]


def test_rows_twice_and_rows_against_each_other_name_the_other_row() -> None:
    found = findings(GOOD, GOOD.replace("QQ", "qq"), GOOD.replace("accepted", "delivered"))
    assert found == [
        "mine.csv:3:7: stands in mine.csv:2 already; delete one, or tell them apart by text or direction",
        "mine.csv:4:7: contradicts mine.csv:2: `accepted` by carrier_scan; only one could count; "
        "delete one, or tell them apart by text or direction",
    ]


def test_a_default_left_out_and_one_written_are_the_same_row() -> None:
    (found,) = findings(GOOD, "ups,UPS_rest_track_v1,activity_code,QQ,,,delivered,carrier_scan,,observed,x")
    assert "contradicts mine.csv:2" in found


def test_rows_that_a_text_or_a_direction_tells_apart_are_not_against_each_other() -> None:
    outbound = "ups,,,QQ,,outbound,delivered,carrier_scan,,observed,x"
    assert findings(GOOD, outbound, "ups,,,QQ,at home,,delivered,carrier_scan,,observed,x") == []


@pytest.mark.parametrize(
    ("header", "place", "what"),
    [
        (HEADER.replace("evidence", "evidense"), "1:61", "there is no column `evidense`"),
        (HEADER.replace("evidence", "evidense"), "1:1", "has no column `evidence`"),
        (f"{HEADER},code", "1:95", "column `code` stands here twice"),
        (HEADER.replace(",", ";"), "1:1", "has semicolons between its cells"),
        ("", "1:1", "is empty, it has not even a header"),
    ],
)
def test_a_wrong_header_is_told_before_any_row(header: str, place: str, what: str) -> None:
    found = findings(header=header) if not header else findings("nonsense", header=header)
    assert any(one.startswith(f"mine.csv:{place}: ") and what in one for one in found)
    assert not any(one.startswith("mine.csv:2") for one in found)


def test_columns_may_be_left_out_that_are_empty_for_most() -> None:
    short = "carrier,api,code_type,code,milestone,evidence,confidence,source"
    assert findings("ups,,,QQ,accepted,carrier_scan,observed,x", header=short) == []


def test_files_that_spreadsheets_write_are_read() -> None:
    text = "\ufeff" + f"{HEADER}\r\n{GOOD}\r\n,,,,,,,,,,\r\n\r\n"
    tables, wrong = read_tables({"mine.csv": text}, our_tables())
    assert wrong == []
    assert [row.code for row in tables.rows] == ["QQ"]


@pytest.mark.parametrize(
    ("aliases", "what"),
    [
        ("speedy,speedy\nSPEEDY,speedier", "`SPEEDY` is `speedy` in aliases.csv:2"),
        ("UPS,my_ups", "`UPS` is our name of `ups`"),
        ("speedy,Speedy Parcels", "no carrier can be called `Speedy Parcels`"),
        ("speedy,feed", "no carrier can be called `feed`"),
        ("speedy,*", "no carrier can be called `*`"),
        ("!!,speedy", "nothing is left of the alias '!!'"),
    ],
)
def test_aliases_that_collide_or_name_nobody_are_refused(aliases: str, what: str) -> None:
    (found,) = findings(GOOD, aliases=f"alias,carrier\n{aliases}\n")
    assert what in found


@pytest.mark.parametrize(
    ("defaults", "what"),
    [
        ("upps,ups_rest_track_v1,activity_code", "nobody knows the carrier `upps`"),
        ("ups,ups_rest_track_v1,activity_kode", "no row is of ups, ups_rest_track_v1, activity_kode"),
        ("ups,ups_xml_track,type D\nups,UPS_xml_track,type I", "stand in defaults.csv:2 already"),
    ],
)
def test_defaults_that_name_nothing_are_refused(defaults: str, what: str) -> None:
    row = GOOD.replace("ups,,", "ups,ups_rest_track_v1,activity_code")
    found = findings(row, defaults=f"carrier,api,code_type\n{defaults}\n")
    assert any(what in one for one in found)


def test_our_own_tables_are_read_by_the_same_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = HEADER + "\nups,,,QQ,,,accepted,announced,,observed,x\n"
    monkeypatch.setattr(
        "schemas.carrier_codes.resources.files", lambda _name: _Folder({"ups.csv": wrong, "notes.txt": "?"})
    )
    with pytest.raises(ValueError, match=r"schemas/carriers/ups.csv:2:21: `announced` cannot show"):
        our_tables.__wrapped__()


class _File:
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = text

    def read_text(self, *, encoding: str) -> str:
        assert encoding == "utf-8"
        return self._text


class _Folder:
    def __init__(self, files: dict[str, str]) -> None:
        self._files = [_File(name, text) for name, text in files.items()]

    def joinpath(self, _name: str) -> "_Folder":
        return self

    def iterdir(self) -> list[_File]:
        return self._files


# -- a user's own beside ours -----------------------------------------------------------------------------------------


def test_a_row_of_the_users_adds_a_code_and_the_rest_stays() -> None:
    codes = with_own(GOOD)
    assert codes.lookup("ups", None, None, "qq", None, None)[:3] == (
        Milestone.ACCEPTED,
        Evidence.CARRIER_SCAN,
        True,
    )
    assert codes.lookup("ups", None, None, "FS", None, None).milestone is Milestone.DELIVERED


def test_a_row_of_the_users_takes_the_place_of_ours_with_their_texts() -> None:
    """Ours reads UPS XD only with a text; the user's row needs none, and decides whatever the text is."""
    codes = with_own("ups,,,XD,,,in_transit,carrier_scan,,observed,x")
    for text in (None, "Drop-Off", "anything"):
        assert codes.lookup("ups", None, None, "XD", text, None).milestone is Milestone.IN_TRANSIT


def test_a_row_for_one_direction_leaves_the_other_to_ours() -> None:
    codes = with_own("fedex,,,DL,,outbound,delivered,carrier_scan,,observed,x")
    assert codes.lookup("fedex", None, None, "DL", None, "outbound").milestone is Milestone.DELIVERED
    codes = with_own("fedex,,,DL,,outbound,unmapped,system,,observed,x")
    assert codes.lookup("fedex", None, None, "DL", None, None).milestone is Milestone.DELIVERED
    codes = with_own("fedex,,,DL,,return,unmapped,system,,observed,x")
    assert codes.lookup("fedex", None, None, "DL", None, None).milestone is Milestone.UNMAPPED
    assert codes.lookup("fedex", None, None, "DL", None, "outbound").milestone is Milestone.UNMAPPED


def test_a_users_delivery_is_none_on_the_way_to_the_customer_either() -> None:
    codes = with_own(GOOD.replace("accepted", "delivered"))
    assert codes.lookup("ups", None, None, "QQ", None, None).milestone is Milestone.DELIVERED
    assert codes.lookup("ups", None, None, "QQ", None, "outbound")[:3] == (
        Milestone.UNMAPPED,
        Evidence.SYSTEM,
        True,
    )


def test_an_aggregators_code_can_be_read_otherwise_for_one_carrier() -> None:
    codes = with_own("dpd,aftership_v4,,Delivered_001,,,available_for_pickup,carrier_scan,,observed,x")
    for carrier, milestone in (("dpd", Milestone.AVAILABLE_FOR_PICKUP), ("gls", Milestone.DELIVERED)):
        for kind in (None, "subtag"):
            found = codes.lookup(carrier, "aftership_v4", kind, "Delivered_001", None, None)
            assert found.milestone is milestone


def test_a_carrier_of_the_users_own_has_names_and_defaults() -> None:
    codes = with_own(
        "velo,,,20,,,accepted,carrier_scan,,documented,guide",
        aliases="alias,carrier\nVelo Express GmbH,velo\nbrown,ups\n",
        defaults="carrier,api,code_type\nvelo,velo_app,status\n",
    )
    assert codes.carrier("VELO express-GmbH") == "velo"
    assert codes.carrier("Brown") == "ups"
    assert "velo" in codes.carriers
    assert codes.lookup("velo", "velo_app", "status", "20", None, None).milestone is Milestone.ACCEPTED
    assert codes.lookup("velo", None, None, "20", None, None).milestone is Milestone.ACCEPTED


def test_a_users_default_comes_before_ours() -> None:
    codes = with_own(GOOD, defaults="carrier,api,code_type\nups,ups_track_alert,status_type\n")
    assert codes.default_api("ups") == "ups_track_alert"
    assert codes.default_code_type("ups", "ups_track_alert") == "status_type"
    assert codes.default_code_type("ups", "ups_rest_track_v1") == "activity_code"
