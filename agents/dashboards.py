"""Writes deploy/grafana/dashboards: `python -m agents.dashboards`."""

import sys
from pathlib import Path

from agents.dashboard_carriers import CARRIERS
from agents.dashboard_operations import OPERATIONS
from agents.dashboard_returns import RETURNS

DIRECTORY = Path(__file__).parent.parent / "deploy/grafana/dashboards"
DASHBOARDS = (OPERATIONS, RETURNS, CARRIERS)


def main() -> int:
    """Write a file for each dashboard."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (DIRECTORY / f"{dashboard.uid}.json").write_text(dashboard.text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
