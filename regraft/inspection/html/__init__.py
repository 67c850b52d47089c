"""Models, and what differs between two, as one page for a browser."""
