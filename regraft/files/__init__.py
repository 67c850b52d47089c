"""Models in files: reading without weights, writing by streaming, and the exchange with `ModelProto`."""
