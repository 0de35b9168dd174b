#!/usr/bin/env bash
# The share of the CUDA kernels' and the CUDA engine's lines that the emulated tests execute; fails below 95 %.
# Lines that only say what went wrong (fail, throw) do not count.
#   scripts/coverage.sh              builds, runs the tests, prints the files' shares
#   scripts/coverage.sh --lines      prints the lines that were not executed as well
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

build=build/cpu-coverage
report=(--txt)
[[ ${1:-} != --lines ]] || report=(--txt --txt-report-covered)
venv=$(scripts/python_venv.sh coverage scripts/requirements-coverage.txt)
scripts/build.sh cpu-coverage
find "$build" -name '*.gcda' -delete
ctest --preset cpu-coverage --parallel "$(nproc)" --label-regex emulated --quiet
"$venv/bin/gcovr" --root . --object-directory "$build" --filter 'kernels/cuda/' --filter 'host/engines/cuda/' \
  --exclude-lines-by-pattern '.*\b(fail|fail_[a-z_]+|throw)\b.*' --exclude-unreachable-branches \
  --fail-under-line 95 "${report[@]}" "$build"
