#!/usr/bin/env python3
"""Times the cuda engine beside PyTorch and beside the limits of the same GPU.

    bench/peers/gpu.sh [--bench PROGRAM] [--write]
    bench/peers/gpu.sh [--bench PROGRAM] --out DIR      only measures, and leaves what it measured in DIR
    bench/peers/gpu.sh --from DIR [--write]             the tables of that, on any machine

The benchmarks of lexiscope-bench that FILTER names run first, then bench/mma_rate.cu and, for the shapes of those
benchmarks, PyTorch. Both sides time as many calls as take 20 ms, at most twenty, behind one wait, five times over, and
take the mean. --write puts the tables into docs/performance.md, between its gpu: markers.
"""

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from common import ROOT, seconds_of, timed, write_block

BENCH = ROOT / "build" / "cuda-release" / "bench" / "lexiscope-bench"
FILTER = (
    "^(attention_cuda/.*/T:(4096|16384)/|attention_map_cuda/observed/|linear_cuda/(f32|bf16)(_own)?/|"
    "layer_norm_cuda/.*/residual:0/|neighbors_cuda/|(tsne_iteration|tsne_exact|covariance|projection|eigendecomposition)_cuda/)"
)
LIMITS = ("copy", "mma.sync", "cuBLAS f32", "cuBLAS bf16")
AIMS = {  # seconds, set for an H100
    "neighbors_cuda/N:250000/d:384/k:90/cosine:0": 0.25,
    "neighbors_cuda/N:1000000/d:128/k:90/cosine:0": 1.0,
    "tsne_iteration_cuda/N:60000/dimensions:2": 0.2e-3,
    "tsne_iteration_cuda/N:250000/dimensions:2": 0.5e-3,
    "tsne_iteration_cuda/N:1000000/dimensions:2": 1.5e-3,
}


# ---- PyTorch: each function gives (name, work) for what a benchmark of ours does


def torch_attention(kind, T, d):
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    backends = {"FlashAttention-2": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}
    if kind == "f32":
        backends = {"memory-efficient attention": SDPBackend.EFFICIENT_ATTENTION}
    dtype = torch.float32 if kind == "f32" else torch.bfloat16
    query, key, value = (torch.randn(1, 16, T, d, device="cuda", dtype=dtype) for _ in range(3))
    attend = torch.nn.functional.scaled_dot_product_attention
    for name, backend in backends.items():
        with sdpa_kernel(backend):
            yield name, lambda: attend(query, key, value, is_causal=kind.endswith("causal"))


def torch_map(_, T, d):
    import torch

    query, key = torch.randn(T, d, device="cuda"), torch.randn(T, d, device="cuda")

    def observe():
        scores = query @ key.T / math.sqrt(d)
        weights = scores.softmax(-1)
        return -(weights * scores.log_softmax(-1)).sum(-1), weights.sum(0)

    yield "dense map, entropies, column sums", observe


def torch_linear(kind, T, activation, **sizes):
    import torch
    from torch.nn.functional import gelu, linear

    dtype = torch.float32 if kind.startswith("f32") else torch.bfloat16
    x = torch.randn(T, sizes["in"], device="cuda", dtype=dtype)
    weight = torch.randn(sizes["out"], sizes["in"], device="cuda", dtype=dtype)
    yield "PyTorch", lambda: gelu(linear(x, weight)) if activation else linear(x, weight)


def torch_layer_norm(_, T, d, residual):
    import torch

    x, gain, bias = torch.randn(T, d, device="cuda"), torch.ones(d, device="cuda"), torch.zeros(d, device="cuda")
    yield "PyTorch", lambda: torch.nn.functional.layer_norm(x, (d,), gain, bias)


def torch_neighbors(_, N, d, k, cosine):
    import torch

    if N * N * d > 3e13:  # a minute and more
        return
    points = torch.randn(N, d, device="cuda")
    squares = points.square().sum(1)

    def search():
        for first in range(0, N, 4096):
            products = points[first : first + 4096] @ points.T
            (products if cosine else squares - 2 * products).topk(k + 1, largest=bool(cosine))

    yield "matmul and topk", search


