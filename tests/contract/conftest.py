"""A failing contract test says which seam of ours breaks, and where its reasons are written down."""

from __future__ import annotations

from collections.abc import Generator

import pytest

SEAM_MARK = (
    "seam(name, adr): a library's internal that this seam of ours stands on; `adr` is a file in docs/adr"
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", SEAM_MARK)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    mark = item.get_closest_marker("seam")
    if report.failed and mark is not None:
        report.sections.append(("what breaks", _advice(mark.args[0], mark.kwargs["adr"])))
    return report


def _advice(seam: str, adr: str) -> str:
    return (
        f"The seam '{seam}' stands on this internal of a library, and it is not what it was.\n"
        f"Read docs/adr/{adr}.md before changing the seam, or the version that pyproject.toml pins."
    )
