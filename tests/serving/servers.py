"""Servers for tests: what they answer is made by starlette, beside regraft's own."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from regraft.runtime import Session
from regraft.serving.protocol import (
    HEADER_LENGTH,
    InferRequest,
    Metadata,
    decode_request,
    encode_metadata,
    encode_response,
    read_header_length,
)

Answers = Callable[[InferRequest], Response]


def of_session(path: Path) -> tuple[Metadata, Answers]:
    """What a server says of a model, and how it answers."""
    session = Session(path)

    def answer(request: InferRequest) -> Response:
        body, headers = encode_response("model", request, session.run(request.inputs))
        return Response(body, headers=headers)

    return Metadata("model", session.inputs, session.outputs), answer


def app(metadata: Metadata, answer: Answers, token: str = "", models: tuple[str, ...] = ("model",)) -> Starlette:
    """A server of one model; the index may name others."""

    def guarded(request: Request) -> Response | None:
        if token and request.headers.get("authorization") != f"Bearer {token}":
            return JSONResponse({"error": "no token"}, 401)
        return None

    async def ready(request: Request) -> Response:
        return guarded(request) or Response()

    async def said(request: Request) -> Response:
        if request.path_params["name"] != metadata.name:
            return JSONResponse({"error": f"no model named '{request.path_params['name']}'"}, 404)
        return guarded(request) or Response(encode_metadata(metadata, "onnxruntime_onnx"))

    async def index(request: Request) -> Response:
        return guarded(request) or Response(json.dumps([{"name": name, "state": "READY"} for name in models]))

    async def infer(request: Request) -> Response:
        if (refused := guarded(request)) is not None:
            return refused
        length = read_header_length(request.headers.get(HEADER_LENGTH))
        asked = decode_request(await request.body(), length)
        return await asyncio.to_thread(answer, asked)

    return Starlette(
        routes=[
            Route("/v2/health/ready", ready),
            Route("/v2/models/{name}", said),
            Route("/v2/repository/index", index, methods=["POST"]),
            Route("/v2/models/{name}/infer", infer, methods=["POST"]),
        ]
    )


@contextmanager
def serving(application: Starlette) -> Iterator[str]:
    """The URL of an application that runs in a thread."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
