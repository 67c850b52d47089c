"""Models behind a server: the protocol that clients speak, load for one, and repositories that another server reads."""
