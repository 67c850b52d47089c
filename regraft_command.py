"""Where the `regraft` command begins: from its first line on, an interrupt is one line and not a traceback.

It stands beside the package because the package's own first imports take time; only the command imports it, so that the
library leaves signals alone. `regraft.cli` has handlers of its own, which take the place of these.
"""

import _signal  # what `signal` wraps, without the time that this takes to import
import os


def _stop(number, frame):
    """End at once: nothing has been written yet."""
    os.write(2, b"regraft: interrupted\n")
    os._exit(128 + number)


for _number in (_signal.SIGINT, _signal.SIGTERM):
    _signal.signal(_number, _stop)


def main():
    """Run the command line."""
    from regraft.cli import main

    main()
