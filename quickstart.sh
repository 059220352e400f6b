#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
# shellcheck source=ctmc/cmake/setup.sh
source ctmc/cmake/setup.sh

usage() {
  cat <<'EOF'
Usage: ./quickstart.sh [--without-torch] [--setup-only]

Installs what is missing (Debian packages; Python wheels into .venv), builds the program 'saltus' in build/release and
compares integrators on a protein family. Repeating it does only what is still to be done.

  --without-torch  leave out LibTorch, which only learned backbones need
  --setup-only     install what is missing and stop
  --help           this text

A Kokkos or LibTorch of your own is used instead of the wheels when Kokkos_ROOT or Kokkos_DIR, Torch_ROOT or Torch_DIR,
or CMAKE_PREFIX_PATH leads to it.
EOF
}

torch=yes
setup_only=no
while (($#)); do
  case $1 in
    --without-torch) torch=no ;;
    --setup-only) setup_only=yes ;;
    --help | -h) usage; exit 0 ;;
    *) die "unknown option '$1' (see --help)" ;;
  esac
  shift
done

setup "$torch"
if [[ $setup_only == yes ]]; then
  say "everything is installed"
  exit 0
fi
configure release
run cmake --build --preset release --target saltus_app
run build/release/apps/saltus compare --model chain --data examples/data/kunitz.fasta --noise cosine \
  --integrators gillespie,euler,tweedie --nfe 4,8,16,32,64 --samples 10000 --out results/quickstart

say "results and sampled sequences are in results/quickstart"
say "next: ./test.sh (builds and runs the tests), build/release/apps/saltus --help"
