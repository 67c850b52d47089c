"""Put sequences of different lengths into the rows of batches.

    lengths = [len(ids) for ids in texts]
    packing = first_fit(lengths, Limits(tokens=256, rows=16, max_valid_num=40))
    packing.batch, packing.row, packing.start     # of each sequence, in the caller's order

`next_fit`, `first_fit` and `best_fit` take sequences one by one; `first_fit_decreasing`, `spfhp` and `lpfhp` need all
of them at once, and pack a million in a tenth of a second.

Requests that arrive one by one share the calls of a model through a queue; each is answered as if it were run alone:

    form = Form.of(model)
    with Queue(Session(model, optimize=True).run, form, default_policy(model, form), instances=2) as queue:
        outputs = queue.submit({"input_ids": ids, "attention_mask": mask}).result()

`choose` measures which policy is fastest on this machine, for rows like those to expect:

    rows = [row for request in requests for row in form.rows(request)]
    policy = choose(find_ways("", form, session.run, batch=16, longest=256), rows)[0].way.policy
"""

from __future__ import annotations

from collections.abc import Callable

from regraft.batching.choose import Choice, choose
from regraft.batching.form import Form, RequestError, Row
from regraft.batching.policy import ByTokens, Fixed, Padded, Policy, default_policy
from regraft.batching.queue import Call, Closed, DeadlineExceeded, Overloaded, Queue
from regraft.batching.ways import Way, find_ways
from regraft.packers.arrival import best_fit, first_fit, next_fit
from regraft.packers.histogram import first_fit_decreasing, lpfhp, spfhp
from regraft.packers.lengths import Lengths, read_lengths
from regraft.packers.limits import Limits, Packing, PackingError

ALGORITHMS: dict[str, Callable[..., Packing]] = {
    one.__name__: one for one in (next_fit, first_fit, best_fit, first_fit_decreasing, spfhp, lpfhp)
}
"""Packers by name; each takes lengths and Limits, the last three a `depth` too."""

__all__ = [
    "ALGORITHMS",
    "ByTokens",
    "Call",
    "Choice",
    "Closed",
    "DeadlineExceeded",
    "Fixed",
    "Form",
    "Lengths",
    "Limits",
    "Overloaded",
    "Packing",
    "PackingError",
    "Padded",
    "Policy",
    "Queue",
    "RequestError",
    "Row",
    "Way",
    "best_fit",
    "choose",
    "default_policy",
    "find_ways",
    "first_fit",
    "first_fit_decreasing",
    "lpfhp",
    "next_fit",
    "read_lengths",
    "spfhp",
]
