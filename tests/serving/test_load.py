"""`regraft load-test`: what is sent, what is counted, and when it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from starlette.responses import Response

import regraft
from regraft.cli import cli
from regraft.serving.client import Server, ServerError
from regraft.serving.load import Result as LoadResult
from regraft.serving.load import find_rate
from regraft.serving.protocol import InferRequest, Metadata, encode_response
from regraft.serving.requests import Batch, Expected, Inputs, LoadError
from regraft.verification.signature import Port
from tests.serving.served import process
from tests.serving.servers import app, of_session, serving

KEYS = {"throughput", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms", "requests", "errors", "wrong", "seconds"}
INT64, FP32 = np.dtype(np.int64), np.dtype(np.float32)
IDS = Metadata("model", (Port("input_ids", dtype=INT64, shape=(None, None)),), (Port("y", dtype=INT64, shape=()),))


@pytest.fixture(scope="module")
def model(artifacts: Path) -> Path:
    return artifacts / "pytorch" / "transformers-4.25.1-bert-qa" / "model.onnx"


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with serving(app(*of_session(model))) as found:
        yield found


def load_test(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["load-test", *map(str, arguments)], env=environment)


def measured(*arguments: object) -> dict:
    result = load_test(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@contextmanager
def answering(answer: Callable[[InferRequest], Response], **more: object) -> Iterator[str]:
    with serving(app(IDS, answer, **more)) as found:
        yield found


def _echo(request: InferRequest) -> Response:
    body, headers = encode_response("model", request, {"y": np.array(1)})
    return Response(body, headers=headers)


# what is measured


@pytest.mark.parametrize("how", [(), ("--json-tensors",), ("--batch", 3), ("--lengths", "seed004")])
def test_answers_are_right(url: str, model: Path, how: tuple[object, ...]) -> None:
    found = measured(url, "--clients", 4, "--requests", 5, "--check", model, *how)
    assert found.keys() == KEYS | {"scenario"}
    assert (found["scenario"], found["requests"], found["errors"], found["wrong"]) == ("clients", 20, {}, 0)
    assert 0 < found["p50_ms"] <= found["p90_ms"] <= found["p99_ms"] <= found["max_ms"] <= found["seconds"] * 1e3
    rows = 3 if "--batch" in how else 1
    assert found["throughput"] == pytest.approx(20 * rows / found["seconds"])


def test_regraft_serve_answers_each_as_if_alone(model: Path, tmp_path: Path) -> None:
    """Requests of unlike lengths from many clients, packed together by the server."""
    packed = regraft.load(model)
    regraft.run(packed, "unpack-attention")
    regraft.write_bundle(packed, tmp_path / "qa")
    with process(tmp_path / "qa") as (_, address, _):
        said = measured(address, "--clients", 16, "--requests", 20, "--check", model)
    assert (said["requests"], said["errors"], said["wrong"]) == (320, {}, 0)


def test_a_wrong_row_is_counted(model: Path) -> None:
    metadata, answer = of_session(model)

    def spoiled(request: InferRequest) -> Response:
        request.inputs["input_ids"] = np.maximum(request.inputs["input_ids"], 1).copy()
        request.inputs["input_ids"][0, 0] = 5
        return answer(request)

    with serving(app(metadata, spoiled)) as found:
        result = load_test(found, "--clients", 2, "--requests", 3, "--batch", 2, "--check", model)
    assert result.exit_code == 1
    assert "6 wrong answers" in result.stdout


def test_the_model_of_the_url(url: str) -> None:
    assert measured(f"{url}/v2/models/model", "--clients", 1, "--requests", 2)["wrong"] is None
    assert measured(f"{url}/v2/models/model/infer", "--clients", 1, "--requests", 2)["requests"] == 2
    assert measured(url, "--model", "model", "--clients", 2, "--requests", 9, "--most", 5)["requests"] == 5


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (lambda: Response("{}", 429, {"Retry-After": "1"}), "rejected"),
        (lambda: Response("{}", 429), "429"),
        (lambda: Response("{}", 503), "503"),
        (lambda: time.sleep(0.4) or Response("{}"), "timeout"),
    ],
)
def test_errors_have_their_kind(response: Callable[[], Response], kind: str) -> None:
    with answering(lambda request: response()) as found:
        said = measured(found, "--clients", 2, "--requests", 2, "--timeout", 0.2)
    assert said["errors"] == {kind: 4}
    assert (said["throughput"], said["p99_ms"], said["requests"]) == (0, None, 4)


def test_an_answer_that_is_none_of_the_protocol(model: Path) -> None:
    metadata, _ = of_session(model)
    with serving(app(metadata, lambda request: Response("oh", 200))) as found:
        said = measured(found, "--clients", 1, "--requests", 2, "--check", model)
    assert said["errors"] == {"protocol": 2}


_RAW = """
import asyncio
META = b'{"name":"m","inputs":[{"name":"input_ids","datatype":"INT64","shape":[-1,-1]}],"outputs":[]}'
class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data, self.asked = transport, b"", 0
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            head, size = self.data[:end], int(self.data[:end].split(b"Content-Length: ")[1].split(b"\\r\\n")[0])
            if len(self.data) < end + 4 + size:
                return
            self.data, self.asked = self.data[end + 4 + size :], self.asked + 1
            body = META if head.startswith(b"GET /v2/models") else b"{}"
            ANSWER
