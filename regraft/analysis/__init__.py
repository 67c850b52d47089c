"""What is known of values: one solver, and a table of transfer functions for each question."""