PEERS = {
    "attention_cuda": torch_attention,
    "attention_map_cuda": torch_map,
    "linear_cuda": torch_linear,
    "layer_norm_cuda": torch_layer_norm,
    "neighbors_cuda": torch_neighbors,
}


# ---- measuring


def parts(name):
    """(operation, its variant or "", {letter: number}) of a benchmark's name."""
    words = name.split("/")
    numbers = {key: int(value) for key, _, value in (word.partition(":") for word in words) if value}
    return words[0], words[1] if ":" not in words[1] else "", numbers


def seconds_a_call(work):
    import torch

    def run(calls):
        for _ in range(calls):
            work()
        torch.cuda.synchronize()

    run(1)
    once = timed(lambda: run(1))[0]
    if once > 0.5:
        return once
    calls = min(20, math.ceil(20e-3 / once))
    return statistics.mean(timed(lambda: run(calls))[0] for _ in range(5)) / calls


def measure_peers(names):
    """{benchmark: {peer: seconds}}"""
    import torch

    seconds = {}
    for name in names:
        operation, kind, numbers = parts(name)
        if operation in PEERS and not kind.endswith("_own"):
            seconds[name] = {}
            for peer, work in PEERS[operation](kind, **numbers):
                try:
                    seconds[name][peer] = seconds_a_call(work)
                except RuntimeError as error:  # not every card has every kernel
                    print(f"{name}: {peer}: {error}", file=sys.stderr)
            torch.cuda.empty_cache()
    return seconds


def mma_rate(arch):
    """FLOP/s of mma.sync, by bench/mma_rate.cu."""
    nvcc = os.environ.get("LEXISCOPE_NVCC") or shutil.which("nvcc", path=os.environ["PATH"] + ":/usr/local/cuda/bin")
    if not nvcc:
        sys.exit("gpu.py: no nvcc: install CUDA's toolkit, or set LEXISCOPE_NVCC to its nvcc")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "mma_rate"
        subprocess.run([nvcc, "-O3", f"-arch={arch}", ROOT / "bench" / "mma_rate.cu", "-o", program], check=True)
        return float(subprocess.run([program], check=True, capture_output=True, text=True).stdout) * 1e12


def measure_card():
    """What card it is, and its limits: FLOP/s, and bytes a second read plus written."""
    import torch

    def product(dtype):
        a, b = (torch.randn(4096, 4096, device="cuda", dtype=dtype) for _ in range(2))
        return 2 * 4096**3 / seconds_a_call(lambda: a @ b)

    arch = "sm_{}{}".format(*torch.cuda.get_device_capability())
    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    copy = 2 * source.nbytes / seconds_a_call(lambda: target.copy_(source))
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return {
        "card": torch.cuda.get_device_name(),
        "arch": arch,
        "driver": subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()[0],
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "limits": dict(zip(LIMITS, (copy, mma_rate(arch), product(torch.float32), product(torch.bfloat16)))),
    }


def records_in(folder):
    """{benchmark: its record}, by names without the number of iterations and the clock."""
    records = json.loads((folder / "bench.json").read_text())["benchmarks"]
    return {record["name"].split("/iterations:")[0]: record for record in records if not record.get("error_occurred")}


