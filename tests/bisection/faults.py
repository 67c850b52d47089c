"""Passes with a fault: of many places that a pass rewrites rightly, it gets one wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import regraft
from regraft.ir.graph import Constant
from regraft.pipelines.pass_base import Pass
from regraft.rewriting.node_pass import NodePass
from regraft.rewriting.rule import Rule
from regraft.rewriting.rule_pass import RulePass
from regraft.rewriting.term import op
from regraft.verification.contract import reassociation


class Halves(RulePass):
    """0.5 x becomes x * 0.5, but at one node another constant."""

    name = "planted-constant"
    contract = reassociation
    at = ""

    def rules(self):
        def is_bad(out):
            return out.inputs[0].name == self.at

        return [Rule(lambda x: op.Sigmoid(x), lambda x: op.Identity(x))]
