#!/usr/bin/env bash
# Runs clang-tidy 14 with the checks of .clang-tidy over the library, the program and the reference kernels, on all
# cores. SIMD kernels are looked at for one target (AVX2): the others are the same source.
#   scripts/tidy.sh [FILE...]    the files named only
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ -f build/cpu-release/compile_commands.json ]] || cmake --preset cpu-release >/dev/null
if [[ $# -gt 0 ]]; then
  files=("$@")
else
  # What is not built here has no compile command: the CUDA engine where CUDA's headers are missing.
  mapfile -t files < <(find host kernels bench -name '*.cpp' | sort |
    while read -r file; do ! grep -qF "/$file\"" build/cpu-release/compile_commands.json || echo "$file"; done)
fi
tidy=$(command -v clang-tidy-14 || command -v clang-tidy)
printf '%s\0' "${files[@]}" | xargs -0 --max-args 1 --max-procs "$(nproc)" "$tidy" -p build/cpu-release --quiet \
  --extra-arg=-DHWY_COMPILE_ONLY_STATIC --extra-arg=-march=haswell --extra-arg=-Wno-unknown-warning-option \
  2> >(grep --invert-match 'warnings\? generated' >&2)
echo "tidy: ${#files[@]} files clean"
