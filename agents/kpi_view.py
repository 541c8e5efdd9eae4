"""How KPIs look on a terminal."""

from collections.abc import Sequence
from datetime import timedelta

from rich import box
from rich.table import Table

from agents.case_view import age_text, amount_text
from agents.terminal import out, say
from schemas.kpi_sums import KpiSum, precision
from schemas.kpis import Count, Dimension, Leg
from schemas.outputs import Money

NONE = "-"


def show_kpis(by: Dimension, sums: Sequence[tuple[str, KpiSum]]) -> None:
    """One line for each value; of all returns together also every leg and every rule."""
    if not sums:
        say("nothing was counted on these days")
        return
    _show_values(by, sums)
    if by is Dimension.ALL:
        _show_legs(sums[0][1])
        _show_rules(sums[0][1])


def _show_values(by: Dimension, sums: Sequence[tuple[str, KpiSum]]) -> None:
    """In two tables: one would be wider than a terminal of 80 columns."""
    came = _table(by.value, "requested", "scanned", "p50", "p90", "refunded", "p50", "p90")
    found = _table(by.value, "replaced", "cases", "right", "at risk")
    for value, total in sums:
        name, cases = value or ("" if by is Dimension.ALL else "not known"), total.cases_of()
        came.add_row(
            name,
            str(total.counts[Count.REQUESTED]),
            _percent(total.first_scan_rate),
            *_quantiles(total, Leg.LABEL_TO_FIRST_SCAN),
            str(total.counts[Count.REFUNDED]),
            *_quantiles(total, Leg.REQUEST_TO_REFUND),
        )
        found.add_row(
            name,
            str(total.counts[Count.REPLACED]),
            str(cases.told),
            _percent(precision(cases)),
            _at_risk(total),
        )
    out.print(came)
    out.print(found)


def _show_legs(total: KpiSum) -> None:
    table = _table("leg", "count", "mean", "p50", "p90")
    for leg in Leg:
        found = total.legs.get(leg)
        if found is not None:
            table.add_row(
                leg.value.replace("_", " "),
                str(found.count),
                _time(found.mean_seconds),
                *_quantiles(total, leg),
            )
    out.print(table)


def _show_rules(total: KpiSum) -> None:
    table = _table("rule", "told", "per 100", "open", "resolved", "wrong", "right", "not told")
    requested = total.counts[Count.REQUESTED]
    for rule in sorted(total.cases, key=lambda rule: -total.cases_of(rule).told):
        cases = total.cases_of(rule)
        table.add_row(
            rule,
            str(cases.told),
            f"{100 * cases.told / requested:.1f}" if requested else NONE,
            str(cases.open + cases.escalated),
            str(cases.resolved),
            str(cases.retracted + cases.false_alarm),
            _percent(precision(cases)),
            str(cases.explained + cases.already_over),
        )
    out.print(table)


def _table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, style="cyan", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _quantiles(total: KpiSum, leg: Leg) -> tuple[str, str]:
    found = total.legs.get(leg)
    return (
        (NONE, NONE)
        if found is None
        else (_time(found.quantile_seconds(0.5)), _time(found.quantile_seconds(0.9)))
    )


def _time(seconds: float | None) -> str:
    return NONE if seconds is None else age_text(timedelta(seconds=seconds)).removesuffix(" ago")


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f}%"


def _at_risk(total: KpiSum) -> str:
    amounts = {currency: found["at_risk_minor"] for currency, found in sorted(total.amounts.items())}
    told = [amount_text(Money(minor, currency)) for currency, minor in amounts.items() if minor]
    return "\n".join(
        [*told, f"{total.counts[Count.AT_RISK]} returns"] if told else [str(total.counts[Count.AT_RISK])]
    )
