"""The same application on Ray Serve: Ray replaces replicas that die, and adds some under load."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import serve
from starlette.applications import Starlette

from regraft.errors import RegraftError
from regraft.serving.app import Access, make_app
from regraft.serving.model import Options, open_model
from regraft.serving.server import Place, listening, model_name, written
from regraft.serving.service import Service


@dataclass(frozen=True)
class Replicas:
    """How many processes serve.

    Attributes:
        most: the number up to which Ray adds some under load; None: there are always `least`.
    """

    least: int = 1
    most: int | None = None


def deployment(path: Path, options: Options, access: Access, drain: float, replicas: Replicas) -> serve.Application:
    """What Ray Serve runs: in each replica a model, opened and checked, and the application in front of it."""
    path, options = path.resolve(), replace(options, threads=options.threads or 1)

    opened: list[Service] = []  # filled by the replica, for the application: each process has a list of its own

    class Replica:
        """Ray makes one in each process, before the application, and asks it whether it is well."""

        def __init__(self) -> None:
            service = Service(model_name(path))
            service.model = open_model(path, options, service.metrics.called, print)
            opened.append(service)

        def check_health(self) -> None:
            """Raises Unavailable where the model is not ready."""
            _ = opened[0].ready

        async def __del__(self) -> None:
            for service in opened:
                await asyncio.to_thread(service.drain, drain)

    def build() -> Starlette:
        return make_app(opened[0], access)

    scaling: dict[str, Any] = {"num_replicas": replicas.least}
    if replicas.most is not None:
        scaling = {"autoscaling_config": {"min_replicas": replicas.least, "max_replicas": replicas.most}}
    made = serve.deployment(
        name=model_name(path),
        ray_actor_options={"num_cpus": options.instances},
        max_ongoing_requests=options.most_queued,  # the queue is the replica's, so that requests can share calls
        graceful_shutdown_timeout_s=drain,
        max_constructor_retry_count=1,
        **scaling,
    )(serve.ingress(build)(Replica))
    return made.bind()


def serve_on_ray(
    path: Path, options: Options, access: Access, place: Place, replicas: Replicas, say: Callable[[str], None]
) -> None:
    """Serve the model at `path` on Ray, on the cluster that RAY_ADDRESS names or one of this machine's own.

    Args:
        say: called with a line when it is ready.

    Raises:
        RegraftError: the replicas do not come up, or the port is taken.
    """
    with listening(place) as listener:
        port, address = listener.getsockname()[1], written(listener)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    name, ended = model_name(path), threading.Event()
    cores = max(os.cpu_count() or 1, (replicas.most or replicas.least) * options.instances)
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    ray.init(
        num_cpus=None if "RAY_ADDRESS" in os.environ else cores,
        include_dashboard=None if "RAY_ADDRESS" in os.environ else False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        serve.start(http_options={"host": place.host, "port": port})
        try:
            serve.run(
                deployment(path, options, access, place.drain, replicas),
                name=name,
                logging_config={"log_level": "ERROR"},
            )
        except RuntimeError as error:
            raise RegraftError(f"Ray could not start a replica of {path}: {_why(name) or error}") from error
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        say(f"serving http://{address}/v2/models/{name}")
        ended.wait()
    finally:
        serve.shutdown()
        ray.shutdown()
    say("drained")


def _why(name: str) -> str:
    """The last line of the error that made a replica fail."""
    found = serve.status().applications.get(name)
    lines = [line for one in found.deployments.values() for line in one.message.splitlines()] if found else []
    return next((line.strip() for line in reversed(lines) if "Error" in line), "")
