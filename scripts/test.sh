#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test. Arguments go to ctest, as in: scripts/test.sh -R npy
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install.sh
scripts/build.sh cpu-release
ctest --preset cpu-release --parallel "$(nproc)" "$@"