def measure(program, folder):
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)

    def done(what):
        print(f"{what}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)

    out = [f"--benchmark_out={folder / 'bench.json'}", "--benchmark_out_format=json"]
    subprocess.run([program, f"--benchmark_filter={FILTER}", *out], check=True, stdout=sys.stderr)
    if not records_in(folder):
        sys.exit("gpu.py: no benchmark ran: lexiscope-bench says why above")
    done("lexiscope-bench")
    (folder / "card.json").write_text(json.dumps(measure_card(), indent=1))
    done("the card's limits")
    (folder / "peers.json").write_text(json.dumps(measure_peers(records_in(folder)), indent=1))
    done("PyTorch")


# ---- the page


def scaled(value, unit):
    factor, prefix = next((pair for pair in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= pair[0]), (1, ""))
    return f"{value / factor:#.3g}".rstrip(".") + f" {prefix}{unit}"


def duration(seconds):
    factor, unit = (1, "s") if seconds >= 1 else (1e3, "ms")
    return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"


def share(part):
    return f"{part:.0%}".replace("%", " %")


def modelled(card, row):
    """What docs/gpu_performance.md has in that row for this card or its architecture, or nothing."""
    before = columns = []
    for line in (ROOT / "docs" / "gpu_performance.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|---"):
            columns = before
        elif cells[0] == row:
            for column, cell in zip(columns, cells):
                if column and (column == card["arch"] or column in card["card"]):
                    return cell.partition(" (")[0]
        before = cells
    return ""


def model_row(operation, kind, numbers):
    """Where the model's figure for a benchmark stands, or None."""
    if operation == "attention_cuda" and kind in ("bf16", "bf16_statistics"):
        return f"d = {numbers['d']}" + ", with log-sum-exp, entropy and maximum" * kind.endswith("statistics")
    if operation == "neighbors_cuda" and not numbers["cosine"]:
        return f"{numbers['N']:,} x {numbers['d']}, k = {numbers['k']}"
    if operation == "tsne_iteration_cuda" and numbers["dimensions"] == 2:
        return f"{numbers['N']:,}"
    return None


def label(name):
    """A benchmark's name for people: flags that are not set left out."""
    operation, kind, numbers = parts(name)
    flags = {"activation": "GELU", "cosine": "cosine", "residual": "residual"}
    words = [f"{letter} = {number:,}" for letter, number in numbers.items() if letter not in flags]
    words += [word for letter, word in flags.items() if numbers.get(letter)]
    words += [word for word in ("statistics", "causal") if kind.endswith(word)]
    return ", ".join(words)


def our_seconds(record):
    """Of one iteration of t-SNE, where the benchmark makes several a call."""
    return 1 / record["iterations/s"] if "iterations/s" in record else seconds_of(record)


def rate_of(record):
    """What the benchmark counts, or nothing."""
    counters = {"pairs/s": " pairs/s", "FLOP/s": "FLOP/s", "bytes/s": "B/s"}
    return next((scaled(record[counter], unit) for counter, unit in counters.items() if counter in record), "")


def share_of(limit, record, limits):
    if limit == "upload":
        return share(record["of_upload"])
    return share(record["bytes/s" if limit == "copy" else "FLOP/s"] / limits[limit])


def table(title, operation, kinds, limit, card, records, peers):
    """One row a benchmark; columns for which nothing is known are left out."""
    names = [name for name in records if parts(name)[0] == operation and parts(name)[1] in kinds]
    if not names:
        return
    theirs = list(dict.fromkeys(peer for name in names for peer in peers.get(name, {})))
    rows = []
    for name in names:
        record = records[name]
        ours = our_seconds(record)
        row = {title: label(name), "Lexiscope": duration(ours), "rate": rate_of(record)}
        for peer in theirs:
            seconds = peers.get(name, {}).get(peer)
            row[peer] = duration(seconds) if seconds else ""
            row[f"of {peer}"] = f"{ours / seconds:.2f}" if seconds else ""
        if limit:
            row[f"of {limit}"] = share_of(limit, record, card["limits"])
        row["modelled"] = modelled(card, model_row(*parts(name)))
        row["at most"] = duration(AIMS[name]) if name in AIMS else ""
        rows.append(row)
    columns = [column for column in rows[0] if any(row[column] for row in rows)]
    yield ""
    yield "| " + " | ".join("ratio" if column[3:] in theirs else column for column in columns) + " |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield "| " + " | ".join(row[column] for column in columns) + " |"


def attention_beside_its_peers(card, records, peers):
    """One sentence a head size: shares of mma.sync's limit, and what the model has."""
    limit = card["limits"]["mma.sync"]
    for d in (64, 128):
        name = f"attention_cuda/bf16/T:16384/d:{d}"
        if name not in records or name not in peers:
            continue
        rate = records[name]["FLOP/s"]
        work = rate * our_seconds(records[name])
        sides = [("Lexiscope", rate, model_row(*parts(name)))]
        sides += [(peer, work / seconds, f"{peer}, d = {d} (as published)") for peer, seconds in peers[name].items()]
        texts = []
        for side, reached, row in sides:
            model = modelled(card, row)
            text = f"{side} {scaled(reached, 'FLOP/s')}, {share(reached / limit)} of mma.sync's limit"
            texts.append(text + f" (modelled: {model})" * bool(model))
        yield from textwrap.wrap(f"Attention in bf16 at T = 16,384, d = {d}: " + "; ".join(texts) + ".", 120)


def with_own_kernels(records, peers):
    """The peers, and beside linear layers the project's kernels alone: by default large ones are cuBLASLt's."""
    both = {name: dict(seconds) for name, seconds in peers.items()}
    for name, record in records.items():
        operation, kind, _ = parts(name)
        if kind.endswith("_own"):
            both.setdefault(name.replace("_own/", "/"), {})["our kernels alone"] = seconds_of(record)
    return both


def report(card, records, peers):
    limits = card["limits"]
    copy, mma, f32, bf16 = (scaled(limits[name], "B/s" if name == "copy" else "FLOP/s") for name in LIMITS)
    yield f"{card['card']}, driver {card['driver']}, CUDA {card['cuda']}; PyTorch {card['torch']}."
    yield f"Limits in the same run: copy {copy}, mma.sync {mma}, cuBLAS 4096 x 4096 x 4096 {f32} in f32 and {bf16} in bf16."
    measured = card, records, with_own_kernels(records, peers)
    kinds = "bf16", "bf16_statistics", "bf16_causal"
    yield from table("attention, bf16, 16 heads", "attention_cuda", kinds, "mma.sync", *measured)
    yield ""
    yield from attention_beside_its_peers(card, records, peers)
    yield from table("attention, f32, 16 heads", "attention_cuda", ("f32",), "cuBLAS f32", *measured)
    yield from table("one head's observables, f32", "attention_map_cuda", ("observed",), None, *measured)
    for dtype in ("f32", "bf16"):
        yield from table(f"linear, {dtype} weights", "linear_cuda", (dtype,), f"cuBLAS {dtype}", *measured)
    yield from table("LayerNorm, f32", "layer_norm_cuda", ("",), "copy", *measured)
    yield from table("exact neighbours", "neighbors_cuda", ("",), "mma.sync", *measured)
    yield from table("an iteration of t-SNE", "tsne_iteration_cuda", ("",), None, *measured)
    yield from table("t-SNE's repulsion over all pairs", "tsne_exact_cuda", ("",), None, *measured)
    yield from table("covariance, from the host's memory", "covariance_cuda", ("",), "upload", *measured)
    yield from table("projection, from the host's memory", "projection_cuda", ("",), "upload", *measured)
    yield from table("eigendecomposition, f64", "eigendecomposition_cuda", ("",), None, *measured)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, default=BENCH, help="the lexiscope-bench to run")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, metavar="DIR", help="measure only, and keep the figures there")
    where.add_argument("--from", type=Path, metavar="DIR", dest="source", help="take the figures that --out left there")
    arguments = parser.parse_args()
    if arguments.out and arguments.write:
        parser.error("--out measures only: --write goes with --from")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.source or arguments.out or Path(temporary)
        if not arguments.source:
            measure(arguments.bench, folder)
        if arguments.out:
            return
        card, peers = (json.loads((folder / f"{name}.json").read_text()) for name in ("card", "peers"))
        lines = list(report(card, records_in(folder), peers))
    print("\n".join(lines))
    if arguments.write:
        write_block("gpu", lines)


if __name__ == "__main__":
    main()
