"""Recipes that find or make the models used by the demo, the tests and the benchmarks."""
