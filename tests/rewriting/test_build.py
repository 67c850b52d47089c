"""Terms become nodes."""

from __future__ import annotations

import numpy as np

from regraft.ir.graph import Variable
from regraft.rewriting.build import Builder
from regraft.rewriting.term import Given


def test_terms_that_are_gone_are_not_taken_for_new_ones():
    builder = Builder(lambda *_: Variable("made"), lambda *_: Variable("constant"), 17, np.dtype(np.float32))
    tensors = [Variable(str(number)) for number in range(100)]
    assert [builder(Given(tensor)) for tensor in tensors] == tensors
