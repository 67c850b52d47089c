"""What targets take, and how a model is handed to them."""
