"""The dashboard about those who carry: whether their feeds speak, what is understood of them, how quick they are."""

from agents.dashboard_model import Dashboard, Kind, Panel, Query, Row, Variable

_CARRIER = 'carrier=~"$carrier"'
_FEED = 'feed=~"$feed"'
_OF_PARCELS = (
    "missing_first_scan|pickup_failed|stalled_.*|transit_overdue|misrouted|delivery_failed|returned_to_customer|"
    "carrier_reported_.*|delivered_elsewhere_suspected|moving_after_delivery"
)

_FEEDS = Row(
    "Feeds",
    [
        Panel(
            "How each feed stands",
            "A feed that is silent, or not drained yet, holds what waits for it: no parcel is called late meanwhile "
            "(docs/feeds.md).",
            "short",
            [Query(f"max by (feed) (returnwatch_feed_state{{@,{_FEED}}})", "{{feed}}")],
            Kind.STATES, width=12,
            words=((0, "as usual", "green"), (1, "lagging", "yellow"), (2, "silent", "red")),
        ),
        Panel(
            "Not heard for",
            "Log time since something of a feed came last. Nights and Sundays are in its rhythm; how it stands counts.",
            "s",
            [
                Query(
                    "scalar(max(returnwatch_watermark_timestamp_seconds{@})) - "
                    f"max by (feed) (returnwatch_feed_last_heard_timestamp_seconds{{@,{_FEED}}})",
                    "{{feed}}",
                )
            ],
            width=12,
        ),
        Panel(
            "Waitings held",
            "Waitings beyond their deadline that are not told, for their feed is silent. The policy's `hold_longest` ends it.",
            "short",
            [Query(f"sum by (feed) (returnwatch_held_waits{{@,{_FEED}}})", "{{feed}}")],
            stacked=True,
        ),
        Panel(
            "Value held",
            "What these are worth, in the currency's minor unit; the largest sums of each worker. 0: nothing is held.",
            "short",
            [
                Query(
                    f"sum by (feed, currency) (returnwatch_held_value_minor_units{{@,{_FEED}}}) "
                    f"or sum by (feed) (returnwatch_held_waits{{@,{_FEED}}} == 0)",
                    "{{feed}} {{currency}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "How late events come",
            "From an event's own time to its arrival (of one record in 32). What is always late is the policy's `allowances`.",
            "s",
            [
                Query(
                    f"histogram_quantile({share}, sum by (le) "
                    "(rate(returnwatch_event_lateness_seconds_bucket{@}[$__rate_interval])))",
                    legend,
                )
                for share, legend in ((0.5, "median"), (0.9, "90 %"))
            ],
        ),
    ],
)  # fmt: skip
_PARCELS = Row(
    "Parcels",
    [
        Panel(
            "Label to first scan, median",
            "Of the first scans of the last UTC day that is over.",
            "s",
            [
                Query(
                    "histogram_quantile(0.5, sum by (carrier, le) "
                    f"(returnwatch_day_first_scan_seconds_bucket{{@,{_CARRIER}}}))",
                    "{{carrier}}",
                )
            ],
        ),
        Panel(
            "Label to first scan, 90 %",
            "Nine of ten of that day's took no longer than this.",
            "s",
            [
                Query(
                    "histogram_quantile(0.9, sum by (carrier, le) "
                    f"(returnwatch_day_first_scan_seconds_bucket{{@,{_CARRIER}}}))",
                    "{{carrier}}",
                )
            ],
        ),
        Panel(
            "First scans of the day",
            "How many parcels were scanned for the first time on the last UTC day that is over.",
            "short",
            [Query(f"sum by (carrier) (returnwatch_day_first_scan_seconds_gcount{{@,{_CARRIER}}})", "{{carrier}}")],
            stacked=True,
        ),
        Panel(
            "Open cases about carriage",
            "Open cases of the rules that ask something of a carrier.",
            "short",
            [Query(f'sum by (rule) (returnwatch_open_cases{{@,rule=~"{_OF_PARCELS}"}})', "{{rule}}")],
            width=12, stacked=True,
        ),
        Panel(
            "Opened about carriage",
            "Cases opened of these rules.",
            "short",
            [
                Query(
                    'sum by (rule) (increase(returnwatch_escalations_total{@,transition="opened",'
                    f'rule=~"{_OF_PARCELS}"}}[$__rate_interval]))',
                    "{{rule}}",
                )
            ],
            width=12, stacked=True,
        ),
    ],
)  # fmt: skip
_UNDERSTOOD = Row(
    "What is understood",
    [
        Panel(
            "Codes not understood",
            "Scans whose carrier code is not in the tables: they prove nothing. `returnwatch carriers gaps` names the codes.",
            "short",
            [
                Query(
                    f"sum by (carrier) (increase(returnwatch_unmapped_codes_total{{@,{_CARRIER}}}[$__rate_interval]))",
                    "{{carrier}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Numbers that cannot be right",
            "Labels whose tracking number fails its carrier's check digit: mistyped, or another carrier's.",
            "short",
            [
                Query(
                    f"sum by (carrier) (increase(returnwatch_doubtful_numbers_total{{@,{_CARRIER}}}[$__rate_interval]))",
                    "{{carrier}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Carriers not known, times set back",
            "Events of carriers that no table knows, and events dated too far in the future.",
            "short",
            [
                Query(
                    "sum(increase(returnwatch_unknown_carriers_total{@}[$__rate_interval]))",
                    "carrier not known",
                ),
                Query("sum(increase(returnwatch_clamped_times_total{@}[$__rate_interval]))", "time set back"),
            ],
        ),
        Panel(
            "Answers without a history",
            "Of carriers' payloads: an error in place of a history, no event yet, a scan that is too old.",
            "short",
            [Query("sum by (kind) (increase(returnwatch_answers_total{@}[$__rate_interval]))", "{{kind}}")],
            width=12,
        ),
        Panel(
            "Records that are no event",
            "Records in order that tell of nothing: a row or a table was emptied, a tombstone.",
            "short",
            [Query("sum by (kind) (increase(returnwatch_no_events_total{@}[$__rate_interval]))", "{{kind}}")],
            width=12,
        ),
    ],
)

CARRIERS = Dashboard(
    "returnwatch-carriers",
    "Returnwatch: carriers",
    "Whether each feed speaks, what is understood of it, and how quick each carrier is.",
    [_FEEDS, _PARCELS, _UNDERSTOOD],
    [
        Variable(
            "carrier", "Carrier", 'label_values(returnwatch_unmapped_codes_total{job=~"$job"}, carrier)'
        ),
        Variable("feed", "Feed", 'label_values(returnwatch_feed_state{job=~"$job"}, feed)'),
    ],
)
