"""The passes that make a model legal for a target, found by search."""
