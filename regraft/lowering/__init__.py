"""Rewrites that several passes share, or that are more than one file of a pass."""
