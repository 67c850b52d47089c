"""Times two models against each other: runs are interleaved, so that a disturbance affects both."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from regraft.verification.runtime import Runnable, RuntimeFailure, Session
from regraft.verification.signature import Port, correspond
from regraft.wording import count

_RESAMPLES = 2000
_CONFIDENCE = 0.95
_STATUS = Path("/proc/self/status")  # Linux; getrusage would also count the memory of the parent process


@dataclass(frozen=True)
class Timing:
    """The runs of one model.

    Attributes:
        seconds: of each run, in order.
        peak: most bytes of memory while opening the model and running it once; None where not measured.
    """

    seconds: tuple[float, ...]
    peak: int | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        memory = "" if self.peak is None else f", peak memory {self.peak / 2**20:.0f} MiB"
        return f"{_text(self.median)} (min {_text(min(self.seconds))}, max {_text(max(self.seconds))}){memory}"


@dataclass(frozen=True)
class Comparison:
    """Two models timed against each other.

    Attributes:
        a, b: their runs; run i of `a` was next to run i of `b`.
        threads: used for both.
        optimize: whether ONNX Runtime's own optimisations were on.
    """

    a: Timing
    b: Timing
    threads: int
    optimize: bool

    @property
    def ratios(self) -> tuple[float, ...]:
        """Seconds of `a` over seconds of `b`, run by run: above 1 where `b` is faster."""
        return tuple(a / b for a, b in zip(self.a.seconds, self.b.seconds, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the median ratio lies with 95 % confidence, by resampling the ratios."""
        random = np.random.default_rng(0)
        draws = random.choice(self.ratios, (_RESAMPLES, len(self.ratios)))
        tail = (1 - _CONFIDENCE) / 2
        low, high = np.quantile(np.median(draws, axis=1), (tail, 1 - tail))
        return float(low), float(high)

    @property
    def shows_difference(self) -> bool:
        """Whether the interval lies on one side of 1: one pair alone shows nothing."""
        low, high = self.interval
        return len(self.ratios) > 1 and not low <= 1 <= high

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; times in seconds."""
        spread = {"min": min(self.ratios), "max": max(self.ratios), "interval": list(self.interval)}
        spread["shows_difference"] = self.shows_difference
        medians = {"a_median": self.a.median, "b_median": self.b.median}
        return {**asdict(self), **medians, "ratio": self.ratio, **spread}

    def __str__(self) -> str:
        low, high = self.interval
        verdict = f"b is {self.ratio:.2f} times as fast as a"
        if not self.shows_difference:
            verdict = f"no difference shown: a takes {self.ratio:.2f} times as long as b"
        pairs = f"{count(len(self.ratios), 'pair')}, {min(self.ratios):.2f} to {max(self.ratios):.2f}"
        spread = f"95 % interval of the median {low:.2f} to {high:.2f}; {pairs}"
        return f"a: {self.a}\nb: {self.b}\n{verdict} ({spread})"


@runtime_checkable
class Opened(Protocol):
    """A model that is open already, and times itself."""

    inputs: tuple[Port, ...]

    def time(self, inputs: Mapping[str, Any], runs: int) -> list[float]:
        """Seconds of runs in a row."""
        ...


def bench(
    a: Runnable | Opened,
    b: Runnable | Opened,
    inputs: Mapping[str, Any],
    *,
    runs: int = 20,
    warmup: int = 3,
    threads: int = 1,
    optimize: bool = True,
    memory: bool = False,
) -> Comparison:
    """Time `a` and `b` alternately: a b, b a, a b ...

    Args:
        a, b: models; an open one keeps its own threads and optimisations.
        inputs: of `a`, by name; those of `b` are paired with them as in `verify.compare`.
        warmup: runs of each before the clock counts.
        threads: that share the work of one operator.
        optimize: with ONNX Runtime's own optimisations, as in use.
        memory: also measure peak memory, for models given as paths, each in a process of its own.

    Raises:
        RuntimeFailure: one of them does not run.
    """
    sessions = _open(a, optimize, threads), _open(b, optimize, threads)
    pairs = correspond(sessions[0].inputs, sessions[1].inputs, {}).pairs
    feeds = dict(inputs), {pairs.get(name, name): value for name, value in inputs.items() if name in pairs}
    for session, values in zip(sessions, feeds, strict=True):
        session.time(values, warmup)
    seconds: tuple[list[float], list[float]] = [], []
    for turn in range(max(1, runs)):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            seconds[side].extend(sessions[side].time(feeds[side], 1))
    peaks = [_peak(m, v, optimize, threads) if memory else None for m, v in zip((a, b), feeds, strict=True)]
    timings = [Timing(tuple(s), peak) for s, peak in zip(seconds, peaks, strict=True)]
    return Comparison(timings[0], timings[1], threads, optimize)


def _open(model: Runnable | Opened, optimize: bool, threads: int) -> Opened:
    return model if isinstance(model, Opened) else Session(model, optimize=optimize, threads=threads)


def _peak(model: Runnable | Opened, inputs: dict[str, Any], optimize: bool, threads: int) -> int | None:
    if not isinstance(model, str | os.PathLike) or not _STATUS.exists():
        return None
    task = pickle.dumps((os.fspath(model), inputs, optimize, threads))
    code = f"import {__name__} as bench; bench._measure_peak()"
    child = subprocess.run([sys.executable, "-c", code], input=task, stdout=subprocess.PIPE)
    if child.returncode:
        raise RuntimeFailure(f"{model} does not run in a process of its own, where its memory is measured")
    return int(child.stdout)


def _measure_peak() -> None:
    """In a child process: read a task, run it, print its bytes of memory."""
    model, inputs, optimize, threads = pickle.load(sys.stdin.buffer)
    importlib.import_module("onnxruntime")  # its own memory is not the model's
    before = _high_water()
    Session(model, optimize=optimize, threads=threads).run(inputs)
    print(_high_water() - before)


def _high_water() -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    return int(found[1]) * 1024 if found else 0


def _text(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
