"""Transforms, one a file: each a `regraft.Pass` with its contract.

A pass knows the core and nothing else; it never imports another pass. It is found by its entry point.
"""
