"""The dashboard for whoever keeps the workers running: is anything late, what holds it, what does it cost."""

from agents.dashboard_model import Dashboard, Kind, Panel, Query, Row

_WELL = Row(
    "Is it well?",
    [
        Panel(
            "Workers ready",
            "Workers that do their work. A worker that recovers its state is not ready yet; /ready says what it waits for.",
            "short",
            [Query("sum(returnwatch_ready{@})", "ready")],
            Kind.NUMBER, width=4, height=5, red_below=1,
        ),
        Panel(
            "Alerts firing",
            "Alerts of Returnwatch that fire now, without the watchdog, which always does. Runbooks: docs/runbooks.md.",
            "short",
            [
                Query(
                    'count(ALERTS{alertname=~"Returnwatch.*",alertname!="ReturnwatchWatchdog",alertstate="firing"}) '
                    "or vector(0)",
                    "firing",
                )
            ],
            Kind.NUMBER, width=4, height=5, red_above=1,
        ),
        Panel(
            "Watermark behind",
            "How late an exception is found at worst. It is never below the setting `skew` (60 s); from ten minutes on it pages.",
            "s",
            [Query("max(returnwatch_lag_seconds{@})", "behind")],
            Kind.NUMBER, width=4, height=5, red_above=600,
        ),
        Panel(
            "Records waiting",
            "Records of all topics that have not been processed. After a standstill this falls while the watermark stands.",
            "short",
            [Query("sum(returnwatch_lag_records{@})", "waiting")],
            Kind.NUMBER, width=4, height=5,
        ),
        Panel(
            "Dead letters today",
            "Records refused in the last 24 hours. `returnwatch dlq list` shows them by reason.",
            "short",
            [Query("sum(increase(returnwatch_dead_letters_total{@}[24h]))", "refused")],
            Kind.NUMBER, width=4, height=5,
        ),
        Panel(
            "Open cases",
            "Open cases of all rules. What they are: the dashboard Returns.",
            "short",
            [Query("sum(returnwatch_open_cases{@})", "open")],
            Kind.NUMBER, width=4, height=5,
        ),
    ],
)  # fmt: skip
_TIME = Row(
    "Time",
    [
        Panel(
            "Watermark behind, by stage",
            "How far each stage's slowest partition is behind the log's clock. Returns wait for parcels, parcels for intake.",
            "s",
            [Query("max by (stage) (returnwatch_lag_seconds{@})", "{{stage}}")],
        ),
        Panel(
            "What holds the watermark",
            "The source that a stage waits for most. A name that stays is the one to look at: a partition nobody reads, "
            "or a transaction left open.",
            "s",
            [Query("topk(8, max by (stage, source) (returnwatch_watermark_held_by_seconds{@}))", "{{stage}} {{source}}")],
        ),
        Panel(
            "Detection delay",
            "From a case's deadline (and the skew) to its escalation. The 99th percentile shows what the slowest waited for.",
            "s",
            [
                Query(
                    f"histogram_quantile({share}, sum by (le) "
                    "(rate(returnwatch_detection_delay_seconds_bucket{@}[$__rate_interval])))",
                    legend,
                )
                for share, legend in ((0.5, "median"), (0.99, "99 %"))
            ],
        ),
        Panel(
            "Since the last progress",
            "How long no position of a worker has moved. Markers move idle partitions too, so a climbing line is a standstill.",
            "s",
            [
                Query(
                    "time() - max by (instance) (returnwatch_last_progress_timestamp_seconds{@})",
                    "{{instance}}",
                )
            ],
            red_above=120,
        ),
        Panel(
            "Clock skew",
            "How far the broker's clock ran ahead of the time that passed here. Above 30 s the watermark stands.",
            "s",
            [Query("max by (instance) (returnwatch_clock_skew_seconds{@})", "{{instance}}")],
            red_above=30,
        ),
        Panel(
            "Heartbeats failed",
            "Heartbeats or questions for end offsets that failed: no marker was written, and the watermark waits.",
            "short",
            [
                Query(
                    "sum by (instance) (increase(returnwatch_heartbeat_failures_total{@}[$__rate_interval]))",
                    "{{instance}}",
                )
            ],
        ),
    ],
)  # fmt: skip
_RECORDS = Row(
    "Records",
    [
        Panel(
            "Input",
            "Input records a second, by what became of them. Refused ones are in the dead letters.",
            "cps",
            [
                Query(
                    "sum by (topic, result) (rate(returnwatch_events_consumed_total{@}[$__rate_interval]))",
                    "{{topic}} {{result}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Records waiting, by topic",
            "Records up to the last stable offset that were not processed. What matters is whether it falls.",
            "short",
            [Query("sum by (topic) (returnwatch_lag_records{@})", "{{topic}}")],
        ),
        Panel(
            "Dead letters, by reason",
            "Records refused, by why. A reason that begins with a producer's release is that producer's to mend.",
            "short",
            [Query("sum by (reason) (increase(returnwatch_dead_letters_total{@}[$__rate_interval]))", "{{reason}}")],
            stacked=True,
        ),
        Panel(
            "Left out",
            "Facts known already, too old, beyond what a key may hold, records of our own topics that could not be read, "
            "and input that retention deleted before it was read. The last two should be nothing.",
            "short",
            [
                Query("sum(increase(returnwatch_duplicates_total{@}[$__rate_interval]))", "known already"),
                Query("sum(increase(returnwatch_too_old_total{@}[$__rate_interval]))", "too old"),
                Query("sum(increase(returnwatch_truncated_total{@}[$__rate_interval]))", "truncated"),
                Query("sum(increase(returnwatch_passed_over_total{@}[$__rate_interval]))", "passed over"),
                Query("sum(increase(returnwatch_lost_to_retention_total{@}[$__rate_interval]))", "lost to retention"),
            ],
        ),
        Panel(
            "Schema registry",
            "0 while the registry is taken to be away. Without `confluent` topics it is 1 and nothing is asked.",
            "short",
            [
                Query("min(returnwatch_schema_registry_available{@})", "answers"),
                Query(
                    "sum by (result) (increase(returnwatch_schema_fetches_total{@}[$__rate_interval]))",
                    "asked: {{result}}",
                ),
            ],
        ),
        Panel(
            "Backfill",
            "Partitions that hold their timers while history is loaded: nothing is told meanwhile.",
            "short",
            [Query("sum by (stage) (returnwatch_backfill{@})", "{{stage}}")],
        ),
    ],
)  # fmt: skip
_WORKERS = Row(
    "Workers",
    [
        Panel(
            "Partitions moving",
            "Rebalances, partitions taken over, and writes refused because another worker had taken a partition over.",
            "short",
            [
                Query("sum(increase(returnwatch_rebalances_total{@}[$__rate_interval]))", "rebalances"),
                Query("sum(increase(returnwatch_takeovers_total{@}[$__rate_interval]))", "taken over"),
                Query("sum(increase(returnwatch_fenced_total{@}[$__rate_interval]))", "fenced"),
            ],
        ),
        Panel(
            "Read again",
            "Chunks dropped because they did not follow their partition's position, and partitions read again. A few at a "
            "rebalance are in order.",
            "short",
            [
                Query("sum(increase(returnwatch_stale_chunks_total{@}[$__rate_interval]))", "stale chunks"),
                Query("sum(increase(returnwatch_read_again_total{@}[$__rate_interval]))", "read again"),
            ],
        ),
        Panel(
            "Recovery",
            "How long the last recovery of each worker took, from its assignment to its first record.",
            "s",
            [Query("max by (instance) (returnwatch_recovery_seconds{@})", "{{instance}}")],
        ),
        Panel(
            "State on disk",
            "Size of the local stores. They are caches of the changelogs: losing one costs a recovery.",
            "bytes",
            [Query("sum by (instance, stage) (returnwatch_state_bytes{@})", "{{instance}} {{stage}}")],
            stacked=True,
        ),
        Panel(
            "Keys",
            "Parcels and returns that are kept, with their cells of KPIs.",
            "short",
            [Query("sum by (stage) (returnwatch_state_keys{@})", "{{stage}}")],
        ),
        Panel(
            "Stores rebuilt",
            "Local stores found corrupt or stale, wiped and rebuilt. More than one in a while: look at the disk.",
            "short",
            [
                Query(
                    "sum by (instance) (increase(returnwatch_state_corruption_total{@}[$__rate_interval]))",
                    "{{instance}}",
                )
            ],
        ),
        Panel(
            "Processor",
            "Cores that a worker uses. One worker uses little more than one: add workers, not cores.",
            "short",
            [Query("rate(process_cpu_seconds_total{@}[$__rate_interval])", "{{instance}}")],
        ),
        Panel(
            "Memory",
            "Resident memory of a worker; the limit in deploy/kubernetes is what it has to stay under.",
            "bytes",
            [Query("process_resident_memory_bytes{@}", "{{instance}}")],
        ),
        Panel(
            "Version and policy",
            "Workers by version, and by the policy in force. Two of either for longer than a roll-out is a mistake.",
            "short",
            [
                Query("count by (version) (returnwatch_build_info{@})", "version {{version}}"),
                Query("count by (hash) (returnwatch_policy_info{@})", "policy {{hash}}"),
            ],
        ),
    ],
)  # fmt: skip

OPERATIONS = Dashboard(
    "returnwatch-operations",
    "Returnwatch: operations",
    "Whether the workers keep up, what holds them, and what they use.",
    [_WELL, _TIME, _RECORDS, _WORKERS],
)
