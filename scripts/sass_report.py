#!/usr/bin/env python3
"""What the CUDA kernels' machine code says of their speed: compiles kernels/cuda for each architecture, takes the
machine code apart and models each main loop (scripts/sass_model.py).

    scripts/sass_report.py                   every kernel on every architecture: registers, spills, shared memory,
                                             occupancy, the main loop's mix, the modelled share of the machine's peak
    scripts/sass_report.py --arch sm_90      one of them; may be repeated
    scripts/sass_report.py --kernel attention   kernels whose name holds this
    scripts/sass_report.py --source neighbors   those of sources whose name holds this, which alone are compiled
    scripts/sass_report.py --write           writes docs/gpu_performance.md, all architectures
    scripts/sass_report.py --check           exit status 1 where a loop that computes spills a register, in a kernel that
                                             a device of that architecture may take; nothing is modelled
    scripts/sass_report.py --check --plugin build/cuda-ci/liblexiscope_cuda.so
                                             the same of the machine code in a built plug-in; nothing is compiled

Needs nvcc and ptxas (LEXISCOPE_NVCC, or on the PATH or in /usr/local/cuda/bin) and NVIDIA's disassemblers, which
scripts/python_venv.sh installs from scripts/requirements-sass.txt.
"""

import argparse
import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sass_model
from sass_families import FAMILIES, family_of
from sass_model import LIMITS
from sass_tables import is_taken, write_document

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = list(LIMITS)
BUILD = ROOT / "build" / "sass"
OTHERS = ("cub::", "thrust::")  # whose kernels are compiled with ours
FLAGS = ["-std=c++20", "--expt-relaxed-constexpr", f"-I{ROOT}", f"-I{ROOT / 'include'}"]


