"""Random sequences of passes, with random options."""

from __future__ import annotations

import numpy as np

from regraft.pipelines.options import Option
from regraft.pipelines.registry import passes, targets

DEFAULT: str = targets.load("onnxruntime").pipeline
NEEDED = {
    "convert-opset": ("version=18", "version=13,only=newer", "version=21", "version=17,only=older"),
    "select-outputs": ("outputs={output}",),
    "set-shapes": ("n=2,s=5",),
    "lower-range": ("max-length=64", "max-length=0"),
    "fold-constants": ("max-bytes=0", "max-bytes=1MiB"),
}
"""Options that are not a choice among few."""

ASSUMING = {"infinite", "assume", "assume-no-empty-rows"}
"""Options by which a pass takes something for granted that a random model need not keep."""

PACKING = {"pack-sequences", "unpack-attention"}
"""Passes that take for granted that padding counts for nothing; in a random model it does."""

LAST = "select-outputs", "set-shapes", "split-layers"


def pipeline(seed: int, output: str) -> str:
    """The pipeline of this number, for a model with this output."""
    random = np.random.default_rng(seed)
    known = [name for name in passes.names() if name not in PACKING]
    names = [str(n) for n in random.choice(known, int(random.integers(2, 7)))]
    names = [n for n in names if n not in LAST] + list(dict.fromkeys(n for n in names if n in LAST))
    return ",".join(_with_options(name, random, output) for name in names)


def _with_options(name: str, random: np.random.Generator, output: str) -> str:
    if name in NEEDED:
        given = [str(random.choice(NEEDED[name])).format(output=output)]
    else:
        given = [
            f"{option.name}={random.choice(_choices(option))}"
            for option in passes.load(name).options()
            if _choices(option) and option.name not in ASSUMING and random.random() < 0.5
        ]
    return f"{name}{{{','.join(given)}}}" if given else name


def _choices(option: Option) -> list[str]:
    """What may be written for an option of few values."""
    return ["true", "false"] if option.type == "true|false" else [str(option.show(c)) for c in option.choices]
