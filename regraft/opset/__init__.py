"""From one version of ONNX's operator set to another: what changed, and how a node is rewritten across each change.

`history` compares the schemas of the installed onnx, `types` knows what values are, `site` is where a node is
rewritten, `table` finds the adapters, which the other modules hold by family, `plan` leads a model's nodes across.
"""
