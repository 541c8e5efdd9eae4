"""When an installation goes live is part of the policy in the log; a flag counts at the first start."""

from datetime import UTC, datetime

import pytest

from agents.errors import PolicyRefusedError
from agents.settings import Settings
from agents.worker import with_go_live
from schemas.policy_loading import default_policy

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def test_the_first_start_takes_the_flag() -> None:
    policy = with_go_live(default_policy(), Settings(go_live_at=NOON), None)
    assert policy.go_live_at == NOON


def test_a_file_that_does_not_speak_of_it_keeps_what_is_in_force() -> None:
    in_force = default_policy().model_copy(update={"go_live_at": NOON})
    assert with_go_live(default_policy(), Settings(), in_force).go_live_at == NOON
    assert with_go_live(default_policy(), Settings(go_live_at=NOON), in_force).hash == in_force.hash


def test_a_flag_that_the_log_does_not_know_is_refused_and_says_what_to_do() -> None:
    with pytest.raises(PolicyRefusedError, match="it counts at the first start"):
        with_go_live(default_policy(), Settings(go_live_at=NOON), default_policy())
