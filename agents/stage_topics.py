"""Which topics each stateful stage reads and writes, by the settings."""

from agents.settings import Settings
from agents.stage import StageTopics
from streams.watermark import PARCELS_SOURCE


def parcels_topics(settings: Settings) -> StageTopics:
    """Of the parcel stage: reports and its watermark go to every partition of `returns`."""
    names = settings.topics
    to_returns = (names.returns, settings.returns_partitions)
    outputs = {"returns": to_returns}
    return StageTopics(
        "parcels", names.parcels, names.parcel_changelog, outputs, to_returns, tuple(names.kinds())
    )


def returns_topics(settings: Settings) -> StageTopics:
    """Of the return stage: its watermark waits for the inputs and for the parcel stage."""
    names, count = settings.topics, settings.returns_partitions
    outputs = {
        "escalations": (names.escalations, count),
        "cases": (names.cases, count),
        "refund-signals": (names.refund_signals, count),
        "command-answers": (names.command_answers, count),
        "journeys": (names.journeys, count),
        "kpis": (names.kpis, count),
    }
    sources = (*names.kinds(), PARCELS_SOURCE)
    return StageTopics("returns", names.returns, names.return_changelog, outputs, None, sources)
