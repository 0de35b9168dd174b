#!/usr/bin/env bash
# Checks the formatting of every C++ file with clang-format 14; --fix rewrites the files instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

case "${1:-}" in
  "") action=(--dry-run --Werror) ;;
  --fix) action=(-i) ;;
  *) echo "usage: scripts/format.sh [--fix]" >&2 && exit 2 ;;
esac
formatter=$(command -v clang-format-14 || command -v clang-format)
find include kernels host simt tests bench -regex '.*\.\(h\|cpp\|cuh\|cu\)' -print0 | xargs -0 "$formatter" "${action[@]}"
echo "format: clean"
