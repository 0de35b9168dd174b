"""Families of kernels that scripts/sass_report.py treats by more than their main loop: what of them is put through the
model, and a section of the document with the times that follow."""

import re
from dataclasses import dataclass
from typing import Callable

import sass_model


@dataclass(frozen=True)
class Card:
    """A GPU for which times are modelled: multiprocessors, clock in Hz under load, bytes a second of its memory (as
    published) and of its second-level cache (assumed, near what microbenchmarks report)."""

    name: str
    arch: str
    multiprocessors: int
    clock: float
    bytes_a_second: float
    cache_bytes_a_second: float


CARDS = [Card("A100", "sm_80", 108, 1.41e9, 2.04e12, 4e12), Card("H100", "sm_90", 132, 1.755e9, 3.35e12, 5.5e12),
         Card("H200", "sm_90", 132, 1.755e9, 4.8e12, 5.5e12)]


def share_text(share):
    return f"{share:.0%}".replace("%", " %")


def seconds_text(seconds):
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1e3:.2g} ms"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


@dataclass(frozen=True)
class Family:
    pattern: re.Pattern
    path: Callable  # kernel -> the instructions that are modelled
    section: Callable  # kernels, {id(kernel): share} -> text

    def holds(self, name):
        return self.pattern.match(name) is not None


# ---- neighbours ----

CANDIDATES = re.compile(r"candidates_kernel<(\d+)u?, (\d+)u?, (\d+)u?>")
CANDIDATES_A_NEIGHBOR = 2
SLICE_BYTES = 128 * 64 * 2
SLICE_PRODUCTS = 128  # of a warp, for 64 columns of a tile of 128 x 128
STREAMED_SLICES = 12  # a row that is not kept whole is modelled with 768 columns
SHAPES = [(30_522, 64, 90), (30_522, 384, 90), (250_000, 384, 90), (1_000_000, 64, 90), (1_000_000, 128, 90),
          (1_000_000, 768, 90)]


def candidates_of(kernel):
    """(slices or 0, stages, capacity)."""
    return tuple(map(int, CANDIDATES.match(kernel.name).groups()))


def tile_path(kernel):
    """A tile of 128 queries by 128 points: all its slices, and the filter."""
    slices = candidates_of(kernel)[0] or STREAMED_SLICES
    return sass_model.path_around(kernel.instructions, slices * SLICE_PRODUCTS)


def candidates_for(kernels, arch, d):
    """The kernel that choose_neighbors_config takes for d columns and 90 neighbours."""
    fits = [kernel for kernel in kernels if kernel.arch == arch and CANDIDATES.match(kernel.name) and kernel.blocks > 0]
    slices = -(-d // 64)
    order = sorted(fits, key=lambda kernel: (candidates_of(kernel)[0] or 1000, candidates_of(kernel)[2]))
    return next((kernel for kernel in order if candidates_of(kernel)[0] in (0, *range(slices, 1000))), None)


def neighbors_seconds(kernel, share, card, N, d, k):
    """(pass over all pairs, measuring the candidates), of N points that are their own queries."""
    slices = candidates_of(kernel)[0] or -(-d // 64)
    blocks, tiles = min(kernel.blocks, 2), -(-N // 128)
    waves = -(-tiles // (card.multiprocessors * blocks))
    tile_cycles = slices * SLICE_PRODUCTS * sass_model.RATES[card.arch]["tensor"] / share  # of 4 warps in 4 quarters
    slices_copied = slices if candidates_of(kernel)[0] else 2 * slices
    copies = tiles * tiles * slices_copied * SLICE_BYTES / card.cache_bytes_a_second
    scan = max(waves * blocks * tiles * tile_cycles / card.clock, copies)
    measure = N * CANDIDATES_A_NEIGHBOR * k * 4 * d / (0.7 * card.bytes_a_second)
    return scan, measure


def neighbors_section(kernels, shares):
    present = [kernel for kernel in kernels if CANDIDATES.match(kernel.name)]
    architectures = list(dict.fromkeys(kernel.arch for kernel in present))
    rows = []
    for d in (64, 128, 256, 384, 768):
        of_arch = [candidates_for(present, arch, d) for arch in architectures]
        rows.append([f"d = {d}", *("" if kernel is None else f"{share_text(shares[id(kernel)])}, {min(kernel.blocks, 2)}"
                                   for kernel in of_arch)])
    text = ("## Neighbours\n\nThe pass over all pairs, filter included: modelled share of the mma.sync peak, and blocks a "
            "multiprocessor.\n\n" + table(["", *architectures], rows) +
            "\nModelled time of a whole search, of which measuring the candidates. With the share s of that table, of "
            "N / 128 tiles each way, 128 mma a\nwarp and slice of 64 columns, c cycles each, and b blocks a "
            "multiprocessor:\n\n"
            "    pass    = ceil(N/128 / (b multiprocessors)) b ceil(N/128) slices 128 c / s / clock\n"
            "              or, if that is longer, (N/128)^2 slices of 16 KB from the second-level cache, and as many of the\n"
            "              queries where their rows are not kept whole (d > 384)\n"
            f"    measure = {CANDIDATES_A_NEIGHBOR} k N candidates (assumed) of 4 d bytes each, at 70 % of the memory's rate\n\n")
    rows = []
    for N, d, k in SHAPES:
        cells = []
        for card in CARDS:
            kernel = candidates_for(present, card.arch, d)
            if kernel is None:
                cells.append("")
                continue
            scan, measure = neighbors_seconds(kernel, shares[id(kernel)], card, N, d, k)
            cells.append(f"{seconds_text(scan + measure)} ({seconds_text(measure)})")
        rows.append([f"{N:,} x {d}, k = {k}", *cells])
    clocks = ", ".join(f"{card.name} {card.multiprocessors} x {card.clock / 1e9:.4g} GHz and "
                       f"{card.cache_bytes_a_second / 1e12:.2g} TB/s" for card in CARDS)
    return text + table(["", *(card.name for card in CARDS)], rows) + \
        f"\nMultiprocessors, clocks and second-level cache (assumed): {clocks}.\n"


FAMILIES = [Family(CANDIDATES, tile_path, neighbors_section)]


def family_of(name):
    return next((family for family in FAMILIES if family.holds(name)), None)
