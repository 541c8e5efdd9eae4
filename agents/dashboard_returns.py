"""The dashboard for whoever answers for the returns: what is open, what it is worth, how long each leg takes."""

from agents.dashboard_model import Dashboard, Kind, Panel, Query, Row, Variable

_RULE = 'rule=~"$rule"'

_OPEN = Row(
    "Open cases",
    [
        Panel(
            "Open now",
            "Open cases of the chosen rules.",
            "short",
            [Query(f"sum(returnwatch_open_cases{{@,{_RULE}}})", "open")],
            Kind.NUMBER, width=6, height=6,
        ),
        Panel(
            "Value at risk",
            "Value of the returns with an open case of any rule, in each currency's main unit.",
            "short",
            [Query("sum by (currency) (returnwatch_value_at_risk{@})", "{{currency}}")],
            Kind.NUMBER, width=6, height=6,
        ),
        Panel(
            "Open, by rule",
            "Which rules the open cases are of. What each waits for: docs/rules.md.",
            "short",
            [Query(f"topk(12, sum by (rule) (returnwatch_open_cases{{@,{_RULE}}}))", "{{rule}}")],
            Kind.BARS, width=12, height=12,
        ),
        Panel(
            "Open, by severity",
            "Severities are the policy's.",
            "short",
            [Query(f"sum by (severity) (returnwatch_open_cases{{@,{_RULE}}})", "{{severity}}")],
            width=12, height=6, stacked=True,
        ),
    ],
)  # fmt: skip
_CHANGES = Row(
    "Changes of cases",
    [
        Panel(
            "Opened, by rule",
            "Cases opened. A jump of one rule has one cause more often than many.",
            "short",
            [
                Query(
                    'sum by (rule) (increase(returnwatch_escalations_total{@,transition="opened",'
                    f"{_RULE}}}[$__rate_interval]))",
                    "{{rule}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Changes, by kind",
            "Every change of a case is one escalation.",
            "short",
            [
                Query(
                    f"sum by (transition) (increase(returnwatch_escalations_total{{@,{_RULE}}}[$__rate_interval]))",
                    "{{transition}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Taken back, of a day's",
            "Cases retracted in 24 hours, as a share of those opened: late evidence showed that there was no breach.",
            "percentunit",
            [
                Query(
                    f'sum(increase(returnwatch_escalations_total{{@,transition="retracted",{_RULE}}}[24h])) / '
                    f'sum(increase(returnwatch_escalations_total{{@,transition="opened",{_RULE}}}[24h]))',
                    "retracted",
                )
            ],
        ),
        Panel(
            "Breaches not told",
            "Breaches without an escalation, by why: a case of a higher rule tells of the cause, or they were over before.",
            "short",
            [
                Query(
                    f"sum by (why) (increase(returnwatch_breaches_not_told_total{{@,{_RULE}}}[$__rate_interval]))",
                    "{{why}}",
                )
            ],
        ),
        Panel(
            "Detection delay, by rule",
            "90th percentile of the time from a deadline (and the skew) to its escalation.",
            "s",
            [
                Query(
                    "histogram_quantile(0.9, sum by (rule, le) "
                    f"(rate(returnwatch_detection_delay_seconds_bucket{{@,{_RULE}}}[$__rate_interval])))",
                    "{{rule}}",
                )
            ],
        ),
        Panel(
            "What people told",
            "Commands, by what became of them. Refused ones say why in `command-answers`.",
            "short",
            [
                Query(
                    "sum by (answer) (increase(returnwatch_commands_total{@}[$__rate_interval]))",
                    "{{answer}}",
                )
            ],
        ),
    ],
)  # fmt: skip
_MONEY = Row(
    "Refunds",
    [
        Panel(
            "Refunds late or at risk",
            "Open cases of the rules about refunds. `statutory_refund_deadline` is the law's, `refund_promise_*` the shop's own.",
            "short",
            [Query('sum by (rule) (returnwatch_open_cases{@,rule=~".*refund.*"})', "{{rule}}")],
            width=12,
        ),
        Panel(
            "Promises and the law, opened",
            "Cases opened of promises at risk, promises broken, and refunds past their legal deadline.",
            "short",
            [
                Query(
                    'sum by (rule) (increase(returnwatch_escalations_total{@,transition="opened",'
                    'rule=~"refund_promise_.*|statutory_refund_deadline"}[$__rate_interval]))',
                    "{{rule}}",
                )
            ],
            width=12,
        ),
    ],
)  # fmt: skip
_DAYS = Row(
    "The last day that is over (UTC)",
    [
        Panel(
            "What happened",
            "Returns requested, received, refunded and so on, of the last UTC day that is over. More: `returnwatch kpis`.",
            "short",
            [Query("sum by (what) (returnwatch_day_returns{@})", "{{what}}")],
        ),
        Panel(
            "Each leg, median",
            "How long what ended on that day has taken, from one milestone to another (docs/kpis.md).",
            "s",
            [
                Query(
                    "histogram_quantile(0.5, sum by (leg, le) (returnwatch_day_leg_seconds_bucket{@}))",
                    "{{leg}}",
                )
            ],
        ),
        Panel(
            "Each leg, 90 %",
            "Nine of ten took no longer than this.",
            "s",
            [
                Query(
                    "histogram_quantile(0.9, sum by (leg, le) (returnwatch_day_leg_seconds_bucket{@}))",
                    "{{leg}}",
                )
            ],
        ),
        Panel(
            "Forgotten",
            "Returns erased on request, and later records of them that were passed over (docs/privacy.md).",
            "short",
            [
                Query("sum(increase(returnwatch_erased_total{@}[24h]))", "erased"),
                Query("sum(increase(returnwatch_forgotten_records_total{@}[24h]))", "records passed over"),
            ],
            width=12,
        ),
        Panel(
            "Not counted, never linked",
            "Returns that add nothing to the KPIs any more, and parcels that no label ever linked to a return.",
            "short",
            [
                Query("sum(increase(returnwatch_returns_not_counted_total{@}[24h]))", "not counted"),
                Query("sum(increase(returnwatch_orphans_expired_total{@}[24h]))", "never linked"),
            ],
            width=12,
        ),
    ],
)

RETURNS = Dashboard(
    "returnwatch-returns",
    "Returnwatch: returns",
    "What is open and what it is worth, what opens and closes, how long returns and refunds take.",
    [_OPEN, _CHANGES, _MONEY, _DAYS],
    [Variable("rule", "Rule", 'label_values(returnwatch_open_cases{job=~"$job"}, rule)')],
)
