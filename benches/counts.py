"""How many instructions the hot paths take, held against what is recorded in counts.json: no clock, so that a busy machine tells
the same. `make counts` runs it; `make counts RECORD=1` records, after a change that is meant.

A path is an ordinary test, which ends with `counts::repeat`. Callgrind runs it so many times and twice as many: the difference is
what the path takes, without what the test program does before and after it.

This counts in the program of the unit tests, which `make test` has built: an optimized one would take minutes more. What a path
does that it need not, or does twice, shows here as well, but not in the same proportion: JSON that is written weighs so much that
a clone of a record beside it is lost in the tolerance.
"""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys

BASELINE = pathlib.Path(__file__).with_name("counts.json")

# How often each path is taken: so often that the rest of the test program, whose hashes are seeded anew each time, moves a count
# by a few instructions only.
PATHS = {
    "domain::lifecycle::tests::counted::step": 100,
    "grpc::convert::tests::counted::encode": 50,
    "store::tests::counted::append": 20,
}

# By how much a count may differ from what is recorded, in percent.
TOLERANCE = 2.0


def said(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more)


def program():
    """The program of the unit tests, built if it is not yet."""
    built = said("cargo", "test", "--locked", "--lib", "--no-run", "--message-format=json").stdout
    messages = [json.loads(line) for line in built.splitlines()]
    return next(message["executable"] for message in messages if message.get("executable"))


def collected(binary, path, times):
    """All instructions of the program when it takes a path so many times."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary]
    ran = said(*valgrind, "--exact", path, "--test-threads=1", env=os.environ | {"PLUGD_COUNTED_TIMES": str(times)})
    if "1 passed" not in ran.stdout:
        sys.exit(f"{path} is no test:\n{ran.stdout}")
    return int(re.search(r"Collected : (\d+)", ran.stderr).group(1))


def conditions():
    """What else decides how many there are."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {
        "compiler": said("rustc", "--version").stdout.strip(),
        "flags": os.environ.get("RUSTFLAGS", ""),
        "valgrind": said("valgrind", "--version").stdout.strip(),
        "c_library": " ".join(platform.libc_ver()),
        "processor": model.group(1) if model else platform.machine(),
    }


def main():
    binary = program()
    counts = {}
    for path, times in PATHS.items():
        counts[path] = (collected(binary, path, 2 * times) - collected(binary, path, times)) // times
    now = {"measured_with": conditions(), "instructions": counts}
    if os.environ.get("RECORD"):
        BASELINE.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
    recorded = json.loads(BASELINE.read_text(encoding="utf-8"))
    moved = False
    for path, count in counts.items():
        before = recorded["instructions"][path]
        change = 100 * (count / before - 1)
        print(f"{path}: {count}, recorded {before} ({change:+.2f} %)")
        moved |= abs(change) > TOLERANCE
    if now["measured_with"] != recorded["measured_with"]:
        print(f"Not comparable, so nothing is held: recorded with {recorded['measured_with']}, counted with {now['measured_with']}")
    elif moved:
        sys.exit(f"more than {TOLERANCE} % away; where it is meant, record it: make counts RECORD=1")


main()
