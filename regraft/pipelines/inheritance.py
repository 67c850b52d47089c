"""What a node hands on, in its metadata, to those that take its place: its stage, its scope, its lines of source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

STAGE = "regraft.stage"
"""The part of a split model that a node belongs to, and that what takes its place belongs to."""

SCOPES = "pkg.torch.onnx.name_scopes"
"""Where torch's exporter lists the modules around a node, each by its whole name, and the node's own name last."""

TRACE = "pkg.torch.onnx.stack_trace"
"""Where torch's exporter puts the lines of source that a node comes from, the outermost first."""

_MOST = 40
"""Lines of source that a node has at most; one that took the place of a whole graph has no use for more."""

_BETWEEN = re.compile(r'\n\s*(?=File ")')
_FRAME = re.compile(
    r'File "(?P<file>[^"\n]*)", line (?P<line>\d+)(?:, in (?P<where>[^\n]*))?(?:\n\s*(?P<code>.*))?', re.S
)


def inherited(every: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What the metadata of nodes have for those that take the place of all of them."""
    kept: dict[str, str] = {}
    held = list(every)
    for key, merge in _MERGED.items():
        texts = dict.fromkeys([metadata[key] for metadata in held if key in metadata])
        if texts:
            kept[key] = next(iter(texts)) if len(texts) == 1 else merge(list(texts))
    return kept


def source_lines(metadata: Mapping[str, str]) -> list[str]:
    """The lines of source in the metadata of a node, outermost first: `model.py:12 in forward: x = self.norm(x)`."""
    found = (_FRAME.match(frame) for frame in _frames(metadata.get(TRACE, "")))
    return [_shown(match) for match in found if match is not None]


def _shown(match: re.Match[str]) -> str:
    where = f" in {match['where']}" if match["where"] else ""
    code = f": {' '.join(match['code'].split())}" if match["code"] else ""
    return f"{match['file']}:{match['line']}{where}{code}"


def _frames(trace: str) -> list[str]:
    return [frame.strip() for frame in _BETWEEN.split(trace)]


def _first(texts: Sequence[str]) -> str:
    return texts[0]


def _common_scope(texts: Sequence[str]) -> str:
    """The modules around all of several nodes, and the name of the first."""
    first, *rest = [text.strip("[]").split(", ") for text in texts]
    shared = 0
    while all(shared < len(path) - 1 and path[shared] == first[shared] for path in (first, *rest)):
        shared += 1
    return f"[{', '.join([*first[:shared], first[-1]])}]"


def _every_line(texts: Sequence[str]) -> str:
    """The lines of several traces, each once."""
    frames = list(dict.fromkeys(frame for text in texts for frame in _frames(text)))
    return "\n  ".join(frames[:_MOST])


_MERGED: Mapping[str, Callable[[Sequence[str]], str]] = {STAGE: _first, SCOPES: _common_scope, TRACE: _every_line}
