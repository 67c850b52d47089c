"""Small models from text, and profiles from a few lines."""

from __future__ import annotations

import tomllib

import onnx.parser

import regraft
from regraft.files import convert
from regraft.legality.profile import Profile
from regraft.legality.tables import Where, read


def model(graph: str, opset: int = 20, domains: str = "", functions: str = "") -> regraft.Model:
    """The model of a graph in ONNX's textual form; `domains` are more operator sets."""
    text = f'<ir_version: 9, opset_import: ["" : {opset}{domains}]>\nagraph {graph}\n{functions}'
    proto = onnx.parser.parse_model(text)
    for place, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}{place}"
    return convert.from_proto(proto)


def profile(text: str, operators: str = "any") -> Profile:
    """The profile with the lines of `text`."""
    table = {"operators": operators, "source": "the test", **tomllib.loads(text)}
    made: Profile = read(Profile, table, Where("test.toml"))
    return made
