"""A cell of the matrix: a file, rewritten or not, given to a compiler, run, and held against PyTorch's outputs."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from regraft.files.saving import save
from regraft.targeting import worker as child
from regraft.targeting.compiler import COMPILED, Compiler
from regraft.targeting.process import CompilerError, ResourceLimits, Worker
from regraft.targeting.target import Place
from regraft.verification.runtime import HostSide
from tests.acceptance.contestants import RAW, REGRAFT, Contestant, Prepared, Refused, Shapes
from tests.acceptance.store import Store, fingerprint

COMPILERS = ("onnxruntime", "openvino", "iree", "tvm", "mnn", "tract", "litert", "rknn")
OPEN = {"onnxruntime", "openvino"}
"""Compilers of which open dimensions are worth keeping; for the others, rewriting fixes them."""
SIMULATED = {"rknn"}
"""Compilers whose seconds are those of a simulator."""
SAID = "said.json"
"""What a driver said of what it compiled, beside that."""
LIMITS = ResourceLimits(600, 12 * 2**30)

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """What became of a cell.

    Attributes:
        refusal: what the compiler said, or the tool before it; empty where it compiled and ran.
        wrong: which output lies too far from PyTorch's; empty where all are right.
        error: the largest absolute difference of an output.
        pipeline: that rewrote the file.
        seconds: that compiling took.
        metrics: of the compiler.
    """

    refusal: str = ""
    wrong: str = ""
    error: float = 0.0
    pipeline: str = ""
    seconds: float = 0.0
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        return not (self.refusal or self.wrong)


class Bench:
    """A compiler, and the results that are known of it.

    Args:
        folder: for the store of results, and for rewritten files.
        kept: run nothing: the latest results count, whatever has changed since.

    Raises:
        TargetError: it is not installed.
    """

    def __init__(self, compiler: Compiler, folder: Path, kept: bool = False):
        self.compiler, self._kept = compiler, kept
        self._store, self._folder = Store(folder / "results.jsonl"), folder
        with self._worker() as (_, version):
            self.version = version

    @contextmanager
    def _worker(self) -> Iterator[tuple[Worker, str]]:
        with (
            tempfile.TemporaryDirectory(prefix="regraft-") as folder,
            self.compiler.worker(Place(Path(folder, "compile.log"), limits=LIMITS)) as found,
        ):
            yield found

    def prepare(self, contestant: Contestant, source: Path, inputs: Arrays, dynamic: bool) -> Prepared:
        """The file rewritten for the sizes of `inputs`, where it is `dynamic` and the compiler wants that."""
        fixed = dynamic and self.compiler.name not in OPEN
        shapes: Shapes = {name: list(np.shape(value)) for name, value in inputs.items()} if fixed else {}
        return contestant.prepare(source, shapes, self.compiler, self._folder)

    def key(self, *prepared: Prepared) -> str:
        """Of a cell, or of several files that are timed against each other."""
        hosts = [_host_file(one, self._folder) for one in prepared]
        files = [one.file for one in prepared] + [host for host in hosts if host]
        said = self.compiler.driver_options, self.compiler.contract
        return fingerprint(*files, self.version, self.compiler.driver, *said)

    def fingerprint(self, contestant: Contestant, source: Path, inputs: Arrays, dynamic: bool) -> str:
        """Of all that a cell's verdict depends on: both files, the inputs, the compiler and its driver, the tolerance.

        Not of the expected outputs, which follow from the source and the inputs: their last bits are the processor's.

        Raises:
            Refused: the contestant gives no model.
        """
        arrays = [(name, np.asarray(value)) for name, value in sorted(inputs.items())]
        fed = [part for name, array in arrays for part in (name, array.dtype, array.shape, array.tobytes())]
        prepared = self.prepare(contestant, source, inputs, dynamic)
        return fingerprint(self.key(prepared), Path(child.__file__), source, *fed)

    def cell(
        self, contestant: Contestant, source: Path, inputs: Arrays, expected: Arrays, dynamic: bool
    ) -> Result | None:
        """Compile, run and compare, unless the store has it; None where only the store counts, and has nothing."""
        name = f"{self.compiler.name} {source.stem} {contestant.name}"
        if self._kept:
            latest = self._store.latest(name)
            return Result(**latest) if latest else None
        try:
            prepared = self.prepare(contestant, source, inputs, dynamic)
            key = self.key(prepared)
            result = Result(**(self._store.get(key) or asdict(self._run(prepared, inputs, expected))))
            result = replace(result, pipeline=prepared.pipeline)
        except Refused as refused:
            key, result = fingerprint(name, refused), Result(refusal=str(refused))
        self._store.put(key, asdict(result), name)
        return result

    def _run(self, prepared: Prepared, inputs: Arrays, expected: Arrays) -> Result:
        try:
            with self._worker() as (worker, _):
                host, said = _host(prepared), self._compile(worker, prepared, COMPILED)
                fed = host.send(dict(inputs)) if host else inputs
                found = worker.ask("run", fed, model=COMPILED)[1]
        except CompilerError as error:
            return Result(refusal=plain(str(error), self.compiler.name))
        return self._compare(host.receive(found, inputs) if host else found, expected, said)

    def _compile(self, worker: Worker, prepared: Prepared, name: str) -> dict[str, Any]:
        """Compile, unless that is done, and load under `name`; what the driver said."""
        kept = self._folder / "compiled" / self.key(prepared)
        options = {"options": self.compiler.driver_options}
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="regraft-", dir=self._folder) as scratch:
                copy, output = Path(scratch, "model.onnx"), Path(scratch, "compiled")
                copy.write_bytes(prepared.file.read_bytes())
                output.mkdir()
                said = worker.ask("compile", model=str(copy), folder=str(output), **options)[0]
                (output / SAID).write_text(json.dumps(said))
                kept.parent.mkdir(exist_ok=True)
                output.rename(kept)
        worker.ask("load", folder=str(kept), **options, **{"as": name})
        found: dict[str, Any] = json.loads((kept / SAID).read_text())
        return found

    def _compare(self, found: Arrays, expected: Arrays, said: dict[str, Any]) -> Result:
        if missing := [name for name in expected if name not in found]:
            return Result(wrong=f"gives no output '{missing[0]}'")
        results = {name: np.asarray(found[name]).astype(value.dtype) for name, value in expected.items()}
        drift = self.compiler.contract.check(expected, results)
        wrong = str(drift.failures[0]) if drift.failures else ""
        return Result("", wrong, drift.max_abs, seconds=said["seconds"], metrics=said["metrics"])

    def ratios(
        self, source: Path, inputs: Arrays, dynamic: bool, loads: int = 4, pairs: int = 10, runs: int = 20
    ) -> list[float]:
        """Processor seconds of the raw file over those of regraft's, both loaded in one process, in turns.

        Args:
            loads: how often both are loaded anew, in a process each and in turns: where weights come to lie in memory
                makes several percent.
            pairs: of turns in each, a b, b a, a b ...
            runs: in a turn; the fastest counts.
        """
        name = f"{self.compiler.name} {source.stem} processor {loads} {pairs} {runs}"
        if self._kept:
            return list(self._store.latest(name) or ())
        sides = [self.prepare(one, source, inputs, dynamic) for one in (RAW, REGRAFT)]
        key = f"{name} {self.key(*sides)}"
        if (known := self._store.get(key)) is None:
            known = []
            for number in range(loads):
                with self._worker() as (worker, _):
                    known += self._time(worker, sides, inputs, pairs, runs, raw_first=number % 2 == 0)
        self._store.put(key, known, name)
        return list(known)

    def _time(
        self, worker: Worker, sides: Sequence[Prepared], inputs: Arrays, pairs: int, runs: int, raw_first: bool
    ) -> list[float]:
        hosts = [_host(one) for one in sides]
        fed = [host.send(dict(inputs)) if host else inputs for host in hosts]
        for number in (0, 1) if raw_first else (1, 0):
            self._compile(worker, sides[number], str(number))
            worker.ask("time", fed[number], model=str(number), runs=10)  # warm
        found = []
        for turn in range(pairs):
            seconds = [0.0, 0.0]
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                device = worker.ask("time", fed[side], model=str(side), runs=runs)[0]["processor_seconds"]
                host = hosts[side]
                seconds[side] = min(device) + (min(host.time(dict(inputs), runs)) if host else 0.0)
            found.append(seconds[0] / seconds[1])
        return found


def plain(message: str, name: str) -> str:
    """What a compiler said, without where its log lies and without folders of this run."""
    text = re.sub(r" \(log: [^)]*\)$", "", message)
    text = re.sub(r"(?<![\w.:/])/\S*/", "", text)
    return text.removeprefix(f"{name} refuses the model: ").removeprefix(f"{name} ").strip()


def _host(prepared: Prepared) -> HostSide | None:
    model = prepared.model
    if model is None or model.host is None:
        return None
    return HostSide(model.host, {tensor.name for tensor in model.graph.inputs}, True, 1)


def _host_file(prepared: Prepared, folder: Path) -> Path | None:
    model = prepared.model
    if model is None or model.host is None or not model.host.feeds:
        return None
    return save(model.host.model, folder / f"{prepared.file.stem}-host.onnx")
