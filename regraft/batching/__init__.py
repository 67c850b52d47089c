"""Requests of any size, run together: making batches of them, choosing which share one, and a queue."""
