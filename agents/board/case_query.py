"""Which cases a page shows, in which order, and from where on: what an address asks for, and the SQL that answers it.

Every order has an index, whole and for each of rule, carrier and facility. `value` and `seen`, and `severity` in another order
than by urgency, look through what is left. The facets count `state`, `rule`, `carrier`, `facility`, `severity` and `seen`.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from schemas.outputs import Severity
from schemas.vocabulary import RuleId

PAGE_SIZE: Final = 50
MOST_PAGE_SIZE: Final = 200
MOST_FILTER_CHARS: Final = 200
UNKNOWN: Final = "-"
"""In an address: of a carrier or a facility that no one knows."""
_MS: Final = timedelta(milliseconds=1)


class State(StrEnum):
    """Which cases."""

    OPEN = "open"
    """Open and escalated."""
    RESOLVED = "resolved"
    RETRACTED = "retracted"


class Order(StrEnum):
    """Of open cases; closed ones come by their newest change."""

    URGENCY = "urgency"
    """The most severe first, of these the highest level, of these the one that has been due longest."""
    OLDEST = "oldest"
    NEWEST = "newest"
    VALUE = "value"


class _Sort(NamedTuple):
    columns: tuple[str, ...]
    descending: bool
    name: str


_SORTS: Final = {
    Order.URGENCY: _Sort(("urgency", "due_ms", "case_id"), False, "urgency"),
    Order.OLDEST: _Sort(("due_ms", "case_id"), False, "due"),
    Order.NEWEST: _Sort(("due_ms", "case_id"), True, "due"),
    Order.VALUE: _Sort(("cheapness", "due_ms", "case_id"), False, "value"),
}
_CLOSED: Final = _Sort(("staleness", "case_id"), False, "")


class RefusedQueryError(ValueError):
    """An address asks for what there is not. `field`: its parameter."""

    def __init__(self, field: str, known: str) -> None:
        super().__init__(f"{field}: known are {known}")
        self.field = field


class CaseQuery(NamedTuple):
    """What is asked for. "" and None ask for nothing."""

    state: State = State.OPEN
    order: Order = Order.URGENCY
    rule: str = ""
    carrier: str = ""
    facility: str = ""
    severity: str = ""
    seen: str = ""
    """`no`: nobody looks at it, and nobody has put it off. `yes`: somebody does, or has."""
    age_days: int = 0
    """Due for longer than so many days."""
    value: int = 0
    """Worth at least so much, in the main unit of whatever currency."""
    after: tuple[Any, ...] = ()
    """The last row of the page before."""
    limit: int = PAGE_SIZE

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> "CaseQuery":
        """Return what an address asks for. Raises RefusedQueryError."""
        query = cls(
            state=_one_of(State, asked, "state", State.OPEN),
            order=_one_of(Order, asked, "order", Order.URGENCY),
            rule=_known(asked, "rule", [rule.value for rule in RuleId]),
            carrier=_text(asked, "carrier"),
            facility=_text(asked, "facility"),
            severity=_known(asked, "severity", [severity.value for severity in Severity]),
            seen=_known(asked, "seen", ["no", "yes"]),
            age_days=_number(asked, "age", 10_000),
            value=_number(asked, "value", 1_000_000_000),
            after=_cursor(asked.get("after", "")),
            limit=_number(asked, "limit", MOST_PAGE_SIZE) or PAGE_SIZE,
        )
        if query.after and len(query.after) != len(query.sort.columns):
            raise RefusedQueryError("after", "what a page before of the same order gave")
        return query

    @property
    def is_counted(self) -> bool:
        """Whether the facets alone tell how many there are."""
        return not self.age_days and not self.value

    @property
    def sort(self) -> _Sort:
        """How the rows follow each other."""
        return _SORTS[self.order] if self.state is State.OPEN else _CLOSED

    def asked(self, **changes: Any) -> dict[str, str]:
        """Return the parameters of an address that asks for this, with changes, from the first page on."""
        other = self._replace(after=(), **changes)
        told = {
            "state": "" if other.state is State.OPEN else other.state.value,
            "order": "" if other.order is Order.URGENCY else other.order.value,
            "rule": other.rule,
            "carrier": other.carrier,
            "facility": other.facility,
            "severity": other.severity,
            "seen": other.seen,
            "age": str(other.age_days or ""),
            "value": str(other.value or ""),
            "limit": "" if other.limit == PAGE_SIZE else str(other.limit),
        }
        return {name: text for name, text in told.items() if text}

    def facet_terms(self, but: str = "") -> tuple[str, list[Any]]:
        """SQL for the facets of these cases; `but`: a filter that is left out, so that its other choices are counted."""
        terms, values = ["active = ?"], list[Any]([int(self.state is State.OPEN)])
        wanted: dict[str, Any] = {
            "state": "" if self.state is State.OPEN else self.state.value,
            "rule": self.rule,
            "carrier": self.carrier,
            "facility": self.facility,
            "severity": self.severity,
            "seen": {"no": "0", "yes": "1"}.get(self.seen, ""),
        }
        for column, value in wanted.items():
            if value and column != but:
                terms.append(f"{column} = ?")
                values.append("" if value == UNKNOWN else value)
        return " AND ".join(terms), values

    def rows(self, filtered: str, now: datetime) -> tuple[str, list[Any]]:
        """SQL for one row more than the page. `filtered`: the filter by which the rows are found, "" for none."""
        terms, values = self._terms(now)
        sort = self.sort
        if self.after:
            compared = "<" if sort.descending else ">"
            terms.append(f"({', '.join(sort.columns)}) {compared} ({', '.join('?' * len(sort.columns))})")
            values += self.after
        named = filtered or "all"
        index = f"open_{named}_{sort.name}" if self.state is State.OPEN else f"closed_{named}"
        direction = " DESC" if sort.descending else ""
        order = ", ".join(f"{column}{direction}" for column in sort.columns)
        sql = (
            f"SELECT value, {', '.join(sort.columns)} FROM cases INDEXED BY {index} "  # noqa: S608 - names of ours
            f"WHERE {' AND '.join(terms)} ORDER BY {order} LIMIT ?"
        )
        return sql, [*values, self.limit + 1]

    def _terms(self, now: datetime) -> tuple[list[str], list[Any]]:
        terms, values = ["active = 1"], list[Any]()
        if self.state is not State.OPEN:
            terms, values = ["active = 0", "state = ?"], [self.state.value]
        for column in ("rule", "carrier", "facility"):
            value = getattr(self, column)
            if value:
                terms.append(f"{column} = ?")
                values.append("" if value == UNKNOWN else value)
        if self.severity:
            # By a range of urgency where that is the order: the index finds it. The column is for the other orders.
            terms.append("severity = ?")
            values.append(self.severity)
            if self.state is State.OPEN and self.order is Order.URGENCY:
                rank = [severity.value for severity in Severity].index(self.severity)
                terms.append("urgency BETWEEN ? AND ?")
                values += [-(rank * 100 + 99), -rank * 100]
        if self.seen:
            terms.append("seen = ?")
            values.append(int(self.seen == "yes"))
        if self.age_days:
            terms.append("due_ms < ?")
            values.append(round(now.timestamp() * 1_000) - self.age_days * 86_400_000)
        if self.value:
            terms.append("cheapness <= ?")
            values.append(-self.value * 1_000)
        return terms, values


def cursor(row: tuple[Any, ...]) -> str:
    """Where a page ends, as an address has it."""
    return base64.urlsafe_b64encode(json.dumps(row).encode()).decode().rstrip("=")


def _cursor(text: str) -> tuple[Any, ...]:
    if not text:
        return ()
    try:
        found = json.loads(base64.urlsafe_b64decode(text[:400] + "=" * (-len(text[:400]) % 4)))
    except (binascii.Error, ValueError) as error:
        raise RefusedQueryError("after", "what a page before gave") from error
    whole = isinstance(found, list) and 2 <= len(found) <= 3
    if not whole or not all(type(one) is int for one in found[:-1]) or not isinstance(found[-1], str):
        raise RefusedQueryError("after", "what a page before gave")
    is_text = found[-1].isprintable()  # half a character is none, and SQLite takes no such text
    if not is_text or any(abs(one) > 2**62 for one in found[:-1]):
        raise RefusedQueryError("after", "what a page before gave")
    return tuple(found)


def _one_of(words: Any, asked: Mapping[str, str], field: str, default: Any) -> Any:
    text = asked.get(field, "")
    try:
        return words(text) if text else default
    except ValueError as error:
        raise RefusedQueryError(field, ", ".join(words)) from error


def _known(asked: Mapping[str, str], field: str, words: list[str]) -> str:
    text = asked.get(field, "")
    if text and text not in words:
        raise RefusedQueryError(field, ", ".join(words))
    return text


def _text(asked: Mapping[str, str], field: str) -> str:
    text = asked.get(field, "").encode("utf-8", "replace").decode()
    if len(text) > MOST_FILTER_CHARS:
        raise RefusedQueryError(field, f"texts of at most {MOST_FILTER_CHARS} characters")
    return text


def _number(asked: Mapping[str, str], field: str, most: int) -> int:
    text = asked.get(field, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most):
        raise RefusedQueryError(field, f"whole numbers up to {most}")
    return int(text)
