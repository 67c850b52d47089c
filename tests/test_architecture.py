"""What docs/architecture.md points at is there."""

from __future__ import annotations

import re
from pathlib import Path

import click

from regraft.cli import cli

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WHERE = PAGE.split("## Where is …?")[1].split("##")[0]
ROWS = re.findall(r"^\| (.*\?) \| (.*) \|$", WHERE, re.M)


def quoted(text: str) -> list[str]:
    """What `text` has in backticks, but for the code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


def is_path(name: str) -> bool:
    return "/" in name or name.endswith((".md", ".toml"))


def is_command(name: str) -> bool:
    return name.startswith(("regraft ", "make "))


def test_every_path_is_there() -> None:
    paths = [name for name in quoted(PAGE) if is_path(name)]
    assert len(paths) > 30
    assert [name for name in paths if not (ROOT / name).exists()] == []


def test_every_answer_leads_to_what_it_names() -> None:
    assert len(ROWS) == WHERE.count("?") > 5
    for question, answer in ROWS:
        files = [ROOT / name for name in quoted(answer) if is_path(name)]
        names = [name for name in quoted(answer) if not is_path(name) and not is_command(name)]
        assert files or any(map(is_command, quoted(answer))), question
        text = "".join(file.read_text(encoding="utf-8") for file in files)
        assert [name for name in names if not re.search(rf"\b{name.split('.')[-1]}\b", text)] == [], question


def test_every_command_is_there() -> None:
    commands = [name.split()[:2] for name in quoted(PAGE) if is_command(name)]
    goals = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    there = {"regraft": cli.list_commands(click.Context(cli)), "make": goals}
    assert {program for program, _ in commands} == there.keys()
    assert [name for program, name in commands if name not in there[program]] == []


def test_every_package_of_the_core_is_in_the_table() -> None:
    table = PAGE.split("## The packages of the core")[1].split("##")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.M)
    order = [name for row in rows for name in quoted(row)]
    house = (ROOT / "tests" / "test_house.py").read_text(encoding="utf-8")
    stated = house.split("ORDER = (")[1].split("\n)\n")[0]
    assert order == re.findall(r'"(\w+)"', stated)
