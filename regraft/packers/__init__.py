"""Sequences of unlike lengths in rows of tokens: who packs them, within which limits, and what a packed model takes."""
