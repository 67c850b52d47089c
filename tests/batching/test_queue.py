"""The queue: who asks gets the answer that is theirs, whatever else waits, fails, comes too late or goes away."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import regraft
from regraft.batching.form import Form, RequestError
from regraft.batching.policy import ByTokens, Fixed, Padded, Policy, default_policy
from regraft.batching.queue import Call, Closed, DeadlineExceeded, Overloaded, Queue
from regraft.errors import RegraftError
from regraft.packers.fits import PackedShape
from regraft.pipelines.frontend import ImportOptions
from regraft.runtime import Session
from tests.batching.toy import FORM, POISON, Gate, ask, is_right, toy

SHAPE = PackedShape(rows=2, tokens=16, sequences=6, longest=12, across_rows=False, mask="mask")
POLICIES = [Padded(1), Padded(4), Padded(4, ordered=True), ByTokens(20), ByTokens(20, rows=3, ordered=True)]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def busy(gate: Gate, queue: Queue) -> Future[dict[str, Any]]:
    """A request that keeps the only worker busy until the gate opens."""
    first = queue.submit(ask([1]))
    assert gate.begun.wait(5)
    return first


@pytest.mark.parametrize("policy", [*POLICIES, Fixed(SHAPE)], ids=lambda policy: policy.name)
def test_an_answer_is_what_the_request_gets_alone(policy: Policy) -> None:
    form = replace(FORM, packed=SHAPE) if isinstance(policy, Fixed) else FORM
    requests = [ask([2, 3], [4], [5, 6, 7]), ask([9] * 12), ask([1], width=12), ask(*([i] for i in range(1, 9)))]
    with Queue(toy, form, policy, instances=2) as queue:
        answers = [queue.submit(request) for request in requests]
        assert all(is_right(*pair) for pair in zip(requests, (a.result(5) for a in answers), strict=True))


def test_rows_share_calls_in_order_of_arrival(gate: Gate) -> None:
    with Queue(gate, FORM, Padded(3)) as queue:
        busy(gate, queue)
        for i in range(2, 9):
            queue.submit(ask([i]))
        gate.open.set()
    assert [batch["ids"].ravel().tolist() for batch in gate.batches] == [[1], [2, 3, 4], [5, 6, 7], [8]]


def test_a_full_call_does_not_wait_and_another_waits_for_its_timeout() -> None:
    with Queue(toy, FORM, Padded(2), timeout=1) as queue:
        started = time.monotonic()
        queue.submit(ask([1], [2])).result(5)
        full = time.monotonic()
        queue.submit(ask([1])).result(5)
        assert full - started < 0.8
        assert 0.9 < time.monotonic() - full < 3


def test_a_deadline_is_not_slept_through() -> None:
    with Queue(toy, FORM, Padded(8), timeout=30) as queue:
        request = ask([1])
        assert is_right(request, queue.submit(request, time.monotonic() + 0.3).result(5))


def test_instances_run_at_the_same_time(gate: Gate) -> None:
    with Queue(gate, FORM, Padded(1), timeout=0, instances=3) as queue:
        answer = queue.submit(ask([1], [2], [3]))
        until = time.monotonic() + 5
        while len(gate.batches) < 3:
            assert time.monotonic() < until
            time.sleep(0.001)
        gate.open.set()
        assert is_right(ask([1], [2], [3]), answer.result(5))


def test_an_error_reaches_its_own_request_alone(gate: Gate) -> None:
    with Queue(gate, FORM, Padded(8)) as queue:
        busy(gate, queue)
        requests = [ask([2], [3]), ask([4], [POISON]), ask([5])]
        answers = [queue.submit(request) for request in requests]
        gate.open.set()
        with pytest.raises(ValueError, match="poison"):
            answers[1].result(5)
        assert is_right(requests[0], answers[0].result(5))
        assert is_right(requests[2], answers[2].result(5))
        assert is_right(ask([6]), queue.submit(ask([6])).result(5))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"ids": np.array([[1]])}, "no value for input 'mask'"),
        ({**ask([1]), "more": np.array([1])}, "no input named 'more'"),
        ({**ask([1]), "ids": np.array([[1.0]])}, "int64, not float64"),
        ({**ask([1]), "ids": np.array([[1, 2]])}, "'seq' is"),
        ({"ids": np.zeros((0, 3), np.int64), "mask": np.zeros((0, 3), np.int64)}, "one or more sequences"),
        (ask([1] * 13), "the longest may have 12"),
        (ask(*[[1]] * 33), "no more than 32 may wait"),
    ],
)
def test_a_bad_request_is_refused_when_it_comes(wrong: dict[str, Any], why: str) -> None:
    with (
        Queue(toy, replace(FORM, packed=SHAPE), Fixed(SHAPE), most_queued=32) as queue,
        pytest.raises(RequestError, match=why),
    ):
        queue.submit(wrong)


def test_what_fits_no_call_is_refused_when_it_comes() -> None:
    shape = replace(SHAPE, longest=64, mask="")
    with Queue(toy, FORM, Fixed(shape)) as queue, pytest.raises(RequestError, match="a row takes 1 to 16"):
        queue.submit(ask([1] * 17))


def test_a_policy_that_asks_too_much_of_the_model_is_refused() -> None:
    with pytest.raises(RegraftError, match="takes 4 sequences"):
        Queue(toy, replace(FORM, batch=4), Padded(5))


def test_too_many_rows_are_refused_and_later_ones_taken(gate: Gate) -> None:
    with Queue(gate, FORM, Padded(4), most_queued=3) as queue:
        busy(gate, queue)
        accepted = queue.submit(ask([1], [2]))
        with pytest.raises(Overloaded, match="2 of 3 rows wait"):
            queue.submit(ask([1], [2]))
        assert queue.queued == 2
        gate.open.set()
        assert is_right(ask([1], [2]), accepted.result(5))
        assert is_right(ask([1], [2]), queue.submit(ask([1], [2])).result(5))


def test_a_deadline_passes_while_others_run(gate: Gate) -> None:
    with Queue(gate, FORM, Padded(4)) as queue:
        busy(gate, queue)
        late, patient = queue.submit(ask([2]), time.monotonic() + 0.02), queue.submit(ask([3]))
        time.sleep(0.05)
        gate.open.set()
        assert is_right(ask([3]), patient.result(5))
        with pytest.raises(DeadlineExceeded):
            late.result(5)
    assert [batch["ids"].ravel().tolist() for batch in gate.batches] == [[1], [3]]


def test_rows_of_who_hangs_up_are_not_run(gate: Gate) -> None:
    with Queue(gate, FORM, Padded(2)) as queue:
        busy(gate, queue)
        gone, there = queue.submit(ask([2], [3], [4])), queue.submit(ask([5]))
        assert gone.cancel()
        gate.open.set()
        assert is_right(ask([5]), there.result(5))
        assert wait([gone], 5).done
        with pytest.raises(CancelledError):
            gone.result()
    assert [batch["ids"].ravel().tolist() for batch in gate.batches] == [[1], [5]]


def test_what_cannot_be_padded_shares_no_call(gate: Gate) -> None:
    with Queue(gate, replace(FORM, mask=None), Padded(8)) as queue:
        busy(gate, queue)
        answers = [queue.submit(ask(one)) for one in ([1, 2], [3], [4, 5], [6])]
        gate.open.set()
        assert [answer.result(5)["sum"].item() for answer in answers] == [3, 3, 9, 6]
    assert [batch["ids"].shape for batch in gate.batches] == [(1, 1), (2, 2), (2, 1)]


def test_requests_that_cannot_share_are_run_as_they_come() -> None:
    with Queue(toy, replace(FORM, together=False), Padded(1)) as queue:
        request = ask([1, 2], [3])
        assert is_right(request, queue.submit(request).result(5))


def test_closing_without_draining_fails_what_waits(gate: Gate) -> None:
    queue = Queue(gate, FORM, Padded(1))
    running, waiting = busy(gate, queue), queue.submit(ask([2]))
    closing = threading.Thread(target=queue.close, kwargs={"drain": False})
    closing.start()
    with pytest.raises(Closed):
        waiting.result(5)
    gate.open.set()
    closing.join(5)
    assert is_right(ask([1]), running.result(0))
    with pytest.raises(Closed):
        queue.submit(ask([1]))


def test_draining_has_an_end(gate: Gate) -> None:
    queue = Queue(gate, FORM, Padded(1))
    running, waiting = busy(gate, queue), queue.submit(ask([2]))
    closing = threading.Thread(target=queue.close, kwargs={"timeout": 0.05})
    closing.start()
    with pytest.raises(Closed):
        waiting.result(5)
    gate.open.set()
    closing.join(5)
    assert is_right(ask([1]), running.result(0))


def test_draining_under_load_loses_nothing() -> None:
    queue = Queue(toy, FORM, Padded(8), instances=2, most_queued=100_000)
    accepted: list[tuple[dict[str, Any], Future[dict[str, Any]]]] = []

    def client(number: int) -> None:
        while True:
            request = ask([number, 1], [2])
            try:
                accepted.append((request, queue.submit(request)))
            except Closed:
                return

    with ThreadPoolExecutor(8) as clients:
        for number in range(8):
            clients.submit(client, number)
        time.sleep(0.2)
        queue.close()
    assert len(accepted) > 100
    assert all(is_right(request, answer.result(0)) for request, answer in accepted)


def test_ten_thousand_rows_of_32_threads() -> None:
    def client(number: int) -> int:
        random_ = random.Random(number)
        right = 0
        for _ in range(105):
            sequences = [[random_.randrange(500) for _ in range(random_.randint(1, 30))] for _ in range(3)]
            request = ask(*sequences)
            right += is_right(request, queue.submit(request).result(30))
        return right

    with (
        Queue(toy, FORM, Padded(16, ordered=True), instances=3, timeout=0.001) as queue,
        ThreadPoolExecutor(32) as pool,
    ):
        assert sum(pool.map(client, range(32))) == 32 * 105


@settings(max_examples=40)
@given(
    sizes=st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5), min_size=1, max_size=12),
    policy=st.sampled_from([*POLICIES, Fixed(SHAPE)]),
    timeout=st.sampled_from([0, 0.001]),
    instances=st.integers(1, 3),
)
def test_every_call_keeps_its_limits(sizes: list[list[int]], policy: Policy, timeout: float, instances: int) -> None:
    form = replace(FORM, packed=SHAPE) if isinstance(policy, Fixed) else FORM
    wrong: list[Any] = []

    def checked(batch: dict[str, Any]) -> dict[str, Any]:
        lengths = batch["mask"].sum(axis=1)
        if (
            len(policy.groups(lengths)) != 1
            or batch["ids"].shape[1] != lengths.max()
            or (batch["ids"][batch["mask"] == 0] != 0).any()
        ):
            wrong.append(batch)
        return toy(batch)

    calls: list[Call] = []
    with Queue(checked, form, policy, timeout=timeout, instances=instances, listener=calls.append) as queue:
        requests = [ask(*([number + 1] * n for n in lengths)) for number, lengths in enumerate(sizes)]
        answers = [queue.submit(request) for request in requests]
        assert all(is_right(*pair) for pair in zip(requests, (a.result(5) for a in answers), strict=True))
    assert not wrong
    assert sum(call.tokens for call in calls) == sum(map(sum, sizes))
    assert sum(len(call.waited) for call in calls) == sum(map(len, sizes))
    assert all(call.tokens <= call.places for call in calls)


@pytest.mark.parametrize("pipeline", ["", "unpack-attention", "pack-sequences{rows=4,tokens=24}"])
def test_an_encoder_answers_as_alone(pipeline: str, artifacts: Path) -> None:
    model = regraft.load(artifacts / "pytorch/bert-qa-eager-dynamo.onnx")
    alone = Session(artifacts / "pytorch/bert-qa-eager-dynamo.onnx", optimize=True)
    regraft.run(model, pipeline)
    form = Form.of(model)
    random_ = np.random.default_rng(0)
    requests = []
    for rows, width in ((1, 5), (3, 9), (2, 24), (4, 7), (1, 1), (5, 16)):
        mask = (np.arange(width) < random_.integers(1, width + 1, (rows, 1))).astype(np.int64)
        arrays = {"input_ids": random_.integers(5, 90, mask.shape) * mask, "attention_mask": mask}
        requests.append({port.name: arrays.get(port.name, np.zeros_like(mask)) for port in form.inputs})
    with Queue(Session(model, optimize=True).run, form, default_policy(model, form), instances=2) as queue:
        answers = [queue.submit(request).result(20) for request in requests]
    for request, answer in zip(requests, answers, strict=True):
        shown = request["attention_mask"] != 0
        for name, expected in alone.run(request).items():
            assert answer[name].shape == expected.shape
            np.testing.assert_allclose(answer[name][shown], expected[shown], atol=1e-4)


@pytest.mark.parametrize("pipeline", ["", "unpack-attention"])
def test_ids_may_be_floats_and_the_mask_lengths(pipeline: str, artifacts: Path) -> None:
    shapes: dict[str, Any] = {"data0": ("batch", "seq"), "data1": ("batch", "seq"), "data2": ("batch",)}
    model = regraft.open_source(artifacts / "mxnet/gn0.10.0-classifier/model-symbol.json", None, ImportOptions(shapes))
    alone = Session(model)
    regraft.run(model, pipeline)
    form = Form.of(model)
    assert (form.sequence, form.mask) == ("seq", "data2")
    requests = []
    for width in (3, 9, 5, 9):
        ids = np.random.default_rng(width).integers(1, 90, (1, width)).astype(np.float32)
        requests.append({"data0": ids, "data1": np.zeros_like(ids), "data2": np.array([width], np.float32)})
    expected = [alone.run(request) for request in requests]
    calls: list[Call] = []
    run = Session(model, optimize=True).run
    with Queue(run, form, default_policy(model, form), timeout=0.5, listener=calls.append) as queue:
        answers = [queue.submit(request) for request in requests]
        for answer, right in zip(answers, expected, strict=True):
            for name, value in right.items():
                np.testing.assert_allclose(answer.result(20)[name], value, atol=1e-4)
    assert [call.tokens for call in calls] == [26]


def test_defaults(artifacts: Path) -> None:
    model = regraft.load(artifacts / "pytorch/bert-qa-eager-dynamo.onnx")
    assert default_policy(model, FORM) == Padded(16)
    assert default_policy(model, replace(FORM, batch=6)) == Padded(6)
    assert default_policy(model, replace(FORM, packing="gather")) == ByTokens(512)
    assert default_policy(model, replace(FORM, packed=SHAPE)) == Fixed(SHAPE)
    assert default_policy(model, replace(FORM, together=False)) == Padded(1)


def test_a_request_takes_the_queue_little_time() -> None:
    request = ask([3] * 40, width=48)
    with Queue(toy, FORM, Padded(16), timeout=0) as queue:
        seconds = []
        for _ in range(300):
            started = time.perf_counter()
            queue.submit(request).result(5)
            seconds.append(time.perf_counter() - started)
    assert statistics.median(seconds) < 0.001  # 0.2 ms where nothing else runs; other tests share the cores
