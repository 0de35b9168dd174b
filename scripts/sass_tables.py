"""The document that scripts/sass_report.py writes: docs/gpu_performance.md."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import sass_model
from sass_families import FAMILIES, share_text, table

ROOT = Path(__file__).resolve().parent.parent
ATTENTION = re.compile(r"attention_kernel<(\d+), (\d+), (\d+), (\d+), (\w+), (\w+), (\w+), (\d+), (\d+), (\w+)>")
ELEMENTS = {"__nv_bfloat16": "bf16", "__half": "f16"}
MIX = {"tensor": ("tensor",), "FMA": ("fma", "imad", "double"), "MUFU": ("mufu",),
       "shared": ("ldmatrix", "shared", "shuffle"), "global": ("global", "copy")}
# FlashAttention-2's own forward kernels, their machine code under this model; published measurements beside them.
FLASH_ATTENTION_2 = {("sm_80", 64): (0.64, 0.61), ("sm_80", 128): (0.68, 0.72), ("sm_90", 64): (0.53, 0.52),
                     ("sm_90", 128): (0.56, 0.59)}
TARGETS = {"sm_80": (0.82, 0.80), "sm_86": (0.93, 0.90), "sm_89": (0.93, 0.90), "sm_90": (0.76, 0.67), "sm_100": None,
           "sm_120": (0.93, 0.90)}

OPENING = """# GPU performance

What the kernels' machine code says of their speed: they are compiled for six architectures, taken apart and put through a
model. Nothing here of our kernels is measured: `bench/peers/gpu.sh` measures, on a card, and prints what it finds beside these
figures ([performance.md](performance.md), "On a GPU"). The model is for the architectures that no card was at hand for,
for comparing variants of a kernel before one is, and for saying what a measured figure should have been. This page is
written by

    scripts/sass_report.py --write

`scripts/sass_report.py --check` exits 1 where a loop that computes spills a register.

## The model

`scripts/sass_model.py` finds a kernel's main loop, the innermost with the most products (or arithmetic), and issues its
instructions on one modelled multiprocessor: four schedulers, each one instruction a cycle of its warps, in order within
a warp, as ptxas's own control bits say: stall counts and six scoreboards. Pipes are occupied at the rates below; barriers
join the warps of a block; as many blocks are there as registers and shared memory allow. The share of peak is the time
that the tensor pipe (for f32 products the FMA pipe) is occupied, of all. Code beside the main loop is left out.

"""

RATES_TAIL = """
Sources. Tensor: published dense peaks with f32 sums (A100 312, A10 125, RTX PRO 6000 503.8 TFLOP/s) over clock and
multiprocessors; on H100, of wgmma's 989 TFLOP/s the 63 % that mma.sync was measured to reach (Luo et al., arXiv
2402.13499). That of sm_100 is not known and assumed as sm_90's. FMA, MUFU, integer: the CUDA C++ Programming Guide's table
of arithmetic instructions. Shared memory: 128 bytes a cycle. Latencies are assumed, near what microbenchmarks of A100 and
H100 report: {latency}; global to shared memory {copy}.
GeForce boards of sm_86, 89 and 120 have half the tensor rate, so the rest of a loop has twice the time there.

How far to trust it: put through the same model, FlashAttention-2's machine code comes within 5 points of what was
published of it. ptxas alone moves a variant by as much. The main loop is all that it sees, at fixed latencies: where a
card was slower than modelled, the measured figure counts.

"""

WHERE_IT_MAY_DIFFER = """## Where a card may differ

`bench/peers/gpu.sh` measures most of these; what is modelled and what could be the matter where a card does not agree:

| what | command | expected | if it is not |
|---|---|---|---|
| attention, d = 64 and 128, T = 4096, 16 heads, no mask, against the same kernels' share above | `lexiscope-bench --benchmark_filter=attention_cuda`, and under `ncu` (sm__inst_executed_pipe_tensor, sm__warps_active) | the modelled share of the mma.sync peak, within 5 points | the stall reasons say which rate is wrong: math pipe throttle, MIO throttle (shared memory), barrier, long scoreboard (copies later than assumed) |
| the rate of mma.sync on sm_90 and sm_100 alone: a loop of independent HMMA | `bench/mma_rate.cu` | 6.35 cycles a quarter on sm_90; sm_100 unknown | every share of these columns scales with it |
| one stage against two and three at d = 64 and 128 | the variants of kernels/cuda/attention_config.h, forced | as in the table of every kernel | reorder that list: the choice takes the first that fits |
| T = 128 to 512 with 12 heads: 64 rows a block against 128 | the same | 64 rows ahead while blocks are fewer than two a multiprocessor | move the threshold in choose_attention_config |
| attention with statistics against without | the same | 1 to 10 points | |
| LayerNorm, RMSNorm, drift, conversion: bytes a second against a device copy | `lexiscope-bench --benchmark_filter=layer_norm_cuda`; drift and conversion likewise under `ncu` | 90 % of the copy for rows past 32 MB in all | occupancy: threads hold 64 elements of rows past 8,192 columns |
| products in bf16, 4096 x 4096 x 4096, against cuBLASLt | `lexiscope-bench --benchmark_filter=linear_cuda` | the large tile within 10 % of it on sm_80; on sm_90 cuBLASLt ahead by wgmma, 1 / 0.63 | move the borders of library_is_faster in kernels/cuda/product_config.h |
| a t-SNE iteration at 60,000, 250,000 and 1,000,000 points, and its kernels | `lexiscope-bench --benchmark_filter=tsne_iteration_cuda`, and under `ncu` | the modelled times above | the attraction's reads hit the second-level cache less often than assumed, or launches in a graph take longer |
| exact repulsion | `lexiscope-bench --benchmark_filter=tsne_exact_cuda` | the modelled pairs a clock and multiprocessor | MUFU or issue slots: the table of every kernel |
| neighbours, and candidates a row | `lexiscope-bench --benchmark_filter=neighbors_cuda`, and under `ncu` | the modelled times above | more candidates a row than 2 k, or more rows that overflow |
"""


@dataclass(frozen=True)
class Variant:
    """One of kernels/cuda/attention_config.h."""

    head_dim: int
    row_tiles: int
    keys: int
    stages: int
    query_in_registers: bool
    padding: bool
    statistics: bool
    lowest: int  # ten times the compute capabilities that take it, and the first above them that does not
    below: int

    def fits(self, arch):
        """As the choice asks: the capability, and two blocks a multiprocessor."""
        limits = sass_model.LIMITS[arch]
        shared = (64 * self.row_tiles + 2 * self.stages * self.keys) * self.head_dim * 2
        return (self.lowest <= int(arch[3:]) < self.below
                and 2 * (shared + limits.shared_reserved) <= limits.shared_bytes)

    def does(self, other):
        """Whether whoever may take `other` may take this one: the same but for statistics, which it may have besides."""
        same = lambda variant: (variant.head_dim, variant.row_tiles, variant.padding)
        return same(self) == same(other) and self.statistics >= other.statistics


def variant_of(numbers, words, lowest, below):
    truth = [word == "true" for word in words]
    return Variant(*map(int, numbers), *truth, int(lowest), int(below))


def variants():
    """In the order in which the choice tries them."""
    text = (ROOT / "kernels" / "cuda" / "attention_config.h").read_text()
    rows = re.findall(r"\{\{(\d+), (\d+), (\d+), (\d+), (\w+)\}, (\w+), (\w+)(?:, (\d+))?(?:, (\d+))?\}", text)
    return [variant_of(row[:4], row[4:7], row[7] or 0, row[8] or 1000) for row in rows]


def attention_of(kernel):
    """(Variant, element) of an attention kernel, or None."""
    match = ATTENTION.match(kernel.name)
    if not match:
        return None
    groups = match.groups()
    return variant_of(groups[:4], groups[4:7], *groups[7:9]), ELEMENTS[groups[9]]


def first_of(arch, wanted):
    """The variant that a device of this architecture takes for what `wanted` does."""
    return next((variant for variant in variants() if variant.fits(arch) and variant.does(wanted)), None)


def is_taken(kernel):
    """Whether a device of this architecture may take the kernel. Of attention's variants the choice takes the first that
    fits; those for other devices are compiled all the same."""
    if (attention := attention_of(kernel)) is None:
        return True
    wanted = [replace(attention[0], statistics=statistics) for statistics in {False, attention[0].statistics}]
    return any(first_of(kernel.arch, some) == attention[0] for some in wanted)


def label_of(kernel):
    """A kernel's name for people."""
    if (attention := attention_of(kernel)) is None:
        name = re.sub(r"\b(\d+)u\b", r"\1", kernel.name)
        for number, holder in enumerate(("warp", "wide warp", "block", "wide block", "nobody")):
          name = name.replace(f"(RowHolder){number}", f"row held by {holder}")
        return name.replace("_kernel", "").replace("> >", ">>")
    variant, element = attention
    words = [f"attention {element}, d to {variant.head_dim}: {64 * variant.row_tiles} x {variant.keys}",
               "1 stage" if variant.stages == 1 else f"{variant.stages} stages"]
    words += ["Q in registers"] * variant.query_in_registers + ["padding"] * variant.padding
    words += ["statistics"] * variant.statistics
    words += [f"from {variant.lowest / 10}"] * (variant.lowest > 0) + [f"below {variant.below / 10}"] * (variant.below < 1000)
    return ", ".join(words)


