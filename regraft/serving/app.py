"""A model over HTTP: the Open Inference Protocol, version 2, and `/metrics`, as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest
from importlib.metadata import version
from time import monotonic
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from regraft.batching.form import RequestError
from regraft.batching.queue import Closed, DeadlineExceeded, Overloaded
from regraft.errors import RegraftError
from regraft.ir.weights import Array
from regraft.serving.body import TooLarge, UnknownEncoding, read_body
from regraft.serving.metrics import CONTENT_TYPE
from regraft.serving.model import ServedModel
from regraft.serving.protocol import (
    HEADER_LENGTH,
    InferRequest,
    Metadata,
    ProtocolError,
    datatype,
    decode_request,
    encode_metadata,
    encode_response,
    read_header_length,
)
from regraft.serving.service import Service, Unavailable
from regraft.verification.signature import Port

TEXT = "text"
"""The input that takes texts, where there is a tokenizer."""
TIMEOUT = "X-Request-Timeout-Ms"
PLATFORM, VERSION = "onnxruntime_onnx", "1"

Endpoint = Callable[[Request], Awaitable[Response]]
Answer = dict[str, Array]


class Unauthorized(RegraftError):
    """No token, or a wrong one."""


class UnknownModel(RegraftError):
    """A model, or a version of one, that is not served."""


class HungUp(RegraftError):
    """The client no longer waits for its answer."""


class ModelFailure(RegraftError):
    """The model raised an error that is not one of regraft's."""


_STATUS: dict[type[RegraftError], int] = {
    ProtocolError: 400,
    RequestError: 400,
    Unauthorized: 401,
    UnknownModel: 404,
    TooLarge: 413,
    UnknownEncoding: 415,
    Overloaded: 429,
    HungUp: 499,
    Closed: 503,
    Unavailable: 503,
    DeadlineExceeded: 504,
}
"""Status codes by error; other errors are the model's."""
_MORE = {
    401: {"WWW-Authenticate": "Bearer"},
    429: {"Retry-After": "1"},
    503: {"Retry-After": "1", "Connection": "close"},
}


@dataclass(frozen=True)
class Access:
    """The limits of a client.

    Attributes:
        max_body: bytes of a body, as it is sent and decompressed.
        token: that it must send; None: none.
        deadline: the most seconds that a request may take; None: any number.
    """

    max_body: int = 64 * 2**20
    token: str | None = None
    deadline: float | None = None


def make_app(service: Service, access: Access) -> Starlette:
    """The application; until the model is open it answers that it is starting."""
    return Starlette(
        routes=_Api(service, access).routes(),
        exception_handlers={RegraftError: _on_error, HTTPException: _on_http_error, Exception: _on_crash},
    )


