"""Scenarios from YAML files (docs/scenarios.md). Nothing is taken on trust: what cannot mean what it says is a finding."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

from agents.errors import Finding, did_you_mean
from agents.policy_reading import finding_of
from agents.scenario_changes import FORM, canonical
from agents.scenario_commands import CASE, Commanded, fields_of_command, names_a_case, problems_of_command
from agents.scenario_events import MODELS, problems_of, record_of
from agents.virtual_time import InputRecord
from schemas.durations import parse_duration
from schemas.events import KIND_OF_TYPE
from schemas.policy import Policy
from schemas.policy_loading import PolicyError, policy_of
from schemas.topics import InputKind
from schemas.vocabulary import RuleId
from schemas.yaml_reading import NotYamlError, Path, YamlReader, compose, start_of
from streams.epoch import epoch_ms
from streams.intake import IntakeMapper

USUAL_START = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""
SCENARIO_KEYS = ("scenario", "example", "start", "policy", "only", "log")
POLICY = "policy_applied"
REPEATED = ("every", "until")
MOST_REPEATS = 10_000
STEP_FORM = (
    "a step is an event, as {at: 20h, restocked: {return_id: R1}}, or a check, as {by: 73h, expect: []}"
)
TIME_FORM = "write it as 73h or 5d 2h after the start, or as 2026-01-31T08:00:00+01:00"


class Appended(NamedTuple):
    """An event, as the record that is appended to its input topic at `at_ms`."""

    at_ms: int
    kind: InputKind
    value: bytes


class Applied(NamedTuple):
    """A policy that is in force from `at_ms` on."""

    at_ms: int
    policy: Policy


class Check(NamedTuple):
    """What must have been said between the check before and `at_ms`."""

    at_ms: int
    place: str
    by: str
    """The time as it was written."""
    expect: tuple[str, ...]


Step = Appended | Applied | Commanded | Check


class Scenario(NamedTuple):
    """A story, ready to be played."""

    sentence: str
    place: str
    example: bool
    """Documentation quotes it."""
    start_ms: int
    policy: Policy
    steps: tuple[Step, ...]


def read_scenarios(
    text: str, file: str, base: Policy, intake: IntakeMapper
) -> tuple[list[Scenario], list[Finding]]:
    """The scenarios in a file's text, and what is wrong with it, in the order of the file.

    `base`: the policy over which theirs are laid; its levels do not count. `intake`: it must know the scenarios' codes
    (agents/scenario_events.py::MilestoneCodes).
    """
    reader = _FileReader(file, base.model_copy(update={"levels": ()}), intake)
    try:
        scenarios = reader.scenarios(text)
    except NotYamlError as error:
        line, column, what = error.finding
        return [], [finding_of(f"{file}:{line}:{column}: {what}")]
    return scenarios, sorted(reader.findings, key=_position)


def _position(finding: Finding) -> tuple[int, ...]:
    return tuple(map(int, finding.where.rsplit(":", 2)[1:]))


class _FileReader:
    def __init__(self, file: str, base: Policy, intake: IntakeMapper) -> None:
        self.file, self.base, self.intake = file, base, intake
        self.findings: list[Finding] = []
        self.yaml = YamlReader()

    def scenarios(self, text: str) -> list[Scenario]:
        node = compose(text)
        content = self.yaml.value(node) if node is not None else None
        self.findings += [
            finding_of(f"{self.file}:{one.line}:{one.column}: {one.text}") for one in self.yaml.findings
        ]
        if not isinstance(content, list) or not content:
            where = self.place(()) if node is not None else f"{self.file}:1:1"
            what, why = "no list of scenarios", "a file without one would pass whatever happens"
            self.findings.append(Finding(where, what, why, "begin with `- scenario: a sentence`"))
            return []
        read = [_ScenarioReader(self, (number,)).read(one) for number, one in enumerate(content)]
        return [scenario for scenario in read if scenario is not None]

    def find(self, path: Path, what: str, why: str = "", todo: str = "", *, at_key: bool = False) -> None:
        self.findings.append(Finding(self.place(path, at_key=at_key), what, why, todo))

    def place(self, path: Path, *, at_key: bool = False) -> str:
        node = self.yaml.keys.get(path) if at_key else None
        line, column = start_of(node or self.yaml.nearest(path))
        return f"{self.file}:{line}:{column}"


class _ScenarioReader:
    """Reads one scenario. Its findings go to the file's; what it returns counts only if there are none."""

    def __init__(self, file: _FileReader, path: Path) -> None:
        self.file, self.path, self.find = file, path, file.find
        self.start = USUAL_START
        self.policy = file.base
        self.last: datetime | None = None
        """Log time of the step before."""
        self.repeats: list[Appended] = []
        """What repeated steps append after their first time."""

    def read(self, content: Any) -> Scenario | None:
        if not isinstance(content, dict):
            todo = "begin it with `scenario:`"
            self.find(self.path, "a scenario is a mapping with a sentence and a log, this is not", "", todo)
            return None
        for key in content:
            if key not in SCENARIO_KEYS:
                todo = did_you_mean(key, SCENARIO_KEYS) or f"known are {', '.join(SCENARIO_KEYS)}"
                self.find((*self.path, key), f"a scenario has no `{key}`", "", todo, at_key=True)
        sentence = content.get("scenario")
        if not isinstance(sentence, str) or not sentence.strip():
            todo = "add `scenario:` with a sentence that says what happens"
            self.find((*self.path, "scenario"), "a scenario without its sentence", "", todo)
        example = content.get("example", False)
        if not isinstance(example, bool):
            self.find((*self.path, "example"), "`example` is true or false", "", "correct or delete it")
        if "start" in content:
            self.start = self.absolute(content["start"], (*self.path, "start")) or self.start
        self.policy = policy = self.first_policy(content)
        steps = self.log(content.get("log"), (*self.path, "log"))
        place = self.file.place(self.path)
        return Scenario(str(sentence), place, example is True, _ms(self.start), policy, steps)

    # -- policy ----------------------------------------------------------------------------------------------

    def first_policy(self, content: Mapping[str, Any]) -> Policy:
        policy = self.file.base
        if content.get("policy") is not None:
            policy = self.laid_over(policy, (*self.path, "policy"))
        if "only" not in content:
            return policy
        path, names, rules = (*self.path, "only"), content["only"], [rule.value for rule in RuleId]
        if not isinstance(names, list) or not names:
            self.find(path, "`only` is a list of rules", "all others are switched off", "write [late_refund]")
            return policy
        for number, name in enumerate(names):
            if name not in rules:
                todo = did_you_mean(str(name), rules) or "docs/rules.md lists the rules"
                self.find((*path, number), f"there is no rule `{name}`", "", todo)
        numbers = {
            rule: one.model_copy(update={"enabled": rule.value in names})
            for rule, one in policy.rules.items()
        }
        return policy.model_copy(update={"rules": numbers})

    def laid_over(self, base: Policy, path: Path) -> Policy:
        try:
            return policy_of(self.file.yaml.places[path], self.file.file, base)
        except PolicyError as error:
            self.file.findings += [finding_of(text) for text in error.findings]
            return base

    # -- steps -----------------------------------------------------------------------------------------------

    def log(self, content: Any, path: Path) -> tuple[Step, ...]:
        if not isinstance(content, list) or not content:
            self.find(path, "a scenario without steps", "it would pass whatever happens", "add a `log:` list")
            return ()
        read = [self.step(step, (*path, number)) for number, step in enumerate(content)]
        steps = tuple(step for step in read if step is not None)
        if len(steps) == len(content):
            steps = tuple(sorted(chain(steps, self.repeats), key=attrgetter("at_ms")))
        if len(steps) >= len(content) and not any(isinstance(step, Check) for step in steps):
            todo = "add {by: 73h, expect: []} with what is said by then"
            self.find(path, "a scenario without a check", "nothing is compared with anything", todo)
        return steps

    def step(self, step: Any, path: Path) -> Step | None:
        if not isinstance(step, dict):
            self.find(path, "this is no step", "", STEP_FORM)
            return None
        if "by" in step or "expect" in step:
            return self.check(step, path)
        names = [key for key in step if key not in {"at", "told", *REPEATED}]
        for name in names:
            if name not in MODELS and name != POLICY:
                todo = did_you_mean(name, [*MODELS, POLICY, "at", "told", *REPEATED, "by", "expect"])
                todo = todo or f"the events are {', '.join(MODELS)}"
                self.find((*path, name), f"there is no event `{name}`", "", todo, at_key=True)
                return None
        if len(names) != 1:
            what = "a step with more than one event" if names else "a step in which nothing happens"
            self.find(path, what, "", STEP_FORM)
            return None
        known = len(self.file.findings)
        at = self.time(step, "at", path) or self.last or self.start
        told = self.time(step, "told", path) or at if "told" in step else at
        if len(self.file.findings) == known and told < at and "every" not in step:
            self.find(
                (*path, "told"), "told before it happened", "", "`told` is the later one: when it came in"
            )
        self.in_order(told, (*path, "told" if "told" in step else "at"))
        return self.what_happens(names[0], step, at, told, path)

    def what_happens(
        self, name: str, step: Mapping[str, Any], at: datetime, told: datetime, path: Path
    ) -> Step | None:
        repeated = any(key in step for key in REPEATED)
        if repeated and (name == POLICY or KIND_OF_TYPE[name] == InputKind.COMMANDS):
            todo = "delete `every` and `until`: only events are"
            self.find(path, f"`{name}` cannot be repeated", "", todo)
        if name == POLICY:
            self.policy = self.laid_over(self.policy, (*path, POLICY))
            return Applied(_ms(told), self.policy)
        if names_a_case(name, step[name]):
            return self.command(name, step, at, told, path)
        read = self.event(name, step[name], at, told, (*path, name))
        if read is not None and repeated:
            self.repeat(name, step, at, told, path)
        return read

    def repeat(self, name: str, step: Mapping[str, Any], at: datetime, told: datetime, path: Path) -> None:
        """The same event again and again, `every` so long `until` a time, each told as late as the first."""
        until, every = self.time(step, "until", path), timedelta(0)
        try:
            every = parse_duration(step.get("every"))
        except ValueError as error:
            what, _, todo = str(error).partition(": ")
            self.find((*path, "every"), what, "", todo)
        if until is None or not every:
            return
        count = (until - at) // every + 1
        if not 1 <= count <= MOST_REPEATS:
            why = f"a step is repeated at least once and at most {MOST_REPEATS} times"
            self.find(path, f"this one would be {max(0, count)} times", why, "correct `every` or `until`")
            return
        for number in range(1, count):
            later = number * every
            value = record_of(name, (at + later).isoformat(), step[name])
            self.repeats.append(Appended(_ms(told + later), KIND_OF_TYPE[name], value))

    def command(
        self, name: str, step: Mapping[str, Any], at: datetime, told: datetime, path: Path
    ) -> Commanded | None:
        """A command about a case of which only the play shows which it is."""
        known = len(self.file.findings)
        below = (*path, name)
        fields = {key: self.field(key, value, (*below, key)) for key, value in step[name].items()}
        for problem in problems_of_command(name, at.isoformat(), fields):
            self.find((*below, *problem.path), problem.what, problem.why, problem.todo, at_key=problem.at_key)
        if len(self.file.findings) > known:
            return None
        place = self.file.place(path)
        said = fields_of_command(name, at.isoformat(), fields, place)
        written = str(step["told" if "told" in step else "at"])
        return Commanded(_ms(told), place, written, name, fields[CASE], said)

    def check(self, step: Mapping[str, Any], path: Path) -> Check | None:
        for key in step:
            if key not in {"by", "expect"}:
                todo = did_you_mean(key, ("by", "expect")) or "make it a step of its own"
                self.find((*path, key), f"a check has no `{key}`", "", todo, at_key=True)
        by = self.time(step, "by", path)
        expect, changes = step.get("expect"), list[str]()
        if not isinstance(expect, list):
            todo = "list every change since the check before; [] for none"
            self.find((*path, "expect"), "a check without a list of what to expect", "", todo)
            return None
        for number, written in enumerate(expect):
            where = (*path, "expect", number)
            if not isinstance(written, str):
                why = "without quotes YAML takes the colon for one of its own"
                self.find(where, "a change of a case is text, this is not", why, f"{FORM}, in quotes")
                continue
            try:
                changes.append(canonical(written))
            except ValueError as error:
                what, _, todo = str(error).partition("; ")
                self.find(where, what, "", todo)
        if by is None:
            return None
        self.in_order(by, (*path, "by"))
        return Check(_ms(by), self.file.place(path), str(step["by"]), tuple(changes))

    def event(self, name: str, fields: Any, at: datetime, told: datetime, path: Path) -> Step | None:
        if not isinstance(fields, dict):
            why = "its fields stand below it"
            self.find(
                path, f"`{name}` is a mapping of fields, this is not", why, f"{{{name}: {{return_id: R1}}}}"
            )
            return None
        known = len(self.file.findings)
        fields = {key: self.field(key, value, (*path, key)) for key, value in fields.items()}
        for problem in problems_of(name, at.isoformat(), fields):
            where = (*path, *problem.path)
            self.find(where, problem.what, problem.why, problem.todo, at_key=problem.at_key)
        if len(self.file.findings) > known:
            return None
        step = Appended(_ms(told), KIND_OF_TYPE[name], record_of(name, at.isoformat(), fields))
        records = [InputRecord(0, step.value)]
        for refused in self.file.intake.map_chunk(
            records, step.kind, step.at_ms, topic=step.kind.value, partition=0
        ).refused:
            what = f"intake would refuse this event as {refused.reason.value}"
            self.find(path, what, refused.detail, refused.action)
        return step

    def field(self, name: str, value: Any, path: Path) -> Any:
        """A time in an event may be a duration after the start, too."""
        if not (name.endswith("_at") or name == "until") or not isinstance(value, str):
            return value
        at = self.moment(value, path)
        return value if at is None else at.isoformat()

    # -- times -----------------------------------------------------------------------------------------------

    def time(self, step: Mapping[str, Any], key: str, path: Path) -> datetime | None:
        if key not in step:
            self.find(path, f"a step without `{key}`", "nobody would know when", TIME_FORM)
            return None
        return self.moment(step[key], (*path, key))

    def moment(self, written: Any, path: Path) -> datetime | None:
        """A duration after the start, or an absolute time."""
        if isinstance(written, str) and not written[:4].isdigit():
            try:
                return self.start + parse_duration(written)
            except ValueError as error:
                what, _, form = str(error).partition(": ")
                self.find(path, what, "" if form else TIME_FORM, TIME_FORM if form else "")
                return None
        return self.absolute(written, path)

    def absolute(self, written: Any, path: Path) -> datetime | None:
        try:
            at = datetime.fromisoformat(str(written))
        except ValueError:
            self.find(path, f"{written!r} is not a time", "", TIME_FORM)
            return None
        if at.tzinfo is None:
            self.find(path, f"{written} has no offset", "it could be any of 26 hours", TIME_FORM)
            return None
        return at

    def in_order(self, at: datetime, path: Path) -> None:
        if self.last is not None and at < self.last:
            why = "the log only goes on; what comes in late is `told` later"
            self.find(
                path, "earlier than the step before", why, "put the steps in the order in which they are told"
            )
        self.last = max(at, self.last or at)


def _ms(at: datetime) -> int:
    return epoch_ms(at)
