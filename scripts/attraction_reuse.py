#!/usr/bin/env python3
"""How many of t-SNE's reads of neighbours' positions miss a GPU's first-level cache, on the map of a finished run.

    scripts/attraction_reuse.py RUN

RUN is a folder that `lexiscope project` wrote. A step of the cuda engine (kernels/cuda/tsne_attraction.cu) takes the rows
of the affinities 192 to a block, whose 24 warps read 32 entries at a time; this takes some multiprocessors' rows through a
cache of least recent use, by their numbers and by their place on the map, and prints the share of reads that miss. A
position counts as one sector of the second-level cache, since its neighbours by number lie anywhere on the map. Entries
that reach farther on the map than FAR miss whatever the cache has: a small map's rows share them by chance, a large one's
do not.
"""

import argparse
import json
import sys
from collections import OrderedDict
from pathlib import Path

import numpy

ROWS, WARPS, ENTRIES = 192, 24, 32  # of a block, and of a warp's read
BLOCKS, MULTIPROCESSORS = 2, 132  # resident on a multiprocessor, and of an H100
SECTORS = 4096  # of 32 bytes: half of its first-level cache, whose other half the entries stream through
CUTOFF, FAR = 2.5, 40  # the cells' width, and the reach, in the unit of the map


def array(run, name):
    manifest = json.loads((run / "manifest.json").read_text())
    if name not in manifest["arrays"]:
        sys.exit(f"{run}: the run has no array {name}")
    return numpy.load(run / manifest["arrays"][name]["file"])


def symmetric_rows(neighbors):
    """The affinities' columns and row offsets: j is in row i where either is among the other's neighbours."""
    points, k = neighbors.shape
    i, j = numpy.repeat(numpy.arange(points), k), neighbors.ravel().astype(numpy.int64)
    pairs = numpy.unique(numpy.concatenate([i * points + j, j * points + i]))
    return pairs % points, numpy.searchsorted(pairs // points, numpy.arange(points + 1))


def misses(order, positions, columns, offsets):
    """The share of reads that miss, over every eleventh multiprocessor."""
    missed = read = 0
    blocks = -(-len(order) // ROWS)
    for multiprocessor in range(0, MULTIPROCESSORS, 11):
        cache, own = OrderedDict(), range(multiprocessor, blocks, MULTIPROCESSORS)
        for first in range(0, len(own), BLOCKS):
            warps = []
            for block in own[first : first + BLOCKS]:
                for rows in (order[block * ROWS : (block + 1) * ROWS][warp::WARPS] for warp in range(WARPS)):
                    reads = [columns[offsets[row] : offsets[row + 1]] for row in rows]
                    reach = [numpy.linalg.norm(positions[of_row] - positions[row], axis=1) for row, of_row in zip(rows, reads)]
                    far = [numpy.where(distance > FAR, -1, of_row) for distance, of_row in zip(reach, reads)]
                    warps.append(numpy.concatenate(far) if far else numpy.empty(0, int))
            for at in range(0, max(map(len, warps)), ENTRIES):
                for warp in warps:
                    for point in warp[at : at + ENTRIES].tolist():
                        read += 1
                        if point >= 0 and point in cache:
                            cache.move_to_end(point)
                            continue
                        missed += 1
                        if point >= 0:
                            cache[point] = None
                            if len(cache) > SECTORS:
                                cache.popitem(last=False)
    return missed / read


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    run = parser.parse_args().run
    positions = array(run, "tsne")
    columns, offsets = symmetric_rows(array(run, "neighbor_indices"))
    cell = ((positions - positions.min(axis=0)) / CUTOFF).astype(int)
    by_number = numpy.arange(len(positions))
    by_place = numpy.lexsort((by_number, *cell.T))
    print(f"{len(positions):,} points, {len(columns) / len(positions):.0f} entries a row; reads that miss:")
    for name, order in (("rows by number", by_number), ("rows by place on the map", by_place)):
        print(f"  {name}: {misses(order, positions, columns, offsets):.2f}")


if __name__ == "__main__":
    main()