@dataclass
class Kernel:
    name: str
    source: str
    arch: str
    registers: int
    spill_stores: int  # bytes
    spill_loads: int
    threads: int  # the most a block may have
    shared_bytes: int
    instructions: list

    @cached_property
    def loop(self):
        return sass_model.main_loop(self.instructions)

    @cached_property
    def path(self):
        """The main loop as it usually runs, or what its family says; a kernel without a loop, from end to end."""
        if (family := family_of(self.name)) and family.path:
            return family.path(self)
        return sass_model.usual_path(self.instructions, self.loop) if self.loop else self.instructions

    @property
    def peak(self):
        return sass_model.peak_kind(self.instructions)

    @property
    def blocks(self):
        """That fit a multiprocessor, or 0."""
        limits, warps = LIMITS[self.arch], -(-self.threads // 32)
        registers_a_warp = -(-self.registers * 32 // 256) * 256
        return min(limits.blocks, limits.threads // (warps * 32), limits.registers // (registers_a_warp * warps),
                   limits.shared_bytes // (self.shared_bytes + limits.shared_reserved))

    @property
    def occupancy(self):
        return self.blocks * self.threads / LIMITS[self.arch].threads

    def count(self, *kinds):
        return sum(instruction.kind in kinds for instruction in self.path)

    def accesses(self, prefix):
        """{bytes a lane: how many} of the global loads ("LDG") or stores ("STG") of the whole kernel."""
        widths = {}
        for instruction in self.instructions:
            if instruction.opcode.startswith(prefix + "."):
                width = sass_model.bytes_a_lane(instruction.opcode)
                widths[width] = widths.get(width, 0) + 1
        return widths

    @property
    def spills_in_loops(self):
        """Local memory instructions in loops that compute: products where there are any, else arithmetic."""
        wanted = ("tensor",) if self.peak == "tensor" else ("fma", "double")
        inside = set()
        for first, last in sass_model.loops(self.instructions):
            if any(x.kind in wanted for x in self.instructions[first:last + 1]):
                inside.update(at for at in range(first, last + 1) if self.instructions[at].kind == "local")
        return len(inside) if self.spill_stores or self.spill_loads else 0

    @property
    def busiest(self):
        cycles = sass_model.occupied(self.path, self.arch)
        return max(cycles, key=cycles.get)

    @property
    def has_share(self):
        """Whether the main loop is arithmetic that is worth modelling: products, on tensor cores or ordinary ones, whose
        operands come from shared memory."""
        return self.loop is not None and (
            self.peak == "tensor" or (self.count("shared") > 0 and self.count("fma") > len(self.path) / 2))


def find_tool(name):
    toolkit = os.environ.get("LEXISCOPE_NVCC")
    path = str(Path(toolkit).parent) if toolkit else os.environ["PATH"] + ":/usr/local/cuda/bin"
    found = shutil.which(name, path=path)
    if not found:
        sys.exit(f"sass_report: no {name}: install CUDA's toolkit, or set LEXISCOPE_NVCC to its nvcc")
    return found


def find_packaged_tool(name):
    venv = subprocess.run([ROOT / "scripts" / "python_venv.sh", "sass", "scripts/requirements-sass.txt"], check=True,
                          capture_output=True, text=True).stdout.strip()
    found = list((ROOT / venv).glob(f"lib/python*/site-packages/nvidia/*/bin/{name}"))
    if not found:
        sys.exit(f"sass_report: the package nvidia-cuda-{name} holds no {name}")
    return str(found[0])


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        sys.exit(f"sass_report: {' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout + done.stderr


INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def included_by(source):
    """The source and all of the project's files that it includes, straight or through others."""
    found, pending = set(), [source]
    while pending:
        file = pending.pop()
        if file in found:
            continue
        found.add(file)
        for name in INCLUDE.findall(file.read_text()):
            pending.extend(path for path in (ROOT / name, ROOT / "include" / name) if path.exists())
    return sorted(found)


def stamp_of(source, compiler):
    """A digest of all that the machine code depends on: not comments."""
    digest = hashlib.sha256(" ".join([*map(str, FLAGS), compiler]).encode())
    for file in included_by(source):
        digest.update(re.sub(r"//.*", "", file.read_text()).encode())
    return digest.hexdigest()


def compile_source(source, arch, stamp):
    """PTX, machine code and ptxas's log in build/sass/ARCH; kept while no source changes."""
    base = BUILD / arch / source.stem
    base.parent.mkdir(parents=True, exist_ok=True)
    ptx, cubin, log, mark = (base.with_suffix(suffix) for suffix in (".ptx", ".cubin", ".log", ".stamp"))
    if not mark.exists() or mark.read_text() != stamp:
        run(find_tool("nvcc"), *FLAGS, f"-arch={arch.replace('sm', 'compute')}", "-ptx", source, "-o", ptx)
        log.write_text(run(find_tool("ptxas"), "-v", f"-arch={arch}", ptx, "-o", cubin))
        mark.write_text(stamp)
    return ptx, cubin, log


ENTRY = re.compile(r"^(?:\.visible |\.weak )?\.entry (\S+?)\((.*?)^}", re.MULTILINE | re.DOTALL)
COMPILED = re.compile(r"Compiling entry function '(\S+)' for.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?"
                      r"Used (\d+) registers", re.DOTALL)


def readable(names):
    """Demangled, without the project's namespaces, the parameters and the number that marks an unnamed namespace."""
    lines = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    plain = []
    for line in lines.splitlines():
        line = re.sub(r"_GLOBAL__N__\w+::|\(anonymous namespace\)::|lexiscope::(cuda::)?", "", line)
        line = re.sub(r"^void ", "", line)
        plain.append(line if "(" not in line else line[:find_parameters(line)])
    return plain


def find_parameters(name):
    """Where the parameter list of a demangled name begins: the last parenthesis outside angle brackets."""
    depth, begin = 0, len(name)
    for at, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0:
            begin = at
            break
    return begin


def kernels_of(source, arch, stamp, disassembler):
    ptx, cubin, log = compile_source(source, arch, stamp)
    text = ptx.read_text()
    if ".entry" not in text:
        return []
    threads, shared = {}, {}
    for name, body in ENTRY.findall(text):
        limit = re.search(r"\.(?:maxntid|reqntid) (\d+)", body)
        threads[name] = int(limit[1]) if limit else 1024
        shared[name] = max(map(int, re.findall(r"// shared memory: (\d+) bytes", body)), default=0)
    functions = sass_model.parse(run(disassembler, "-c", "-hex", cubin))
    compiled = COMPILED.findall(log.read_text())
    names = readable([name for name, *_ in compiled])
    return [Kernel(plain, source.name, arch, int(registers), int(stores), int(loads), threads[name], shared[name],
                   functions[name])
            for plain, (name, stores, loads, registers) in zip(names, compiled) if not plain.startswith(OTHERS)]


USAGE = re.compile(r"Function (\S+?):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)")


def kernels_of_plugin(plugin, disassembler):
    """All kernels in the plug-in. It does not say what was spilled: the stack counts as such, but where a kernel holds an
    array there, which it addresses by another register than the stack's, R1."""
    kernels, dump = [], find_packaged_tool("cuobjdump")
    with tempfile.TemporaryDirectory() as folder:
        run(dump, "-xelf", "all", plugin.resolve(), cwd=folder)
        for cubin in sorted(Path(folder).glob("*.cubin")):
            arch = re.search(r"sm_\d+", cubin.name)[0]
            functions = sass_model.parse(run(disassembler, "-c", "-hex", cubin))
            usage = USAGE.findall(run(dump, "-res-usage", cubin))
            names = readable([name for name, *_ in usage])
            arrays = {name for name, instructions in functions.items()
                      if any(x.kind == "local" and not re.search(r"\[R1\b", x.text) for x in instructions)}
            kernels += [Kernel(plain, plugin.name, arch, int(registers), *2 * [0 if name in arrays else int(stack)], 1024,
                               int(shared), functions[name])
                        for plain, (name, registers, stack, shared) in zip(names, usage)
                        if not plain.startswith(OTHERS)]
    return kernels


def loop_signature(kernel):
    """What the model sees of a loop: kernels that differ by the type of their elements alone share it."""
    return (kernel.arch, kernel.blocks, kernel.threads,
            tuple((re.sub(r"\.?BF16|\.F16", "", x.text), x.stall, x.sets_write, x.sets_read, x.waits)
                  for x in kernel.path))


def model(job):
    path, arch, blocks, warps, peak = job
    return sass_model.share_of_peak(path, arch, blocks, warps, peak)


def model_shares(kernels):
    """{id(kernel): modelled share of peak} of those that have one."""
    jobs, of_signature = {}, {}
    for kernel in kernels:
        if kernel.has_share and kernel.blocks > 0:
            of_signature.setdefault(loop_signature(kernel), []).append(kernel)
    for signature, same in of_signature.items():
        first = same[0]
        jobs[signature] = (first.path, first.arch, first.blocks, -(-first.threads // 32), first.peak)
    with concurrent.futures.ProcessPoolExecutor() as pool:
        shares = dict(zip(jobs, pool.map(model, jobs.values())))
    return {id(kernel): shares[signature] for signature, same in of_signature.items() for kernel in same}


def print_kernel(kernel, shares):
    spills = f"{kernel.spill_stores + kernel.spill_loads} bytes spilled" if kernel.spill_stores else "no spill"
    if kernel.spills_in_loops:
        spills += f" ({kernel.spills_in_loops} instructions IN A LOOP)"
    print(f"{kernel.arch} {kernel.name}\n    {kernel.registers} registers, {spills}, {kernel.shared_bytes} bytes shared, "
          f"{kernel.blocks} blocks of {kernel.threads} threads ({kernel.occupancy:.0%} of the threads)")
    mix = {"tensor": ("tensor",), "fma": ("fma", "imad", "double"), "mufu": ("mufu",),
           "shared": ("ldmatrix", "shared", "shuffle"), "global": ("global", "copy")}
    counts = {label: kernel.count(*kinds) for label, kinds in mix.items()}
    counts["other"] = len(kernel.path) - sum(counts.values())
    where = "main loop" if kernel.loop else "no loop; in all"
    print(f"    {where}: {len(kernel.path)} instructions: " + ", ".join(f"{n} {label}" for label, n in counts.items()))
    if id(kernel) in shares:
        print(f"    modelled: {shares[id(kernel)]:.1%} of the {kernel.peak} peak; busiest pipe: {kernel.busiest}")


def print_families(kernels, shares):
    for family in FAMILIES:
        if members := [kernel for kernel in kernels if family.holds(kernel.name)]:
            print(f"\n{family.section(members, shares)}")


def compile_all(options, disassembler):
    compiler = run(find_tool("nvcc"), "--version")
    sources = sorted(source for source in (ROOT / "kernels" / "cuda").glob("*.cu") if options.source in source.name)
    stamps = {source: stamp_of(source, compiler) for source in sources}
    jobs = [(source, arch) for arch in options.arch or ARCHITECTURES for source in sources]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda job: kernels_of(*job, stamps[job[0]], disassembler), jobs)
        return [kernel for some in found for kernel in some]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES, help="all by default; may be repeated")
    parser.add_argument("--kernel", default="", help="only kernels whose name holds this")
    parser.add_argument("--source", default="", help="only sources whose name holds this are compiled")
    parser.add_argument("--write", action="store_true", help="write docs/gpu_performance.md")
    parser.add_argument("--check", action="store_true", help="exit status 1 where a loop that computes spills")
    parser.add_argument("--plugin", type=Path, help="check this plug-in's machine code")
    options = parser.parse_args()
    if options.plugin and not options.check:
        parser.error("--plugin goes with --check")
    if options.write and (options.arch or options.kernel or options.source):
        parser.error("--write takes every kernel on every architecture")

    disassembler = find_packaged_tool("nvdisasm")
    kernels = kernels_of_plugin(options.plugin, disassembler) if options.plugin else compile_all(options, disassembler)
    kernels = [kernel for kernel in kernels if options.kernel in kernel.name]
    if not kernels:
        sys.exit("sass_report: no kernel found")

    if options.check:
        wrong = [kernel for kernel in kernels if kernel.spills_in_loops and is_taken(kernel)]
        for kernel in wrong:
            print(f"{kernel.arch} {kernel.name}: {kernel.spills_in_loops} spill instructions in a loop")
        print(f"{len(kernels)} kernels, {len(wrong)} that spill in a loop")
        sys.exit(1 if wrong else 0)
    shares = model_shares(kernels)
    if options.write:
        write_document(ROOT / "docs" / "gpu_performance.md", kernels, shares)
    else:
        for kernel in kernels:
            print_kernel(kernel, shares)
        print_families(kernels, shares)


if __name__ == "__main__":
    main()
