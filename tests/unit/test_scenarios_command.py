"""`returnwatch check --scenarios`: what a person sees whose scenarios pass, fail or cannot be read."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.command_line import Answer, returnwatch

LABEL = 'label_created: {return_id: R1, carrier: ups, tracking_number: "1Z1"}'
SCAN = 'carrier_scan: {carrier: ups, tracking_number: "1Z1", milestone: in_transit}'
STORY = f"""\
- scenario: nobody scans it
  log:
    - {{at: 0h, {LABEL}}}
    - {{by: 72h, expect: ["missing_first_scan R1 ups:1Z1: opened"]}}
"""


def written(folder: Path, text: str, name: str = "story.yaml") -> Path:
    file = folder / name
    file.write_text(dedent(text), encoding="utf-8")
    return file


def check(*paths: Path, policy: Path | None = None) -> Answer:
    flags = ["--policy", str(policy)] if policy else []
    return returnwatch("check", "--scenarios", *map(str, paths), *flags)


def passes(folder: Path, text: str, policy: Path | None = None) -> None:
    answer = check(written(folder, text), policy=policy)
    assert answer.code == 0, answer.out + answer.err


# -- output -------------------------------------------------------------------------------------------------------


def test_each_scenario_that_passed_is_named_and_all_are_counted(tmp_path: Path) -> None:
    file = written(tmp_path, STORY)
    answer = check(file)
    assert answer.code == 0
    assert answer.out.splitlines() == [
        str(file),
        "  ok      nobody scans it",
        "1 scenario in 1 file by the default policy: all passed",
    ]


def test_quiet_names_only_what_failed(tmp_path: Path) -> None:
    file = written(tmp_path, STORY)
    answer = returnwatch("check", "--quiet", "--scenarios", str(file))
    assert answer.out.splitlines() == ["1 scenario in 1 file by the default policy: all passed"]


def test_a_failure_shows_what_differs_and_where(tmp_path: Path) -> None:
    text = (
        STORY
        + f"""\
    - {{at: 80h, {SCAN}}}
    - {{by: 81h, expect: ["missing_first_scan R1 ups:1Z1: retracted late_evidence"]}}
