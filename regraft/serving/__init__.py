"""Serving models: the protocol, the server, load tests, and repositories for another server."""
