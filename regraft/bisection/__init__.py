"""Which match of which pass made a model wrong, and the smallest model that is wrong in the same way."""
