"""What happens in the night that `make oncall-demo` plays: who was called, and what was held back."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from agents.alert_receiver import Notice

PAGE: Final = "ReturnwatchFeedSilent"
PAGERS: Final = ("operations-pages", "business-pages")


@dataclass
class Night:
    """What happened, as far as it is known."""

    now: datetime
    watermark: datetime | None = None
    held_waits: int = 0
    """The most waitings of parcels that the worker held at a time."""
    held_back: set[tuple[str, str]] = field(default_factory=set)
    """(alert, feed or other label) that Alertmanager told nobody."""
    notices: list[Notice] = field(default_factory=list)
    noticed_at: list[datetime] = field(default_factory=list)
    """When they came, by the simulated clock."""

    def pages(self) -> list[Notice]:
        """What called somebody."""
        return [one for one in self.notices if one.receiver in PAGERS and one.status == "firing"]

    def note(self) -> None:
        """Take down when the newest came."""
        self.noticed_at += [self.now] * (len(self.notices) - len(self.noticed_at))

    def timeline(self) -> list[tuple[datetime, Notice]]:
        """What came to people, and when."""
        told = zip(self.noticed_at, self.notices, strict=False)
        return [(at, one) for at, one in told if one.receiver != "dead-mans-switch"]

    def is_over(self) -> bool:
        """Whether the page has been taken back."""
        return any(one.receiver in PAGERS and one.status == "resolved" for one in self.notices)

    def is_good(self, feed: str) -> bool:
        """Whether exactly the one page came, about the one feed."""
        pages = self.pages()
        labels = [alert["labels"] for page in pages for alert in page.alerts]
        return len(pages) == 1 and [(one["alertname"], one.get("feed")) for one in labels] == [(PAGE, feed)]
