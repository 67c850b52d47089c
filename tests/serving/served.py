"""Servers of our own, for tests: the application in this process, behind uvicorn in a thread, and `regraft serve`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from regraft.batching.policy import Padded
from regraft.batching.queue import Queue
from regraft.serving.app import Access, make_app
from regraft.serving.model import ServedModel
from regraft.serving.service import Service
from tests.batching.toy import FORM, toy

JSON = {
    "inputs": [
        {"name": "ids", "shape": [2, 2], "datatype": "INT64", "data": [2, 3, 4, 7]},
        {"name": "mask", "shape": [2, 2], "datatype": "INT64", "data": [1, 1, 1, 0]},
    ]
}
INFER = "/v2/models/toy/infer"
COMMAND = [sys.executable, "-c", "import regraft_command as r; r.main()"]


@contextlib.contextmanager
def toy_service(run: Callable[[dict[str, Any]], Any] = toy, **options: Any) -> Iterator[Service]:
    """The toy, served as `toy`."""
    service = Service("toy")
    with Queue(run, FORM, Padded(4), listener=service.metrics.called, **options) as queue:
        service.model = ServedModel(FORM.inputs, FORM.outputs, queue)
        yield service


def client(service: Service, access: Access | None = None) -> httpx.AsyncClient:
    """Asks the application in this process."""
    transport = httpx.ASGITransport(make_app(service, access or Access()), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://toy")


def asked(service: Service, method: str, path: str, access: Access | None = None, **what: Any) -> httpx.Response:
    """What one request is answered."""

    async def ask() -> httpx.Response:
        async with client(service, access) as asking:
            return await asking.request(method, path, **what)

    return asyncio.run(ask())


@contextlib.contextmanager
def over_http(service: Service, access: Access | None = None) -> Iterator[int]:
    """The application behind uvicorn; gives the port."""
    config = uvicorn.Config(make_app(service, access or Access()), port=0, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


@contextlib.contextmanager
def process(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """`regraft serve` with arguments: the process, the address of the model, and what it said.

    It listens on a free port unless they say on which.
    """
    port = [] if "--port" in arguments else ["--port", "0"]
    command = [*COMMAND, "serve", *map(str, arguments), *port]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        try:
            assert running.stderr is not None
            lines = []
            for line in running.stderr:
                lines.append(line)
                if found := re.match(r"serving (http://\S+)", line):
                    yield running, found[1], "".join(lines)
                    break
            else:
                raise AssertionError(f"not served: {lines}")
        finally:
            running.kill()
