"""A model that is packed: which of its values hold tokens in rows, and what brings them there and back."""
