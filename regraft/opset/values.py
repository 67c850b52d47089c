"""Values of attributes that came later than the attribute."""

from __future__ import annotations

from regraft.opset.adapter_context import Site

CAME: dict[tuple[str, str], dict[str, int]] = {
    ("Pad", "mode"): {"wrap": 19},
    ("Resize", "coordinate_transformation_mode"): {"half_pixel_symmetric": 19},
    ("ScatterElements", "reduction"): {"add": 16, "mul": 16, "max": 18, "min": 18},
    ("ScatterND", "reduction"): {"add": 16, "mul": 16, "max": 18, "min": 18},
}
"""By operator and attribute, the opset that each value came with."""


def refuse_new_values(site: Site, opset: int) -> None:
    """Refuse a value that came with `opset`, where the site's node leaves it."""
    for (op, name), values in CAME.items():
        value = site.node.attrs.get(name) if op == site.node.op else None
        if isinstance(value, str) and values.get(value) == opset:
            site.refuse(f"{name}={value}")
