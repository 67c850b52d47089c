"""Patterns and rules: the language they are written in, the search, and the replacement."""
