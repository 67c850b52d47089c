"""Whether two models compute the same: contracts, meaningful inputs, runs and timing."""
