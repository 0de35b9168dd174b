#!/usr/bin/env bash
# The share of the CUDA kernels' and the CUDA engine's lines that the emulated tests execute, with the lines that they do
# not; fails below 95 %. Lines that only say what went wrong (fail, throw) do not count.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/cpu-coverage
venv=$(scripts/python_venv.sh coverage scripts/requirements-coverage.txt)
scripts/build.sh cpu-coverage
find "$build" -name '*.gcda' -delete
ctest --preset cpu-coverage --parallel "$(nproc)" --label-regex emulated --exclude-regex '^simt_'
"$venv/bin/gcovr" --root . --object-directory "$build" --filter 'kernels/cuda/' --filter 'host/engines/cuda/' \
  --exclude-lines-by-pattern '.*\b(fail|fail_[a-z_]+|throw)\b.*' --fail-under-line 95 "$build"
