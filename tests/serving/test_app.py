"""The server: every answer is right or says in one line why there is none."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import signal
import socket
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="regraft[serve] is not installed")
pytest.importorskip("uvicorn", reason="regraft[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed")

import httpx

import regraft
from regraft.errors import VerificationError
from regraft.files.bundle import MANIFEST, digest
from regraft.runtime import Session
from regraft.serving.app import Access
from regraft.serving.model import Options, ServedModel, open_model
from regraft.serving.protocol import HEADER_LENGTH, decode_response, encode_request, read_header_length
from regraft.serving.service import Service
from tests.batching.toy import POISON, Gate, ask, is_right, toy
from tests.serving.served import INFER, JSON, asked, client, over_http, process, toy_service

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sleeps", "it", "rains", "."]


@pytest.fixture
def service() -> Iterator[Service]:
    with toy_service() as made:
        yield made


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture(scope="session")
def bundle(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed encoder, with golden vectors."""
    folder = tmp_path_factory.mktemp("served") / "encoder"
    original = regraft.load(artifacts / "pytorch/bert-qa-eager-dynamo.onnx")
    model = regraft.load(artifacts / "pytorch/bert-qa-eager-dynamo.onnx")
    report = regraft.run(model, "unpack-attention")
    regraft.write_bundle(model, folder, original=original, report=report)
    return folder


