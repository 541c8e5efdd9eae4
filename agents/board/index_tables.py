"""The tables of the board's index. Whatever changes here raises FORM: an index of another form is read anew from the topics."""
# ruff: noqa: S608 - all names are from this file

from typing import Final

FORM: Final = 2

_FILTERS: Final = ("", "rule", "carrier", "facility")
_SORTS: Final = {"urgency": "urgency", "due": "due_ms", "value": "cheapness"}

TABLES: Final = """
CREATE TABLE about (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

CREATE TABLE cases (
    case_id TEXT PRIMARY KEY, revision INTEGER NOT NULL,
    state TEXT NOT NULL, active INTEGER NOT NULL,
    rule TEXT NOT NULL, carrier TEXT NOT NULL, facility TEXT NOT NULL, severity TEXT NOT NULL,
    seen INTEGER NOT NULL,            -- 1: somebody looks at it, or has put it off
    feed TEXT NOT NULL, return_id TEXT NOT NULL, tracking_number TEXT NOT NULL,
    urgency INTEGER NOT NULL,         -- the most urgent is the smallest: keyset paging wants one direction
    cheapness INTEGER NOT NULL,       -- thousandths of the currency's unit, negative: the dearest is the smallest
    due_ms INTEGER NOT NULL, staleness INTEGER NOT NULL,   -- the newest change is the smallest
    value BLOB NOT NULL
);
CREATE INDEX case_return ON cases (return_id) WHERE return_id <> '';
CREATE INDEX case_number ON cases (tracking_number) WHERE tracking_number <> '';
CREATE INDEX case_feed ON cases (feed, active, staleness) WHERE feed <> '';

-- How many cases there are of each kind, kept by triggers: no page counts cases by reading them.
CREATE TABLE facets (
    active INTEGER NOT NULL, state TEXT NOT NULL, rule TEXT NOT NULL, carrier TEXT NOT NULL, facility TEXT NOT NULL,
    severity TEXT NOT NULL, seen INTEGER NOT NULL, cases INTEGER NOT NULL,
    PRIMARY KEY (active, state, rule, carrier, facility, severity, seen)
) WITHOUT ROWID;

CREATE TABLE changes (
    case_id TEXT NOT NULL, revision INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, level INTEGER NOT NULL,
    severity TEXT NOT NULL, effective_ms INTEGER NOT NULL, told_by TEXT NOT NULL, explanation TEXT NOT NULL,
    partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, written_ms INTEGER NOT NULL,
    PRIMARY KEY (case_id, revision)
) WITHOUT ROWID;
CREATE INDEX change_place ON changes (partition, "offset");

CREATE TABLE answers (
    command_id TEXT PRIMARY KEY, case_id TEXT NOT NULL, effective_ms INTEGER NOT NULL, value BLOB NOT NULL,
    partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, written_ms INTEGER NOT NULL
);
CREATE INDEX answer_case ON answers (case_id);
CREATE INDEX answer_place ON answers (partition, "offset");

CREATE TABLE journeys (return_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE parcels (
    tracking_number TEXT NOT NULL, carrier TEXT NOT NULL, return_id TEXT NOT NULL,
    PRIMARY KEY (tracking_number, carrier, return_id)
) WITHOUT ROWID;
CREATE INDEX parcel_return ON parcels (return_id);

CREATE TABLE kpis (
    key TEXT PRIMARY KEY, dimension TEXT NOT NULL, day TEXT NOT NULL, as_of_ms INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE INDEX kpi_day ON kpis (dimension, day);

CREATE TABLE letters (
    record TEXT NOT NULL, sha256 TEXT NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL, outcome TEXT NOT NULL,
    detail TEXT NOT NULL, action TEXT NOT NULL, size INTEGER NOT NULL, sealed INTEGER NOT NULL, redrives INTEGER NOT NULL,
    written_ms INTEGER NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL,
    PRIMARY KEY (record, sha256)
) WITHOUT ROWID;
CREATE INDEX letter_newest ON letters (written_ms DESC, record DESC);
CREATE INDEX letter_place ON letters (partition, "offset");
CREATE TABLE letter_facets (
    topic TEXT NOT NULL, reason TEXT NOT NULL, outcome TEXT NOT NULL, letters INTEGER NOT NULL,
    PRIMARY KEY (topic, reason, outcome)
) WITHOUT ROWID;
CREATE TABLE outcomes (record TEXT NOT NULL, sha256 TEXT NOT NULL, outcome TEXT NOT NULL, PRIMARY KEY (record, sha256))
WITHOUT ROWID;

CREATE TABLE arrivals (
    feed TEXT NOT NULL, hour INTEGER NOT NULL, events INTEGER NOT NULL, PRIMARY KEY (feed, hour)
) WITHOUT ROWID;
CREATE TABLE marked (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, through_ms INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
"""

_FACET: Final = "active, state, rule, carrier, facility, severity, seen"
_LETTER_FACET: Final = "topic, reason, outcome"


def _counting(table: str, facets: str, columns: str, counted: str) -> str:
    """Triggers by which `facets` has the number of rows of `table` for each value of `columns`."""
    names = columns.split(", ")
    old, new = (", ".join(f"{row}.{name}" for name in names) for row in ("OLD", "NEW"))
    of_old, of_new = (" AND ".join(f"{name} = {row}.{name}" for name in names) for row in ("OLD", "NEW"))
    more = (
        # Not OR IGNORE: what the statement does that fired the trigger would stand in its place.
        f"INSERT INTO {facets} SELECT {new}, 0 WHERE NOT EXISTS (SELECT 1 FROM {facets} WHERE {of_new}); "
        f"UPDATE {facets} SET {counted} = {counted} + 1 WHERE {of_new};"
    )
    less = (
        f"UPDATE {facets} SET {counted} = {counted} - 1 WHERE {of_old}; "
        f"DELETE FROM {facets} WHERE {of_old} AND {counted} <= 0;"
    )
    return f"""
CREATE TRIGGER {table}_more AFTER INSERT ON {table} BEGIN {more} END;
CREATE TRIGGER {table}_less AFTER DELETE ON {table} BEGIN {less} END;
CREATE TRIGGER {table}_moved AFTER UPDATE OF {columns} ON {table} WHEN ({old}) IS NOT ({new}) BEGIN {less} {more} END;
"""


def _case_indexes() -> str:
    """One for each order of the open cases, whole and by each filter; the closed ones have the newest change first."""
    lines = []
    for filtered in _FILTERS:
        named, before = filtered or "all", f"{filtered}, " if filtered else ""
        for sort, column in _SORTS.items():
            order = f"{column}, due_ms, case_id" if column != "due_ms" else "due_ms, case_id"
            lines.append(f"CREATE INDEX open_{named}_{sort} ON cases ({before}{order}) WHERE active = 1;")
        lines.append(
            f"CREATE INDEX closed_{named} ON cases (state, {before}staleness, case_id) WHERE active = 0;"
        )
    return "\n".join(lines)


SCHEMA: Final = "\n".join(
    [
        TABLES,
        _case_indexes(),
        _counting("cases", "facets", _FACET, "cases"),
        _counting("letters", "letter_facets", _LETTER_FACET, "letters"),
    ]
)
