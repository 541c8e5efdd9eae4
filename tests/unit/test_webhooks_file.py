"""What `returnwatch receive` says of a file: all that is wrong at once, with its line; and what it makes of a right one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.errors import SettingsError
from agents.receive_command import endpoints_of, webhooks_of
from agents.settings import Settings
from tests.command_line import returnwatch

GOOD = """\
webhooks:
  aftership:
    topic: scans-aftership
    secrets: [AFTERSHIP_SECRET]
    signing: {header: aftership-hmac-sha256, encoding: base64}
  shippo:
    topic: scans-shippo
    secrets: [SHIPPO_NEW, SHIPPO_OLD]
    signing: {header: Shippo-Auth-Signature, part: v1, timestamp_part: t, signed: "{timestamp}.{body}"}
    per_second: 5
"""
BAD = """\
webhooks:
  AfterShip:
    topic: scans aftership
    secret: [AFTERSHIP_SECRET]
    signing: {header: aftership-hmac-sha256, encoding: base32}
  shippo:
    topic: scans-shippo
    secrets: []
"""


def findings(file: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        endpoints_of(webhooks_of(file, Settings()), environ or {}, str(file))
    return [str(finding).removeprefix(str(file)) for finding in refused.value.findings]


def test_everything_that_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    found = findings(tmp_path / "webhooks.yaml", BAD)
    assert [one.partition(": ")[0] for one in found] == [":2:3", ":3:5", ":3:12", ":4:5", ":5:56", ":8:14"]
    assert "`secret` is not known here; did you mean `secrets`?" in found[3]
    assert "'hex' or 'base64'" in found[4]


def test_secrets_that_are_not_there_are_told_of_by_name_and_never_shown(tmp_path: Path) -> None:
    found = findings(tmp_path / "webhooks.yaml", GOOD, {"AFTERSHIP_SECRET": "hush", "SHIPPO_NEW": ""})
    assert [one.split(";")[0] for one in found] == [
        ": shippo: there is no environment variable SHIPPO_NEW, or it is empty",
        ": shippo: there is no environment variable SHIPPO_OLD, or it is empty",
    ]
    assert "hush" not in "".join(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has to be a mapping with `webhooks:` in it"),
        ("- a", "has to be a mapping with `webhooks:` in it"),
        ("webhooks: {", "not YAML"),
        ("webhooks: {}", "at least 1 item"),
        ("hooks: {}", "`hooks` is not known here; did you mean `webhooks`?"),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path: Path, text: str, words: str) -> None:
    assert words in "\n".join(findings(tmp_path / "webhooks.yaml", text))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        webhooks_of(tmp_path / "none.yaml", Settings())


def test_check_shows_what_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv("SHIPPO_NEW", "hush")
    answer = returnwatch("receive", str(file), "--check")
    assert answer.code == 0, answer.err
    lines = [line.split() for line in answer.out.splitlines()]
    assert lines[1][:2] == ["/in/aftership", "scans-aftership"]
    assert "any" in lines[1]
    assert lines[2][:2] == ["/in/shippo", "scans-shippo"]
    assert (lines[1][-3:], lines[2][-5:]) == (["0", "of", "1", "set"][-3:], ["s", "1", "of", "2", "set"])
    assert "hush" not in answer.out + answer.err


@pytest.mark.parametrize(
    "topic", ["commands", "returnwatch-returns", "returnwatch-cases", "returnwatch-dead-letters"]
)
def test_nobody_outside_may_write_what_is_ours_or_what_people_tell(tmp_path: Path, topic: str) -> None:
    (found,) = findings(tmp_path / "webhooks.yaml", GOOD.replace("scans-shippo", topic))
    assert f"topic {topic} is one of Returnwatch's own, or of people's commands" in found


def test_a_secret_in_the_place_of_its_name_is_not_shown(tmp_path: Path) -> None:
    (found,) = findings(tmp_path / "webhooks.yaml", GOOD.replace("AFTERSHIP_SECRET", "whsec-Zm9v/YmFy=="))
    assert "pattern" in found
    assert "Zm9v" not in found
