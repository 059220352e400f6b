#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
# shellcheck source=ctmc/cmake/setup.sh
source ctmc/cmake/setup.sh

usage() {
  cat <<'EOF'
Usage: ./test.sh [--preset release|debug|asan] [--without-torch] [arguments of ctest]

Installs what is missing as ./quickstart.sh does, builds everything in build/<preset> and runs the tests. All other
arguments go to ctest, for example -R <name>, -L <label>, -j8. LibTorch stays out where ./quickstart.sh left it out.
EOF
}

torch=asis
preset=release
arguments=()
while (($#)); do
  case $1 in
    --preset) (($# > 1)) || die "--preset needs release, debug or asan"; preset=$2; shift ;;
    --preset=*) preset=${1#*=} ;;
    --without-torch) torch=no ;;
    --help | -h) usage; exit 0 ;;
    *) arguments+=("$1") ;;
  esac
  shift
done
[[ $preset =~ ^(release|debug|asan)$ ]] || die "unknown preset '$preset' (release, debug or asan)"

setup "$torch"
setup_tests
configure "$preset"
run cmake --build --preset "$preset"
arguments=(ctest --preset "$preset" -j2 "${arguments[@]}")
say "${arguments[*]}"
exec "${arguments[@]}"
