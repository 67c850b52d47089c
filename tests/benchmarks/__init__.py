"""Measurements, each a program: `python -m tests.benchmarks.large` and `python -m tests.benchmarks.scale`.

They compare and never assert: results are ratios within one run, printed and written to `benchmarks-out/`. The peers
come with `pip install -e '.[bench]'`; one that is not installed is named in the table as absent.
"""
