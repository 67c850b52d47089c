"""Arithmetic, comparisons and choices, element by element."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np

from regraft.ir.weights import code_of, is_float
from regraft.rewriting import formula
from regraft.rewriting.term import Number, Term, op

from .call import Call
from .table import converts

Binary = Callable[[Term, Term], Term]

_ARITHMETIC: dict[str, Binary] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "power": operator.pow,
    "maximum": op.Max,
    "minimum": op.Min,
}
_COMPARISONS: dict[str, Binary] = {
    "equal": op.Equal,
    "not_equal": lambda a, b: op.Not(op.Equal(a, b)),
    "lesser": op.Less,
    "lesser_equal": op.LessOrEqual,
    "greater": op.Greater,
    "greater_equal": op.GreaterOrEqual,
}
_SCALAR_NAMES = {"add": "plus", "sub": "minus"}
_OWN_NAMES = {"add": ("_plus", "_Plus"), "sub": ("_minus", "_Minus"), "mul": ("_mul", "_Mul"), "div": ("_div", "_Div")}
_UNARY: dict[str, Callable[[Term], Term]] = {
    "abs": op.Abs,
    "ceil": op.Ceil,
    "erf": op.Erf,
    "exp": op.Exp,
    "floor": op.Floor,
    "log": op.Log,
    "negative": op.Neg,
    "reciprocal": op.Reciprocal,
    "relu": op.Relu,
    "rsqrt": lambda x: op.Reciprocal(op.Sqrt(x)),
    "sigmoid": op.Sigmoid,
    "sqrt": op.Sqrt,
    "square": lambda x: x * x,
    "tanh": op.Tanh,
}
_ACTIVATIONS = {
    "relu": op.Relu,
    "sigmoid": op.Sigmoid,
    "softrelu": op.Softplus,
    "softsign": op.Softsign,
    "tanh": op.Tanh,
}


def _binary(name: str, make: Binary, compares: bool) -> None:
    """Register an operator with two operands, with a number after one, and with a number before it."""

    def result(call: Call, term: Term) -> Term:  # a comparison gives 0 and 1 of the operands' dtype
        return op.Cast(term, to=code_of(call.dtype())) if compares else term

    scalar = _SCALAR_NAMES.get(name, name)

    @converts(f"broadcast_{name}", f"elemwise_{name}", f"_{name}", *_OWN_NAMES.get(name, ()))
    def operands(call: Call) -> Term:
        if call.dtype(0) != call.dtype(1):
            raise call.error(f"has operands of {call.dtype(0)} and {call.dtype(1)}; cast one")
        return result(call, make(call[0], call[1]))

    @converts(f"_{scalar}_scalar")
    def number_after(call: Call) -> Term:
        return result(call, make(call[0], _number(call)))

    if name in ("sub", "div", "power"):

        @converts(f"_r{scalar}_scalar")
        def number_before(call: Call) -> Term:
            return make(_number(call), call[0])


def _number(call: Call) -> Term:
    value = call.float("scalar")
    if not is_float(call.dtype()) and value != int(value):
        raise call.error(f"scalar {value} with an operand of {call.dtype()}; cast the operand")
    return Number(float(value))


for _name, _make in _ARITHMETIC.items():
    _binary(_name, _make, compares=False)
for _name, _make in _COMPARISONS.items():
    _binary(_name, _make, compares=True)


def _unary(name: str, make: Callable[[Term], Term]) -> None:
    converts(name)(lambda call: make(call[0]))


for _name, _one in _UNARY.items():
    _unary(_name, _one)


@converts("Activation")
def activation(call: Call) -> Term:
    kind = call.text("act_type")
    if kind not in _ACTIVATIONS:
        raise call.error(f"act_type {kind} is none of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[kind](call[0])


@converts("LeakyReLU")
def leaky_relu(call: Call) -> Term:
    kind, slope = call.text("act_type", "leaky"), call.float("slope", 0.25)
    if kind == "gelu":
        return op.Gelu(call[0]) if call.opset >= 20 else formula.erf_gelu(call[0])
    if kind == "leaky":
        return op.LeakyRelu(call[0], alpha=float(slope))
    if kind == "elu":
        return op.Elu(call[0], alpha=float(slope))
    raise call.error(f"act_type {kind} is none of gelu, leaky, elu")


@converts("where")
def where(call: Call) -> Term:
    if len(call.dims(0)) != len(call.dims(1)):
        raise call.error("the condition chooses whole rows; only one of the operands' rank is mapped")
    return op.Where(call.cast(call[0], 0, np.bool_), call[1], call[2])


@converts("Cast", "cast")
def cast(call: Call) -> Term:
    return call.cast(call[0], 0, call.dtype_named())


@converts("Dropout")
def dropout(call: Call) -> Term:
    if call.text("mode", "training") == "always":
        raise call.error("mode is always, and ONNX's Dropout does nothing outside training")
    return op.Dropout(call[0], np.array(call.float("p", 0.5), np.float32))


@converts("_copy", "identity", "BlockGrad")
def identity(call: Call) -> Term:
    return call[0]
