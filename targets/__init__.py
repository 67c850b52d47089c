"""Target compilers, one a file: what a compiler takes, and how a model is handed to it.

A target names the passes of its pipeline as text; it imports none of them.
"""