"""
    )
    file = written(tmp_path, text)
    answer = check(file)
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[1:5] == [
        "  failed  nobody scans it",
        f"    {file}:6:7 by 81h (Thu 2026-01-08 09:00 UTC)",
        "      - missing_first_scan R1 ups:1Z1: retracted late_evidence",
        "      + missing_first_scan R1 ups:1Z1: resolved first_scan",
    ]
    assert "it was first scanned on 2026-01-08 08:00" in lines[5]
    assert lines[6] == "1 scenario in 1 file by the default policy: 1 failed, 0 passed"


def test_what_no_check_asks_for_is_a_failure(tmp_path: Path) -> None:
    text = STORY + f"    - {{at: 80h, {SCAN}}}\n"
    answer = check(written(tmp_path, text))
    assert answer.code == 1
    assert "story.yaml:1:3 after the last check" in answer.out
    assert "+ missing_first_scan R1 ups:1Z1: resolved first_scan" in answer.out


def test_folders_files_and_what_a_shell_makes_of_a_star(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    one, other = written(tmp_path, STORY, "one.yaml"), written(inner, STORY, "other.yml")
    written(inner, "no scenario", "notes.txt")
    assert "2 scenarios in 2 files" in check(tmp_path).out
    assert "2 scenarios in 2 files" in check(one, other).out
    assert "2 scenarios in 2 files" in check(one, inner, one).out


# -- policies -----------------------------------------------------------------------------------------------------


def test_scenarios_are_played_by_the_users_policy(tmp_path: Path) -> None:
    policy = written(tmp_path, "rules: {missing_first_scan: {budget: 80h}}", "policy.yml")
    file = written(tmp_path, STORY.replace("72h", "80h"))
    answer = check(file, policy=policy)
    assert answer.code == 0, answer.out
    assert f"by the policy in {policy}: all passed" in answer.out
    assert check(written(tmp_path, STORY), policy=policy).code == 1


def test_the_policy_of_the_settings_is_the_users_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = written(tmp_path, "rules: {missing_first_scan: {budget: 80h}}", "policy.yml")
    monkeypatch.setenv("RETURNWATCH_POLICY_FILE", str(policy))
    assert check(written(tmp_path, STORY.replace("72h", "80h"))).code == 0
    assert check(written(tmp_path, STORY)).code == 1


def test_a_policy_that_cannot_be_read_is_told_and_nothing_is_played(tmp_path: Path) -> None:
    policy = written(tmp_path, "rules: {missing_first_scan: {bugdet: 80h}}", "policy.yml")
    answer = check(written(tmp_path, STORY), policy=policy)
    assert answer.code == 1
    assert f"{policy}:1:30" in answer.err
    assert not answer.out


def test_levels_count_only_where_a_scenario_gives_them(tmp_path: Path) -> None:
    policy = written(tmp_path, "levels: [{after: 1h, level: 5}]", "policy.yml")
    passes(tmp_path, STORY + "    - {by: 10d, expect: []}\n", policy)
    told = 'expect: ["missing_first_scan R1 ups:1Z1: escalated to 2"]'
    text = STORY + f"    - {{by: 10d, {told}}}\n  policy: {{levels: [{{after: 48h, level: 2}}]}}\n"
    passes(tmp_path, text, policy)


def test_a_scenario_changes_single_numbers_and_switches_all_other_rules_off(tmp_path: Path) -> None:
    text = f"""\
    - scenario: only the silence counts
      only: [stalled_silent]
      policy: {{rules: {{stalled_silent: {{budget: 6d}}}}}}
      log:
        - {{at: 0h, {LABEL}}}
        - {{by: 10d, expect: []}}
        - {{at: 10d, {SCAN}}}
        - {{by: 16d, expect: ["stalled_silent R1 ups:1Z1: opened"]}}
    """
    passes(tmp_path, text)


def test_a_policy_is_in_force_from_its_step_on(tmp_path: Path) -> None:
    text = (
        STORY
        + """\
    - {at: 73h, policy_applied: {rules: {missing_first_scan: {budget: 90h}}}}
    - {by: 73h, expect: ["missing_first_scan R1 ups:1Z1: retracted policy_changed"]}
    - {by: 90h, expect: ["missing_first_scan R1 ups:1Z1: opened"]}
