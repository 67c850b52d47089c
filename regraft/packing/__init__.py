"""Sequences of unlike lengths in the rows of a batch, with little or no padding."""
