"""Models how fast a compiled kernel's main loop can run: what nvdisasm prints, taken apart and issued instruction by
instruction on one modelled multiprocessor.

The rates and latencies come from `RATES` and `LATENCY` below, with their sources; the schedule is ptxas's own, from the
control bits of each instruction: stall counts, and the six scoreboards that it sets and waits for.
"""

import re
from dataclasses import dataclass, field

# Cycles that one instruction of a warp occupies its pipe in a quarter of a multiprocessor.
#   tensor  HMMA.16816 with f32 sums, 4096 flop. From the published dense peaks: A100 312e12 / (108 SM x 1.41 GHz x 4
#           quarters) = 512 flop a cycle, 8 cycles. A10 (sm_86) 125e12 / (72 x 1.695e9 x 4) = 256, 16 cycles; sm_89 as that;
#           RTX PRO 6000 (sm_120) 503.8e12 / (188 x 2.617e9 x 4) = 256, 16 cycles (GeForce boards: half of it).
#           H100: wgmma's 989e12 / (132 x 1.83e9 x 4) = 1024, of which mma.sync was measured to reach 63 % (Luo et al.,
#           arXiv 2402.13499, on an H800): 6.35 cycles. sm_100: not known; assumed as sm_90.
#   mufu    16 results a cycle and multiprocessor (CUDA C++ Programming Guide, arithmetic instructions).
#   fma     64 results on 8.0, 128 on 8.6 and later (the same table); packed FFMA2 counts twice.
#   alu     64 results: compare, minimum, logic, integer addition (the same table). Conversions to 16 bits: assumed.
#   imad    64 results, on the FMA pipe.
#   double  f64: 32 results on 8.0 and 64 on 9.0 and 10.0 (the same table); 2 elsewhere.
#   shared  128 bytes a cycle and multiprocessor, for all four quarters: ldmatrix.x4 512 bytes, a shuffle 128.
RATES = {
    "sm_80": {"tensor": 8, "mufu": 8, "fma": 2, "alu": 2, "imad": 2, "double": 4},
    "sm_86": {"tensor": 16, "mufu": 8, "fma": 1, "alu": 2, "imad": 2, "double": 64},
    "sm_89": {"tensor": 16, "mufu": 8, "fma": 1, "alu": 2, "imad": 2, "double": 64},
    "sm_90": {"tensor": 6.35, "mufu": 8, "fma": 1, "alu": 2, "imad": 2, "double": 2},
    "sm_100": {"tensor": 6.35, "mufu": 8, "fma": 1, "alu": 2, "imad": 2, "double": 2},
    "sm_120": {"tensor": 16, "mufu": 8, "fma": 1, "alu": 2, "imad": 2, "double": 64},
}
@dataclass(frozen=True)
class Limits:
    """Of one multiprocessor (CUDA C++ Programming Guide, technical specifications of compute capabilities)."""

    threads: int
    blocks: int
    shared_bytes: int
    registers: int = 65536
    shared_reserved: int = 1024  # of each block


LIMITS = {
    "sm_80": Limits(threads=2048, blocks=32, shared_bytes=164 * 1024),
    "sm_86": Limits(threads=1536, blocks=16, shared_bytes=100 * 1024),
    "sm_89": Limits(threads=1536, blocks=24, shared_bytes=100 * 1024),
    "sm_90": Limits(threads=2048, blocks=32, shared_bytes=228 * 1024),
    "sm_100": Limits(threads=2048, blocks=32, shared_bytes=228 * 1024),
    "sm_120": Limits(threads=1536, blocks=24, shared_bytes=100 * 1024),
}

SHARED_BYTES_A_CYCLE = 128
SHARED_QUEUE = 128  # cycles of work that may wait before the shared memory pipe
# Cycles from issue to result where a scoreboard tells: assumed, near what microbenchmarks of A100 and H100 report.
LATENCY = {"tensor": 33, "mufu": 22, "ldmatrix": 33, "shuffle": 25, "shared": 30, "global": 500, "local": 30,
           "barrier": 20, "other": 24}
COPY_LATENCY = 500  # global to shared memory, cp.async
SCHEDULERS = 4


