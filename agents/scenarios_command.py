"""`returnwatch check --scenarios`: stories of what happens, and of what must be said about it."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from rich.text import Text

from agents.errors import Finding, ScenariosError
from agents.scenario_events import MilestoneCodes
from agents.scenario_playing import AT_THE_END, Mismatch, Said, play
from agents.scenario_reading import Scenario, read_scenarios
from agents.terminal import out
from schemas.carrier_codes import CarrierCodes
from schemas.outputs import utc
from schemas.policy import Policy
from streams.intake import IntakeMapper

SUFFIXES = frozenset({".yaml", ".yml"})


def check_scenarios(
    paths: Sequence[Path], policy: Policy, policy_name: str, codes: CarrierCodes, *, quiet: bool
) -> bool:
    """Play the scenarios of files and folders, and print how each went; True: all passed. `quiet`: only those that failed.

    Raises:
        ScenariosError: with every finding, when a file cannot be read; then nothing is played.
    """
    intake = IntakeMapper(MilestoneCodes(codes))
    found = _read(_files(paths), policy, intake)
    count = failed = 0
    for file, scenarios in found.items():
        results = [(scenario, play(scenario, intake)) for scenario in scenarios]
        count += len(results)
        failed += sum(1 for _, mismatches in results if mismatches)
        _tell_file(file, [result for result in results if result[1] or not quiet])
    _tell_summary(count, failed, len(found), policy_name)
    return not failed


def _files(paths: Sequence[Path]) -> list[Path]:
    """The files meant, each once, in the order given; those of a folder by name."""
    findings, files = [], list[Path]()
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        if not inside:
            why = "a check of nothing would always pass"
            findings.append(Finding(str(path), "no .yaml file in this directory", why, "correct the path"))
        files += inside
    if findings:
        raise ScenariosError(findings)
    return list(dict.fromkeys(files))


def _read(files: Sequence[Path], policy: Policy, intake: IntakeMapper) -> dict[Path, list[Scenario]]:
    found: dict[Path, list[Scenario]] = {}
    findings: list[Finding] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            todo = "correct the path or the file's permissions"
            findings.append(Finding(str(file), f"cannot be read: {error.strerror}", todo=todo))
            continue
        except UnicodeDecodeError as error:
            what = f"is not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}"
            findings.append(Finding(str(file), what, todo="save it as UTF-8"))
            continue
        found[file], wrong = read_scenarios(text, str(file), policy, intake)
        findings += wrong
    if findings:
        raise ScenariosError(findings)
    return found


# -- output -------------------------------------------------------------------------------------------------------


def _tell_file(file: Path, results: Sequence[tuple[Scenario, list[Mismatch]]]) -> None:
    if results:
        out.print(Text(str(file), "bold"), soft_wrap=True)
    for scenario, mismatches in results:
        mark, style = ("failed", "bold red") if mismatches else ("ok", "green")
        out.print(Text.assemble("  ", (f"{mark:<8}", style), scenario.sentence), soft_wrap=True)
        for mismatch in mismatches:
            for line in _mismatch(mismatch):
                out.print(line, soft_wrap=True)


def _mismatch(mismatch: Mismatch) -> Iterator[Text]:
    by = mismatch.by if mismatch.by == AT_THE_END else f"by {mismatch.by}"
    when = f"{by} ({utc(mismatch.at_ms):%a %Y-%m-%d %H:%M} UTC)"
    yield Text.assemble("    ", (mismatch.place, "bold"), f" {when}")
    said = [one.change for one in mismatch.said]
    for kind, start, end, first, last in SequenceMatcher(
        None, mismatch.expected, said, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            yield from (Text(f"        {change}", "dim") for change in said[first:last])
            continue
        yield from (Text(f"      - {change}", "red") for change in mismatch.expected[start:end])
        yield from (line for one in mismatch.said[first:last] for line in _unexpected(one))


def _unexpected(said: Said) -> Iterator[Text]:
    yield Text(f"      + {said.change}", "green")
    yield Text(f"          {said.explanation}", "dim")


def _tell_summary(count: int, failed: int, files: int, policy_name: str) -> None:
    what = f"{_counted(count, 'scenario')} in {_counted(files, 'file')} by {policy_name}: "
    told = Text(what)
    if failed:
        told.append(f"{failed} failed", "bold red").append(f", {count - failed} passed")
        told.append("\n- expected and not said, + said and not expected", "dim")
    else:
        told.append("all passed", "green")
    out.print(told, soft_wrap=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
