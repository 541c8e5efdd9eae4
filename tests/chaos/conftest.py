"""What every test with troubles needs."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def _quiet_clients(caplog: pytest.LogCaptureFixture) -> None:
    """A broker that is down makes aiokafka's clients say so many times a second; that would hide a failure's own words."""
    caplog.set_level(logging.CRITICAL, logger="aiokafka")