"""
    )
    passes(tmp_path, text)


def test_what_was_due_before_going_live_is_historical(tmp_path: Path) -> None:
    text = STORY.replace(": opened", ": opened historical") + "  policy: {go_live_at: 2026-01-09T00:00:00Z}\n"
    passes(tmp_path, text)


# -- events -------------------------------------------------------------------------------------------------------


def test_times_may_be_absolute_and_a_scenario_may_start_at_any(tmp_path: Path) -> None:
    text = f"""\
    - scenario: in the summer of another year
      start: 2025-07-01T10:00:00+02:00
      log:
        - {{at: 0h, {LABEL}}}
        - {{by: 2025-07-04T07:59:00Z, expect: []}}
        - {{by: 2025-07-04T10:00:00+02:00, expect: ["missing_first_scan R1 ups:1Z1: opened"]}}
    """
    passes(tmp_path, text)


def test_a_milestone_has_the_usual_evidence_unless_it_says_another(tmp_path: Path) -> None:
    def scan(number: str, proves: str) -> str:
        return f'{{at: 1h, carrier_scan: {{carrier: ups, tracking_number: "{number}", {proves}}}}}'

    text = f"""\
    - scenario: data and claims are no scans, codes of the carrier's tables are
      log:
        - {{at: 0h, label_created: {{return_id: R1, carrier: ups, tracking_number: "1Z1"}}}}
        - {{at: 0h, label_created: {{return_id: R2, carrier: ups, tracking_number: "1Z2"}}}}
        - {{at: 0h, label_created: {{return_id: R3, carrier: ups, tracking_number: "1Z3"}}}}
        - {scan("1Z1", "milestone: carrier_preadvised")}
        - {scan("1Z2", "milestone: in_transit, evidence: announced")}
        - {scan("1Z3", "code: OR")}
        - by: 72h
          expect: ["missing_first_scan R1 ups:1Z1: opened", "missing_first_scan R2 ups:1Z2: opened"]
    """
    passes(tmp_path, text)


def test_a_retraction_names_the_id_of_an_event(tmp_path: Path) -> None:
    text = f"""\
    - scenario: it was another parcel that was scanned
      log:
        - {{at: 0h, {LABEL}}}
        - {{at: 1h, {SCAN[:-1]}, id: S1}}}}
        - {{at: 2h, scan_retracted: {{carrier: ups, tracking_number: "1Z1", retracts: S1}}}}
        - {{by: 72h, expect: ["missing_first_scan R1 ups:1Z1: opened"]}}
    """
    passes(tmp_path, text)


# -- what is refused ----------------------------------------------------------------------------------------------


def refusal(folder: Path, text: str) -> str:
    answer = check(written(folder, text))
    assert answer.code == 1
    assert not answer.out
    return " ".join(answer.err.split())


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (
            "{at: 1h, lable_created: {return_id: R1}}",
            "4:16: there is no event `lable_created` do: did you mean `label_c",
        ),
        ("{at: 1h, return_approved: {retrun_id: R1}}", "has no field `retrun_id` why: it would be dropped"),
        ("{at: 1h, return_approved: {}}", "`return_id` is missing why: return_approved needs it"),
        ("{at: 1h, return_approved: {return_id: 17}}", "4:45: `return_id`: 17 is not text"),
        ("{at: 1h, return_approved: R1}", "`return_approved` is a mapping of fields, this is not"),
        ("{at: 1h, return_requested: {return_id: R1, method: stor}}", "'stor' is not what it may be"),
        (
            "{at: 1h, return_approved: {return_id: R1, value: {amout: 1, currency: EUR}}}",
            "4:57: `value` has no field `amout` why: it would be dropped do: did you mean `amount`?",
        ),
        ("{at: 1h, return_approved: {return_id: R1, occurred_at: 1h}}", "do: write `at:` beside the event"),
        ("{at: 1h, return_requested: {return_id: R1, promised_refund_at: soon}}", "'soon' is not a duration"),
        ("{at: 1h, checked_in: {complete: true}}", "needs carrier and tracking_number, or return_id"),
        (
            '{at: 1h, checked_in: {carrier: ups, tracking_number: "--"}}',
            "intake would refuse this event as bad_value why: carrier and tracking_number need",
        ),
        (
            "{at: 2023-01-01T00:00:00Z, told: 1h, restocked: {return_id: R1}}",
            "intake would refuse this event as time_out_of_range",
        ),
        (
            "{at: 1h, carrier_scan: {carrier: ups, tracking_number: Z, milestone: lots}}",
            "did you mean `lost`?",
        ),
        (
            "{at: 1h, carrier_scan: {carrier: ups, tracking_number: Z, evidence: claimed}}",
            "`evidence` without `mil",
        ),
        (
            "{at: 1h, carrier_scan: {carrier: ups, tracking_number: Z, milestone: lost, code: X}}",
            "`code` beside",
        ),
        ("{at: 1, return_approved: {return_id: R1}}", "4:12: 1 is not a time"),
        ("{at: 1x, return_approved: {return_id: R1}}", "'1x' is not a duration"),
        ("{at: 2026-01-05T00:00:00, return_approved: {return_id: R1}}", "has no offset why: it could be any"),
        ("{return_approved: {return_id: R1}}", "a step without `at`"),
        ("{at: 2h, told: 1h, return_approved: {return_id: R1}}", "4:22: told before it happened"),
        ("{at: 9d, return_approved: {return_id: R1}}", "5:12: earlier than the step before"),
        ("{at: 1h}", "a step in which nothing happens"),
        ("{at: 1h, return_approved: {return_id: R1}, restocked: {return_id: R1}}", "more than one event"),
        ("return_approved", "this is no step"),
        ("{at: 1h, policy_applied: {rules: {late_refnd: {}}}}", "4:41: there is no rule `late_refnd`"),
        ("{by: 1h}", "a check without a list of what to expect"),
        ("{by: 1h, expects: [], expect: []}", "a check has no `expects`"),
        ('{by: 1h, expect: ["late_refnd R1: opened"]}', "did you mean `late_refund`?"),
        ('{by: 1h, expect: ["late_refund R1: opend"]}', "did you mean `opened`?"),
        ('{by: 1h, expect: ["late_refund R1: resolved refund"]}', "never resolved with the reason `refund`"),
        ('{by: 1h, expect: ["late_refund R1 opened"]}', "is no change of a case do: write it as"),
        (
            "{by: 1h, expect: [late_refund R1: opened]}",
            "do: write it as `missing_first_scan R1 ups:1Z1: opened`, in q",
        ),
    ],
)
def test_a_step_that_cannot_mean_what_it_says(tmp_path: Path, step: str, told: str) -> None:
    text = f"""\
