#!/usr/bin/env bash
# Configures and builds one preset of CMakePresets.json.
#   scripts/build.sh [PRESET [TARGET...]]    cpu-release and everything by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=${1:-cpu-release}
# One compiler cache serves every clone: paths inside the project count from its root.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" ${2:+--target "${@:2}"}
