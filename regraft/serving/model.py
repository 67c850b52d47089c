"""Opens a model for serving: behind a queue, and only after it has reproduced its golden outputs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from regraft.batching.choose import choose
from regraft.batching.form import Form
from regraft.batching.policy import ByTokens, Padded, Policy, check_policy, default_policy
from regraft.batching.queue import Call, Queue
from regraft.batching.ways import find_ways
from regraft.errors import RegraftError
from regraft.files.bundle import check_sums, is_bundle
from regraft.files.loading import load
from regraft.ir.model import Model
from regraft.packers.lengths import read_lengths
from regraft.serving.rehearsal import hold_golden, rehearse
from regraft.serving.requests import Inputs
from regraft.verification.inputs import make_inputs
from regraft.verification.runtime import Session
from regraft.verification.signature import Port
from regraft.verification.text import Tokenizer

BATCH, MEASURED = 16, 64
"""Sequences of a padded call, also while measuring."""


@dataclass(frozen=True)
class Options:
    """How a model is run.

    Attributes:
        instances: calls at a time.
        threads: of one call; 0: the cores, shared among the instances.
        timeout: seconds for which a row waits for others.
        batch, tokens: rows of a call, or its tokens; without either the default for the model.
        lengths: of sequences like those to expect: the policy that is fastest for them is measured and used.
        most_queued: how many rows may wait.
        tokenizer: of texts; see `Tokenizer`.
    """

    instances: int = 1
    threads: int = 0
    timeout: float = 0.002
    batch: int | None = None
    tokens: int | None = None
    lengths: str | None = None
    most_queued: int = 1024
    tokenizer: Path | None = None

    def policy(self, model: Model, form: Form) -> Policy:
        """Which rows share a call. Raises RegraftError where the options do not fit the model."""
        if form.packed is not None and (self.batch, self.tokens) != (None, None):
            raise RegraftError(
                "the packed model has a fixed shape, which says what a call holds: set no batch or tokens"
            )
        if self.tokens is not None:
            return ByTokens(self.tokens, form.most)
        return default_policy(model, form) if self.batch is None else Padded(self.batch)


@dataclass(frozen=True)
class ServedModel:
    """A model that answers.

    Attributes:
        inputs, outputs: of the model.
        tokenizer: makes inputs of texts, if it takes texts.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    queue: Queue
    instances: int = 1
    tokenizer: Tokenizer | None = None


def open_model(
    path: Path, options: Options, listener: Callable[[Call], None], say: Callable[[str], None]
) -> ServedModel:
    """The ONNX file or bundle at `path`, ready to answer.

    Args:
        listener: called with every finished call; see `Queue`.
        say: called with each line for the user.

    Raises:
        VerificationError: a bundle does not give its golden outputs.
        RegraftError: it cannot be read or run, or the options do not suit it.
    """
    check_sums(path)
    model = load(path)
    form = Form.of(model)
    policy = options.policy(model, form)
    check_policy(policy, form)
    tokenizer = None if options.tokenizer is None else Tokenizer(options.tokenizer, model)
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.instances)
    session = Session(model, optimize=True, threads=threads)
    inputs = hold_golden(session, path, model) if is_bundle(path) else None
    if inputs is None:
        say(f"{path} has no golden vectors: its outputs were not checked")
        inputs = make_inputs(model)
    if options.lengths is not None:
        policy = _fastest(model, form, session, options.lengths, say)
    if why := rehearse(session.run, form, policy, inputs):
        say(f"sequences get other outputs in a shared call than alone: {why}")
    queue = Queue(
        session.run,
        form,
        policy,
        timeout=options.timeout,
        most_queued=options.most_queued,
        instances=options.instances,
        listener=listener,
    )
    return ServedModel(_served(form, form.inputs), _served(form, form.outputs), queue, options.instances, tokenizer)


def _fastest(model: Model, form: Form, session: Session, lengths: str, say: Callable[[str], None]) -> Policy:
    """The policy that a short measurement finds fastest for sequences of these lengths."""
    values = read_lengths(lengths).values[:MEASURED]
    batches = Inputs.of_model(model).batches(values.tolist(), 1, seed=0)
    rows = [form.rows(batch.inputs)[0] for batch in islice(batches, len(values))]
    ways = find_ways("", form, session.run, batch=BATCH, longest=max(row.length for row in rows))
    best = choose(ways, rows)[0]
    assert best.measured is not None  # the best one is first, and measured
    say(f"{best.way.name}: {1 / best.measured:,.0f} sequences a second of {lengths}, one call at a time")
    return best.way.policy


def _served(form: Form, ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """Inputs or outputs as clients see them: the queue takes any number of sequences, whatever batch the model has."""
    return tuple(replace(port, shape=(None, *(port.shape or ())[1:])) for port in ports) if form.together else ports
