"""Build a TensorRT engine of device.onnx with `trtexec`, run it on the golden vectors, and compare what it gives.

    python build.py            build, run, compare
    python build.py --check    all but trtexec: the files are there and as trtexec reads them, the command is printed

Needs numpy, and `trtexec` of TensorRT 10 or later on the PATH, or as `--trtexec PATH`; what it prints goes to
trtexec.log. Exit code: 0 right, 1 refused or wrong, 2 something is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess

import golden
from golden import np

OUTPUTS, LOG = "outputs.json", "trtexec.log"
HELP_OF_11 = "--loadRefOutputs"
WORDS = {"-?nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""How JSON writes what C++ prints."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do all that needs no TensorRT")
    parser.add_argument("--trtexec", default="trtexec", help="the program [default: the one on the PATH]")
    given = parser.parse_args()
    said = golden.parameters()
    check_files(said)
    expected = golden.vectors("outputs")
    if given.check:
        print(shlex.join(["trtexec", *arguments(said, HELP_OF_11)]))
        print("not run: trtexec; everything before it is in order")
        return
    program = shutil.which(given.trtexec)
    if program is None:
        golden.stop(f"{given.trtexec} is not there: install TensorRT, or name the program with --trtexec PATH")
    command = [program, *arguments(said, help_of(program))]
    print(shlex.join(command), flush=True)
    (golden.FOLDER / OUTPUTS).unlink(missing_ok=True)
    with open(golden.FOLDER / LOG, "w", encoding="utf-8") as log:
        code = subprocess.run(command, cwd=golden.FOLDER, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if not (golden.FOLDER / OUTPUTS).is_file():
        golden.stop(f"trtexec ended with {code} and no outputs: {last_error()} (see {LOG})", golden.WRONG)
    if not golden.compare(read_outputs(said), expected, said["tolerances"]):
        golden.stop("TensorRT computes something else", golden.WRONG)
    if code:
        golden.stop(f"trtexec ended with {code}: {last_error()} (see {LOG})", golden.WRONG)
    print(*(line for line in log_lines() if "Throughput:" in line or "Latency:" in line), sep="\n")
    print(f"{said['engine']} is right")


def help_of(program):
    """What `trtexec --help` prints, which says what it knows."""
    run = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    return run.stdout + run.stderr


def arguments(said, known):
    """The arguments for a trtexec that knows what its help names.

    TensorRT 11 types networks strongly without being told and compares with references itself; 10 must be told and
    leaves the comparison to this script.
    """
    rest = list(said["arguments"])
    if "--stronglyTyped" in known:
        rest.append("--stronglyTyped")
    elif "--fp16" in known:
        golden.stop("this trtexec knows no --stronglyTyped: TensorRT 10 or later is needed")
    if "--loadRefOutputs" in known:
        rest += said["reference_arguments"]
    return [*rest, f"--exportOutput={OUTPUTS}"]


def check_files(said):
    """Stop where a file that trtexec is to read is not there, or has another size than it expects."""
    golden.model(said["model"])
    for tensor in (*said["inputs"], *said["outputs"]):
        path = golden.FOLDER / tensor["file"]
        if not path.is_file():
            golden.stop(f"{path} is missing; {golden.AGAIN}")
        expected = int(np.prod(tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
        if path.stat().st_size != expected:
            golden.stop(f"{path} has {path.stat().st_size} bytes, not {expected}; {golden.AGAIN}")


def read_outputs(said):
    """The outputs that trtexec has written, by name."""
    shapes = {one["name"]: one["shape"] for one in said["outputs"]}
    text = (golden.FOLDER / OUTPUTS).read_text(encoding="utf-8")
    for printed, in_json in WORDS.items():
        text = re.sub(rf"(?<=[\s,\[]){printed}(?=[\s,\]])", in_json, text)
    found = {one["name"]: np.array(one["values"]) for one in json.loads(text)}
    return {name: value.reshape(shapes.get(name, value.shape)) for name, value in found.items()}


def log_lines():
    """What trtexec has printed."""
    return (golden.FOLDER / LOG).read_text(encoding="utf-8", errors="replace").splitlines()


def last_error():
    """The last line of the log that says an error."""
    lines = log_lines()
    errors = [line for line in lines if "[E]" in line] or lines or ["it printed nothing"]
    return errors[-1].strip()


if __name__ == "__main__":
    main()
