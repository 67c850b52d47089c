"""The arrivals of requests in MLPerf's server scenario, by LoadGen in a process of its own.

LoadGen keeps global state and does not stop before the end of its schedule; a process can be ended, and sending
requests does not delay its clock. It writes a line for each arrival, `id place nanoseconds`, reads the id of each query
that is answered, and at the end writes how late each arrival was, in nanoseconds, as a list.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from regraft.outside import check_form, parse_json
from regraft.serving.requests import LoadError

_DELAY = re.compile(r'"query_seq":(\d+),"sample_idx":\d+,"issue_start_ns":(\d+)')
_LINE = 2**26  # bytes of the last line at the most


class Schedule(NamedTuple):
    """The schedule that LoadGen makes.

    Attributes:
        rate: mean arrivals a second.
        seconds: the duration.
        most: arrivals at the most; 0: any number.
        limit_ms: the latency limit in LoadGen's own log.
        places: requests to choose from.
    """

    rate: float
    seconds: float
    most: int
    limit_ms: float
    places: int
    seed: int


class Arrival(NamedTuple):
    """A request that is due.

    Attributes:
        place: index of the request among those to choose from.
        due: when, by the monotonic clock, in seconds.
    """

    id: int
    place: int
    due: float


class Arrivals:
    """Arrivals as they are due; `complete` must be called for each when it is finished.

    Attributes:
        delays: seconds by which each was issued late, once all are finished.
    """

    def __init__(self, schedule: Schedule):
        if importlib.util.find_spec("mlperf_loadgen") is None:
            raise LoadError("MLPerf's LoadGen is not installed: pip install 'regraft[loadgen]'")
        self._schedule = schedule
        self._process: asyncio.subprocess.Process | None = None
        self._logs = tempfile.TemporaryDirectory(prefix="regraft-")
        self.delays: list[float] = []

    async def __aenter__(self) -> Arrivals:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, json.dumps(self._schedule), self._logs.name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
            start_new_session=True,  # an interrupt from the keyboard is for us
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._process
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._logs.cleanup()

    async def __aiter__(self) -> AsyncIterator[Arrival]:
        assert self._process
        assert self._process.stdout
        async for line in self._process.stdout:
            if line.startswith(b"["):
                late = parse_json(line, "what LoadGen says", LoadError)
                check_form(late, [int], "what LoadGen says", LoadError)
                self.delays = [delay / 1e9 for delay in late]
                return
            number, place, due = map(int, line.split())
            yield Arrival(number, place, due / 1e9)
        raise LoadError(f"LoadGen ended with code {await self._process.wait()} before its schedule was through")

    def complete(self, arrival: Arrival) -> None:
        """Say that a request was answered, or given up."""
        assert self._process
        assert self._process.stdin
        self._process.stdin.write(b"%d\n" % arrival.id)


def _issue(schedule: Schedule, folder: str) -> None:
    """Run LoadGen, in the process that is its own, with its logs in a folder."""
    import mlperf_loadgen as loadgen

    lock = threading.Lock()

    def issue(samples: list[Any]) -> None:
        now = time.monotonic_ns()
        with lock:
            os.write(1, b"".join(b"%d %d %d\n" % (sample.id, sample.index, now) for sample in samples))

    def answered() -> None:
        for line in sys.stdin.buffer:
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(int(line), 0, 0)])
        os._exit(1)  # nobody listens any more

    threading.Thread(target=answered, daemon=True).start()
    settings = loadgen.TestSettings()
    settings.scenario, settings.mode = loadgen.TestScenario.Server, loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = schedule.rate
    settings.server_target_latency_ns = round(schedule.limit_ms * 1e6)
    settings.min_duration_ms = settings.max_duration_ms = round(schedule.seconds * 1e3)
    settings.min_query_count, settings.max_query_count = 1, schedule.most
    settings.schedule_rng_seed = settings.sample_index_rng_seed = schedule.seed
    logs = loadgen.LogSettings()
    logs.enable_trace = True  # the only place that has how late each query was issued
    output = loadgen.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = folder, False
    logs.log_output = output
    system = loadgen.ConstructSUT(issue, lambda: None)
    samples = loadgen.ConstructQSL(schedule.places, schedule.places, lambda _: None, lambda _: None)
    loadgen.StartTestWithLogSettings(system, samples, settings, logs)
    with Path(folder, "mlperf_log_trace.json").open() as trace:
        found = {int(number): int(late) for line in trace for number, late in _DELAY.findall(line)}
    with open(1, "wb") as said:
        said.write(json.dumps([found[number] for number in sorted(found)]).encode() + b"\n")
    os._exit(0)  # the reading thread would delay Python's exit


if __name__ == "__main__":
    _issue(Schedule(*json.loads(sys.argv[1])), sys.argv[2])
