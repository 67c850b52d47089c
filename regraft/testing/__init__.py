"""Tools for tests of passes: models written as text, and a check of a pass against its contract.

    from regraft.testing import apply, parse

    def test_it():
        found = apply(parse("g (float[n, 4] x) => (float[n, 4] y) { y = Erf(x) }"), MyPass())
        assert found.ops == ["Tanh"]

`apply` fails where the pass breaks its contract, or changes anything in a second run. `check_rules`
fails where a rule is wrong: it needs no model.
"""

from regraft.testing.check import Applied, apply, parse
from regraft.testing.rules import check_rules

__all__ = ["Applied", "apply", "check_rules", "parse"]
