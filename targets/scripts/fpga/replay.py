"""Run the chain of stages on the golden vectors, stage by stage, and compare each with what it gave when it was made.

    python replay.py                                  every stage in ONNX Runtime
    python replay.py --stage 'layer.0.attention=./sim {inputs} {outputs}'
    python replay.py --stage 'layer.*=./sim --stage {name} {inputs} {outputs}' --rtol 0.05
    python replay.py --check                          the same without the commands

A command takes the place of the stages that a name or a pattern names: it reads the `.npz` at {inputs}, which has the
stage's inputs by name, and writes one with its outputs at {outputs}. It runs in the bundle's folder; {model}, {weights}
and {name} stand for the stage's own. Each stage is fed what the stages before have made, or with --isolated what they
should have made. --rtol allows more: of each value, and of the typical magnitude of its tensor.

Needs numpy, and onnxruntime for the stages without a command. Exit code: 0 right, 1 wrong, 2 something is missing.
"""

from __future__ import annotations

import argparse
import fnmatch
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import golden
from golden import np

HEAD = ("stage", "by", "MACs", "weights", "in", "out", "max error", "of", "time")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", action="append", default=[], metavar="NAME=COMMAND", help="what runs a stage")
    parser.add_argument("--isolated", action="store_true", help="feed every stage its golden inputs")
    parser.add_argument("--rtol", type=float, help="what a stage may be off by [default: rounding]")
    parser.add_argument("--check", action="store_true", help="run no command, but see that each is there")
    given = parser.parse_args()
    said = golden.parameters()
    chain = stages()
    commands = commands_of(given.stage, chain)
    if given.check:
        for name, command in commands.items():
            print(f"not run: {name} by {shlex.join(command)}")
        commands = {}
    share = said["share_allowed"] if given.rtol is None else given.rtol
    rows, wrong, values = [], [], dict(golden.vectors("device_inputs"))
    for stage in chain:
        right = golden.arrays(stage["golden"]["outputs"])
        fed = golden.arrays(stage["golden"]["inputs"])
        if not given.isolated:
            fed = {name: values[name] for name in fed}
        run = runner(stage, commands.get(stage["name"]))
        start = time.perf_counter()
        made = run(fed)
        seconds = time.perf_counter() - start
        values.update(made)
        error, peak, verdict = compare(made, right, share)
        if verdict:
            wrong.append(f"{stage['name']}: {verdict}")
        by = "command" if stage["name"] in commands else "onnxruntime"
        sizes = [size(sum(value.nbytes for value in each.values())) for each in (fed, made)]
        row = [stage["name"], by, f"{stage['macs']:,}", size(stage["weight_bytes"]), *sizes]
        rows.append([*row, f"{error:.2g}", f"{peak:.2g}", f"{seconds * 1e3:.1f} ms"])
    table(rows)
    total = sum(stage["macs"] for stage in chain)
    print(f"{len(chain)} stages, {total:,} multiply-accumulates, {size(sum(s['weight_bytes'] for s in chain))} weights")
    for name, one in said["stages"].items():
        for line in one["violations"]:
            print(f"{said['flow']} does not take {name}: {line}")
    if wrong:
        golden.stop("\n".join(wrong), golden.WRONG)
    outputs = golden.vectors("outputs")
    found = {name: values.get(name) for name in outputs}
    tolerances = said["tolerances"]
    if given.rtol is not None:
        tolerances = {name: widened(value, given.rtol) for name, value in outputs.items()}
    if not golden.compare(found, outputs, tolerances):
        golden.stop("the chain computes something else", golden.WRONG)


def stages():
    """What the manifest says of the chain, in order."""
    said = golden.manifest()
    if "stages" not in said:
        golden.stop("manifest.json has no chain of stages; write the bundle again")
    return said["stages"]["chain"]


def commands_of(texts, chain):
    """The command of each stage that has one, as a list of words."""
    names, found = [stage["name"] for stage in chain], {}
    for text in texts:
        pattern, equals, command = text.partition("=")
        matching = fnmatch.filter(names, pattern)
        if not equals or not command.strip():
            golden.stop(f"--stage '{text}' is not NAME=COMMAND")
        if not matching:
            golden.stop(f"there is no stage '{pattern}'; known: {', '.join(names)}")
        words = shlex.split(command)
        if not any("{inputs}" in word for word in words) or not any("{outputs}" in word for word in words):
            golden.stop(f"the command of '{pattern}' needs {{inputs}} and {{outputs}}, the files it reads and writes")
        if shutil.which(words[0]) is None and shutil.which(str(golden.FOLDER / words[0])) is None:
            golden.stop(f"the command of '{pattern}' is not there: {words[0]}")
        found.update(dict.fromkeys(matching, words))
    return found


def runner(stage, command):
    """What runs a stage: from arrays by name to arrays by name."""
    if command is not None:
        return lambda fed: run_command(stage, fed, command)
    try:
        import onnxruntime
    except ImportError:
        golden.stop(
            f"onnxruntime is not installed, and stage '{stage['name']}' has no command: pip install onnxruntime"
        )
    session = onnxruntime.InferenceSession(str(golden.model(stage["model"])), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda fed: dict(zip(names, session.run(names, fed)))


def run_command(stage, fed, command):
    """What the user's command makes of `fed`."""
    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch, "inputs.npz"), Path(scratch, "outputs.npz")
        np.savez(inputs, **fed)
        model = golden.FOLDER / stage["model"]
        places = {"inputs": inputs, "outputs": outputs, "model": model, "weights": model.parent / "weights"}
        words = [filled(word, {**places, "name": stage["name"]}) for word in command]
        done = subprocess.run(words, cwd=golden.FOLDER, check=False)
        if done.returncode or not outputs.is_file():
            wrote = "" if outputs.is_file() else ", and wrote no outputs"
            golden.stop(f"stage '{stage['name']}': its command ended with {done.returncode}{wrote}", golden.WRONG)
        with np.load(outputs) as file:
            return dict(file)


def filled(word, places):
    """`word` with the stage's own in place of the names in braces; other braces stay."""
    for name, value in places.items():
        word = word.replace(f"{{{name}}}", str(value))
    return word


def compare(made, right, share):
    """The largest error, the largest value, and what is wrong, if something is."""
    error, peak, verdict = 0.0, 0.0, ""
    for name, expected in right.items():
        text, allowed = golden.difference(made.get(name), expected, **widened(expected, share))
        if not allowed:
            verdict = verdict or f"{name}: {text}"
        elif expected.dtype.kind == "f":
            error = max(error, float(np.abs(made[name].astype(np.float64) - expected).max(initial=0.0)))
        if expected.dtype.kind == "f":
            peak = max(peak, float(np.abs(expected).max(initial=0.0)))
    return (float("nan") if verdict else error), peak, verdict


def widened(expected, share):
    """What a tensor may be off by: `share` of each value and of its typical magnitude."""
    values = np.abs(expected[expected != 0]) if expected.dtype.kind == "f" else np.zeros(0)
    return {"atol": share * float(np.median(values)) if values.size else 0.0, "rtol": share}


def size(count):
    """Bytes with a unit."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}"
        count /= 1000


def table(rows):
    """Print rows in columns: words to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in [HEAD, *rows]) for column in range(len(HEAD))]
    for row in [HEAD, *rows]:
        cells = [cell.ljust(w) if place < 2 else cell.rjust(w) for place, (cell, w) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    main()
