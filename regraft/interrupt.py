"""How a command ends that a signal asked to end."""

from __future__ import annotations

ENDED = 128
"""What is added to the number of the signal, to make the exit code."""

MESSAGE = "regraft: interrupted"
