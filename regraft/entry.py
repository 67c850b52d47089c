"""Where the `regraft` command begins: from its first line on, an interrupt is one line and not a traceback.

The command line takes a fifth of a second to import; until its own handling of errors stands, what is said here holds.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 128
"""What is added to the number of the signal that ended a command, to make its exit code."""

MESSAGE = b"regraft: interrupted\n"


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """End at once: nothing has been written yet."""
    os.write(2, MESSAGE)
    os._exit(INTERRUPTED + number)


for _number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(_number, _stop)


def main() -> None:
    """Run the command line."""
    from regraft.cli import main

    main()