- scenario: a story
  log:
    # The step
    - {step}
    - {{by: 5d, expect: []}}
"""
    assert told in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "story.yaml:1:1: no list of scenarios"),
        ("scenario: x", "no list of scenarios"),
        ("- a: [", "not YAML"),
        ("- just text", "a scenario is a mapping"),
        ("- {log: [{by: 1h, expect: []}]}", "a scenario without its sentence"),
        ("- {scenario: x}", "a scenario without steps"),
        ("- {scenario: x, log: [{at: 1h, restocked: {return_id: R1}}]}", "a scenario without a check"),
        ("- {scenario: x, ony: [late_refund], log: [{by: 1h, expect: []}]}", "did you mean `only`?"),
        (
            "- {scenario: x, only: [late_refnd], log: [{by: 1h, expect: []}]}",
            "1:24: there is no rule `late_refnd`",
        ),
        ("- {scenario: x, only: late_refund, log: [{by: 1h, expect: []}]}", "`only` is a list of rules"),
        (
            "- {scenario: x, policy: {settle: 1}, log: [{by: 1h, expect: []}]}",
            "1:34: settle: a duration needs its unit",
        ),
        ("- {scenario: x, policy: strict, log: [{by: 1h, expect: []}]}", "a policy is a mapping"),
        ("- {scenario: x, start: monday, log: [{by: 1h, expect: []}]}", "1:24: 'monday' is not a time"),
        ("- {scenario: x, scenario: y, log: [{by: 1h, expect: []}]}", "`scenario` stands here twice"),
        ("- {scenario: x, example: very, log: [{by: 1h, expect: []}]}", "`example` is true or false"),
    ],
)
def test_a_file_that_is_none_of_scenarios(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_every_finding_of_every_file_is_told_at_once_in_the_order_of_the_files(tmp_path: Path) -> None:
    bad = "- {scenario: x, ony: [a], log: [{by: 1, expect: []}]}"
    one, other = written(tmp_path, bad, "one.yaml"), written(tmp_path, bad, "other.yaml")
    answer = check(other, one, tmp_path / "gone.yaml")
    assert answer.code == 1
    places = [line.split()[1] for line in answer.err.splitlines() if line.startswith("error:")]
    assert [place.rsplit("/", 1)[1] for place in places] == [
        "other.yaml:1:17:",
        "other.yaml:1:38:",
        "one.yaml:1:17:",
        "one.yaml:1:38:",
        "gone.yaml:",
    ]


def test_an_empty_folder_does_not_pass(tmp_path: Path) -> None:
    answer = check(tmp_path)
    assert answer.code == 1
    assert "no .yaml file in this directory" in answer.err


def test_files_need_the_flag_and_the_cluster_is_asked_apart(tmp_path: Path) -> None:
    file = str(written(tmp_path, STORY))
    assert "belongs to no option" in returnwatch("check", file).err
    assert "asks no cluster" in returnwatch("check", "--connect", "--scenarios", file).err


# -- commands -----------------------------------------------------------------------------------------------------


def test_a_command_names_its_case_as_a_change_does_or_by_its_id_as_any_event(tmp_path: Path) -> None:
    known = "71e35b29-7fd4-5f3f-bb1b-8c1f6b1c3a11"
    passes(
        tmp_path,
        STORY
        + f"""\
    - {{at: 80h, acknowledge: {{case: missing_first_scan R1, by: ops-1}}}}
    - {{at: 81h, resolve: {{case: missing_first_scan R1 ups:1Z1, by: ops-1, reason: found}}}}
    - {{at: 82h, reopen: {{id: C1, return_id: R1, case_id: {known}, by: ops-1}}}}
    - by: 83h
      expect:
        - "missing_first_scan R1 ups:1Z1: updated acknowledged"
        - "missing_first_scan R1 ups:1Z1: resolved by_hand"
        - "reopen R1: refused unknown_case"