def taken_for(kernels, arch, head_dim, statistics):
    """The bf16 kernel that many unmasked queries of this head size take."""
    wanted = Variant(head_dim, 2, 0, 0, False, False, statistics, 0, 1000)
    taken = (first_of(arch, wanted), "bf16")
    return next(kernel for kernel in kernels if kernel.arch == arch and attention_of(kernel) == taken)


def rates_table():
    pipes = ["tensor", "mufu", "fma", "alu", "imad", "double"]
    names = ["HMMA.16816", "MUFU", "FMA", "ALU", "IMAD", "f64"]
    rows = [[arch, *(rates[pipe] for pipe in pipes)] for arch, rates in sass_model.RATES.items()]
    return "Cycles that one instruction of a warp occupies its pipe in a quarter of a multiprocessor:\n\n" + \
        table(["", *names], rows)


def attention_table(kernels, shares, architectures):
    rows = []
    for head_dim in (64, 128):
        for statistics in (False, True):
            what = f"d = {head_dim}" + ", with log-sum-exp, entropy and maximum" * statistics
            cells = [share_text(shares[id(taken_for(kernels, arch, head_dim, statistics))]) for arch in architectures]
            rows.append([what, *cells])
    for statistics, what in enumerate(("aim", "aim, with statistics")):
        rows.append([what, *(share_text(TARGETS[arch][statistics]) if TARGETS[arch] else "" for arch in architectures)])
    for head_dim in (64, 128):
        model, measured = {}, {}
        for (arch, size), (modelled, published) in FLASH_ATTENTION_2.items():
            if size == head_dim:
                model[arch] = f"{share_text(modelled)} ({share_text(published)})"
        rows.append([f"FlashAttention-2, d = {head_dim} (as published)", *(model.get(arch, "") for arch in architectures)])
    return table(["modelled share of the mma.sync peak, bf16, unmasked", *architectures], rows)


def by_name(kernels):
    """{name: {arch: kernel}}, in the order of the names' labels; f16 twins of bf16 kernels left out."""
    found = {}
    for kernel in sorted(kernels, key=lambda kernel: (kernel.source, label_of(kernel))):
        if not (attention_of(kernel) and attention_of(kernel)[1] == "f16"):
            found.setdefault(kernel.name, {})[kernel.arch] = kernel
    return found


def shares_table(kernels, shares, architectures):
    rows = []
    for of_arch in by_name(kernels).values():
        cells = []
        for arch in architectures:
            share = shares.get(id(of_arch[arch]))
            cells.append("" if share is None else share_text(share) if is_taken(of_arch[arch]) else "(not taken)")
        if any(cells):
            some = of_arch[architectures[0]]
            rows.append([label_of(some), some.peak, *cells])
    return table(["kernel", "peak", *architectures], rows)


def resources_table(kernels, architectures):
    rows = []
    for of_arch in by_name(kernels).values():
        some = of_arch[architectures[0]]
        cells = [f"{kernel.registers}, {kernel.blocks}, {kernel.occupancy:.0%}".replace("%", " %")
                 for kernel in (of_arch[arch] for arch in architectures)]
        rows.append([label_of(some), some.threads, some.shared_bytes, *cells])
    return table(["kernel", "threads", "shared", *architectures], rows)


