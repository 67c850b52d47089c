"""`poprt.backend`."""

import shutil
from pathlib import Path


def get_session(model, batches, backend, *, output_dir, export_popef):
    """Its `load` writes what `poprt.runtime.Runner` of this stand-in runs."""
    assert (batches, backend, export_popef) == (1, "poprt", True)
    return _Session(model, Path(output_dir) / "executable.popef")


class _Session:
    def __init__(self, model, popef):
        self.model, self.popef = model, popef

    def load(self):
        shutil.copyfile(self.model, self.popef)
        return self