async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
_PLAIN = 'self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)'
_CHUNKED = (
    'self.transport.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n%x;x=y\\r\\n" % len(body) + '
)
_CHUNKED += 'body + b"\\r\\n0\\r\\n\\r\\n")'
_CLOSING = f"{_PLAIN}; self.transport.close()"
_BROKEN = f'{_PLAIN} if b"infer" not in head else self.transport.close()'
_GARBAGE = f'{_PLAIN} if b"infer" not in head else self.transport.write(b"SSH-2.0-x\\r\\n\\r\\n")'


@contextmanager
def _raw(answer: str) -> Iterator[str]:
    """A server that does little, in a process of its own."""
    code = _RAW.replace("ANSWER", answer)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("answer", "errors"), [(_CHUNKED, {}), (_CLOSING, {}), (_BROKEN, {"connection": 6}), (_GARBAGE, {"connection": 6})]
)
def test_connections(answer: str, errors: dict[str, int]) -> None:
    with _raw(answer) as found:
        said = measured(found, "--model", "m", "--clients", 2, "--requests", 3)
    assert (said["requests"], said["errors"]) == (6, errors)


def test_the_client_is_light() -> None:
    with _raw(_PLAIN) as found:
        said = measured(found, "--model", "m", "--clients", 96, "--requests", 50)
    assert said["errors"] == {}
    assert said["throughput"] > 1500


# arrivals at a rate


def test_latency_counts_from_when_a_request_was_due() -> None:
    """Three times what one connection can do: each waits longer than the one before."""
    pytest.importorskip("mlperf_loadgen")
    with answering(lambda request: time.sleep(0.05) or _echo(request)) as found:
        how = ("--scenario", "server", "--rate", 60, "--seconds", 1)
        waiting = measured(found, *how, "--clients", 1)
        free = measured(found, *how, "--clients", 40)
    assert waiting.keys() == KEYS | {"scenario", "rate"}
    assert (waiting["scenario"], waiting["rate"], waiting["errors"]) == ("server", 60, {})
    assert 35 <= waiting["requests"] == free["requests"] <= 85  # the same arrivals, by the same seed
    assert waiting["p50_ms"] > 400 > free["p50_ms"] > 50


def test_requests_that_wait_too_long_time_out() -> None:
    pytest.importorskip("mlperf_loadgen")
    with answering(lambda request: time.sleep(0.05) or _echo(request)) as found:
        how = ("--scenario", "server", "--rate", 40, "--seconds", 1, "--clients", 1, "--timeout", 0.2)
        said = measured(found, *how, "--most", 30)
    assert said["requests"] == 30
    assert said["errors"].keys() == {"timeout"}
    assert said["max_ms"] <= 230


