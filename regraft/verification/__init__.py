"""Whether two models compute the same: contracts, inputs that mean something, runs and timing."""
