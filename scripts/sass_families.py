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
    path: Callable | None  # kernel -> the instructions that are modelled; None for its main loop
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


# ---- t-SNE ----

TSNE = re.compile(r"(exact|exact_reduce|step|box|center|normalization|count|totals|starts|scatter|order|spread|charge_field"
                  r"|multiply|gather)_kernel")
TSNE_POINTS = (30_522, 60_000, 250_000, 1_000_000)
TSNE_AIMS = {60_000: "0.2 ms", 250_000: "0.5 ms", 1_000_000: "1.5 ms"}  # on H100
EDGES = 160  # a row: 90 neighbours, both directions
SIDE = 1.03  # of a map, times the root of its points: 180 of 30,522 tokens
CANDIDATES_A_POINT, POINTS_A_UNIT, POINTS_A_CELL = 100, 6.3, 13  # on that map, of the near field's cells
MISSED = 0.51  # of a row's reads of positions, by the first-level cache: scripts/attraction_reuse.py on that map's run
ROW_BYTES = 260  # of a row that lies anywhere: its number, its offsets, position, force, and update, gain, moved position
ISSUED, OF_MEMORY, OF_LAUNCH = 0.5, 0.7, 1.3e-6  # assumed: of the issue slots, of the memory's rate, seconds a kernel
ONE_BLOCK_BYTES = 64  # a cycle, that one multiprocessor reads from the second-level cache: assumed


def exact_pairs_a_clock(kernel, share):
    """Ordered pairs a clock and multiprocessor: each reciprocal is an unordered pair of each of 32 lanes."""
    cycles = sass_model.occupied(kernel.path, kernel.arch)[kernel.peak] / share
    return 2 * 32 * kernel.count("mufu") * sass_model.SCHEDULERS / cycles


def instructions_of(kernel, items, trips):
    """Warp instructions of one warp: once through the code, `trips` times through the loops around the innermost, and
    `items` rounds of the innermost loop, of which ptxas may have unrolled several into one."""
    loops = sass_model.loops(kernel.instructions)
    innermost = [(a, b) for a, b in loops if not any((c, d) != (a, b) and a <= c and d <= b for c, d in loops)]
    inner = {at for a, b in innermost for at in range(a, b + 1)}
    outer = {at for a, b in loops for at in range(a, b + 1)} - inner
    real = [not instruction.never for instruction in kernel.instructions]
    count = lambda places: sum(real[at] for at in places)
    straight = count(set(range(len(real))) - inner - outer)
    marker = "mufu" if any(kernel.instructions[at].kind == "mufu" for at in inner) else "global"
    marks = lambda loop: sum(kernel.instructions[at].kind == marker for at in range(loop[0], loop[1] + 1))
    if not innermost:
        return straight
    main = max(innermost, key=marks)
    rounds = max(1, marks(main)) if marker == "mufu" or kernel.name.startswith("order") else 1
    return straight + trips * count(outer) + items * count(range(main[0], main[1] + 1)) / rounds


def grid_nodes(needed):
    """As choose_tsne_config has them: {4, 5, 6, 7} 2^k."""
    return next(quarter * unit for unit in (2 ** k for k in range(2, 30)) for quarter in (4, 5, 6, 7)
                if quarter * unit >= needed)


def tsne_steps(N):
    """(kernel, warps, rounds of its inner loop, trips of its outer loops, bytes of memory, bytes of the second-level
    cache, bytes of one block) of an iteration with a grid, in order; two launches of cuFFT each way. Of the gather's
    warps many have no unit and leave at once: a hundredth of the work."""
    nodes = grid_nodes(SIDE * N ** 0.5 * 1.5 + 6)
    L, cells = 2 * nodes, (nodes / 1.5 / 2.5 + 1) ** 2
    launched, units = N / 8 + min(cells, N), N / POINTS_A_UNIT
    transform = (None, 0, 0, 0, 16 * L * L, 0, 0)
    return [("count_kernel<2", N / 32, 0, 0, 16 * N, 8 * N, 0),
            ("totals_kernel", cells / 32, 0, 0, 4 * cells, 0, 0),
            ("starts_kernel", cells / 32, 1, 1, 12 * cells + 8 * units, 0, 0),
            ("scatter_kernel", N / 32, 0, 0, 12 * N, 64 * N, 0),
            ("order_kernel<2", N / 32, POINTS_A_CELL, 1, 32 * N, 128 * N, 0),
            ("spread_kernel<2", N / 8, 0, 0, 8 * N, 256 * N, 0),
            ("charge_field_kernel", L, L / 256, 1, 16 * nodes * nodes + 4 * L * L, 0, 0),
            transform, transform,
            ("multiply_kernel", L * L / 64, 1, 1, 10 * L * L, 0, 0),
            transform, transform,
            ("gather_kernel<2u, true", units + launched / 100, CANDIDATES_A_POINT / 4, 3, 20 * N, 128 * N, 0),
            ("normalization_kernel", 32, 1, 1, 0, 0, 2 * launched),
            ("step_kernel<2", N / 8, 8 * EDGES / 32, 8, (8 * EDGES + ROW_BYTES) * N,
             ((8 + 32 * MISSED) * EDGES + ROW_BYTES) * N, 0),
            ("box_kernel", 32, 1, 1, 0, 0, N / 6),
            ("center_kernel<2", N / 32, 0, 0, 16 * N, 0, 0)]


def tsne_step_seconds(kernel, card, step):
    """(issue, memory, second-level cache, one block) of one kernel; of cuFFT's, memory alone."""
    _, warps, items, trips, memory, cache, block = step
    slots = ISSUED * sass_model.SCHEDULERS * card.multiprocessors * card.clock
    issue = warps * instructions_of(kernel, items, trips) / slots if kernel else 0
    return (issue, memory / (2 if kernel is None else 1) / (OF_MEMORY * card.bytes_a_second),
            cache / card.cache_bytes_a_second, block / (ONE_BLOCK_BYTES * card.clock))


