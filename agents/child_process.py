"""Starting processes that never outlive the one that started them."""

import os
import sys
from collections.abc import Sequence

# Runs between us and the new process: the kernel kills that when the thread that started it ends. The signal must be
# asked for in the new process, and a preexec function could deadlock in a program with threads. Elsewhere
# than on Linux there is no prctl: there only exit handlers stop it.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
except (AttributeError, OSError):
    pass
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """The command, run so that the kernel kills it when the calling *thread* ends. Its first word is an absolute path."""
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]
