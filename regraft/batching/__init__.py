"""Requests of any size, run together: what a batch is made of, which requests share one, and a queue of them."""