class _Api:
    def __init__(self, service: Service, access: Access):
        self._service, self._access = service, access

    def routes(self) -> list[Route]:
        of_model: list[tuple[str, str, Endpoint]] = [
            ("POST", "/infer", self._infer),  # first, as it is the most frequent
            ("GET", "", self._metadata),
            ("GET", "/ready", self._model_ready),
            ("GET", "/config", self._config),
        ]
        guarded = [
            *((method, f"/v2/models/{{name}}{path}", call) for method, path, call in of_model),
            *((method, f"/v2/models/{{name}}/versions/{{version}}{path}", call) for method, path, call in of_model),
            ("GET", "/metrics", self._metrics),
            ("GET", "/v2", self._server),
            ("POST", "/v2/repository/index", self._index),
        ]
        return [
            *(Route(path, self._guarded(endpoint), methods=[method]) for method, path, endpoint in guarded),
            Route("/v2/health/live", self._live),
            Route("/v2/health/ready", self._ready),
        ]

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def call(request: Request) -> Response:
            return await endpoint(self._admitted(request))

        return self._counted(call) if endpoint == self._infer else call

    def _admitted(self, request: Request) -> Request:
        """The request, after checking its token, model and version."""
        token, shown = self._access.token, request.headers.get("Authorization", "")
        if token is not None and not compare_digest(shown.encode(), f"Bearer {token}".encode()):
            raise Unauthorized("the header Authorization must be 'Bearer' and the server's token")
        name, number = request.path_params.get("name"), request.path_params.get("version", VERSION)
        if name not in (None, self._service.name):
            raise UnknownModel(f"no model named '{name}'; there is '{self._service.name}'")
        if number != VERSION:
            raise UnknownModel(f"no version {number} of model '{name}'; there is {VERSION}")
        return request

    def _counted(self, endpoint: Endpoint) -> Endpoint:
        async def call(request: Request) -> Response:
            status = 500
            try:
                response = await endpoint(request)
                status = response.status_code
            except RegraftError as error:
                status = _status(error)
                raise
            finally:
                self._service.metrics.answered(status)
            return response

        return call

    async def _live(self, request: Request) -> Response:
        return Response()

    async def _ready(self, request: Request) -> Response:
        _ = self._service.ready
        return Response()

    async def _model_ready(self, request: Request) -> Response:
        return await self._ready(request)

    async def _metrics(self, request: Request) -> Response:
        return Response(self._service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _server(self, request: Request) -> Response:
        extensions = ["binary_tensor_data", "model_configuration", "model_repository"]
        return JSONResponse({"name": "regraft", "version": version("regraft"), "extensions": extensions})

    async def _index(self, request: Request) -> Response:
        state = "READY" if self._service.state == "ready" else "UNAVAILABLE"
        reason = "" if state == "READY" else self._service.state
        return JSONResponse([{"name": self._service.name, "version": VERSION, "state": state, "reason": reason}])

    async def _metadata(self, request: Request) -> Response:
        model = self._service.ready
        described = encode_metadata(Metadata(self._service.name, model.inputs, model.outputs), PLATFORM)
        return Response(described, media_type="application/json")

    async def _config(self, request: Request) -> Response:
        model = self._service.ready
        texts = [_configured(Port(TEXT, dtype=np.dtype(object), shape=(None,)), optional=True)]
        made = {one.name for one in model.inputs if model.tokenizer and one.name in model.tokenizer.inputs}
        return JSONResponse(
            {
                "name": self._service.name,
                "platform": PLATFORM,
                "backend": "onnxruntime",
                "max_batch_size": 0,  # so that `dims` are those of the metadata, with the batch
                "input": [_configured(one, optional=one.name in made) for one in model.inputs] + texts * bool(made),
                "output": [_configured(one) for one in model.outputs],
                "instance_group": [{"kind": "KIND_CPU", "count": model.instances}],
            }
        )

    async def _infer(self, request: Request) -> Response:
        arrived, model, headers = monotonic(), self._service.ready, request.headers
        length, encoding = headers.get("Content-Length"), headers.get("Content-Encoding")
        try:
            body = await read_body(request.stream(), self._access.max_body, length, encoding)
        except ClientDisconnect as error:
            raise HungUp("the client has hung up") from error
        asked = decode_request(body, read_header_length(headers.get(HEADER_LENGTH)))
        deadline = arrived + self._seconds(request, asked)
        inputs = await _inputs(model, asked)
        outputs = await _answer(request, partial(model.queue.submit, inputs, deadline), deadline)
        made, more = encode_response(self._service.name, asked, outputs)
        if self._service.draining:
            more = {**more, "Connection": "close"}
        return Response(made, headers=more)

    def _seconds(self, request: Request, asked: InferRequest) -> float:
        """The seconds that the request may take."""
        given, micro = request.headers.get(TIMEOUT), asked.parameters.get("timeout", 0)
        if type(micro) is not int or micro < 0:
            raise ProtocolError("parameters: timeout must be a whole number of microseconds")
        if given is not None and not (given.isdecimal() and len(given) < 12):
            raise ProtocolError(f"{TIMEOUT}: must be a whole number of milliseconds, not '{given[:20]}'")
        allowed = (self._access.deadline, micro / 1e6 or None, None if given is None else int(given) / 1e3)
        return min((seconds for seconds in allowed if seconds is not None), default=math.inf)


async def _inputs(model: ServedModel, asked: InferRequest) -> dict[str, Any]:
    """The inputs for the model; texts become token ids, masks and segments."""
    texts = asked.inputs.get(TEXT)
    if model.tokenizer is None or texts is None:
        return asked.inputs
    if texts.dtype != object or texts.ndim not in (1, 2) or texts.size != len(texts) or not texts.size:
        raise RequestError(f"input '{TEXT}' takes BYTES[n] or BYTES[n, 1], one text or more")
    if both := [name for name in asked.inputs if name in model.tokenizer.inputs]:
        raise RequestError(f"input '{TEXT}' stands for '{both[0]}': give one of them")
    made = await asyncio.to_thread(model.tokenizer, texts.reshape(-1).tolist())
    return {**{name: value for name, value in asked.inputs.items() if name != TEXT}, **made}


async def _answer(request: Request, submit: Callable[[], Future[Answer]], deadline: float) -> Answer:
    """The queue's answer. If the client hangs up or the deadline passes, rows that have not started are dropped."""
    gone = asyncio.create_task(_hung_up(request))
    try:
        await asyncio.sleep(0)  # watch before waking a worker, which waits until this thread is idle
        answer = asyncio.wrap_future(submit())
        gone.add_done_callback(lambda _: answer.cancel())
        return await _until(deadline, answer)
    except asyncio.CancelledError:
        if not gone.done():
            raise  # the server itself is ended
        raise HungUp("the client has hung up") from None
    finally:
        gone.cancel()


async def _until(deadline: float, answer: asyncio.Future[Answer]) -> Answer:
    try:
        async with asyncio.timeout(None if math.isinf(deadline) else deadline - monotonic()) as limit:
            return await answer
    except RegraftError:
        raise
    except Exception as error:
        if limit.expired():
            raise DeadlineExceeded("the deadline passed before the answer was there") from None
        raise ModelFailure(f"the model failed: {type(error).__name__}: {error}") from error


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _configured(port: Port, optional: bool = False) -> dict[str, Any]:
    """An input or output as Triton's configuration has it."""
    name = datatype(port.dtype)
    dims = [dim if isinstance(dim, int) else -1 for dim in port.shape or ()]
    made = {"name": port.name, "data_type": f"TYPE_{'STRING' if name == 'BYTES' else name}", "dims": dims}
    return {**made, "optional": True} if optional else made


def _status(error: Exception) -> int:
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def _failed(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status, _MORE.get(status))


async def _on_error(request: Request, error: Exception) -> Response:
    return _failed(_status(error), str(error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    why = {404: f"nothing is at {request.url.path}", 405: f"{request.url.path} does not take {request.method}"}
    return _failed(error.status_code, why.get(error.status_code, error.detail))


async def _on_crash(request: Request, error: Exception) -> Response:
    """A fault of the server: the log has the traceback."""
    logging.getLogger(__name__).error("fault in the server", exc_info=error)
    return _failed(500, f"fault in the server: {type(error).__name__}")
