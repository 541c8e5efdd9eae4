"""What ends `make mutation`: survivors that nobody has judged, and judgements that no longer hold."""

from collections import Counter

from tests.mutation.survivors import LIST, Change, changed, equivalents, verdict

NAME = "streams.rules.runs.x_runs__mutmut_12"
DIFF = """\
# streams.rules.runs.x_runs__mutmut_12: survived
--- streams/rules/runs.py
+++ streams/rules/runs.py
@@ -20,5 +20,5 @@
     until_ms = 0
-    for fact in facts:
-        if fact.at_ms < until_ms:
+    for fact in facts:
+        if fact.at_ms <= until_ms:
             continue
"""
CHANGE = Change(
    "streams.rules.runs.runs",
    "for fact in facts: if fact.at_ms < until_ms:",
    "for fact in facts: if fact.at_ms <= until_ms:",
)
ENTRY = f"""
[[equivalent]]
function = "{CHANGE.function}"
was = "{CHANGE.was}"
now = "{CHANGE.now}"
because = "of an example"
"""
RUN = Counter(killed=9, survived=1)


def test_a_mutant_is_known_by_its_function_and_what_it_changes() -> None:
    assert changed(NAME, DIFF) == CHANGE
    assert equivalents(ENTRY) == {CHANGE}


def test_a_survivor_that_nobody_has_judged_fails_and_a_judged_one_does_not() -> None:
    (said,) = verdict(RUN, {NAME: CHANGE}, set())
    assert said.startswith(f"{NAME} survived: in streams.rules.runs.runs\n  - for fact in facts:")
    assert verdict(RUN, {NAME: CHANGE}, {CHANGE}) == []


def test_a_judgement_of_a_mutant_that_is_killed_by_now_fails() -> None:
    (said,) = verdict(Counter(killed=10), {}, {CHANGE})
    assert "delete the entry" in said


def test_a_run_that_did_not_end_or_found_nothing_fails() -> None:
    for statuses in (
        Counter(),
        Counter({"killed": 9, "no tests": 1}),
        Counter({"killed": 9, "not checked": 1}),
    ):
        (said,) = verdict(statuses, {}, set())
        assert "make mutation" in said


def test_every_equivalent_mutant_has_its_reason() -> None:
    text = LIST.read_text(encoding="utf-8")
    assert text.count("because = ") == text.count("[[equivalent]]") == len(equivalents(text))
