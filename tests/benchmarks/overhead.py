"""What `regraft serve` adds to a request: beside a bare ASGI application that answers at once, without a model.

    python -m tests.benchmarks.overhead [--rate 300] [--seconds 5] [--rounds 4] [--out benchmarks-out]

Both run under uvicorn in processes of their own and are asked in turns, a request every 1 / rate seconds over one
connection. The model adds two numbers: what is left is HTTP, the protocol and the queue.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnx
import onnx.parser

from regraft.serving.protocol import encode_request
from tests.benchmarks import table
from tests.benchmarks.serving import ADDS
from tests.serving.served import process

BARE = """
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def infer(request):
    return Response((await request.body())[-320:])

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)

app = Starlette(routes=[Route("/v2/models/{name}/infer", infer, methods=["POST"])])
Server(uvicorn.Config(app, port=0, log_config=None, access_log=False)).run()
"""
TOKENS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="regraft-") as name:
        model = Path(name, "adds.onnx")
        onnx.save(onnx.parser.parse_model(ADDS), model)
        with _bare() as bare, process(model, "--timeout-ms", 0, "--threads", 1) as (_, address, _):
            ports = {"bare": bare, "regraft serve": urlsplit(address).port or 0}
            took: dict[str, list[float]] = {name: [] for name in ports}
            for _ in range(options.rounds):
                for name, port in ports.items():
                    took[name] += _ask(port, options.rate, options.seconds)
    found = {name: np.percentile(seconds, [50, 90, 99]) * 1e3 for name, seconds in took.items()}
    found["added"] = found["regraft serve"] - found["bare"]
    rows = [
        {"server": name} | {f"P{p}, ms": f"{ms:.2f}" for p, ms in zip((50, 90, 99), shown, strict=True)}
        for name, shown in found.items()
    ]
    table.write(options.out, "overhead", f"A server without a model, {options.rate:g} requests a second", rows, {})


@contextmanager
def _bare() -> Iterator[int]:
    """The port of the bare application."""
    with subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.terminate()


def _ask(port: int, rate: float, seconds: float) -> list[float]:
    """Seconds that each request took, from when it was sent."""
    ids = np.arange(TOKENS)[None]
    body, headers = encode_request({"input_ids": ids, "attention_mask": np.ones_like(ids)})
    connection = HTTPConnection("127.0.0.1", port)
    took = []
    due = time.perf_counter()
    end = due + seconds
    while due < end:
        time.sleep(max(due - time.perf_counter(), 0))
        started = time.perf_counter()
        connection.request("POST", "/v2/models/adds/infer", body, headers)
        answer = connection.getresponse()
        assert len(answer.read()) >= ids.nbytes
        assert answer.status == 200
        took.append(time.perf_counter() - started)
        due += 1 / rate
    connection.close()
    return took


if __name__ == "__main__":
    main()
