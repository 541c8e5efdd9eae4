"""Real payloads with labels, where a folder of them is at hand; nothing here needs one (tests/labelled_payloads.py)."""

import os
from pathlib import Path

from tests.labelled_payloads import FOLDER, as_promised, compared, told, told_without_own_rows

if FOLDER in os.environ:  # a skipped test would fail CI, where there is no such folder

    def test_payloads_are_read_as_they_are_labelled() -> None:
        folder = Path(os.environ[FOLDER])
        results, problems = compared(folder)
        without, _ = compared(folder, own_rows=False)
        assert as_promised(results, without), "\n".join(
            [*told(results, problems), *told_without_own_rows(without)]
        )
        assert not problems
