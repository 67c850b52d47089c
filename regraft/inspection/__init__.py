"""What is in a model, and what differs between two."""
