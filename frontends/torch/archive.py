"""The kind of a file of torch, by its first bytes and its list of contents; nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from regraft.outside import first_bytes

Kind = Literal["exported program", "TorchScript archive", "pickle"]

SUFFIXES = (".pt2", ".pt", ".pth", ".bin")
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


def kind_of(path: Path) -> Kind | None:
    """The kind of the file; None if torch did not write it."""
    start = first_bytes(path, 4)
    if start[:1] == _PICKLE:
        return "pickle" if path.suffix in SUFFIXES else None
    if start != _ZIP:
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except zipfile.BadZipFile:
        return None
    if "archive_format" in names or "serialized_exported_program.json" in names:
        return "exported program"
    if "data.pkl" in names:
        return "TorchScript archive" if "constants.pkl" in names else "pickle"
    return None
