"""One target under libFuzzer, which never returns: `python -m tests.fuzz.guided TARGET` and libFuzzer's own arguments."""

import shlex
import sys

import atheris

with atheris.instrument_imports(include=["schemas", "streams", "jmespath"]):
    from tests.fuzz.targets import TARGETS

NAME = sys.argv.pop(1)
sys.argv[0] = shlex.join([sys.executable, "-m", __spec__.name, NAME])
"""To merge corpora, libFuzzer calls itself by this."""
atheris.Setup(sys.argv, TARGETS[NAME])
atheris.Fuzz()
