"""The history of a model, in its metadata: which pipelines ran, and what each pass did to nodes, values and weights.

Two files can then be compared with every difference laid to its pass, though nothing else is kept of the run. The text
is JSON, packed, for it has the names of all that ever went; that of older files is not packed, and says less.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from regraft.errors import ModelError
from regraft.outside import TEXT_LIMIT, Row, check_form, parse_json
from regraft.pipelines.pass_base import MADE_BY, REPLACES, Change, Derivation

if TYPE_CHECKING:
    from regraft.ir.model import Model
    from regraft.verification.deviation import Deviation

PIPELINE = "regraft.pipeline"
RECORD = "regraft.record"

_OLD = [Row(str, [Row(str, [str], [str])])]
_CHANGE = (Row([str], [str]), Row([str], [str], [str], [Row(str, str)], [Row(str, [str])]))
_ENTRY = Row(str, str, (Row(float, str, int), None), [Row(str, [_CHANGE])])
_PACKED = "2:"
_LEVEL = 3
"""Of zlib: four in five bytes go in a third of the time that the last few per cent would take."""


class Measured(NamedTuple):
    """How far passes moved the outputs: the largest difference, of which output, and how many passes did that."""

    max_abs: float
    output: str
    passes: int

    @classmethod
    def of(cls, drift: Deviation, passes: int) -> Measured | None:
        """The largest of a comparison; None where nothing was compared."""
        if not drift.outputs:
            return None
        worst = max(drift.outputs, key=lambda one: one.max_abs)
        return cls(worst.max_abs, worst.name, passes)

    def __str__(self) -> str:
        together = f", {self.passes} passes together" if self.passes > 1 else ""
        return f"{self.max_abs:.2g} of {self.output}{together}"


class Entry(NamedTuple):
    """What one pass changed.

    Attributes:
        text: the pass as in the pipeline.
        contract: what it promises about the outputs; empty in older files.
        measured: how far it moved them; None where that was not measured after it.
    """

    text: str
    changes: tuple[Change, ...]
    contract: str = ""
    measured: Measured | None = None


def read(model: Model) -> list[Entry]:
    """What was done to `model`, oldest first. Raises ModelError when the record is damaged."""
    where = f"the metadata {RECORD} is damaged"
    text = model.metadata.get(RECORD, "[]")
    if not text.startswith(_PACKED):
        rows = parse_json(text, where)
        check_form(rows, _OLD, where)
        return [Entry(said, tuple(Change(rule, *map(tuple, nodes)) for rule, *nodes in rows)) for said, rows in rows]
    rows = parse_json(_unpacked(text.removeprefix(_PACKED), where), where)
    check_form(rows, [_ENTRY], where)
    return [
        Entry(said, tuple(_changes(groups)), contract, Measured(*measured) if measured else None)
        for said, contract, measured, groups in rows
    ]


def pipeline_of(model: Model) -> str:
    """The text of the pipelines that `model` went through, in a row."""
    return model.metadata.get(PIPELINE, "")


def write(model: Model, pipeline: str, entries: Sequence[Entry]) -> None:
    """Let the record of `model` be this one: all pipelines in a row, and all that was done."""
    if pipeline:
        model.metadata[PIPELINE] = pipeline
    if entries:
        rows = [[one.text, one.contract, one.measured, list(_groups(one.changes))] for one in entries]
        text = json.dumps(rows, separators=(",", ":")).encode()
        model.metadata[RECORD] = _PACKED + base64.b64encode(zlib.compress(text, _LEVEL)).decode()


def forget(model: Model) -> None:
    """Leave nothing of the record in `model`."""
    for key in (PIPELINE, RECORD):
        model.metadata.pop(key, None)
    for node in model.nodes():
        if node.has_metadata:
            for key in (MADE_BY, REPLACES):
                node.metadata.pop(key, None)


def _unpacked(text: str, where: str) -> bytes:
    try:
        unpack = zlib.decompressobj()
        found = unpack.decompress(base64.b64decode(text, validate=True), TEXT_LIMIT)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ModelError(f"{where}: {error}") from error
    if unpack.unconsumed_tail:
        raise ModelError(f"{where}: it is longer than {TEXT_LIMIT} bytes")
    if not unpack.eof:
        raise ModelError(f"{where}: it ends too early")
    return found


def _groups(changes: Iterable[Change]) -> Iterator[list[Any]]:
    """Changes in a row by one rule are written together."""
    for rule, same in groupby(changes, lambda change: change.rule):
        yield [rule, [one[1:] if one.edited or one.values or one.weights else one[1:3] for one in same]]


def _changes(groups: list[Any]) -> Iterator[Change]:
    for rule, rows in groups:
        for row in rows:
            removed, added, edited, values, weights = row if len(row) > 2 else (*row, (), (), ())
            pairs = tuple((old, new) for old, new in values)
            made = tuple(Derivation(weight, tuple(sources)) for weight, sources in weights)
            yield Change(rule, tuple(removed), tuple(added), tuple(edited), pairs, made)
