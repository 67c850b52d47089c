"""The packages of the wheel, as they lie in the folders; all else stands in pyproject.toml."""

from setuptools import find_packages, setup

ROOMS = ("passes", "frontends", "targets", "models")
"""Folders that are packages of `regraft` in the wheel."""

setup(
    packages=[
        *find_packages(include=["regraft", "regraft.*"]),
        *(f"regraft.{room}" for room in ROOMS),
        *(f"regraft.{room}.{inner}" for room in ROOMS for inner in find_packages(room)),
    ],
    package_dir={"regraft": "regraft", **{f"regraft.{room}": room for room in ROOMS}},
)
