#!/usr/bin/env python3
"""Compares the trace with transformers on real models: the numbers it gives, and the time it takes.

    bench/peers/trace.sh [--turns 5] [--only accuracy|speed] [--write]

Accuracy: all-MiniLM-L6-v2 and SmolLM2-135M (its GGUF, dequantised by transformers), eager attention in double, against
the arrays that `lexiscope trace` writes. Speed: transformers' plain forward of MiniLM and PyTorch's eager attention map
against ours with states and statistics, in turns. --write puts the tables into docs/performance.md, between its trace:
markers.
"""

import argparse
import importlib.metadata
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import BUILD, ROOT, THREADS, Peer, array, bench, fetched, limit_threads, machine, spread, timed, write_block

TEXT = (ROOT / "bench" / "peers" / "text.txt").read_text()
SHAPES = {(16, 1): 0.3, (128, 1): 0.6, (512, 1): 0.75, (128, 32): 0.7}  # (tokens, texts): the ratio to reach
LONG = 16384  # tokens, for the map of one head


# ---- transformers in double


def keep_double(torch):
    """Eager attention and RMSNorm ask for single precision by name: here they get double all the same."""
    softmax = torch.nn.functional.softmax
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None: softmax(x, dim=dim)


def rms_norm_in_double(module, inputs):
    (x,) = inputs
    return module.weight * x / (x.square().mean(-1, keepdim=True) + module.variance_epsilon).sqrt()


def reference_of(model, gguf):
    """What transformers says of TEXT, as NumPy arrays under our names."""
    import torch
    import transformers

    keep_double(torch)
    where = {"pretrained_model_name_or_path": str(model.parent if gguf else model)}
    if gguf:
        where["gguf_file"] = model.name
    kind = transformers.AutoModelForCausalLM if gguf else transformers.AutoModel
    network = kind.from_pretrained(**where, attn_implementation="eager", dtype=torch.float32).double().eval()
    ids = transformers.AutoTokenizer.from_pretrained(**where)(TEXT, return_tensors="pt")["input_ids"]
    before_norm = []
    if gguf:
        for module in network.modules():
            if type(module).__name__.endswith("RMSNorm"):
                module.forward = lambda x, module=module: rms_norm_in_double(module, (x,))
        network.model.norm.register_forward_hook(lambda _, inputs, __: before_norm.append(inputs[0]))
    with torch.inference_mode():
        out = network(ids, output_hidden_states=True, output_attentions=True)
    states = [state[0] for state in out.hidden_states]
    maps = torch.stack([attention[0] for attention in out.attentions])
    result = {
        "token_ids": ids[0],
        "attention_entropy": -torch.special.xlogy(maps, maps).sum(-1),
        "attention_received": maps.sum(-2),
    }
    if gguf:
        result["final_norm"], states[-1] = states[-1], before_norm[0][0]
        log_probs = out.logits[0, :-1].log_softmax(-1)
        result["next_log_prob"] = log_probs.gather(-1, ids[0, 1:, None])[:, 0]
    result["hidden_states"] = torch.stack(states)
    return {name: value.numpy() for name, value in result.items()}


