"""The acceptance matrix: models as exporters write them, given to every compiler that runs here, raw and rewritten.

`python -m tests.acceptance > docs/acceptance.md` writes the page; results are kept, and only what changed runs again.
"""