def tsne_kernel(kernels, arch, name):
    return next((kernel for kernel in kernels if kernel.arch == arch and name and kernel.name.startswith(name)), None)


def tsne_grid_seconds(kernels, card, N):
    return sum(max(tsne_step_seconds(tsne_kernel(kernels, card.arch, step[0]), card, step)) + OF_LAUNCH
               for step in tsne_steps(N))


def tsne_exact_seconds(kernels, shares, card, N):
    """All pairs, the partial sums of tiles of 1,024 points written and read, and the step."""
    kernel = tsne_kernel(kernels, card.arch, "exact_kernel<2u, 8u")
    pairs = N * N / (exact_pairs_a_clock(kernel, shares[id(kernel)]) * card.multiprocessors * card.clock)
    partials = 2 * 8 * N * -(-N // 1024) / (OF_MEMORY * card.bytes_a_second)
    rest = [step for step in tsne_steps(N) if step[0] and step[0].startswith(("step", "box", "center"))]
    return pairs + partials + 2 * OF_LAUNCH + sum(
        max(tsne_step_seconds(tsne_kernel(kernels, card.arch, step[0]), card, step)) + OF_LAUNCH for step in rest)


def tsne_section(kernels, shares):
    present = [kernel for kernel in kernels if kernel.source.startswith("tsne_") and TSNE.match(kernel.name)]
    architectures = list(dict.fromkeys(kernel.arch for kernel in present))
    cards = [card for card in CARDS if card.arch in architectures]

    def rate(arch, D, count):
        kernel = tsne_kernel(present, arch, f"exact_kernel<{D}u, {count}u")
        return f"{exact_pairs_a_clock(kernel, shares[id(kernel)]):.1f}" if id(kernel) in shares else ""

    rows = [[f"{D}-D, {count} points a thread", *(rate(arch, D, count) for arch in architectures)]
            for D in (2, 3) for count in ((1, 2, 4, 8) if D == 2 else (1, 2, 4))]
    text = ("## t-SNE\n\nAll pairs, each unordered pair once: modelled ordered pairs a clock and multiprocessor. Many "
            "points take the last row of theirs, in 2-D only where six of its blocks fit.\n\n" + table(["", *architectures], rows) +
            f"\nModelled time of a whole iteration in 2-D: repulsion, attraction, step, mean and box, on maps as of "
            f"finished runs ({SIDE} sqrt(N)\nwide, {EDGES} entries a row). A grid's iteration is the sum over its kernels "
            f"of\n\n"
            f"    max(warps instructions / ({ISSUED} 4 multiprocessors clock), bytes / ({OF_MEMORY} of the memory's rate),\n"
            f"        bytes of the second-level cache / its rate, bytes of one block / ({ONE_BLOCK_BYTES} clock)) + "
            f"{OF_LAUNCH * 1e6:.1f} us\n\n"
            f"with instructions counted in the machine code, loops as often as {CANDIDATES_A_POINT} candidates a point and "
            f"{POINTS_A_CELL} points a cell say. All pairs:\nN^2 / (pairs multiprocessors clock), the tiles' sums "
            "(16 N ceil(N/1024) bytes), and the step. The shares of issue slots and memory, and\nwhat a launch in a graph "
            "takes, are assumed; so is one pass over the grid for each of cuFFT's kernels, two each way. Of the\nstep's "
            f"reads of neighbours' positions, a sector of 32 bytes each, {100 * MISSED:.0f} % miss the first-level cache, as "
            "`scripts/attraction_reuse.py`\nhas it for the 30,522 tokens of all-MiniLM-L6-v2 (rows taken by number: 79 %).\n\n")
    rows = []
    for N in TSNE_POINTS:
        grid = [f"{tsne_grid_seconds(present, card, N) * 1e3:.3f} ms" for card in cards]
        all_pairs = [seconds_text(tsne_exact_seconds(present, shares, card, N)) for card in cards]
        rows.append([f"{N:,}", *(f"{g} ({e})" for g, e in zip(grid, all_pairs)), TSNE_AIMS.get(N, "")])
    text += table(["N: grid (all pairs)", *(card.name for card in cards), "aim, H100"], rows)
    if not any(card.name == "H100" for card in cards):
        return text
    card = next(card for card in cards if card.name == "H100")
    text += ("\nEach kernel of a grid's iteration on H100: warp instructions and bytes a point at N = 1,000,000, and what "
             "takes longest, in\nmicroseconds, at three sizes.\n\n")
    rows = []
    for index, step in enumerate(tsne_steps(1_000_000)):
        kernel = tsne_kernel(present, card.arch, step[0])
        times = [max(tsne_step_seconds(kernel, card, tsne_steps(N)[index])) * 1e6 for N in TSNE_POINTS[1:]]
        count = f"{step[1] * instructions_of(kernel, *step[2:4]) / 1e6:.1f}" if kernel else ""
        rows.append([step[0].split("_kernel")[0] if step[0] else "cuFFT, one of two passes", count,
                     f"{step[4] / (1 if kernel else 2) / 1e6:.0f}", f"{step[5] / 1e6:.0f}",
                     *(f"{time:.1f}" for time in times)])
    return text + table(["kernel", "instructions", "bytes of memory", "of the cache",
                         *(f"{N:,}" for N in TSNE_POINTS[1:])], rows)


FAMILIES = [Family(CANDIDATES, tile_path, neighbors_section), Family(TSNE, None, tsne_section)]


def family_of(name):
    return next((family for family in FAMILIES if family.holds(name)), None)