@dataclass
class Instruction:
    opcode: str
    text: str
    predicated: bool = False
    never: bool = False  # predicated off: padding that ptxas puts in
    registers: list = field(default_factory=list)
    stall: int = 1
    sets_write: int = 7  # scoreboards; 7 is none
    sets_read: int = 7
    waits: int = 0  # a mask of scoreboards
    target: int | None = None  # of a branch: an index

    @property
    def kind(self):
        return kind_of(self)


KINDS = [("HMMA", "tensor"), ("MUFU", "mufu"), ("LDSM", "ldmatrix"), ("LDGSTS", "copy"), ("SHFL", "shuffle"),
         ("LDS", "shared"), ("STS", "shared"), ("LDL", "local"), ("STL", "local"), ("LDGDEPBAR", "commit"),
         ("LDG", "global"), ("STG", "global"), ("LD.", "global"), ("ST.", "global"), ("RED", "global"),
         ("ATOM", "global"), ("BAR", "barrier"), ("DEPBAR", "await"), ("IMAD", "imad"), ("FFMA", "fma"), ("FADD", "fma"),
         ("FMUL", "fma"), ("DFMA", "double"), ("DADD", "double"), ("DMUL", "double"), ("DSETP", "double")]
CONTROL = ("U", "BRA", "BSSY", "BSYNC", "NOP", "WARPSYNC", "R2UR", "CALL", "RET", "EXIT", "CS2R")


def kind_of(instruction):
    if instruction.never:
        return "control"
    for prefix, kind in KINDS:
        if instruction.opcode.startswith(prefix):
            return kind
    return "control" if instruction.opcode.startswith(CONTROL) else "alu"


def bytes_a_lane(opcode):
    """Width of a load, store or matrix load in bytes."""
    parts = opcode.split(".")
    if parts[0] == "LDSM":
        return 16 if "4" in parts else 8 if "2" in parts else 4
    for width, count in (("128", 16), ("64", 8), ("U16", 2), ("S16", 2), ("U8", 1), ("S8", 1)):
        if width in parts:
            return count
    return 4


def pipe_of(instruction, rates):
    """The pipe that an instruction occupies and for how many cycles of one quarter; (None, 0) for none."""
    kind = instruction.kind
    if kind == "fma":
        return "fma", rates["fma"] * (2 if re.match(r"(FFMA|FADD|FMUL)2", instruction.opcode) else 1)
    if kind == "imad":
        return "fma", rates["imad"]
    if kind in rates:
        return kind, rates[kind]
    if kind in ("ldmatrix", "copy", "shared", "local", "shuffle"):
        width = 16 if kind == "copy" else 4 if kind == "shuffle" else bytes_a_lane(instruction.opcode)
        return "shared", 32 * width * SCHEDULERS / SHARED_BYTES_A_CYCLE
    return None, 0


FUNCTION = re.compile(r"^\.text\.(\S+?):", re.MULTILINE)
LABEL = re.compile(r"(\.L_x_\d+):")
FIRST_WORD = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;\s+/\* 0x[0-9a-f]{16} \*/")
SECOND_WORD = re.compile(r"\s+/\* 0x([0-9a-f]{16}) \*/")
PREDICATE = re.compile(r"@!?U?P\w+\s+")