def test_loadgen_that_does_not_start(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlperf_loadgen")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    says = "LoadGen ended with code 1 before its schedule was through"
    assert says in _one_line(load_test(url, "--scenario", "server"))


@pytest.mark.slow
def test_the_highest_rate(url: str) -> None:
    pytest.importorskip("mlperf_loadgen")
    result = load_test(url, "--find-rate", "--p99", 1000, "--seconds", 0.2, "--rate", 300, "--most", 40)
    assert result.exit_code == 0, result.output
    assert "P99 stays within 1000 ms up to" in result.stdout


def _result(rate: float, latency: float, errors: int = 0) -> LoadResult:
    return LoadResult("server", rate, np.full(100, latency), 100 + errors, {"500": errors}, None, 1.0, rate)


@pytest.mark.parametrize("start", [1.0, 50.0, 1000.0])
def test_the_search_ends_close_to_the_limit(start: float) -> None:
    asked: list[float] = []

    def measure(rate: float) -> LoadResult:
        asked.append(rate)
        return _result(rate, 1e3 / (110 - rate) if rate < 110 else 1e6)

    found = find_rate(measure, 100.0, start)
    assert found.rate is not None
    assert 100 / 1.05 <= found.rate <= 100
    assert len(asked) < 20


def test_errors_count_as_late_and_a_rate_may_not_exist() -> None:
    assert _result(1, 5.0, 1).holds(10.0)
    assert not _result(1, 5.0, 2).holds(10.0)
    with pytest.raises(LoadError, match=r"no rate holds 1 ms: at 0\.\d+ a second P99 was 5 ms"):
        find_rate(lambda rate: _result(rate, 5.0), 1.0, 50.0)


def test_without_loadgen(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = load_test(url, "--scenario", "server")
    assert result.exit_code == 2
    assert result.stderr == "regraft: error: MLPerf's LoadGen is not installed: pip install 'regraft[loadgen]'\n"


@pytest.mark.parametrize("how", [(), ("--scenario", "server", "--rate", "20")])
def test_an_interrupt_ends_with_what_was_measured(how: tuple[str, ...]) -> None:
    if how:
        pytest.importorskip("mlperf_loadgen")
    asked = threading.Semaphore(0)

    def answer(request: InferRequest) -> Response:
        time.sleep(0.02)
        asked.release()
        return _echo(request)

    with answering(answer) as found:
        program = "from regraft.cli import main; main()"
        command = [sys.executable, "-c", program, "load-test", found, "--clients", "2", "--requests", "9999", *how]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert all(asked.acquire(timeout=20) for _ in range(10))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "inferences a second" in out
    assert "Traceback" not in err
    assert err.endswith("regraft: interrupted\n")


# what is refused


def _one_line(result: Result) -> str:
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("127.0.0.1:8000",), "is no URL of a server"),
        (("ftp://127.0.0.1",), "is no URL of a server"),
        (("http://127.0.0.1:x",), "is no URL of a server"),
        (("http://me:secret@127.0.0.1",), "is no URL of a server"),
        (("http://127.0.0.1:9",), "nothing answers at 127.0.0.1:9"),
        (("http://192.0.2.1",), "another machine"),
        (("http://no.such.host.invalid",), "there is no host"),
        (("http://127.0.0.1", "--rate", 5), "--rate is for"),
        (("http://127.0.0.1:9", "--token", "a\r\nb"), "the token has a character"),
    ],
)
def test_what_is_no_server(arguments: tuple[object, ...], says: str) -> None:
    assert says in _one_line(load_test(*arguments))


def test_every_address_of_a_host_must_be_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = [(2, 1, 6, "", ("127.0.0.1", 1)), (2, 1, 6, "", ("192.0.2.7", 1))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **more: addresses)
    with pytest.raises(ServerError, match=r"'two\.example' is 192\.0\.2\.7, another machine"):
        Server.at("http://two.example:1")


def test_what_a_server_refuses(url: str) -> None:
    with answering(_echo, models=("a", "b")) as found:
        assert "the server has 2 models, a, b; name one with --model" in _one_line(load_test(found))
        assert "404: no model named 'c d'" in _one_line(load_test(found, "--model", "c d"))
    with answering(_echo, token="secret") as found:
        assert "401: no token" in _one_line(load_test(found))
        assert load_test(found, "--clients", 1, "--requests", 1, REGRAFT_TOKEN="secret").exit_code == 0
        assert load_test(found, "--clients", 1, "--requests", 1, "--token", "secret").exit_code == 0
    assert "cannot read none.txt" in _one_line(load_test(url, "--lengths", "none.txt"))
    assert "none.onnx" in _one_line(load_test(url, "--check", "none.onnx"))


