"""What can be computed or left out while rewriting."""
