"""What targets take: profiles, and what of a model breaks them."""
