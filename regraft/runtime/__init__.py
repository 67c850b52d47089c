"""Run a model or a bundle: it takes the inputs that the model had at first, and gives its outputs.

`Session(path)` runs in ONNX Runtime; `open_bundle(folder)` runs what a compiler made where the bundle has it;
`transformers_model(folder, config)` takes the model's place in a pipeline of Hugging Face's transformers.
"""

from __future__ import annotations

from regraft.targeting.compiled import CompiledSession, open_bundle
from regraft.targeting.drop_in import transformers_model
from regraft.verification.runtime import RuntimeFailure, Session

__all__ = ["CompiledSession", "RuntimeFailure", "Session", "open_bundle", "transformers_model"]