def accuracy(folder, device):
    """One line an array: model, array, error, limit."""
    import numpy

    limits = {"hidden_states": 1e-5, "final_norm": 1e-5, "attention_entropy": 2e-5, "attention_received": 1e-4, "next_log_prob": 1e-4}
    models = {"MiniLM": fetched("fetch_minilm.sh"), "SmolLM2": fetched("fetch_smollm2.sh")}
    for name, model in models.items():
        gguf = model.suffix == ".gguf"
        want = Peer(reference_of, model, gguf).run()
        ids, run = folder / f"{name}.ids", folder / f"{name}-{device}"
        ids.write_text(" ".join(map(str, want.pop("token_ids"))))
        command = [BUILD / "lexiscope", "trace", model, "--ids", ids, "--out", run, "--device", device, "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for quantity, expected in want.items():
            error = numpy.abs(array(run, quantity).astype(float)[: len(expected)] - expected).max()
            limit = limits[quantity]
            if quantity == "attention_entropy" and gguf:
                limit = 1e-4
            if limit == 1e-5:
                error /= numpy.abs(expected).max()
            yield name, quantity, device, error, limit


# ---- speed


def transformers_forward(model):
    """Seconds of a plain forward for every shape."""
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    network = transformers.AutoModel.from_pretrained(str(model)).eval()
    seconds = {}
    with torch.inference_mode():
        for tokens, texts in SHAPES:
            ids = torch.randint(1000, 30000, (texts, tokens))
            repeats = max(1, 1024 // (tokens * texts))
            network(ids)
            seconds[tokens, texts] = statistics.median(timed(lambda: network(ids))[0] for _ in range(repeats))
    return seconds


def torch_map():
    """Seconds of one head's dense map, its rows' entropies and its column sums."""
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    query, key = torch.randn(LONG, 64), torch.randn(LONG, 64)

    def observe():
        scores = query @ key.T / 8
        weights = scores.softmax(-1)
        entropy = -(weights * scores.log_softmax(-1)).sum(-1)
        return entropy, weights.sum(0)

    with torch.inference_mode():
        return timed(observe)[0]


def speed(turns):
    model = fetched("fetch_minilm.sh")
    forward, dense = Peer(transformers_forward, model), Peer(torch_map)
    forward.run()
    times, limits = {}, []

    def note(work, side, seconds):
        times.setdefault(work, {}).setdefault(side, []).append(seconds)

    for turn in range(turns):
        print(f"turn {turn + 1} of {turns}", file=sys.stderr)
        theirs = forward.run()
        for tokens, texts in SHAPES:
            name = f"forward/statistics/T:{tokens}/texts:{texts}/real_time"
            record = bench(name, LEXISCOPE_BENCH_MODEL=str(model))
            note((tokens, texts), "ours", record["seconds"])
            note((tokens, texts), "peer", theirs[tokens, texts])
        limits.append(record["limits"])
        note("map", "ours", bench(f"attention_map/observed/T:{LONG}/d:64/real_time")["seconds"])
        note("map", "plain", bench(f"attention_map/plain/T:{LONG}/d:64/real_time")["seconds"])
        note("map", "peer", dense.run())
    return times, limits


# ---- the page


def accuracy_table(rows):
    yield "| model | array | engine | error | at most | |"
    yield "|---|---|---|---|---|---|"
    for model, quantity, device, error, limit in rows:
        relative = ", of the largest" if limit == 1e-5 else ""
        yield f"| {model} | `{quantity}` | {device} | {error:.1e}{relative} | {limit:.0e} | {'' if error <= limit else 'missed'} |"


def speed_table(times, limits):
    yield from machine(limits)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))
    yield f"Peers: {versions}."
    yield ""
    yield "| work | Lexiscope | peer | ratio | at most |"
    yield "|---|---|---|---|---|"
    for (tokens, texts), limit in SHAPES.items():
        ours, theirs = times[tokens, texts]["ours"], times[tokens, texts]["peer"]
        ratio = statistics.median(ours) / statistics.median(theirs)
        yield f"| MiniLM, {texts} x {tokens} tokens | {spread(ours)} | {spread(theirs)} | {ratio:.2f} | {limit} |"
    sides = times["map"]
    for side, work, limit in (("peer", "PyTorch's dense map, entropies, column sums", 0.12), ("plain", "our plain attention", 1.9)):
        ratio = statistics.median(sides["ours"]) / statistics.median(sides[side])
        yield f"| one head's observables, T = {LONG:,}, beside {work} | {spread(sides['ours'])} | {spread(sides[side])} | {ratio:.2f} | {limit} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=("accuracy", "speed"))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    arguments = parser.parse_args()
    limit_threads()
    lines, missed = [], False
    if arguments.only != "speed":
        with tempfile.TemporaryDirectory() as folder:
            rows = [row for device in ("cpu", "reference") for row in accuracy(Path(folder), device)]
        missed = any(error > limit for *_, error, limit in rows)
        lines += [*accuracy_table(rows), ""]
    if arguments.only != "accuracy":
        lines += speed_table(*speed(arguments.turns))
    print("\n".join(lines))
    if arguments.write and not arguments.only:
        write_block("trace", lines)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
