"""Passes and pipelines: options, text, registry, targets, and the manager that runs and reports."""
