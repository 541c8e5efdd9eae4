"""What a replay of the log calls the same, and what it does not."""

import pytest

from agents.replay_log import Said, compare
from tests.command_line import returnwatch


def said(letters: str) -> list[Said]:
    return [Said(letter.encode(), letter.encode(), (("ce_id", b"1"),)) for letter in letters]


@pytest.mark.parametrize(
    ("expected", "live", "may_be_gone", "counts"),
    [
        ("abc", "abc", False, {"same": 3}),
        ("", "", False, {}),
        ("abc", "ababc", False, {"same": 3, "said again": 2}),
        ("abca", "abca", False, {"same": 4}),
        ("abca", "ababca", False, {"same": 4, "said again": 2}),
        ("abc", "ac", False, {"same": 2, "missing": 1}),
        ("abc", "ac", True, {"same": 2, "gone since": 1}),
        ("abc", "ab", True, {"same": 2, "missing": 1}),
        ("abc", "abcx", False, {"same": 3, "different": 1}),
        ("abc", "axc", False, {"same": 2, "missing": 1, "different": 1}),
        ("abc", "acb", False, {"same": 2, "missing": 1, "different": 1}),
    ],
)
def test_messages_are_compared_in_order(
    expected: str, live: str, may_be_gone: bool, counts: dict[str, int]
) -> None:
    found = compare(said(expected), list(enumerate(said(live))), "cases/0", may_be_gone=may_be_gone)
    assert {name: count for name, count in found.counts.items() if count} == counts
    assert len(found.different) == counts.get("missing", 0) + counts.get("different", 0)


def test_one_byte_of_a_header_is_a_difference() -> None:
    live = [(7, Said(b"a", b"a", (("ce_id", b"2"),)))]
    found = compare(said("a"), live, "cases/0", may_be_gone=False)
    assert found.different == [
        "cases/0@7: the replay does not say this of a",
        "cases/0: only the replay says this of a",
    ]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--log", "events.jsonl"), "--log: goes with no events and no policy"),
        (("--log", "--policy", "a.yaml"), "--log: goes with no events and no policy"),
        (("--log", "--topics"), "--log: goes with no events and no policy"),
        (("--topics", "events.jsonl"), "FILE: does not go with --topics"),
        (("--from", "2026-03-02T09:00:00Z", "events.jsonl"), "--from, --to: are of topics"),
        (("--topics", "--from", "yesterday"), "--from: 'yesterday' is no time"),
        ((), "FILE: is missing"),
    ],
)
def test_wrong_options_are_told(options: tuple[str, ...], what: str) -> None:
    answer = returnwatch("replay", *options)
    assert answer.code == 1
    assert what in answer.err
