"""What a target does with a model that it takes: it compiles it, or it is handed to those who can."""
