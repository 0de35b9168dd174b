#!/usr/bin/env python3
"""Times the same work done by Lexiscope and by scikit-learn, faiss, openTSNE and PyTorch, in turns on one machine.

    bench/peers/run.sh [--turns 5] [--opentsne-runs 1] [--write]

Every turn runs ours, then the peer, for each kind of work; medians are compared. Each side uses as many threads as
there are cores (taskset limits both). The true KL divergences of both maps are computed here, densely and in double.
--write puts the tables into docs/performance.md, between its peers: markers.
"""

import argparse
import importlib.metadata
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import BUILD, THREADS, Peer, array, bench, fetched, limit_threads, machine, spread, timed, write_block

NEIGHBORS, PERPLEXITY, ITERATIONS = 90, 30, 750


# ---- the peers, each in a process of its own: their thread pools must not spin beside each other


def scikit_learn_pca(embedding):
    """Seconds in the embedding's own precision."""
    from sklearn.decomposition import PCA

    return timed(lambda: PCA(50, svd_solver="covariance_eigh").fit_transform(embedding))[0]


def faiss_search(points):
    import faiss

    faiss.omp_set_num_threads(THREADS)

    def search():
        index = faiss.IndexFlatL2(points.shape[1])
        index.add(points)
        index.search(points, NEIGHBORS + 1)  # a point is its own nearest neighbour

    return timed(search)[0]


def torch_attention():
    import torch

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 8, 2048, 64) for _ in range(3))
    with torch.inference_mode():
        work = torch.nn.functional.scaled_dot_product_attention
        work(query, key, value)
        return statistics.median(timed(lambda: work(query, key, value))[0] for _ in range(5))


def opentsne_map(embedding):
    import numpy
    import openTSNE
    from sklearn.decomposition import PCA

    # On scikit-learn's components, as its users would. Its own choice of neighbour search (Annoy, approximate) is its
    # fastest here; schedule, initial map and all else by default.
    scores = PCA(50, svd_solver="covariance_eigh").fit_transform(embedding.astype(numpy.float64))
    tsne = openTSNE.TSNE(perplexity=PERPLEXITY, initialization="pca", n_jobs=THREADS, random_state=0)
    seconds, positions = timed(lambda: tsne.fit(scores))
    return seconds, numpy.asarray(positions)


# ---- ours


def project(model, out, *options):
    command = [BUILD / "lexiscope", "project", model, "--out", out, "--overwrite", "--quiet", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "manifest.json").read_text())


