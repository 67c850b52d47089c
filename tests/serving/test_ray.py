"""`regraft serve --engine ray`: a replica that dies takes its own answers with it, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("httpx", reason="httpx is not installed")

import httpx

import regraft
from regraft.cli import cli
from regraft.runtime import Session
from regraft.serving.protocol import HEADER_LENGTH, decode_response, encode_request, read_header_length
from tests.serving.served import COMMAND, process

CLIENTS = 8


def _replicas(root: int) -> list[int]:
    """The processes that serve, among those that descend from a process."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    found = [line.split(maxsplit=2) for line in listed.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, _ in found}

    def descends(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return [int(pid) for pid, _, args in found if args.startswith("ray::ServeReplica") and descends(int(pid))]


class _Client(threading.Thread):
    """Asks until it is told to stop."""

    def __init__(self, address: str, request: dict[str, np.ndarray], expected: dict[str, np.ndarray]):
        super().__init__()
        self._address, self._request, self._expected = address, request, expected
        self.stop = threading.Event()
        self.right: list[float] = []
        self.wrong, self.failed = 0, 0
        self.start()

    def run(self) -> None:
        body, headers = encode_request(self._request)
        with httpx.Client(timeout=30) as asking:
            while not self.stop.is_set():
                try:
                    answer = asking.post(f"{self._address}/infer", content=body, headers=headers)
                except httpx.TransportError:
                    self.failed += 1
                    continue
                if answer.status_code != 200:
                    self.failed += 1
                    continue
                found = decode_response(answer.content, read_header_length(answer.headers.get(HEADER_LENGTH)))
                if all(np.allclose(found[name], value, atol=1e-5) for name, value in self._expected.items()):
                    self.right.append(time.monotonic())
                else:
                    self.wrong += 1


@pytest.mark.slow
def test_a_replica_dies_under_load(artifacts: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="regraft[ray] is not installed")
    model = regraft.load(artifacts / "pytorch/bert-qa-eager-dynamo.onnx")
    regraft.run(model, "unpack-attention")
    regraft.write_bundle(model, tmp_path / "encoder")
    session = Session(tmp_path / "encoder")
    with process(tmp_path / "encoder", "--engine", "ray", "--replicas", 2) as (running, address, _):
        clients = []
        for number in range(CLIENTS):
            ids = np.array([[2, *range(5, 6 + number), 3]])
            request = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            clients.append(_Client(address, request, session.run(request)))
        time.sleep(3)
        first, _ = _replicas(running.pid)
        os.kill(first, signal.SIGKILL)
        killed = time.monotonic()
        while first in (there := _replicas(running.pid)) or len(there) < 2:
            assert time.monotonic() < killed + 60
            time.sleep(0.5)
        time.sleep(3)
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(60)
        assert not any(client.wrong for client in clients)
        assert (
            sum(client.failed for client in clients) <= 3 * CLIENTS
        )  # what the dead replica had, and until it is known
        assert all(client.right[0] < killed < killed + 3 < client.right[-1] for client in clients)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


@pytest.mark.slow
def test_a_model_that_no_replica_can_open(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="regraft[ray] is not installed")
    command = [*COMMAND, "serve", str(tmp_path / "nowhere"), "--engine", "ray", "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]
    assert last.startswith("regraft: error: ")
    assert "nowhere" in last


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--replicas", "2"), "are for --engine ray"),
        (("--engine", "ray", "--replicas", "3", "--max-replicas", "2"), "less than --replicas"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    result = CliRunner().invoke(cli, ["serve", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert why in result.stderr
