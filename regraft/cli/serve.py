"""`regraft serve`: a model over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import click

from regraft.cli.parameters import PATH, as_json, command, model_argument
from regraft.cli.terminal import echo
from regraft.errors import RegraftError

_MIB = 2**20
_COUNT = click.IntRange(min=1)


@command(
    "regraft serve bundle",
    "regraft serve bundle --instances 4 --threads 1 --port 8123",
    "regraft serve model.onnx --tokenizer tokenizer.json --deadline-ms 200",
)
@model_argument("bundle")
@click.option("--instances", type=_COUNT, default=1, show_default=True, help="Calls of the model at a time.")
@click.option("--threads", type=_COUNT, help="Threads of one call.  [default: the cores, shared among the instances]")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0: any free one.",
)
@click.option(
    "--timeout-ms",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    help="Milliseconds that a sequence waits for others to share its call.",
)
@click.option("--batch", type=_COUNT, metavar="N", help="Sequences in a call.  [default: by the model]")
@click.option("--tokens", type=_COUNT, metavar="N", help="Tokens in a call, in place of --batch.")
@click.option("--lengths", metavar="FILE|SET", help="Measure which policy is fastest for such lengths, and use it.")
@click.option(
    "--max-queued", type=_COUNT, default=1024, show_default=True, help="Sequences that may wait; more get 429."
)
@click.option("--max-body-mb", type=_COUNT, default=64, show_default=True, help="MiB of a request, decompressed.")
@click.option(
    "--token",
    envvar="REGRAFT_TOKEN",
    metavar="TEXT",
    help="Token that clients must send.  [default: REGRAFT_TOKEN, or none]",
)
@click.option("--tokenizer", type=PATH, help="Take texts, too: a tokenizer's folder, a tokenizer.json or a vocab.txt.")
@click.option("--deadline-ms", type=_COUNT, help="The most milliseconds that a request may take.  [default: any]")
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds for answering accepted requests when the server ends.",
)
@click.option(
    "--engine",
    type=click.Choice(["uvicorn", "ray"]),
    default="uvicorn",
    show_default=True,
    help="One process, or Ray Serve's replicas.",
)
@click.option("--replicas", type=_COUNT, metavar="N", help="Processes of --engine ray.  [default: 1]")
@click.option(
    "--max-replicas",
    type=_COUNT,
    metavar="N",
    help="The number up to which Ray adds replicas under load.  [default: none]",
)
@as_json
def serve(
    bundle: Path,
    instances: int,
    threads: int | None,
    host: str,
    port: int,
    timeout_ms: float,
    batch: int | None,
    tokens: int | None,
    lengths: str | None,
    max_queued: int,
    max_body_mb: int,
    token: str | None,
    tokenizer: Path | None,
    deadline_ms: int | None,
    drain_seconds: float,
    engine: str,
    replicas: int | None,
    max_replicas: int | None,
    as_json: bool,
) -> None:
    """Serve a bundle, or an ONNX file, by the Open Inference Protocol: clients of Triton and KServe are clients of it.

    Requests of any size share calls of the model, and each is answered as if it were run alone. A bundle is served
    once its golden vectors were run again and its outputs agree. SIGTERM and SIGINT end the server when what it has
    accepted is answered. With --json what it says goes to the output, an object a line.
    """
    if [batch, tokens, lengths].count(None) < 2:
        raise click.UsageError("--batch, --tokens and --lengths exclude each other")
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        raise click.UsageError("--token, or REGRAFT_TOKEN, must be printable ASCII without spaces")
    if engine != "ray" and (replicas, max_replicas) != (None, None):
        raise click.UsageError("--replicas and --max-replicas are for --engine ray")
    if max_replicas is not None and max_replicas < (replicas or 1):
        raise click.UsageError("--max-replicas is less than --replicas")
    try:
        from regraft.serving import app, model, server

        if engine == "ray":
            from regraft.serving import ray_engine
    except ModuleNotFoundError as error:
        extra = "ray" if (error.name or "").startswith("ray") else "serve"
        raise RegraftError(f"{error.name} is not installed: pip install 'regraft[{extra}]'") from error
    say = _say_as_json if as_json else _say
    deadline = None if deadline_ms is None else deadline_ms / 1e3
    options = model.Options(instances, threads or 0, timeout_ms / 1e3, batch, tokens, lengths, max_queued, tokenizer)
    access = app.Access(max_body_mb * _MIB, token, deadline)
    place = server.Place(host, port, drain_seconds)
    if engine == "ray":
        ray_engine.serve_on_ray(bundle, options, access, place, ray_engine.Replicas(replicas or 1, max_replicas), say)
    else:
        server.serve(bundle, options, access, place, say)


def _say(line: str) -> None:
    echo(line, err=True)


def _say_as_json(line: str) -> None:
    echo(json.dumps({"said": line}))
