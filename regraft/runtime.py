"""Run a model, or a bundle: `Session(bundle)` takes the inputs that the model had at first, and gives its outputs."""

from __future__ import annotations

from regraft.verification.runtime import RuntimeFailure, Session

__all__ = ["RuntimeFailure", "Session"]