def parse(text):
    """What `nvdisasm -c -hex` prints, as {mangled name: [Instruction]}."""
    starts = list(FUNCTION.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {start[1]: parse_function(text[start.end():end]) for start, end in zip(starts, ends)}


def parse_function(text):
    instructions, labels, pending_labels, pending = [], {}, [], None
    for line in text.splitlines():
        if match := LABEL.match(line):
            pending_labels.append(match[1])
        elif match := FIRST_WORD.match(line):
            pending = match[1]
        elif pending and (match := SECOND_WORD.match(line)):
            labels.update(dict.fromkeys(pending_labels, len(instructions)))
            instructions.append(decode(pending, int(match[1], 16)))
            pending_labels, pending = [], None
    for instruction in instructions:
        if instruction.opcode.startswith("BRA") and (match := re.search(r"\.L_x_\d+", instruction.text)):
            instruction.target = labels.get(match[0])
    return instructions


def decode(text, control):
    """One instruction from its text and the upper word of its encoding, which holds the control bits."""
    predicate = PREDICATE.match(text)
    body = text[predicate.end():] if predicate else text
    return Instruction(opcode=body.split()[0], text=text, predicated=bool(predicate), never="@!PT" in text,
                       registers=[int(number) for number in re.findall(r"\bR(\d+)\b", body)],
                       stall=max(1, control >> 41 & 15), sets_write=control >> 46 & 7, sets_read=control >> 49 & 7,
                       waits=control >> 52 & 63)


def peak_kind(instructions):
    """What a kernel's speed is a share of: tensor cores where it has products on them, else f32 arithmetic."""
    return "tensor" if any(instruction.kind == "tensor" for instruction in instructions) else "fma"


def loops(instructions):
    """(first, last) of each backward branch, the inner ones among them. A branch that crosses another's loop from behind
    it is no loop of its own: it returns from code that ptxas has put out of the way."""
    found = [(instruction.target, at) for at, instruction in enumerate(instructions)
             if instruction.target is not None and instruction.target <= at]
    return [(first, last) for first, last in found if not any(a < first <= b < last for a, b in found)]


def useful_kinds(instructions):
    """What a kernel is there to do: products on tensor cores where it has any, else arithmetic and what memory moves."""
    return ("tensor",) if peak_kind(instructions) == "tensor" else ("fma", "double", "global")


def main_loop(instructions):
    """(first, last) of the innermost loop with the most useful instructions, or None."""
    useful = useful_kinds(instructions)
    work = lambda first, last: sum(x.kind in useful for x in instructions[first:last + 1])
    found = [(first, last) for first, last in loops(instructions) if work(first, last)]
    innermost = [(first, last) for first, last in found
                 if not any((a, b) != (first, last) and first <= a and b <= last for a, b in found)]
    return max(innermost, key=lambda loop: (work(*loop), loop[0] - loop[1]), default=None)


def usual_path(instructions, loop, inner=None, repeats=0):
    """The loop's instructions in the order they run when nothing rare happens: a branch forward is taken where it jumps
    over no copy and less than an eighth of the useful instructions, on tensor cores over none. A loop `inner` inside it
    stands there `repeats` times."""
    first, last = loop
    useful = useful_kinds(instructions)
    count = lambda some: sum(x.kind in useful for x in some)
    little = 0 if "tensor" in useful else count(instructions[first:last + 1]) / 8
    path, at = [], first
    while at <= last:
        if inner and at == inner[0]:
            path += usual_path(instructions, inner) * repeats
            at = inner[1] + 1
            continue
        instruction = instructions[at]
        path.append(instruction)
        target = instruction.target
        if target is not None and at < target <= last + 1 and at != last:
            skipped = instructions[at + 1:target]
            heavy = count(skipped) > little or any(x.kind == "copy" for x in skipped)
            if not instruction.predicated or not heavy:
                at = target
                continue
        at += 1
    return path


def path_around(instructions, products):
    """The path of the smallest loop that holds the main loop and runs `products` products a turn, the main loop in it as
    often as that takes."""
    inner = main_loop(instructions)
    count = lambda path: sum(x.kind == "tensor" for x in path)
    one = count(usual_path(instructions, inner))
    if one >= products:
        return usual_path(instructions, inner)
    around = [loop for loop in loops(instructions) if loop[0] <= inner[0] and loop[1] > inner[1]]
    outer = min(around, key=lambda loop: loop[1] - loop[0])
    repeats = round((products - count(usual_path(instructions, outer, inner))) / one)
    return usual_path(instructions, outer, inner, repeats)


def occupied(path, arch):
    """Cycles that one iteration occupies each pipe of a quarter; `issue` counts instructions."""
    cycles = {"issue": len(path)}
    for instruction in path:
        pipe, cost = pipe_of(instruction, RATES[arch])
        if pipe:
            cycles[pipe] = cycles.get(pipe, 0) + cost
    return cycles


@dataclass
class Warp:
    scheduler: int
    block: int
    ready: float
    at: int = 0
    iterations: int = 0
    waiting: bool = False
    scoreboards: list = field(default_factory=lambda: [0.0] * 6)
    results: dict = field(default_factory=dict)  # register -> cycle, of products
    copies: list = field(default_factory=list)  # cycles at which groups arrive
    last_copy: float = 0.0
    ends: list = field(default_factory=list)


class Multiprocessor:
    """Four schedulers, each issuing one instruction a cycle of its warps, in order within a warp."""

    def __init__(self, path, arch, blocks, warps_a_block):
        self.path, self.warps_a_block = path, warps_a_block
        self.kinds = [instruction.kind for instruction in path]
        self.pipes = [pipe_of(instruction, RATES[arch]) for instruction in path]
        self.free = [{} for _ in range(SCHEDULERS)]
        self.shared_free, self.issued, self.at_barrier = 0.0, [-1.0] * SCHEDULERS, {}
        # Blocks begin staggered, as they do on a machine.
        self.warps = [Warp(k % SCHEDULERS, k // warps_a_block, (k // warps_a_block) * 0.37 * len(path) + k)
                      for k in range(blocks * warps_a_block)]

    def earliest(self, warp):
        instruction, cycle = self.path[warp.at], warp.ready
        if instruction.waits:
            for scoreboard in range(6):
                if instruction.waits >> scoreboard & 1:
                    cycle = max(cycle, warp.scoreboards[scoreboard])
        if warp.results:
            for register in instruction.registers:
                cycle = max(cycle, warp.results.get(register, 0))
        if self.kinds[warp.at] == "await":
            keep = int(re.search(r"0x([0-9a-f]+)", instruction.text)[1], 16)
            if len(warp.copies) > keep:
                cycle = max(cycle, warp.copies[len(warp.copies) - keep - 1])
        pipe = self.pipes[warp.at][0]
        if pipe == "shared":
            cycle = max(cycle, self.shared_free - SHARED_QUEUE)
        elif pipe:
            cycle = max(cycle, self.free[warp.scheduler].get(pipe, 0))
        return max(cycle, self.issued[warp.scheduler] + 1)

    def issue(self, warp, cycle):
        instruction, kind, (pipe, cost) = self.path[warp.at], self.kinds[warp.at], self.pipes[warp.at]
        self.issued[warp.scheduler] = start = cycle
        if pipe == "shared":
            start = max(cycle, self.shared_free)
            self.shared_free = start + cost / SCHEDULERS
        elif pipe:
            self.free[warp.scheduler][pipe] = cycle + cost
        done = start + LATENCY.get(kind, LATENCY["other"])
        if instruction.sets_write < 6:
            warp.scoreboards[instruction.sets_write] = max(warp.scoreboards[instruction.sets_write], done)
        if instruction.sets_read < 6:
            warp.scoreboards[instruction.sets_read] = max(warp.scoreboards[instruction.sets_read], start + 12)
        if kind == "tensor":
            first = instruction.registers[0]
            warp.results.update({register: cycle + LATENCY["tensor"] for register in range(first, first + 4)})
        elif kind == "copy":
            warp.last_copy = max(warp.last_copy, start + COPY_LATENCY)
        elif kind == "commit":
            warp.copies = warp.copies[-7:] + [warp.last_copy]
        warp.ready = cycle + instruction.stall
        warp.at += 1
        if warp.at == len(self.path):
            warp.at, warp.iterations = 0, warp.iterations + 1
            warp.ends.append(cycle)
        if kind == "barrier":
            self.arrive(warp, cycle)

    def arrive(self, warp, cycle):
        waiting = self.at_barrier.setdefault(warp.block, [])
        waiting.append(warp)
        warp.waiting = True
        if len(waiting) == self.warps_a_block:
            for other in self.at_barrier.pop(warp.block):
                other.waiting, other.ready = False, max(other.ready, cycle + LATENCY["barrier"])

    def run(self, iterations):
        while any(warp.iterations < iterations for warp in self.warps):
            running = [warp for warp in self.warps if not warp.waiting]
            cycle, _, index = min((self.earliest(warp), warp.ready, k) for k, warp in enumerate(running))
            self.issue(running[index], cycle)


def cycles_an_iteration(path, arch, blocks, warps_a_block, iterations=8):
    """Cycles of one scheduler for one iteration of one warp, with `blocks` on the multiprocessor; the first two
    iterations are left out."""
    machine = Multiprocessor(path, arch, blocks, warps_a_block)
    machine.run(iterations)
    rate = sum((iterations - 2) / (warp.ends[iterations - 1] - warp.ends[1]) for warp in machine.warps)
    return SCHEDULERS / rate


def share_of_peak(path, arch, blocks, warps_a_block, peak):
    """The modelled share of the peak of `peak`'s pipe."""
    return occupied(path, arch).get(peak, 0) / cycles_an_iteration(path, arch, blocks, warps_a_block)
