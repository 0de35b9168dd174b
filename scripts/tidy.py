#!/usr/bin/env python3
"""Runs clang-tidy 14 with the checks of .clang-tidy over the library, the program and the reference kernels, on all
cores. SIMD kernels are looked at for one target (AVX2): the others are the same source.

    scripts/tidy.py [FILE...]    the files named only

A file that was clean is not looked at again while all that the compiler reads for it, comments too, and the checks are
the same: its digest lies in ~/.cache/lexiscope-tidy (or XDG_CACHE_HOME).
"""

import concurrent.futures
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "cpu-release"
EXTRA = ["-DHWY_COMPILE_ONLY_STATIC", "-march=haswell", "-Wno-unknown-warning-option"]
CLEAN = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lexiscope-tidy"


def find(name):
    found = shutil.which(f"{name}-14") or shutil.which(name)
    if not found:
        sys.exit(f"tidy: no {name}: scripts/install.sh --dev installs it")
    return found


def compile_commands():
    """{file: the words of its compile command behind the compiler's name}; what is not built here has none."""
    if not (BUILD / "compile_commands.json").exists():
        subprocess.run(["cmake", "--preset", "cpu-release"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    commands = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        words = shlex.split(entry["command"])
        begin = next(at for at, word in enumerate(words) if word.endswith("++"))
        commands[Path(entry["file"])] = words[begin + 1:]
    return commands


def digest_of(file, words, checks):
    """Of what the compiler reads; None where it cannot: clang-tidy says why."""
    words = [word for at, word in enumerate(words) if word not in ("-c", "-o") and words[at - 1] != "-o"]
    read = subprocess.run([find("clang++"), *words, *EXTRA, "-E", "-P", "-C"], cwd=BUILD, capture_output=True)
    return hashlib.sha256(checks + read.stdout).hexdigest() if read.returncode == 0 else None


def check(file, words, checks):
    """What clang-tidy finds in the file; empty for a clean one."""
    digest = digest_of(file, words, checks)
    if digest and (CLEAN / digest).exists():
        return ""
    done = subprocess.run([find("clang-tidy"), "-p", BUILD, "--quiet", *(f"--extra-arg={word}" for word in EXTRA), file],
                          cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0 and digest:
        (CLEAN / digest).touch()
    return done.stdout + done.stderr if done.returncode else ""


def main():
    commands = compile_commands()
    if sys.argv[1:]:
        files = [Path(name).resolve() for name in sys.argv[1:]]
        for file in files:
            if file not in commands:
                sys.exit(f"tidy: {file} is not built in {BUILD}")
    else:
        files = sorted(file for folder in ("host", "kernels", "bench") for file in (ROOT / folder).rglob("*.cpp")
                       if file in commands)
    version = subprocess.run([find("clang-tidy"), "--version"], capture_output=True, check=True).stdout
    checks = version + (ROOT / ".clang-tidy").read_bytes()
    CLEAN.mkdir(parents=True, exist_ok=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda file: check(file, commands[file], checks), files):
            if found:
                failed += 1
                print(found, flush=True)
    print(f"tidy: {len(files) - failed} of {len(files)} files clean")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
