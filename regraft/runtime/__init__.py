"""Run a model or a bundle, with the inputs and outputs of the original model.

`Session(path)` runs in ONNX Runtime; `open_bundle(folder)` runs the compiled model if the bundle has one;
`transformers_model(folder, config)` replaces the model in a pipeline of Hugging Face's transformers.
"""

from __future__ import annotations

from regraft.targeting.compiled import CompiledSession, open_bundle
from regraft.targeting.transformers_adapter import transformers_model
from regraft.verification.runtime import RuntimeFailure, Session

__all__ = ["CompiledSession", "RuntimeFailure", "Session", "open_bundle", "transformers_model"]
