"""Moving part of a model to the host: see `to_host`."""

from regraft.splitting.offload import cone, drop_inputs, to_host
from regraft.splitting.sizes import take_sizes

__all__ = ["cone", "drop_inputs", "take_sizes", "to_host"]
