"""`regraft report`: the figures of a bundle that users of compilers look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.parameters import as_json, command, compiler_options, load, seed, trust
from regraft.cli.terminal import block, echo
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.targeting.metrics import Metrics
    from regraft.targeting.process import ResourceLimits

NAMES_SHOWN = 12


@command("regraft report bundle", "regraft report bundle --runs 200 --json")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--runs", type=click.IntRange(min=0), default=50, show_default=True, help="Runs to time; 0 measures no latency."
)
@compiler_options
@trust
@seed
@as_json
@load
def report(
    bundle: Path, runs: int, environment: Path | None, limits: ResourceLimits, trust: bool, seed: int, as_json: bool
) -> None:
    """Print operators, clusters, placement, latency, throughput and the worst error of a bundle.

    With --trust a compiled bundle runs in its compiler's runtime, with its host part; else all run in ONNX Runtime.
    """
    from regraft.targeting.metrics import measure

    metrics = measure(bundle, runs=runs, seed=seed, environment=environment, limits=limits, trust=trust)
    if as_json:
        from regraft.verification.deviation import to_json

        block(to_json(metrics.to_dict()))
    else:
        _print(metrics)


def _print(metrics: Metrics) -> None:
    from regraft.cli.output import duration, table, title

    rows = [
        ("source", metrics.source),
        ("target", metrics.target),
        ("compiled by", metrics.compiler or "nothing here"),
        ("hand it over by", metrics.command),
        ("pipeline", metrics.pipeline),
        ("operations in the model", "" if metrics.source_ops is None else f"{metrics.source_ops:,}"),
        ("after rewriting", f"{metrics.ops:,}" + (f", and {metrics.host_ops:,} on the host" * bool(metrics.host_ops))),
        ("the target lists", "" if metrics.listed is None else f"{metrics.listed:,} of them"),
        ("after compiling", "" if metrics.compiled_ops is None else f"{metrics.compiled_ops:,}"),
        ("subgraphs", "" if metrics.subgraphs is None else f"{metrics.subgraphs:,}"),
        ("placed", _placed(metrics)),
        ("left on the CPU", _leftovers(metrics)),
        ("cycles", "" if metrics.cycles is None else f"{metrics.cycles:,}"),
    ]
    if latency := metrics.latency:
        rows += [
            ("warm-up", f"{duration(latency.first)}, the first run in {metrics.runtime}"),
            (
                "latency",
                f"{duration(latency.average)} average of {count(len(latency.seconds), 'run')}"
                f" (p50 {duration(latency.percentile(0.5))}, p95 {duration(latency.percentile(0.95))}),"
                f" batch {latency.rows}",
            ),
            ("throughput", f"{latency.throughput:,.0f} rows/s"),
        ]
    rows += [(f"worst error of {name}", f"{error:.2g}") for name, error in metrics.worst.items()]
    table([row for row in rows if row[1]])
    for heading, lines in (("not listed", metrics.refused), ("not checked here", metrics.unchecked)):
        if lines:
            title(heading)
            for line in lines:
                echo(f"- {line}")


def _placed(metrics: Metrics) -> str:
    if metrics.share is None:
        return ""
    counts = ", ".join(f"{number} on the {place}" for place, number in metrics.placed.items())
    return f"{metrics.share:.2%} of the operations: {counts}"


def _leftovers(metrics: Metrics) -> str:
    shown = ", ".join(metrics.leftovers[:NAMES_SHOWN])
    return shown + (f" and {len(metrics.leftovers) - NAMES_SHOWN} more" * (len(metrics.leftovers) > NAMES_SHOWN))
