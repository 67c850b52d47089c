"""A model whose names would end a script, a string, a line or a table, were they not text."""

from __future__ import annotations

import onnx
from onnx import helper

import regraft
from regraft.files import convert

NAMES = (
    "</script><script>window.broken=1</script>",
    "<img src=x onerror='window.broken=1'>",
    "a\"b'c`${window.broken=1}`",
    "&lt;b&gt; & &amp;",
    "line\u2028separator\u2029paragraph",
    "<!--<script>",
    "{{script}} {{scenes}}",
    "\\u003c \\",
    "名前 ☃",
)


def hostile() -> regraft.Model:
    """A chain of a node for each name; values and attributes are called so, too."""
    values = ["x", *[f"{name} value" for name in NAMES]]
    nodes = [
        helper.make_node("Own", [start], [end], name, domain="</script>", text=name)
        for name, start, end in zip(NAMES, values, values[1:], strict=False)
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["<n>"]) for name in (values[0], values[-1])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("</script>", 1)]
    graph = helper.make_graph(nodes, "</script>", ends[:1], ends[1:])
    return convert.from_proto(helper.make_model(graph, opset_imports=opsets))
