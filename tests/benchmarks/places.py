"""What is proved of every pass, on every model that it changes: places proved, why others are not, seconds.

    python -m tests.benchmarks.places [--models FOLDER] [--only fuse-gelu] [--model chain] [--large] [--out DIR]

Each pass runs with its default options, and where that changes a model, with each choice of those options that have few
values. Models are those of `certify`, what packages carry (`make real-models`), and what lies below `--models` or
$REGRAFT_MODELS. Each model has a process of its own.

`--large` proves BERT-large (1.34 GB) through three fusions instead, and has the time and memory of the proofs alone.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import regraft
from regraft.errors import PipelineError, RegraftError
from regraft.files.convert import clone
from regraft.ir.model import Model
from regraft.models import bert
from regraft.pipelines import manager
from regraft.pipelines.frontend import ImportOptions
from regraft.pipelines.pass_base import Pass
from regraft.pipelines.pipeline import Pipeline
from regraft.pipelines.registry import passes
from regraft.pipelines.source import open_source
from regraft.proving.passes import forms
from regraft.proving.places import prove_models
from tests.benchmarks import certify, table
from tests.benchmarks.measure import peak_bytes
from tests.real import files

GIVEN = {"convert-opset": ("convert-opset{version=13}", "convert-opset{version=18}", "convert-opset{version=22}")}
"""Passes with an option that has no default; those that need one for each model are left out."""
FUSIONS = ("fuse-gelu", "fuse-layer-norm", "fuse-attention")
_FILES = ("*.onnx", "saved_model.pb", "*-symbol.json")

Found = dict[str, Any]


def models(folder: Path | None) -> dict[str, Callable[[], Model]]:
    """Every model by name, and what loads it."""

    def operators() -> Model:
        model = certify.MODELS["bert of operators"]()
        manager.run(model, "fuse-attention")
        return model

    found = {**certify.MODELS, "bert of operators, with Attention": operators}
    found |= {name: (lambda path=path: open_source(path)) for name, path in files.files().items()}
    for pattern in _FILES if folder else ():
        for path in sorted(folder.rglob(pattern)) if folder else ():
            source = path.parent if path.name == "saved_model.pb" else path
            found[str(source.relative_to(folder))] = lambda source=source: open_source(
                source, options=_options_of(source)
            )
    return found


def _options_of(source: Path) -> ImportOptions:
    """The shapes of inputs that stand in a file of references beside the model."""
    reference = source.parent / "ref.npz"
    if source.suffix != ".json" or not reference.is_file():
        return ImportOptions()
    with np.load(reference) as arrays:
        return ImportOptions(shapes={n[3:]: arrays[n].shape for n in arrays.files if n.startswith("in_")})


def changed(model: Model, only: list[str]) -> Iterator[tuple[Pass, Model]]:
    """What each pass makes of a model that it changes."""
    for name in only or passes.names():
        for one in ways(name):
            rewritten = clone(model)
            try:
                report = manager.run(rewritten, [one])
            except RegraftError as error:
                print(f"{one}: {error}", file=sys.stderr)
                continue
            if report.changed:
                yield one, rewritten
            elif str(one) == name:
                break


def ways(name: str) -> list[Pass]:
    """The pass with its default options first, then with others."""
    texts = GIVEN.get(name)
    if texts is None:
        try:
            texts = tuple(dict.fromkeys(map(str, (passes.load(name)(), *forms(passes.load(name))))))
        except PipelineError:
            return []
    return [one for text in texts for one in Pipeline.parse(text)]


def look(name: str, folder: Path | None, only: list[str], seconds: float) -> None:
    """Prove what the passes make of a model, each in a process of its own; a line of JSON for each."""
    model = models(folder)[name]()
    manager.run(model, "infer-shapes")
    for one, rewritten in changed(model, only):
        sys.stdout.flush()
        process = multiprocessing.get_context("fork").Process(target=_prove, args=(name, one, model, rewritten))
        process.start()
        process.join(seconds)
        if process.exitcode != 0:
            process.kill()
            note = f"stopped after {seconds:g} s" if process.exitcode is None else "failed"
            print(json.dumps({"model": name, "pass": str(one), "note": note}), flush=True)


def _prove(name: str, one: Pass, model: Model, rewritten: Model) -> None:
    start = time.perf_counter()
    places = prove_models(one.reference(model) or model, rewritten, contract=one.contract)
    left = [place for place in places if place.outcome == "out of reach"]
    found = {
        "model": name,
        "pass": str(one),
        "places": len(places),
        "proved": len(places) - len(left),
        "seconds": time.perf_counter() - start,
        "slowest": max((place.seconds for place in places), default=0.0),
        "reasons": Counter(plain(place.reason) for place in left),
        "left": [(place.path + place.value, place.reason) for place in left],
    }
    print(json.dumps(found), flush=True)


def plain(reason: str) -> str:
    """A reason without names and numbers."""
    return re.sub(r"\d+", "N", re.sub(r"'[^']*'", "'…'", reason))[: certify.WIDTH]


# ----------------------------------------------------------------------------------------------------------- in large


def prove_large(before: Path, after: Path) -> None:
    """Prove in this process, and print what it took beside imports and loading."""
    models = regraft.load(before), regraft.load(after)
    base, start = peak_bytes(), time.perf_counter()
    places = prove_models(*models)
    seconds, peak = time.perf_counter() - start, peak_bytes()
    found = {
        "places": len(places),
        "proved": sum(place.outcome == "proved" for place in places),
        "seconds": round(seconds, 1),
        "slowest": round(max(place.seconds for place in places), 2),
        "MB": round((peak - base) / 1e6),
        "MB of the process": round(peak / 1e6),
    }
    print(json.dumps(found))


def large(scratch: Path | None) -> list[table.Row]:
    """BERT-large through each fusion, and through all of them."""
    rows: list[table.Row] = []
    with tempfile.TemporaryDirectory(prefix="regraft-places-", dir=scratch) as folder:
        source, target = Path(folder, "large.onnx"), Path(folder, "fused.onnx")
        regraft.save(bert.build(bert.LARGE, bert.Style(dropout="inference")), source, "inline")
        for text in (*FUSIONS, ",".join(FUSIONS)):
            model = regraft.load(source)
            manager.run(model, text)
            regraft.save(model, target)
            done = _run("--prove-large", str(source), str(target))
            note = done.stderr.strip().splitlines()[-1:] if done.returncode else []
            rows.append({"pipeline": text, **({"note": note[0]} if note else json.loads(done.stdout))})
            print(rows[-1], flush=True)
    return rows


# --------------------------------------------------------------------------------------------------------------------


def main() -> None:
    options = _options()
    if options.large:
        table.write(options.out, "places-large", "Proofs of BERT-large, 1.34 GB", large(options.scratch), {})
        return
    found: list[Found] = []
    passed = [f"--seconds={options.seconds}", *(f"--only={one}" for one in options.only or ())]
    passed += [f"--models={options.models}"] if options.models else []
    for name in options.model or models(options.models):
        done = _run("--look", name, *passed)
        found += [json.loads(line) for line in done.stdout.splitlines()]
        print(f"{name}: {len(found)} pairs so far", done.stderr, flush=True)
    facts = {"pairs": found}
    table.write(options.out, "places", "Places proved, by pass", by_pass(found), facts)
    table.write(options.out, "places-models", "Places proved, by model", by_model(found), {})
    table.write(options.out, "places-left", "Why places are not proved", reasons(found), {})


def by_pass(found: list[Found]) -> list[table.Row]:
    """What is proved of each pass, and of all."""
    rows = [{"pass": name, **_total(some)} for name, some in sorted(_grouped(found, "pass").items())]
    return [*rows, {"pass": "all", **_total(found)}]


def by_model(found: list[Found]) -> list[table.Row]:
    return [{"model": name, **_total(some)} for name, some in sorted(_grouped(found, "model").items())]


def reasons(found: list[Found]) -> list[table.Row]:
    """How often each reason came, with a place where it did."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    for one in found:
        name = one["pass"].partition("{")[0]
        if "note" in one:
            counts[name, one["note"]] += 1
            first.setdefault((name, one["note"]), f"{one['model']}: {one['pass']}")
            continue
        for reason, count in one["reasons"].items():
            counts[name, reason] += count
            value = next(value for value, full in one["left"] if plain(full) == reason)
            first.setdefault((name, reason), f"{one['model']}: {value}")
    return [
        {"pass": name, "reason": reason, "places": count, "such as": first[name, reason]}
        for (name, reason), count in counts.most_common()
    ]