def outputs_of(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return decode_response(response.content, read_header_length(response.headers.get(HEADER_LENGTH)))


def test_what_is_said_of_the_server_and_the_model(service: Service) -> None:
    assert asked(service, "GET", "/v2/health/live").status_code == 200
    assert asked(service, "GET", "/v2/health/ready").status_code == 200
    assert asked(service, "GET", "/v2").json()["name"] == "regraft"
    assert asked(service, "POST", "/v2/repository/index").json() == [
        {"name": "toy", "version": "1", "state": "READY", "reason": ""}
    ]
    for of in ("/v2/models/toy", "/v2/models/toy/versions/1"):
        assert asked(service, "GET", f"{of}/ready").status_code == 200
        said, config = asked(service, "GET", of).json(), asked(service, "GET", f"{of}/config").json()
        assert said["inputs"][0] == {"name": "ids", "datatype": "INT64", "shape": [-1, -1]}
        assert config["output"][0] == {"name": "sum", "data_type": "TYPE_INT64", "dims": [-1]}


@pytest.mark.parametrize("binary", [True, False])
def test_answers(service: Service, binary: bool) -> None:
    request = ask([2, 3], [4], [5, 6, 7])
    body, headers = encode_request(request, ["cubes"], binary)
    answer = asked(service, "POST", INFER, content=body, headers=headers)
    assert (HEADER_LENGTH in answer.headers) == binary
    assert list(outputs_of(answer)) == ["cubes"]
    np.testing.assert_array_equal(outputs_of(answer)["cubes"], toy(request)["cubes"])


def test_an_answer_carries_its_id(service: Service) -> None:
    assert asked(service, "POST", INFER, json={**JSON, "id": "7"}).json()["id"] == "7"


def _with(**changed: Any) -> dict[str, Any]:
    return {"json": {**JSON, **changed}}


@pytest.mark.parametrize(
    ("method", "path", "what", "status", "why"),
    [
        ("POST", INFER, {"content": b"{"}, 400, "no JSON"),
        ("POST", INFER, {"content": b""}, 400, "no JSON"),
        ("POST", INFER, {"json": []}, 400, "JSON object"),
        ("POST", INFER, _with(inputs=JSON["inputs"][:1]), 400, "no value for input 'mask'"),
        ("POST", INFER, _with(inputs=[{**JSON["inputs"][0], "datatype": "FP32"}, JSON["inputs"][1]]), 400, "float32"),
        ("POST", INFER, _with(outputs=[{"name": "none"}]), 400, "no output named 'none'"),
        ("POST", INFER, _with(parameters={"timeout": -1}), 400, "timeout must be"),
        ("POST", INFER, _with(parameters={"timeout": True}), 400, "timeout must be"),
        ("POST", INFER, {**_with(), "headers": {"X-Request-Timeout-Ms": "soon"}}, 400, "not 'soon'"),
        ("POST", INFER, {**_with(), "headers": {HEADER_LENGTH: "99999"}}, 400, "says 99,999 bytes"),
        ("POST", INFER, {**_with(), "headers": {"Content-Encoding": "br"}}, 415, "gzip or deflate"),
        ("POST", INFER, {"content": b"no", "headers": {"Content-Encoding": "gzip"}}, 400, "no gzip"),
        ("POST", "/v2/models/other/infer", _with(), 404, "no model named 'other'"),
        ("GET", "/v2/models/toy/versions/2", {}, 404, "no version 2"),
        ("GET", "/v3", {}, 404, "nothing is at /v3"),
        ("GET", INFER, {}, 405, "does not take GET"),
    ],
)
def test_a_wrong_request_is_told_why(
    service: Service, method: str, path: str, what: dict[str, Any], status: int, why: str
) -> None:
    answer = asked(service, method, path, **what)
    assert answer.status_code == status
    assert why in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert asked(service, "POST", INFER, json=JSON).status_code == 200


@pytest.mark.parametrize(("kind", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies(service: Service, kind: str, pack: Callable[[bytes], bytes]) -> None:
    body, headers = encode_request(ask([2, 3]))
    headers["Content-Encoding"] = kind
    assert is_right(ask([2, 3]), outputs_of(asked(service, "POST", INFER, content=pack(body), headers=headers)))
    for wrong in (pack(body)[:-6], pack(body) + b"more"):
        assert asked(service, "POST", INFER, content=wrong, headers=headers).status_code == 400


async def _chunks(sent: list[int]) -> AsyncIterator[bytes]:
    for _ in range(100):
        sent.append(1000)
        yield b" " * 1000


def test_a_body_is_read_no_further_than_it_may_be_long(service: Service) -> None:
    access, sent = Access(max_body=5000), list[int]()
    assert asked(service, "POST", INFER, access, content=b" " * 5001).status_code == 413
    assert asked(service, "POST", INFER, access, content=_chunks(sent)).status_code == 413
    assert len(sent) < 10
    bomb = gzip.compress(b" " * 10**8)
    assert len(bomb) > 5000
    assert (
        asked(
            service, "POST", INFER, Access(max_body=10**6), content=bomb, headers={"Content-Encoding": "gzip"}
        ).status_code
        == 413
    )
    assert asked(service, "POST", INFER, access, json=JSON).status_code == 200


def test_a_token_is_asked_for_everywhere_but_of_health_probes(service: Service) -> None:
    access = Access(token="secret")
    for shown in (
        {},
        {"Authorization": "Bearer secreT"},
        {"Authorization": "secret"},
        {"Authorization": b"Bearer \xff"},
    ):
        for method, path in (("GET", "/v2"), ("GET", "/metrics"), ("GET", "/v2/models/toy"), ("POST", INFER)):
            assert asked(service, method, path, access, headers=shown).status_code == 401
        assert asked(service, "GET", "/v2/health/ready", access, headers=shown).status_code == 200
    right = {"Authorization": "Bearer secret"}
    assert asked(service, "POST", INFER, access, headers=right, json=JSON).status_code == 200


def test_before_and_after_there_is_a_model() -> None:
    starting = Service("toy")
    for method, path in (("GET", "/v2/health/ready"), ("GET", "/v2/models/toy/ready"), ("POST", INFER)):
        answer = asked(starting, method, path)
        assert (answer.status_code, "starting" in answer.json()["error"]) == (503, True)
    assert asked(starting, "GET", "/v2/health/live").status_code == 200
    assert asked(starting, "POST", "/v2/repository/index").json()[0]["state"] == "UNAVAILABLE"
    with toy_service() as service:
        service.drain(1)
        answer = asked(service, "POST", INFER, json=JSON)
        assert (answer.status_code, answer.headers["Connection"]) == (503, "close")
        assert asked(service, "GET", "/v2/health/live").status_code == 200


async def _queued(service: Service, rows: int) -> None:
    assert service.model is not None
    async with asyncio.timeout(5):
        while service.model.queue.queued != rows:
            await asyncio.sleep(0.002)


def test_overload_and_deadlines(gate: Gate) -> None:
    async def load(service: Service) -> None:
        async with client(service) as asking:
            running = asyncio.create_task(asking.post(INFER, json=JSON))
            assert await asyncio.to_thread(gate.begun.wait, 5)
            waiting = asyncio.create_task(asking.post(INFER, json=JSON))
            await _queued(service, 2)
            refused = await asking.post(INFER, json=JSON)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
            timed = {**JSON, "inputs": [{**one, "shape": [1, 2], "data": one["data"][:2]} for one in JSON["inputs"]]}
            late = await asking.post(INFER, json={**timed, "parameters": {"timeout": 20_000}})
            assert late.status_code == 504
            gate.open.set()
            assert {(await running).status_code, (await waiting).status_code} == {200}
            counted = service.metrics.text().decode()
            for status in ("200", "429", "504"):
                assert f'regraft_requests_total{{status="{status}"}}' in counted
            assert "regraft_inferences_total 4.0" in counted
            header = {"X-Request-Timeout-Ms": "5000"}
            assert (await asking.post(INFER, json=timed, headers=header)).status_code == 200

    with toy_service(gate, most_queued=3, timeout=0) as service:
        asyncio.run(load(service))


def test_the_servers_own_deadline(gate: Gate) -> None:
    with toy_service(gate) as service:
        assert asked(service, "POST", INFER, Access(deadline=0.05), json=JSON).status_code == 504
        gate.open.set()


def test_a_model_that_fails(service: Service) -> None:
    body, headers = encode_request(ask([POISON]))
    answer = asked(service, "POST", INFER, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (500, {"error": "the model failed: ValueError: poison"})


def test_rows_of_a_client_that_hangs_up_are_not_run(gate: Gate) -> None:
    with toy_service(gate, timeout=0) as service, over_http(service) as port:
        assert service.model is not None
        service.model.queue.submit(ask([1]))
        assert gate.begun.wait(5)
        body = json.dumps(JSON).encode()
        head = f"POST {INFER} HTTP/1.1\r\nHost: toy\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head + body)
            asyncio.run(_queued(service, 2))
        _counts(service, 499)
        gate.open.set()
        service.model.queue.submit(ask([9])).result(5)
    assert [batch["ids"].ravel().tolist() for batch in gate.batches] == [[1], [9]]


HALF = f"POST {INFER} HTTP/1.1\r\nHost: toy\r\nContent-Length: 1000\r\n\r\n{{".encode()


def test_an_upload_that_breaks_off(service: Service) -> None:
    with over_http(service) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(HALF)
        _counts(service, 499)


def _counts(service: Service, status: int) -> None:
    """Wait until a request is counted."""
    until = time.monotonic() + 5
    while f'{{status="{status}"}} 1.0' not in service.metrics.text().decode():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_an_upload_that_never_ends_does_not_keep_the_server(bundle: Path) -> None:
    with process(bundle, "--drain-seconds", 0) as (running, address, _):
        host, port = address.split("/")[2].split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(HALF.replace(b"/toy/", b"/encoder/"))
            time.sleep(0.2)
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
        assert running.stderr is not None
        assert running.stderr.read() == "drained\n"


def test_a_fault_of_ours_is_logged_and_not_shown(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    service.model = ServedModel((), (), None)  # type: ignore[arg-type]
    answer = asked(service, "POST", INFER, json=JSON)
    assert (answer.status_code, answer.json()) == (500, {"error": "fault in the server: AttributeError"})
    assert "AttributeError" in caplog.text


def test_an_upload_that_is_refused_is_answered(service: Service) -> None:
    with (
        over_http(service, Access(max_body=10_000)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as asking,
    ):
        assert asking.post(INFER, content=b" " * 3_000_000).status_code == 413
        assert asking.post(INFER, json=JSON).status_code == 200


def test_a_client_of_triton_is_one_of_ours(service: Service) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    request = ask([2, 3], [4], [5, 6, 7])
    with over_http(service) as port, triton.InferenceServerClient(f"127.0.0.1:{port}", concurrency=2) as asking:
        assert asking.is_server_live()
        assert asking.is_server_ready()
        assert asking.is_model_ready("toy")
        assert asking.is_model_ready("toy", "1")
        assert not asking.is_model_ready("other")
        assert asking.get_server_metadata()["name"] == "regraft"
        assert asking.get_model_metadata("toy")["inputs"][1]["name"] == "mask"
        assert asking.get_model_config("toy")["max_batch_size"] == 0
        assert asking.get_model_repository_index()[0]["name"] == "toy"
        for binary in (True, False):
            inputs = [triton.InferInput(name, value.shape, "INT64") for name, value in request.items()]
            for one, value in zip(inputs, request.values(), strict=True):
                one.set_data_from_numpy(value, binary_data=binary)
            wanted = [triton.InferRequestedOutput("cubes", binary_data=binary), triton.InferRequestedOutput("sum")]
            for packing in (None, "gzip", "deflate"):
                found = asking.infer(
                    "toy", inputs, outputs=wanted, request_id="7", timeout=10**7, request_compression_algorithm=packing
                )
                assert found.get_response()["id"] == "7"
                assert is_right(request, {name: found.as_numpy(name) for name in ("sum", "cubes")})
        later = [asking.async_infer("toy", inputs, model_version="1") for _ in range(20)]
        found = [one.get_result() for one in later]
        assert all(is_right(request, {name: one.as_numpy(name) for name in ("sum", "cubes")}) for one in found)
        with pytest.raises(Exception, match="no value for input 'mask'"):
            asking.infer("toy", inputs[:1])


def _opened(path: Path, **options: Any) -> tuple[ServedModel, list[str]]:
    said: list[str] = []
    return open_model(path, Options(**options), lambda call: None, said.append), said


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_texts(bundle: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    service = Service("encoder")
    service.model, _ = _opened(bundle, tokenizer=tmp_path / "vocab.txt")
    with service.model.queue:
        texts = ["The cat sleeps.", "It rains."]
        body, headers = encode_request({"text": np.array(texts, object).reshape(len(texts), *shape[1:])})
        found = outputs_of(asked(service, "POST", "/v2/models/encoder/infer", content=body, headers=headers))
        ids = np.array([[2, 5, 6, 7, 10, 3], [2, 8, 9, 10, 3, 0]])
        alone = Session(bundle).run(
            {"input_ids": ids, "attention_mask": (ids != 0).astype(np.int64), "token_type_ids": np.zeros_like(ids)}
        )
        for name, expected in alone.items():
            np.testing.assert_allclose(found[name][ids != 0], expected[ids != 0], atol=1e-5)
        config = asked(service, "GET", "/v2/models/encoder/config").json()
        assert config["input"][-1] == {"name": "text", "data_type": "TYPE_STRING", "dims": [-1], "optional": True}
        for wrong in (
            {"text": np.array([1])},
            {"text": np.array([], object)},
            {"text": np.array(["a"], object), "input_ids": ids},
        ):
            body, headers = encode_request(wrong)
            answer = asked(service, "POST", "/v2/models/encoder/infer", content=body, headers=headers)
            assert (answer.status_code, "input 'text'" in answer.json()["error"]) == (400, True)


def test_a_bundle_that_gives_something_else_is_not_served(bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    for path in (one for one in bundle.rglob("*") if one.is_file()):
        (folder / path.relative_to(bundle)).parent.mkdir(parents=True, exist_ok=True)
        (folder / path.relative_to(bundle)).write_bytes(path.read_bytes())
    name = "golden/outputs.npz"
    with np.load(folder / name) as arrays:
        wrong = {**arrays, "end_logits": arrays["end_logits"] + 0.01}
    np.savez(folder / name, **wrong)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": (folder / name).stat().st_size, "sha256": digest(folder / name)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(VerificationError, match=r"does not give its golden outputs.*end_logits"):
        _opened(folder)


def test_a_file_is_served_unchecked(artifacts: Path) -> None:
    served, said = _opened(artifacts / "pytorch/bert-cls-eager-dynamo.onnx", instances=2, batch=3)
    served.queue.close()
    assert "not checked" in said[0]
    assert len(said) == 1


def test_nothing_is_lost_when_the_server_is_ended_under_load(bundle: Path) -> None:
    ids = np.array([[2, 5, 6, 7, 3]])
    request = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    body, headers = encode_request(request)
    expected = Session(bundle).run(request)
    statuses: list[int] = []

    def ask_until_refused(host: str) -> None:
        connection = http.client.HTTPConnection(host, timeout=20)
        while True:
            connection.request("POST", "/v2/models/encoder/infer", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == 200:
                found = decode_response(content, read_header_length(answer.headers[HEADER_LENGTH]))
                assert all(np.allclose(found[name], value, atol=1e-5) for name, value in expected.items())
            statuses.append(answer.status)
            if answer.status != 200 or answer.headers.get("Connection") == "close":
                return

    with process(bundle, "--instances", 2, "--threads", 1) as (running, address, _):
        host = address.split("/")[2]
        clients = [_Client(ask_until_refused, host) for _ in range(8)]
        time.sleep(1)
        running.send_signal(signal.SIGTERM)
        for one in clients:
            one.end()
        assert running.wait(20) == 0
        assert running.stderr is not None
        assert running.stderr.read() == "drained\n"
    assert set(statuses) <= {200, 503}
    assert len(statuses) > 50


class _Client(threading.Thread):
    """A thread whose error is raised where it is ended."""

    def __init__(self, work: Callable[[str], None], host: str):
        super().__init__()
        self._work, self._host, self._error = work, host, None
        self.start()

    def run(self) -> None:
        try:
            self._work(self._host)
        except BaseException as error:
            self._error = error

    def end(self) -> None:
        self.join(30)
        assert not self.is_alive()
        if self._error is not None:
            raise self._error
