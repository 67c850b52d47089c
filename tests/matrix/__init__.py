"""The exporter matrix: every transform on every exporter's graph, applied and verified, in several opsets.

`python -m tests.matrix` writes the page of the default cells; `--all` runs every opset.
"""
