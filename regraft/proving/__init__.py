"""Proofs that a rewrite keeps what is computed, over the reals and for all sizes."""