def embedding_of(model):
    """The word embeddings in a .safetensors file: f32 here."""
    import numpy

    with open(model / "model.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()
        name = next(name for name in header if name.endswith("word_embeddings.weight"))
        first, last = header[name]["data_offsets"]
        file.seek(start + first)
        return numpy.frombuffer(file.read(last - first), numpy.float32).reshape(header[name]["shape"])


# ---- the true divergence, independently of ours: dense, in double


def joint_probabilities(run):
    """openTSNE's p_ij in double, on the exact neighbours of our run."""
    from openTSNE.affinity import joint_probabilities_nn

    indices, distances = array(run, "neighbor_indices"), array(run, "neighbor_distances").astype(float)
    return joint_probabilities_nn(indices, distances, [PERPLEXITY], n_jobs=THREADS).tocoo()


def true_kl(joint, positions):
    import numpy

    y = numpy.asarray(positions, dtype=numpy.float64)
    normalization = -float(len(y))  # each point's weight 1 with itself
    for first in range(0, len(y), 256):
        squared = sum(numpy.subtract.outer(y[first : first + 256, axis], y[:, axis]) ** 2 for axis in range(y.shape[1]))
        normalization += (1 / (1 + squared)).sum()
    p = joint.data / joint.data.sum()
    q = 1 / (1 + ((y[joint.row] - y[joint.col]) ** 2).sum(axis=1)) / normalization
    return float((p * numpy.log(p / q)).sum())


# ---- the turns


def measure(arguments, model, folder):
    small, wide = folder / "50", folder / "384"
    project(model, small)
    project(model, wide, "--components", "384", "--iterations", "1")
    scores = array(small, "pca_scores")
    embedding = embedding_of(model)
    pca = Peer(scikit_learn_pca, embedding.astype("float64"))
    pca_single = Peer(scikit_learn_pca, embedding)
    faiss_small, faiss_wide = Peer(faiss_search, scores), Peer(faiss_search, array(wide, "pca_scores"))
    attention, opentsne = Peer(torch_attention), Peer(opentsne_map, embedding)
    pca.run(), pca_single.run(), faiss_small.run(), attention.run()  # to be warm

    times, limits, figures, opentsne_kl = {}, [], {}, []
    joint = joint_probabilities(small)

    def note(work, side, seconds):
        times.setdefault(work, {}).setdefault(side, []).append(seconds)

    for turn in range(arguments.turns):
        print(f"turn {turn + 1} of {arguments.turns}", file=sys.stderr)
        seconds = project(model, small)["seconds"]
        pca_seconds = bench("pca/N:30522/d:384/components:50/real_time")["seconds"]
        for name, peer in (("pca", pca), ("pca single", pca_single)):
            note(name, "ours", pca_seconds)
            note(name, "peer", peer.run())
        note("neighbors 50", "ours", seconds["neighbors"])
        note("neighbors 50", "peer", faiss_small.run())
        note("tsne", "ours", seconds["neighbors"] + seconds["affinities"] + seconds["tsne"])
        note("project", "ours", seconds["total"])
        if turn < arguments.opentsne_runs:
            seconds, positions = opentsne.run()
            note("tsne", "peer", seconds)
            opentsne_kl.append(true_kl(joint, positions))
        ours = project(model, wide, "--components", "384", "--iterations", "1")["seconds"]["neighbors"]
        note("neighbors 384", "ours", ours)
        note("neighbors 384", "peer", faiss_wide.run())
        record = bench("attention/statistics/T:2048/d:64/real_time")
        note("attention", "ours", record["seconds"])
        note("attention", "peer", attention.run())
        limits.append(record["limits"])
        for name in arguments.figures:
            record = bench(name)
            counter = next(counter for counter in ("pairs/s", "of_sgemm", "of_copy") if counter in record)
            figures.setdefault((name, counter), []).append(record[counter])

    kl = {"peer": statistics.median(opentsne_kl), "ours": true_kl(joint, array(small, "tsne"))}
    kl["reported"] = float(array(small, "tsne_kl")[-1, 1])
    return times, limits, figures, kl


WORK = {  # what is compared: with whom, and the ratio to reach
    "pca": ("PCA of 30,522 x 384 in double, 50 components and scores", "scikit-learn PCA, covariance_eigh, in double", 1.0),
    "pca single": ("the same", "scikit-learn in single precision", None),
    "neighbors 50": ("90 exact neighbours, 30,522 x 50", "faiss IndexFlatL2", 0.45),
    "neighbors 384": ("90 exact neighbours, 30,522 x 384", "faiss IndexFlatL2", 0.75),
    "tsne": ("t-SNE of 30,522 x 50, neighbours included, 750 iterations", "openTSNE", 0.1),
    "attention": ("attention with statistics, 8 heads, T = 2048, d = 64, f32", "PyTorch scaled_dot_product_attention", 0.9),
}
FIGURES = {
    "attention/plain_1_thread/T:2048/d:64/real_time": "attention on one thread",
    "attention/statistics_1_thread/T:2048/d:64/real_time": "attention with statistics on one thread",
    "tsne_exact/N:30522/dimensions:2/real_time": "exact repulsion, ordered pairs",
}


def report(times, limits, figures, kl):
    versions = {name: importlib.metadata.version(name) for name in ("scikit-learn", "faiss-cpu", "openTSNE", "torch")}
    yield from machine(limits)
    yield "Peers: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."
    yield ""
    yield "| work | Lexiscope | peer | | ratio | at most |"
    yield "|---|---|---|---|---|---|"
    for name, (work, peer, target) in WORK.items():
        ours, theirs = times[name]["ours"], times[name]["peer"]
        ratio = statistics.median(ours) / statistics.median(theirs)
        yield f"| {work} | {spread(ours)} | {spread(theirs)} | {peer} | {ratio:.2f} | {'' if target is None else format(target, 'g')} |"
    yield ""
    yield "| true KL of the map, computed here densely in double | nats |"
    yield "|---|---|"
    yield f"| Lexiscope's | {kl['ours']:.4f} |"
    yield f"| Lexiscope's, as its run reports it | {kl['reported']:.4f} |"
    yield f"| openTSNE's | {kl['peer']:.4f} |"
    yield ""
    yield f"The whole of `lexiscope project` on the model takes {spread(times['project']['ours'])}."
    for (name, counter), values in figures.items():
        value = statistics.median(values)
        shown = f"{value * 1e-9:.1f} G pairs/s" if counter == "pairs/s" else f"{value:.2f} of {counter[3:]}"
        yield f"{FIGURES[name][0].upper()}{FIGURES[name][1:]}: {shown} (`{name}`)."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--opentsne-runs", type=int, default=1, help="of the turns: one takes a minute or more")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    arguments = parser.parse_args()
    arguments.figures = list(FIGURES)
    limit_threads()
    model = fetched("fetch_minilm.sh")
    with tempfile.TemporaryDirectory() as folder:
        lines = list(report(*measure(arguments, model, Path(folder))))
    print("\n".join(lines))
    if arguments.write:
        write_block("peers", lines)


if __name__ == "__main__":
    main()
