#!/usr/bin/env bash
# Builds cuda-release, unless --bench names a lexiscope-bench or --from asks for none, and runs gpu.py with the python3 on
# the PATH; to measure, that needs PyTorch for CUDA.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

case " $* " in
  *" --bench "* | *" --from "*) ;;
  *) scripts/build.sh cuda-release ;;
esac
exec python3 bench/peers/gpu.py "$@"
