#!/usr/bin/env python3
"""Checks who includes whom: include, simt <- kernels <- host <- bench <- tests, as docs/architecture.md draws it.

    scripts/check_layers.py [ROOT]    the checkout itself by default; exit status 1 names each arrow that points wrongly
"""

import re
import sys
from pathlib import Path

# For files under a folder (the longest that fits counts): the folders that their quoted includes may name.
MAY_INCLUDE = {
    "include": ["lexiscope"],
    "kernels/reference": ["lexiscope", "kernels/reference"],
    "kernels/cpu": ["lexiscope", "kernels/cpu", "hwy"],  # Highway's -inl headers come after the <> block
    "kernels/cuda": ["lexiscope", "kernels/cuda", "simt/cuda.h"],
    "simt": ["simt"],
    "host": ["lexiscope", "host"],
    "host/engines": ["lexiscope", "host/core", "host/engines", "kernels/reference", "kernels/cpu"],
    "host/engines/cuda": ["lexiscope", "host/core", "host/engines", "kernels/cuda"],
    "bench": ["lexiscope", "host", "kernels", "bench"],
    "tests": ["lexiscope", "host", "kernels", "bench", "simt", "tests"],
}
# Folders that the standard library alone may serve: the public interface, and the formulas everything is checked with.
STANDARD_LIBRARY_ONLY = ["include", "kernels/reference"]
# Part of the installed package's test: a program outside this project.
OUTSIDE = ["tests/install"]
SOURCES = (".h", ".cpp", ".cuh", ".cu")

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"(?P<quoted>[^"]+)"|<(?P<angled>[^>]+)>)', re.MULTILINE)


def within(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def rule_for(path):
    return max((folder for folder in MAY_INCLUDE if within(path, [folder])), key=len, default=None)


def violations_in(path, text):
    rule = rule_for(path)
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start("quoted" if match["quoted"] else "angled")) + 1
        quoted, angled = match["quoted"], match["angled"]
        if quoted and not within(quoted, MAY_INCLUDE[rule]):
            yield f'{path}:{line}: includes "{quoted}"; {rule}/ may include {", ".join(MAY_INCLUDE[rule])}'
        elif angled and within(path, STANDARD_LIBRARY_ONLY) and re.search(r"[./]", angled):
            yield f"{path}:{line}: includes <{angled}>; {rule}/ takes nothing but the standard library"


def violations(root):
    found = []
    for top in sorted({folder.split("/")[0] for folder in MAY_INCLUDE}):
        for file in sorted((root / top).rglob("*")):
            path = file.relative_to(root).as_posix()
            if file.suffix not in SOURCES or within(path, OUTSIDE):
                continue
            if rule_for(path) is None:
                found.append(f"{path}: lies in no layer of scripts/check_layers.py")
            else:
                found.extend(violations_in(path, file.read_text()))
    return found


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    found = violations(root)
    print("\n".join(found) if found else "layers: clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