""",
    )


@pytest.mark.parametrize(
    ("case", "there"),
    [
        ("late_refund", []),
        (
            "missing_first_scan",
            [
                "      + missing_first_scan R1 ups:1Z1: opened",
                "      + missing_first_scan R2 ups:1Z1: opened",
            ],
        ),
    ],
)
def test_a_command_about_none_or_several_cases_fails_and_shows_which_there_are(
    tmp_path: Path, case: str, there: list[str]
) -> None:
    label = LABEL.replace("return_id: R1", "return_ids: [R1, R2]")
    text = f"""\
- scenario: which one?
  log:
    - {{at: 0h, {label}}}
    - {{at: 80h, acknowledge: {{case: {case}, by: ops-1}}}}
    - by: 81h
      expect: ["missing_first_scan R1 ups:1Z1: opened", "missing_first_scan R2 ups:1Z1: opened"]
"""
    file = written(tmp_path, text)
    answer = check(file)
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[2] == f"    {file}:4:7 by 80h (Thu 2026-01-08 08:00 UTC)"
    assert lines[3] == f"      - one case `{case}` to acknowledge"
    assert [line for line in lines if line.startswith("      + ")] == there


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("acknowledge: {case: late_refund}", "`by` is missing"),
        ("acknowledge: {case: late_refund, by: ops 1}", "`by`: string should match pattern"),
        ("acknowledge: {case: 7, by: ops-1}", "`case` names a case by its rule, this does not"),
        ("snooze: {case: late_refund, by: ops-1, until: later}", "'later' is not a duration"),
        ("resolve: {case: late_refund, by: ops-1, reason: bored}", "`reason`: 'bored' is not what it may be"),
        ("assign: {case: late_refund, by: ops-1, too: ops-2}", "`assign` has no field `too`"),
    ],
)
def test_what_is_no_command_is_told_at_its_place(tmp_path: Path, command: str, what: str) -> None:
    answer = check(written(tmp_path, STORY + f"    - {{at: 80h, {command}}}\n"))
    assert answer.code == 1
    assert what in " ".join(answer.err.split())
    assert "story.yaml:5:" in answer.err


@pytest.mark.parametrize(
    "change", ["resolve late_refund R1: refused because", "resolve late_refund R1: done"]
)
def test_an_answer_that_never_comes_is_told(tmp_path: Path, change: str) -> None:
    answer = check(written(tmp_path, STORY + f'    - {{by: 80h, expect: ["{change}"]}}\n'))
    assert answer.code == 1
    assert "a command is never answered with" in answer.err
