"""Which files belong to a model: `NAME-symbol.json`, `NAME-0000.params`, and `.embeddings` beside these."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from regraft.pipelines.frontend import FrontendError

SYMBOL, PARAMS, EMBEDDINGS = "-symbol.json", ".params", ".embeddings"
_EPOCH = re.compile(r"(.+)-\d{4,}$")


class Files(NamedTuple):
    """The graph, and the files with its arrays."""

    symbol: Path
    arrays: tuple[Path, ...]


def find_files(source: Path) -> Files:
    """The files of the model that `source` names: its folder, its graph or its parameters.

    Of several epochs the highest is taken, unless `source` is the .params of one.

    Raises:
        FrontendError: one is missing, or there are several candidates.
    """
    if source.is_dir():
        source = _one(sorted(source.glob(f"*{SYMBOL}")), f"{source}: *{SYMBOL}")
    if source.suffix in (PARAMS, EMBEDDINGS):
        params = source.with_suffix(PARAMS)
        symbol = _symbol(params)
    elif source.suffix == ".json":
        symbol, params = source, _params(source)
    else:
        raise FrontendError(f"{source} is neither a symbol.json nor a .params file of MXNet")
    embeddings = params.with_suffix(EMBEDDINGS)
    return Files(symbol, (params, embeddings) if embeddings.is_file() else (params,))


def _symbol(params: Path) -> Path:
    match = _EPOCH.match(params.stem)
    named = params.with_name(f"{match[1] if match else params.stem}{SYMBOL}")
    if named.is_file():
        return named
    return _one(sorted(params.parent.glob(f"*{SYMBOL}")), f"{params}: {named.name} beside it")


def _params(symbol: Path) -> Path:
    prefix = symbol.name.removesuffix(SYMBOL).removesuffix(".json")
    beside = sorted(symbol.parent.glob(f"*{PARAMS}"))
    epochs = [path for path in beside if (match := _EPOCH.match(path.stem)) and match[1] == prefix]
    if epochs:
        return max(epochs, key=lambda path: int(path.stem.rpartition("-")[2]))
    return _one(beside, f"{symbol}: {prefix}-0000{PARAMS} beside it")


def _one(found: list[Path], wanted: str) -> Path:
    if len(found) == 1:
        return found[0]
    names = f"there are {', '.join(path.name for path in found)}; name one" if found else "there is none"
    raise FrontendError(f"{wanted} is needed, and {names}")
