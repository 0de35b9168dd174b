"""What the comparisons with other programs share: timing in turns, the processes on both sides, the page of results."""

import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "cpu-release"
THREADS = len(os.sched_getaffinity(0))


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


class Peer:
    """Runs one function in a process that stays warm between the turns."""

    def __init__(self, function, *data):
        self.function, self.data = function, data
        self.process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def run(self):
        return self.process.submit(self.function, *self.data).result()


def array(run, name):
    import numpy

    manifest = json.loads((run / "manifest.json").read_text())
    return numpy.load(run / manifest["arrays"][name]["file"])


def seconds_of(record):
    """An iteration's, of a record of lexiscope-bench."""
    return record["real_time"] * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}[record["time_unit"]]


def bench(name, **environment):
    """One run of lexiscope-bench: the benchmark's record, and the limits it measured before."""
    command = [BUILD / "bench" / "lexiscope-bench", f"--benchmark_filter=^{name}$", "--benchmark_format=json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment)
    records = json.loads(done.stdout)["benchmarks"]
    if len(records) != 1:
        sys.exit(f"lexiscope-bench has {len(records)} benchmarks called {name}")
    limits = re.search(r"sgemm ([\d.]+) GFLOP/s, copy of \d+ MiB ([\d.]+) GB/s", done.stderr)
    return records[0] | {"seconds": seconds_of(records[0]), "limits": tuple(map(float, limits.groups()))}


def spread(seconds):
    return f"{statistics.median(seconds):.3g} s ({min(seconds):.3g} to {max(seconds):.3g})"


def machine(limits):
    """The page's first two lines: the machine, and its limits as lexiscope-bench measured them in the same run."""
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    sgemm, copy = (statistics.median(values) for values in zip(*limits))
    yield f"{processor}, {THREADS} threads on each side; medians of {len(limits)} turns (least to most)."
    yield f"This machine's limits in the same run: sgemm {sgemm:.0f} GFLOP/s, copy {copy:.1f} GB/s."


def write_block(name, lines):
    """Replaces what stands between the markers of that name in docs/performance.md."""
    page = ROOT / "docs" / "performance.md"
    text = page.read_text()
    block = f"<!-- {name}:begin -->\n" + "\n".join(lines) + f"\n<!-- {name}:end -->"
    text, replaced = re.subn(rf"<!-- {name}:begin -->.*<!-- {name}:end -->", lambda _: block, text, flags=re.DOTALL)
    if replaced != 1:
        sys.exit(f"{page} needs one pair of {name}: markers, has {replaced}")
    page.write_text(text)


def limit_threads():
    """Before a peer's process starts: as many threads as cores, and no GPU."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(THREADS)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def fetched(script):
    """The path that one of scripts/fetch_*.sh prints."""
    return ROOT / subprocess.run([ROOT / "scripts" / script], check=True, capture_output=True, text=True).stdout.strip()
