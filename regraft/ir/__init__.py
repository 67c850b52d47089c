"""The model in memory: graph, weights, schemas, edits, and the rules that a graph obeys."""
