"""What users of compilers look at: operators, clusters, placement, latency, throughput, the worst error."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import ModelError
from regraft.files.bundle import inside, is_bundle, read_manifest
from regraft.files.loading import load
from regraft.inspection.census import operators
from regraft.ir.model import Model
from regraft.outside import check_form, read_json
from regraft.targeting.compiled import open_bundle
from regraft.targeting.process import ResourceLimits
from regraft.verification.inputs import make_inputs

WARM_UP = 5
"""Runs before the clock counts."""


@dataclass(frozen=True)
class Latency:
    """Runs of a bundle, host and device together.

    Attributes:
        first: seconds of the first run.
        seconds: of each run after the first few.
        rows: of the batch; throughput counts them.
    """

    first: float
    seconds: tuple[float, ...]
    rows: int

    @property
    def average(self) -> float:
        return statistics.fmean(self.seconds)

    def percentile(self, share: float) -> float:
        """Seconds that `share` of the runs stay below."""
        return float(np.quantile(self.seconds, share))

    @property
    def throughput(self) -> float:
        """Rows a second."""
        return self.rows / self.average


@dataclass(frozen=True)
class Metrics:
    """A bundle in figures.

    Attributes:
        source: the file that the model came from.
        target: with its options; empty where the bundle was made for none.
        compiler: package and version; empty where nothing compiled it.
        source_ops, ops: nodes before and after rewriting, of the device's model.
        host_ops: nodes that run on the host.
        compiled_ops: operators that the compiler left; None where it does not say.
        subgraphs: clusters that the compiler made; None where it does not say.
        placed: how many operators run where, as the compiler says.
        leftovers: names of the operators that the accelerator does not run.
        cycles: of the compiler's simulator.
        worst: by output, the largest absolute difference from the original.
        latency: None where it was not measured; `runtime` is where it was.
        unchecked: what nobody has seen to work.
        command: that hands the bundle to a compiler elsewhere; empty where there is none.
        listed: how many of `ops` the operators cover that the target's profile lists; None for a compiler that ran.
        refused: what they do not cover, a line each.
    """

    source: str
    target: str
    compiler: str
    pipeline: str
    source_ops: int | None
    ops: int
    host_ops: int
    compiled_ops: int | None = None
    subgraphs: int | None = None
    placed: dict[str, int] = field(default_factory=dict)
    leftovers: tuple[str, ...] = ()
    cycles: int | None = None
    worst: dict[str, float] = field(default_factory=dict)
    latency: Latency | None = None
    runtime: str = ""
    unchecked: tuple[str, ...] = ()
    command: str = ""
    listed: int | None = None
    refused: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        """The share of operators on the accelerator, which is every place but the CPU; None where nobody says."""
        total = sum(self.placed.values())
        return 1 - self.placed.get("CPU", 0) / total if total else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; times in seconds."""
        said = asdict(self) | {"share": self.share}
        if self.latency:
            more = {"average": self.latency.average, "throughput": self.latency.throughput}
            said["latency"] = asdict(self.latency) | more | {"p95": self.latency.percentile(0.95)}
        return said


def measure(
    bundle: Path,
    *,
    runs: int = 50,
    seed: int = 0,
    environment: Path | None = None,
    limits: ResourceLimits | None = None,
    trust: bool = False,
) -> Metrics:
    """The metrics of `bundle`, which is run `runs` times: in its compiler's runtime with `trust`, else in ONNX Runtime.

    Raises:
        ModelError: there is no bundle, or it cannot be read.
        TargetError: its compiler's runtime is missing.
    """
    if not is_bundle(bundle):
        raise ModelError(f"{bundle} is no bundle; write one with 'regraft compile'")
    manifest = read_manifest(bundle)
    model = load(bundle)
    compiled, handoff = manifest.get("compiled", {}), manifest.get("handoff", {})
    said, legality = compiled.get("metrics", {}), handoff.get("legality", {})
    drift = compiled.get("drift") or manifest.get("drift") or {"outputs": []}
    compiler = f"{compiled['package']} {compiled['version']}" if compiled else ""
    return Metrics(
        source=manifest.get("source", ""),
        target=(compiled or handoff).get("target", ""),
        compiler=compiler,
        pipeline=manifest.get("pipeline", ""),
        source_ops=_source_ops(bundle, manifest),
        ops=operators(model).total(),
        host_ops=operators(model.host.model).total() if model.host else 0,
        compiled_ops=said.get("ops"),
        subgraphs=said.get("subgraphs"),
        placed=said.get("placed", {}),
        leftovers=tuple(said.get("leftovers", ())),
        cycles=said.get("cycles"),
        worst={one["name"]: one["max_abs"] for one in drift["outputs"]},
        latency=_latency(bundle, model, runs, seed, environment, limits, trust) if runs else None,
        runtime=compiler if trust and compiler else "ONNX Runtime",
        unchecked=tuple(handoff.get("unchecked", ())),
        command=handoff.get("command", ""),
        listed=legality.get("taken"),
        refused=tuple(legality.get("violations", ())),
    )


def _source_ops(bundle: Path, manifest: dict[str, Any]) -> int | None:
    """Nodes of the model before it was rewritten, as its report says."""
    if "report" not in manifest:
        return None
    path = inside(bundle, manifest["report"])
    report = read_json(path)
    check_form(report, {"passes": [{"nodes_before": int}]}, f"{path} is no report of a pipeline")
    return int(report["passes"][0]["nodes_before"]) if report["passes"] else None


def _latency(
    bundle: Path,
    model: Model,
    runs: int,
    seed: int,
    environment: Path | None,
    limits: ResourceLimits | None,
    trust: bool,
) -> Latency:
    inputs = make_inputs(model, seed=seed)
    with open_bundle(bundle, environment, limits, model=model, trust=trust) as session:
        first, *rest = session.time(inputs, WARM_UP + runs)
    shape = np.shape(next(iter(inputs.values()), ()))
    return Latency(first, tuple(rest[WARM_UP - 1 :]), int(shape[0]) if shape else 1)
