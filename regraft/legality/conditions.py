"""What a profile says of a node: the vocabulary of `when` and `unless`.

Under `when` a condition holds of a node where some of the values that it speaks of are so; under `unless` where every
one is. What is not known decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from regraft.ir import schema
from regraft.ir.graph import Tensor
from regraft.legality.constraints import Among, Dtypes, Numbers, Quantity, Truth, dtype_name, over
from regraft.legality.lines import check_operator
from regraft.legality.node_view import UNKNOWN_ATTRIBUTE, Site
from regraft.legality.tables import Where, read

Shape = Literal["static", "dynamic"]
Given = Literal["constant", "computed", "unknown", "given", "absent"]


@dataclass(frozen=True)
class Attribute(Among):
    """What an attribute may be, an input of the same name in other opsets included.

    Attributes:
        given: whether it is written at all; a default is not.
    """

    given: bool | None = None

    def check(self, where: Where) -> None:
        """Raise ProfileError where it means nothing, or everything."""
        if self.given is None:
            super().check(where)

    def holds(self, site: Site, name: str, quantity: Quantity) -> Truth:
        """Whether the attribute called `name` is so."""
        if self.given is not None:
            return (name in site.node.attrs or site.input(name) is not None) == self.given
        value = site.attribute(name)
        if value is UNKNOWN_ATTRIBUTE:
            return None
        if value is None:
            return False
        if name == "to":
            value = dtype_name(value)
        if not isinstance(value, list) or self.is_of_lists:
            return self.has(value)
        return over(quantity, map(self.has, value))


@dataclass(frozen=True)
class Value:
    """What one input or output of a node may be.

    Attributes:
        is_: held by the model, computed, from more than constants and shapes, there at all, or left out.
        by: operators, of which one computes it.
        stated: whether the file says its dtype and shape.
        ranked: whether its rank is known.
        open: how many dimensions have no number.
        dims: sizes by place, from the end where negative.
        value: the elements, of a constant or where they follow from shapes.
    """

    is_: Given | None = None
    by: tuple[str, ...] = ()
    stated: bool | None = None
    dtype: Dtypes | None = None
    rank: Numbers | None = None
    shape: Shape | None = None
    ranked: bool | None = None
    open: Numbers | None = None
    dims: dict[str, Numbers] = field(default_factory=dict)
    value: Among | None = None

    @classmethod
    def of(cls, value: Any, where: Where) -> Value:
        """From one word."""
        return cls(is_=read(Given, value, where))

    def check(self, where: Where) -> None:
        """Raise ProfileError for an operator that does not exist."""
        for operator in self.by:
            check_operator(operator, where.at("by"))

    def holds(self, site: Site, tensor: Tensor | None, quantity: Quantity) -> Truth:
        """Whether `tensor` is so; None stands for one that is left out."""
        if tensor is None:
            return self.is_ == "absent"
        truths = [
            of_dtype(site, tensor, self.dtype),
            of_rank(site, tensor, self.rank),
            of_shape(site, tensor, self.shape),
        ]
        truths += [_of_dim(site, tensor, int(place), among) for place, among in self.dims.items()]
        if self.is_ is not None:
            constant = site.is_constant(tensor)
            unknown = not constant and site.fact(tensor).numbers is None
            kinds = {"constant": constant, "computed": not constant, "unknown": unknown, "given": True}
            truths.append(kinds.get(self.is_, False))
        if self.by:
            truths.append(any(schema.kind(node) in self.by for node in tensor.inputs))
        if self.stated is not None:
            truths.append((tensor.dtype is not None and tensor.shape is not None) == self.stated)
        if self.ranked is not None:
            truths.append((site.fact(tensor).dims is not None) == self.ranked)
        if self.open is not None:
            dims = site.fact(tensor).dims
            truths.append(None if dims is None else self.open.has(sum(not isinstance(dim, int) for dim in dims)))
        if self.value is not None:
            known = site.fact(tensor).numbers
            values = schema.constant_of(tensor) if known is None else known
            truths.append(None if values is None else over(quantity, map(self.value.has, values.ravel().tolist())))
        return over("every", truths)


@dataclass(frozen=True)
class Condition:
    """What a node may be; all that is said must hold.

    Attributes:
        dtype, rank, shape: of the inputs and outputs that carry data; see `Site.data`.
        opset: of the model.
        attribute, input, output: by name; inputs and outputs by place too.
        inputs, outputs: how many are given.
    """

    dtype: Dtypes | None = None
    rank: Numbers | None = None
    shape: Shape | None = None
    opset: Numbers | None = None
    attribute: dict[str, Attribute] = field(default_factory=dict)
    input: dict[str, Value] = field(default_factory=dict)
    output: dict[str, Value] = field(default_factory=dict)
    inputs: Numbers | None = None
    outputs: Numbers | None = None

    def holds(self, site: Site, quantity: Quantity) -> Truth:
        """Whether `site` is so, in some or in every value; None where that hangs on what is not known."""
        data = list(site.data())
        truths: list[Truth] = []
        if self.dtype is not None:
            truths.append(over(quantity, (of_dtype(site, one, self.dtype) for one in data)))
        if self.rank is not None:
            truths.append(over(quantity, (of_rank(site, one, self.rank) for one in data)))
        if self.shape is not None:
            truths.append(over(quantity, (of_shape(site, one, self.shape) for one in data)))
        if self.opset is not None:
            truths.append(self.opset.has(site.opset))
        truths += [one.holds(site, name, quantity) for name, one in self.attribute.items()]
        truths += [one.holds(site, site.input(key), quantity) for key, one in self.input.items()]
        truths += [one.holds(site, site.output(key), quantity) for key, one in self.output.items()]
        for among, tensors in ((self.inputs, site.node.inputs), (self.outputs, site.node.outputs)):
            if among is not None:
                truths.append(among.has(sum(not tensor.is_empty() for tensor in tensors)))
        return over("every", truths)

    def check_names(self, operators: Iterable[str], where: Where) -> None:
        """Raise ProfileError for an attribute or an input that an operator has in no opset."""
        for operator in operators:
            if "::" in operator:
                continue
            attributes, inputs = schema.vocabulary(operator)
            for name in self.attribute:
                where.at("attribute").known(f"attribute of {operator}", name, attributes | inputs)
            for name in self.input:
                if not name.isdecimal():
                    where.at("input").known(f"input of {operator}", name, inputs)
        for key, values in (("input", self.input), ("output", self.output)):
            for name, value in values.items():
                if key == "output" and not name.isdecimal():
                    raise where.at(key).error(f"'{name}' is not a place; outputs are numbered from 0")
                for place in value.dims:
                    if not place.removeprefix("-").isdecimal():
                        raise where.at(f"{key}.{name}.dims").error(f"'{place}' is not a place, such as 0 or -1")


def of_dtype(site: Site, tensor: Tensor, wanted: Dtypes | None) -> Truth:
    """Whether `tensor` is of a dtype that is wanted."""
    return True if wanted is None else wanted.has(site.fact(tensor).code)


def of_rank(site: Site, tensor: Tensor, wanted: Among | None) -> Truth:
    """Whether `tensor` is of a rank that is wanted."""
    dims = site.fact(tensor).dims
    return True if wanted is None else None if dims is None else wanted.has(len(dims))


def of_shape(site: Site, tensor: Tensor, wanted: Shape | None) -> Truth:
    """Whether the shape is made of numbers, or is not."""
    return True if wanted is None else (site.fact(tensor).sizes is not None) == (wanted == "static")


def _of_dim(site: Site, tensor: Tensor, place: int, wanted: Among) -> Truth:
    dims = site.fact(tensor).dims
    if dims is None:
        return None
    if not -len(dims) <= place < len(dims):
        return False
    dim = dims[place]
    return wanted.has(dim) if isinstance(dim, int) else None
