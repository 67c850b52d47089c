"""What the compilers that take torch modules have in common: versions, numerics, what they take, how fast it runs."""

from __future__ import annotations

import argparse
import importlib
import platform
import time

import golden

torch = golden.need("torch", "install the one that the compiler was built for")
MILLISECONDS = 1000


def arguments(description):
    """The command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="do all that needs no SDK")
    parser.add_argument("--runs", type=int, default=100, help="runs to time [default: 100]")
    return parser.parse_args()


def sdk(said):
    """The compiler's package; ends where it is not installed, before all that takes time."""
    return golden.need(said["sdk"], said["install"] + "; compile.py --check does all that needs no SDK")


def say_versions(*packages):
    """Print the versions of Python, torch and packages that are installed."""
    found = ["Python " + platform.python_version(), "torch " + torch.__version__]
    for name in packages:
        try:
            found.append("{} {}".format(name, getattr(importlib.import_module(name), "__version__", "")).strip())
        except (ImportError, OSError):
            found.append("no " + name)
    print(", ".join(found))


def tensors(arrays, names):
    """Arrays by name as tensors, in the order of `names`."""
    return tuple(torch.from_numpy(arrays[name].copy()) for name in names)


def named(outputs, names):
    """What a module gives, one tensor or several, as arrays by name."""
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    return {name: _array(tensor.detach().cpu()) for name, tensor in zip(names, outputs)}


def _array(tensor):
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def run(module, example):
    """What a module gives."""
    with torch.no_grad():
        return module(*example)


def hold(what, module, example, expected, tolerances):
    """Run a module, print how far it lies from what is expected, and end where it is too far."""
    print(what)
    try:
        found = named(run(module, example), list(expected))
    except RuntimeError as error:
        golden.stop(f"{what} does not run: {str(error).strip().splitlines()[-1]}", golden.WRONG)
    if not golden.compare(found, expected, tolerances):
        golden.stop(what + " computes something else", golden.WRONG)


def share(counted, listed):
    """Print which of the counted operators are in a published list, and give the share in percent."""
    left = {name: count for name, count in sorted(counted.items()) if name not in listed["names"]}
    total = sum(counted.values())
    percent = 100.0 * (total - sum(left.values())) / max(total, 1)
    print("operators in the list of {}: {} of {}, {:.2f} %".format(listed["source"], *_part(total, left), percent))
    if left:
        print("left over: " + ", ".join(f"{name} x{count}" for name, count in left.items()))
    return percent


def _part(total, left):
    return total - sum(left.values()), total


def clock(module, example, runs, batch):
    """Print the first run's time, the average of the next ones, and what that makes a second; gives the average."""
    first = _timed(module, example, 1)
    average = _timed(module, example, runs) / runs
    print(f"Warmup time : {first:.6f} s")
    print(f"Avg inference time : {average:.6f} s ({average * MILLISECONDS:.3f} ms)")
    print(f"Throughput : {batch / average:.1f} inferences/s at batch {batch}")
    return average


def _timed(module, example, runs):
    _wait()
    start = time.perf_counter()
    for _ in range(runs):
        run(module, example)
    _wait()
    return time.perf_counter() - start


def _wait():
    """Let a GPU end what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
