"""Moving part of a model to the host: see `to_host`."""

from regraft.splitting.move import to_host

__all__ = ["to_host"]