# what is sent


def test_inputs_by_name_and_by_shape() -> None:
    ports = (
        Port("input_ids", dtype=INT64, shape=(None, None)),
        Port("attention_mask", dtype=FP32, shape=(None, None)),
        Port("token_type_ids", dtype=INT64, shape=(None, None)),
        Port("position_ids", dtype=INT64, shape=(None, None)),
        Port("valid_length", dtype=INT64, shape=(None,)),
        Port("image", dtype=FP32, shape=(None, 3, 4)),
    )
    inputs = Inputs.of_metadata(Metadata("model", ports, ()))
    batches = inputs.batches([2, 5, 3], 2, seed=7)
    one, two = next(batches), next(batches)
    assert (one.lengths, one.width, two.lengths, two.width) == ((2, 5), 5, (3, 2), 3)
    assert one.inputs["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert one.inputs["valid_length"].tolist() == [2, 5]
    assert one.inputs["position_ids"].tolist() == [[0, 1, 0, 0, 0], [0, 1, 2, 3, 4]]
    assert not one.inputs["input_ids"][0, 2:].any()
    assert one.inputs["image"].shape == (2, 3, 4)
    assert {name: value.dtype for name, value in one.inputs.items()} == {port.name: port.dtype for port in ports}
    again = next(inputs.batches([2, 5, 3], 2, seed=7))
    other = next(inputs.batches([2, 5, 3], 2, seed=8))
    np.testing.assert_array_equal(one.inputs["input_ids"], again.inputs["input_ids"])
    assert (one.inputs["input_ids"] != other.inputs["input_ids"]).any()


def test_fixed_sizes_are_sent_as_they_are() -> None:
    ports = (Port("ids", dtype=INT64, shape=(4, 16)), Port("mask", dtype=INT64, shape=(4, 16)))
    batch = next(Inputs.of_metadata(Metadata("model", ports, ())).batches([20, 3], 1, 0))
    assert batch.lengths == (16, 3, 16, 3)
    assert batch.inputs["ids"].shape == (4, 16)
    assert batch.inputs["mask"].sum(axis=1).tolist() == [16, 3, 16, 3]


def test_lengths_that_a_model_takes(model: Path) -> None:
    inputs = Inputs.of_model(regraft.load(model))
    assert inputs.longest is not None
    batch = next(inputs.batches([10_000], 1, 0))
    assert batch.lengths == (inputs.longest,)


def test_a_model_for_which_nothing_is_made() -> None:
    inputs = Inputs.of_metadata(Metadata("model", (Port("x", dtype=INT64, shape=(None,)),), ()))
    assert next(inputs.batches([3], 2, 0)).inputs["x"].shape == (2,)
    unknown = Inputs((Port("x", dtype=INT64, shape=None),), {})
    with pytest.raises(LoadError, match="input 'x'"):
        next(unknown.batches([3], 1, 0))


def test_answers_are_compared_where_there_are_tokens() -> None:
    ports = (Port("y", dtype=FP32, shape=("batch", "seq", 2)), Port("pooled", dtype=FP32, shape=("batch", 2)))
    right = {"y": np.zeros((2, 3, 2), np.float32), "pooled": np.zeros((2, 2), np.float32)}
    expected = Expected(right, ports, Batch({}, (3, 1), 3), 1e-4)

    def wrong(**changes: tuple[tuple[int, ...], float]) -> int:
        given = {name: value.copy() for name, value in right.items()}
        for name, (place, value) in changes.items():
            given[name][place] = value
        return expected.wrong(given)

    assert wrong() == 0
    assert wrong(y=((1, 1, 0), 1.0)) == 0
    assert wrong(y=((0, 1, 0), 1.0)) == 1
    assert wrong(y=((0, 1, 0), 1e-5)) == 0
    assert wrong(y=((1, 0, 1), np.nan)) == 1
    assert wrong(y=((0, 1, 0), 1.0), pooled=((1, 0), 1.0)) == 2
    assert expected.wrong({"y": right["y"]}) == 2
    assert expected.wrong(right | {"y": right["y"][:, :2]}) == 2
    assert expected.wrong(right | {"y": right["y"].astype(np.float64)}) == 2
