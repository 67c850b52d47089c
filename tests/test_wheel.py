"""A wheel, and nothing of the repository beside it, runs the demo."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def _isolation() -> list[str]:
    """Build with what is installed, where that is new enough; else pip fetches it."""
    try:
        return ["--no-build-isolation"] if int(version("setuptools").split(".")[0]) >= 77 else []
    except PackageNotFoundError:
        return []


def test_a_wheel_is_whole(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *_isolation(), "--wheel-dir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site, place = tmp_path / "site", tmp_path / "elsewhere"
    zipfile.ZipFile(wheel).extractall(site)
    assert all((site / "regraft" / name).is_file() for name in ("__init__.pyi", "py.typed", "inspection/html/view.js"))
    place.mkdir()
    packages = [str(site), *{sysconfig.get_path(kind) for kind in ("purelib", "platlib")}]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(packages)}
    code = "import regraft.passes, regraft_command; print(regraft.passes.__file__, flush=True); regraft_command.main()"
    command = [sys.executable, "-S", "-c", code, "demo"]  # -S: without the finder of an editable installation
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]) == site / "regraft" / "passes" / "__init__.py"
    assert (place / ".demo" / "minilm" / "device.onnx").is_file()
