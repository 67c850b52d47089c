"""`regraft load-test`: the throughput and the latency of a server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from regraft.cli.output import duration, table
from regraft.cli.parameters import PATH, as_json, command, seed
from regraft.cli.terminal import block, echo, shows_progress
from regraft.wording import count

if TYPE_CHECKING:
    from regraft.serving.load import Result

TOKEN = "REGRAFT_TOKEN"
SERVER_SECONDS, CLIENT_SECONDS = 60.0, 600.0
WRONG = 1  # exit code
LATE_MS = 50.0  # by which an arrival may be late without a warning

_ABOVE_0 = click.FloatRange(min=0, min_open=True)


@command(
    "regraft load-test http://127.0.0.1:8000/v2/models/minilm --lengths seed004 --check bundle",
    "regraft load-test http://127.0.0.1:8000 --scenario server --rate 200 --seconds 60",
    "regraft load-test http://127.0.0.1:8000 --find-rate --p99 130",
)
@click.argument("url")
@click.option("--model", metavar="NAME", help="Name of the model.  [default: the URL's, or the only one]")
@click.option("--scenario", type=click.Choice(["clients", "server"]), default="clients", show_default=True)
@click.option(
    "--clients", type=click.IntRange(min=1), default=96, show_default=True, help="Connections at the same time."
)
@click.option("--requests", type=click.IntRange(min=1), default=128, show_default=True, help="Requests of each client.")
@click.option("--rate", type=_ABOVE_0, help="Mean arrivals a second; with --find-rate the first rate.  [default: 50]")
@click.option("--find-rate", is_flag=True, help="Search the highest rate at which P99 stays within --p99.")
@click.option("--p99", type=_ABOVE_0, default=130.0, show_default=True, help="Milliseconds.")
@click.option("--seconds", type=_ABOVE_0, help="Seconds of sending.  [default: 60 by rate, else 600]")
@click.option("--timeout", type=_ABOVE_0, default=30.0, show_default=True, help="Seconds that a request may take.")
@click.option(
    "--most", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="The most requests in all."
)
@click.option(
    "--lengths",
    metavar="FILE|seed004|squad|wikipedia|short",
    default="short",
    show_default=True,
    help="Lengths of sequences.",
)
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Sequences in a request.")
@click.option("--json-tensors", is_flag=True, help="Send and ask for tensors as JSON.  [default: binary]")
@click.option("--bundle", type=PATH, metavar="PATH", help="Read what inputs mean from a bundle, not from their names.")
@click.option(
    "--check", type=PATH, metavar="PATH", help="Compare every answer with the outputs of a model or a bundle."
)
@click.option("--tolerance", type=_ABOVE_0, default=1e-4, show_default=True, help="Tolerance of --check.")
@click.option("--token", metavar="TEXT", help=f"Bearer token.  [default: the environment variable {TOKEN}]")
@click.option("--allow-remote", is_flag=True, help="The server may be on another machine.")
@seed
@as_json
@click.pass_context
def load_test(
    ctx: click.Context,
    url: str,
    model: str | None,
    scenario: str,
    clients: int,
    requests: int,
    rate: float | None,
    find_rate: bool,
    p99: float,
    seconds: float | None,
    timeout: float,
    most: int,
    lengths: str,
    batch: int,
    json_tensors: bool,
    bundle: Path | None,
    check: Path | None,
    tolerance: float,
    token: str | None,
    allow_remote: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Put load on a server that speaks the Open Inference Protocol, and print what it took.

    96 clients send 128 requests each, one after the other; or requests arrive at random, at a rate, as in MLPerf's
    server scenario, and latency counts from when each was due. The exit code is 1 where --check found a wrong answer.
    """
    import asyncio
    from itertools import islice, repeat

    from regraft.files import loading
    from regraft.pipelines.progress import bars
    from regraft.runtime.packing import read_lengths
    from regraft.serving import load as loads
    from regraft.serving.client import Server
    from regraft.serving.requests import DISTINCT, Inputs, Reference

    by_rate = find_rate or scenario == "server"
    if rate is not None and not by_rate:
        raise click.UsageError("--rate is for --scenario server and --find-rate")
    server = Server.at(url, token=os.environ.get(TOKEN, "") if token is None else token, remote=allow_remote)
    total = most if by_rate else min(most, clients * requests)
    values = read_lengths(lengths).values[: DISTINCT * batch].tolist()
    path, metadata = asyncio.run(server.metadata(model, timeout))
    read = bundle or check
    inputs = Inputs.of_metadata(metadata) if read is None else Inputs.of_model(loading.load(read))
    batches = islice(inputs.batches(values, batch, seed), min(total, DISTINCT))
    pairs = Reference(check, tolerance).answered(batches) if check else zip(batches, repeat(None))
    made = [loads.Request.of(one, server, path, not json_tensors, expected) for one, expected in pairs]
    load = loads.Load(server, made, seconds or (SERVER_SECONDS if by_rate else CLIENT_SECONDS), total, timeout)

    def measure(rate: float) -> Result:
        with bars(min(total, round(rate * load.seconds)), shows_progress()) as shown:
            shown.begin(f"{rate:.4g} requests a second")
            result = loads.run_server_scenario(load, rate, clients, seed, p99, shown.end)
        if find_rate:
            echo(f"{rate:.4g} requests a second: {_latency(result)}", err=True)
        if result.late_ms > LATE_MS:
            late = duration(result.late_ms / 1e3)
            echo(
                f"requests were sent up to {late} late: this machine does not keep up with {rate:.4g} a second",
                err=True,
            )
        return result

    if find_rate:
        result = loads.find_rate(measure, p99, rate or 50.0)
    elif by_rate:
        result = measure(rate or 50.0)
    else:
        with bars(total, shows_progress()) as shown:
            shown.begin("requests")
            result = loads.run_clients(load, clients, requests, shown.end)
    _say(result, as_json)
    if find_rate and not as_json and not result.interrupted:
        echo(f"P99 stays within {p99:g} ms up to {result.rate:.4g} requests a second")
    if result.interrupted:
        raise click.Abort
    ctx.exit(WRONG if result.wrong else 0)


def _latency(result: Result) -> str:
    middle, last = (result.percentile(percent) for percent in (50, 99))
    if middle is None or last is None:
        return f"nothing was answered, {_errors(result)}"
    return f"{result.throughput:.4g} inferences a second, P50 {middle:.4g} ms, P99 {last:.4g} ms, {_errors(result)}"


def _errors(result: Result) -> str:
    by_kind = ", ".join(f"{number:,} {kind}" for kind, number in sorted(result.errors.items()))
    return f"errors: {by_kind}" if by_kind else "no errors"


def _say(result: Result, as_json: bool) -> None:
    said = result.to_dict()
    if as_json:
        import json

        block(json.dumps(said, indent=2))
        return
    echo(f"{count(result.requests, 'request')} in {result.seconds:.4g} s: {result.throughput:.4g} inferences a second")
    names = [name for name in said if name.endswith("_ms")]
    values = ["-" if said[name] is None else f"{said[name]:.2f}" for name in names]
    table([["latency in ms", *values]], ["", *(name.removesuffix("_ms") for name in names)], range(1, len(names) + 1))
    echo(_errors(result))
    if result.wrong is not None:
        echo(count(result.wrong, "wrong answer"))