def _total(some: list[Found]) -> table.Row:
    ended = [one for one in some if "note" not in one]
    places, proved = (sum(one[key] for one in ended) for key in ("places", "proved"))
    return {
        "pairs": len(some),
        "all proved": sum(one["proved"] == one["places"] for one in ended),
        "stopped or failed": len(some) - len(ended),
        "places": places,
        "proved": proved,
        "share": f"{proved / places:.1%}" if places else None,
        "seconds": round(sum(one["seconds"] for one in ended), 1),
        "slowest pair": round(max((one["seconds"] for one in ended), default=0.0), 2),
        "slowest place": round(max((one["slowest"] for one in ended), default=0.0), 2),
    }


def _grouped(found: list[Found], key: str) -> dict[str, list[Found]]:
    groups: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        groups[one[key]].append(one)
    return groups


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.benchmarks.places", *arguments], capture_output=True, text=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("REGRAFT_MODELS")
    parser.add_argument("--models", type=Path, default=Path(folder) if folder else None, help="a folder of models")
    parser.add_argument("--only", choices=passes.names(), action="append", help="a pass")
    parser.add_argument("--model", action="append")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0, help="that all proofs of a pair may take")
    parser.add_argument("--scratch", type=Path, help="a folder with 5 GB free; default: the system's")
    parser.add_argument("--out", type=Path, default=Path("benchmarks-out"))
    parser.add_argument("--look", help=argparse.SUPPRESS)
    parser.add_argument("--prove-large", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prove_large:
        sys.exit(prove_large(*options.prove_large))
    if options.look:
        sys.exit(look(options.look, options.models, options.only or [], options.seconds))
    return options


if __name__ == "__main__":
    main()
