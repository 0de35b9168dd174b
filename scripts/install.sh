#!/usr/bin/env bash
# Installs the Debian 12 packages that Lexiscope needs and this machine lacks; does nothing where all are there.
#   scripts/install.sh          to build, test and run
#   scripts/install.sh --dev    also what .ci/run checks with: clang, clang-format, clang-tidy, ccache
set -euo pipefail

packages=(
  g++ cmake ninja-build pkgconf
  libhwy-dev libopenblas-pthread-dev liblapacke-dev
  libfmt-dev nlohmann-json3-dev libcli11-dev libxxhash-dev libssl-dev libicu-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  python3 python3-venv ca-certificates
)
case "${1:-}" in
  "") ;;
  --dev) packages+=(git clang clang-format clang-tidy libclang-rt-14-dev libomp-14-dev ccache) ;;
  *) echo "usage: scripts/install.sh [--dev]" >&2 && exit 2 ;;
esac

system=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}") || system=unknown
if [[ $system != "debian 12" ]]; then
  echo "scripts/install.sh knows Debian 12; this is \"$system\". Install what these Debian packages hold:" >&2
  echo "  ${packages[*]}" >&2
  echo "then build with: cmake --preset cpu-release && cmake --build --preset cpu-release" >&2
  exit 1
fi

installed=" $(dpkg-query --show --showformat='${db:Status-Status}:${Package}\n' | sed -n 's/^installed://p' | tr '\n' ' ')"
missing=()
for package in "${packages[@]}"; do
  [[ $installed == *" $package "* ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=(env DEBIAN_FRONTEND=noninteractive)
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo >/dev/null; then
    echo "scripts/install.sh needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo "${as_root[@]}")
fi
echo "installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt=("${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=120)
if ! { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"; } </dev/null >"$log" 2>&1; then
  cat "$log" >&2
  echo "scripts/install.sh: apt-get failed on: ${missing[*]}" >&2
  exit 1
fi
