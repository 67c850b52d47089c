"""Tools for tests of passes: models written as text, and a check of a pass against its contract.

    from regraft.testing import apply, parse

    def test_it():
        found = apply(parse("g (float[n, 4] x) => (float[n, 4] y) { y = Erf(x) }"), MyPass())
        assert found.ops == ["Tanh"]

`apply` fails where the pass breaks its contract, or changes anything in a second run.
"""

from regraft.testing.check import Applied, apply, parse

__all__ = ["Applied", "apply", "parse"]