def mix_table(kernels, arch):
    rows = []
    for of_arch in by_name(kernels).values():
        kernel = of_arch[arch]
        counts = [kernel.count(*kinds) for kinds in MIX.values()]
        rows.append([label_of(kernel), "loop" if kernel.loop else "whole", len(kernel.path), *counts,
                     len(kernel.path) - sum(counts)])
    return table(["kernel", "", "instructions", *MIX, "other"], rows)


def spills_table(kernels, architectures):
    rows = []
    for kernel in sorted(kernels, key=lambda kernel: (architectures.index(kernel.arch), label_of(kernel))):
        if kernel.spill_stores or kernel.spill_loads:
            where = f"{kernel.spills_in_loops} instructions in loops" if kernel.spills_in_loops else "outside loops"
            rows.append([kernel.arch, label_of(kernel), kernel.spill_stores, kernel.spill_loads, where,
                         "yes" if is_taken(kernel) else "no"])
    return table(["", "kernel", "bytes stored", "bytes loaded", "where", "taken there"], rows) if rows else "None.\n"


# What a row kernel has to move: arrays read and written once, and the elements of a row that a thread holds, by its holder
# and the width of loads (kernels/cuda/row_config.h).
ROW_KERNELS = {"layer_norm": (("x", "residual", "gain", "bias"), ("y",)), "rms_norm": (("x", "gain"), ("y",))}
HELD = {0: {1: 16, 4: 16}, 1: {1: 32, 4: 32}, 2: {1: 16, 4: 16}, 3: {1: 32, 4: 64}}


def traffic_table(kernels, arch):
    rows = []
    for kernel in sorted(kernels, key=label_of):
        match = re.match(r"(\w+)_kernel<(\d)u, \(RowHolder\)([0-3])>", kernel.name)
        if kernel.arch != arch or not match or match[1] not in ROW_KERNELS:
            continue
        width = int(match[2])
        reads, writes = ROW_KERNELS[match[1]]
        per_array = HELD[int(match[3])][width] // width
        text = lambda widths: ", ".join(f"{count} x {8 * size} bit" for size, count in sorted(widths.items()))
        rows.append([label_of(kernel), f"{per_array * len(reads)} x {32 * width} bit ({', '.join(reads)})",
                     text(kernel.accesses("LDG")), f"{per_array * len(writes)} x {32 * width} bit ({', '.join(writes)})",
                     text(kernel.accesses("STG"))])
    return table(["kernel", "loads by the formula", "in the machine code", "stores by the formula", "in the machine code"],
                 rows)


def write_document(path, kernels, shares):
    architectures = list(dict.fromkeys(kernel.arch for kernel in kernels))
    latency = ", ".join(f"{kind} {cycles}" for kind, cycles in sass_model.LATENCY.items())
    parts = [
        OPENING, rates_table(), RATES_TAIL.format(latency=latency, copy=sass_model.COPY_LATENCY),
        "## Attention\n\n", attention_table(kernels, shares, architectures),
        "\nf16 runs the same loops as bf16. The causal mask does not change them: blocks of keys that need a mask are "
        "computed\nfirst, in a loop of their own. The position of the maximum belongs to a second pass.\n\n",
        *(f"{family.section(kernels, shares)}\n" for family in FAMILIES),
        WHERE_IT_MAY_DIFFER, "\n## Every kernel\n\nModelled share of the peak of its main loop, where that is arithmetic:\n\n",
        shares_table(kernels, shares, architectures),
        "\nRegisters, blocks a multiprocessor, and the share of its threads that they are:\n\n",
        resources_table(kernels, architectures), "\nInstructions of the main loop on sm_90 as it usually runs:\n\n",
        mix_table(kernels, "sm_90"), "\n## Spilled registers\n\n", spills_table(kernels, architectures),
        "\n## LayerNorm and RMSNorm\n\nLoads and stores of one thread that holds its share of a row, on sm_90. Where the "
        "machine code has more, gain\nis loaded and y stored in two branches, with a bias and without, of which one "
        "runs:\n\n", traffic_table(kernels, "sm_90")]
    path.write_text("".join(parts))
