"""`returnwatch carriers`: which codes are known, what one means here, and why."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.text import Text

from agents import carriers_view as view
from agents.carrier_tables import digest_of, read_carrier_codes, read_own_tables
from agents.carriers_known import known_apis
from agents.errors import CarrierCodesError, Finding, SettingsError, did_you_mean
from agents.settings_loading import load_settings
from agents.terminal import out, write_line
from schemas.carrier_codes import OUTBOUND, RETURN, Answer, CarrierCodes, load_carrier_codes
from schemas.carrier_tables import ANY_CARRIER, CodeRow
from schemas.vocabulary import PHYSICAL_CARRIER_EVIDENCE

_MOST_ELSEWHERE = 8


class Question(NamedTuple):
    """What was typed of an event: None and "" for what it does not say."""

    code: str
    carrier: str | None
    api: str | None
    code_type: str | None
    text: str | None
    direction: str | None


def list_carriers(flags: Mapping[str, object], *, as_json: bool) -> int:
    """Print what is known, by carrier and API."""
    codes = _codes(flags)
    known = known_apis(codes)
    if as_json:
        for one in known:
            write_line(json.dumps({**one._asdict(), "codes": one.codes}))
        return 0
    view.show_list(known)
    return 0


def show_carrier(flags: Mapping[str, object], name: str, api: str | None, *, as_json: bool) -> int:
    """Print the rows of a carrier or an API. Raises CarrierCodesError when there is none of that name."""
    codes = _codes(flags)
    carrier = codes.carrier(name)
    rows = [row for row in codes.rows if row.carrier == (carrier or name) or _same(row.api, name)]
    if api is not None:
        rows = [row for row in rows if _same(row.api, api)]
    if not rows:
        raise CarrierCodesError([_nobody(codes, name, api)])
    if as_json:
        for row in rows:
            write_line(json.dumps(row_json(row)))
        return 0
    view.show_rows(rows)
    return 0


def test_code(flags: Mapping[str, object], asked: Question, *, as_json: bool) -> int:
    """Print what a code means and why; 1 when nothing is known of it."""
    _refuse_halves(asked)
    codes = _codes(flags)
    if asked.carrier is None and asked.api is None:
        return _everywhere(codes, asked.code, as_json=as_json)
    carrier = codes.carrier(asked.carrier) if asked.carrier is not None else _owner(codes, asked.api or "")
    answer = codes.explain(carrier, asked.api, asked.code_type, asked.code, asked.text, asked.direction)
    elsewhere = [] if answer.meaning.known else _elsewhere(codes, carrier, asked.code, answer)
    if as_json:
        write_line(json.dumps(_answer_json(asked, answer)))
    else:
        view.show_answer(asked.code, asked.text, answer, elsewhere, _hint(codes, carrier, answer))
    return 0 if answer.meaning.known else 1


def check(flags: Mapping[str, object], path: Path | None) -> int:
    """Check tables of a user. Raises CarrierCodesError with everything that is wrong."""
    ours = load_carrier_codes()
    of_ours = f"{view.counted(ours.rows)} of {len(ours.carriers)} carriers"
    out.print(Text(f"ours: {of_ours}, ok, digest {digest_of(ours)}"), soft_wrap=True)
    asked = path or load_settings(flags).carrier_codes
    if asked is None:
        return 0
    own = read_own_tables(asked)
    if own.findings:
        raise CarrierCodesError(own.findings)
    questions = {(row.key, row.direction) for row in ours.rows}
    replacing = sum(1 for row in own.tables.rows if (row.key, row.direction) in questions)
    both = digest_of(load_carrier_codes(own.tables))
    told = f"{view.counted(own.tables.rows)}, {replacing} in place of ours, ok, digest with ours {both}"
    out.print(Text(f"{asked}: {told}"), soft_wrap=True)
    return 0


def row_json(row: CodeRow) -> dict[str, Any]:
    """A row as plain JSON."""
    return {
        **row._asdict(),
        "milestone": row.milestone.name.lower(),
        "evidence": row.evidence.name.lower(),
    }


# -- what was asked for -------------------------------------------------------------------------------------------


def _codes(flags: Mapping[str, object]) -> CarrierCodes:
    return read_carrier_codes(load_settings(flags).carrier_codes)


def _refuse_halves(asked: Question) -> None:
    findings = []
    if not asked.code and not asked.text:
        findings.append(Finding("CODE", "is missing, and so is --text", todo="give one of them"))
    if asked.direction is not None and asked.direction not in {RETURN, OUTBOUND}:
        todo = f"give {RETURN} or {OUTBOUND}"
        findings.append(Finding("--direction", f"there is no direction {asked.direction!r}", todo=todo))
    if asked.carrier is None and asked.api is None:
        more = (("--text", asked.text), ("--code-type", asked.code_type), ("--direction", asked.direction))
        given = [flag for flag, value in more if value is not None]
        if given:
            why = "it decides only together with whose code it is"
            findings.append(Finding(given[0], "has no carrier beside it", why, "add --carrier or --api"))
    if findings:
        raise SettingsError(findings)


def _owner(codes: CarrierCodes, api: str) -> str:
    """Whose api it is. Raises CarrierCodesError when it is that of several carriers."""
    owners = sorted({row.carrier for row in codes.rows if _same(row.api, api)})
    if len(owners) > 1:
        why = "they need not mean the same by a code"
        todo = f"add --carrier with one of {', '.join(owners)}"
        raise CarrierCodesError([Finding("--api", f"`{api}` is of several carriers", why, todo)])
    return owners[0] if owners else ANY_CARRIER


def _everywhere(codes: CarrierCodes, code: str, *, as_json: bool) -> int:
    rows = [row for row in codes.rows if row.key[3] == code.strip().casefold()]
    if as_json:
        for row in rows:
            write_line(json.dumps(row_json(row)))
    elif rows:
        view.show_rows(rows)
    else:
        view.say_unknown_everywhere(code)
    return 0 if rows else 1


def _elsewhere(codes: CarrierCodes, carrier: str, code: str, answer: Answer) -> list[CodeRow]:
    """The same code, of the same carrier or of an aggregator, where it was not looked for."""
    folded = code.strip().casefold()
    found = [
        row
        for row in codes.rows
        if folded
        and row.key[3] == folded
        and row.carrier in {carrier, ANY_CARRIER}
        and row.key not in answer.asked
    ]
    return found[:_MOST_ELSEWHERE]


def _hint(codes: CarrierCodes, carrier: str, answer: Answer) -> str:
    """What there is in place of a carrier, api or code type that no row is of; "": they are known."""
    if answer.meaning.known:
        return ""
    _, api, code_type, _ = answer.asked[0]
    of_carrier = [row for row in codes.rows if row.carrier in {carrier, ANY_CARRIER}]
    if carrier != ANY_CARRIER and carrier not in codes.carriers:
        meant = did_you_mean(carrier, codes.carriers)
        return f"nobody knows the carrier `{carrier}`; {meant or '`returnwatch carriers list` names those that are known'}"
    apis = sorted({row.key[1] for row in of_carrier if row.carrier == carrier})
    types = sorted({row.code_type for row in of_carrier if row.key[1] == api})
    if not types:
        what = f"api `{api}`" if api else "default api"
        return f"`{carrier}` has no {what}; {_one_of(api, apis)}"
    if not code_type:
        return f"`{api}` has no default code type; there is {', '.join(types)}"
    if code_type not in {known.casefold() for known in types}:
        return f"`{api}` has no code type `{code_type}`; {_one_of(code_type, types)}"
    return ""


def _nobody(codes: CarrierCodes, name: str, api: str | None) -> Finding:
    if api is not None:
        of_name = {row.api for row in codes.rows if row.carrier == codes.carrier(name)}
        if of_name:
            return Finding("--api", f"`{name}` has no api `{api}`", todo=_one_of(api, sorted(of_name)))
    known = sorted({*codes.carriers, *(row.api for row in codes.rows if row.carrier == ANY_CARRIER)})
    todo = did_you_mean(name, known) or "`returnwatch carriers list` names those that are known"
    return Finding("NAME", f"no carrier or API is called `{name}`", todo=todo)


def _one_of(given: str, known: Sequence[str]) -> str:
    return did_you_mean(given, known) or f"there is {', '.join(known) or 'none'}"


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.strip().casefold()


def _answer_json(asked: Question, answer: Answer) -> dict[str, Any]:
    carrier, api, code_type, _ = answer.asked[0]
    meaning = answer.meaning
    return {
        "known": meaning.known,
        "milestone": meaning.milestone.name.lower(),
        "evidence": meaning.evidence.name.lower(),
        "scan": meaning.evidence in PHYSICAL_CARRIER_EVIDENCE,
        "carrier": carrier,
        "api": api,
        "code_type": code_type,
        "code": asked.code,
        "text": asked.text,
        "direction": answer.direction,
        "row": row_json(answer.row) if answer.row is not None else None,
        "passed_over": [{"row": row_json(one.row), "why": one.why} for one in answer.passed_over],
    }
