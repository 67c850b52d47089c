"""Parts of a model that passes ask for by what they compute."""
