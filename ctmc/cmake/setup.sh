# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Sourced by quickstart.sh and test.sh in the root of the repository: installs what is missing and configures. Writes
# nothing outside the repository but Debian packages. A second call finds everything there and starts neither apt nor
# pip.

saltus_numpy=2.4.6
saltus_pygenten=0.1.5  # carries Kokkos 4.7.0
saltus_torch=2.13.0
saltus_transformers=5.23.0  # these two for tests alone
saltus_rdkit=2026.9.1

say() { printf '==> %s\n' "$*"; }
run() { say "$*"; "$@"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 2; }

# first_match PATTERN...: prints the first existing path that matches one of the patterns.
first_match() {
  local pattern found
  for pattern in "$@"; do
    if found=$(compgen -G "$pattern"); then
      printf '%s\n' "${found%%$'\n'*}"
      return 0
    fi
  done
  return 1
}

# cmake_config NAME PREFIX...: prints the directory below the prefixes where CMake finds the package NAME.
cmake_config() {
  local name=$1 prefix config file
  shift
  for prefix in "$@"; do
    for config in "${name}Config.cmake" "${name,,}-config.cmake"; do
      if file=$(first_match "$prefix/$config" "$prefix/lib*/cmake/$name*/$config" \
        "$prefix/lib/*/cmake/$name*/$config" "$prefix/share/cmake/$name*/$config" "$prefix/share/*/cmake/$config"); then
        printf '%s\n' "${file%/*}"
        return 0
      fi
    done
  done
  return 1
}

# own_package NAME: sets own_dir to the user's own package (NAME_DIR, NAME_ROOT, CMAKE_PREFIX_PATH), or to nothing.
own_package() {
  local name=$1 variable
  own_dir=
  for variable in "${name}_DIR" "${name}_ROOT"; do
    if [[ -n ${!variable:-} ]]; then
      own_dir=$(cmake_config "$name" "${!variable}") ||
        die "$variable is ${!variable}, but there is no ${name}Config.cmake there"
      return 0
    fi
  done
  own_dir=$(cmake_config "$name" "${saltus_prefixes[@]}") || own_dir=
}

# python_for_venv: prints a Python that can make the virtual environment.
python_for_venv() {
  local python
  for python in python3 python3.11 /usr/bin/python3; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$python"
      return 0
    fi
  done
  return 1
}

# venv_site: prints where .venv keeps its packages; fails when its Python does not run.
venv_site() { .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null; }

# has_wheel NAME VERSION: pip writes INSTALLER after everything else of a wheel.
has_wheel() {
  local site
  site=$(venv_site) &&
    first_match "$site/$1-$2.dist-info/INSTALLER" "$site/$1-$2+*.dist-info/INSTALLER" >/dev/null
}

# venv_works: pip runs, and no earlier installation was cut short.
venv_works() {
  local site info
  site=$(venv_site) && .venv/bin/python -m pip --version >/dev/null 2>&1 || return 1
  for info in "$site"/*.dist-info; do
    [[ -e $info/INSTALLER ]] || return 1
  done
}

# missing_packages: prints the names of the Debian packages whose content is not found.
missing_packages() {
  local usual=("${saltus_prefixes[@]}" /usr/local /usr) boost=() lzma=() prefix
  for prefix in ${Boost_ROOT:+"$Boost_ROOT"} "${usual[@]}"; do
    boost+=("$prefix"/lib{'*','/*'}/libboost_program_options.{so,a})
    lzma+=("$prefix/include/lzma.h")
  done
  command -v "${CXX:-g++}" >/dev/null || echo g++
  command -v cmake >/dev/null || echo cmake
  command -v ninja >/dev/null || echo ninja-build
  command -v ccache >/dev/null || echo ccache
  first_match "${boost[@]}" >/dev/null || echo libboost-program-options-dev
  cmake_config GTest "${usual[@]}" >/dev/null || echo libgtest-dev
  cmake_config benchmark "${usual[@]}" >/dev/null || echo libbenchmark-dev
  cmake_config nlohmann_json "${usual[@]}" >/dev/null || echo nlohmann-json3-dev
  cmake_config fmt "${usual[@]}" >/dev/null || echo libfmt-dev
  cmake_config Eigen3 "${usual[@]}" >/dev/null || echo libeigen3-dev
  first_match "${lzma[@]}" >/dev/null || echo liblzma-dev
  command -v doxygen >/dev/null || echo doxygen
  command -v gnuplot >/dev/null || echo gnuplot-nox
  command -v xz >/dev/null || echo xz-utils
  venv_site >/dev/null || python_for_venv >/dev/null || echo python3-venv
}

# missing_test_packages: the same for what only tests need.
missing_test_packages() {
  command -v mpirun >/dev/null && command -v mpicxx >/dev/null || printf '%s\n' openmpi-bin libopenmpi-dev
  command -v valgrind >/dev/null || echo valgrind
}

# install_packages LIST: LIST prints the names of those that are missing.
install_packages() {
  local list=$1 missing as_root=()
  mapfile -t missing < <("$list")
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null ||
    die "please install what Debian calls ${missing[*]}, then start this again (there is no apt-get here)"
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
      die "please run as root, then start this again:" \
        "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    fi
    if ! sudo -n true 2>/dev/null && [[ ! -t 0 ]]; then
      die "please run, then start this again:" \
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
    fi
    as_root=(sudo)
  fi
  say "Debian packages: ${missing[*]}"
  # A machine that has just started may still hold apt's lock.
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  run "${apt[@]}" update || say "the package lists could not be renewed; going on with those that are there"
  run "${apt[@]}" install -y --no-install-recommends "${missing[@]}" ||
    die "apt-get could not install ${missing[*]} (see above)"
  hash -r
  mapfile -t missing < <("$list")
  ((${#missing[@]} == 0)) || die "installed, but still not found: ${missing[*]} (is PATH or python3 not Debian's?)"
}

pip_install() { run .venv/bin/python -m pip install -q --disable-pip-version-check --no-input "$@"; }

# install_wheels WITH_TORCH (yes, no, or asis: as the last time)
install_wheels() {
  local with_torch=$1 kokkos_wheel=yes torch_wheel=yes python
  [[ $with_torch != asis || ! -e .venv/without-torch ]] || with_torch=no
  own_package Torch
  if [[ $with_torch == no ]]; then
    torch_wheel=no
    if has_wheel torch "$saltus_torch"; then
      say "LibTorch: already in .venv (remove .venv to leave it out)"
    else
      say "LibTorch: left out"
    fi
  elif [[ -n $own_dir ]]; then
    torch_wheel=no
    say "LibTorch: your own in $own_dir"
  fi
  own_package Kokkos
  saltus_kokkos=$own_dir
  if [[ -n $saltus_kokkos ]]; then
    kokkos_wheel=no
    say "Kokkos: your own in $saltus_kokkos"
  fi

  if ! wheels_complete && ! venv_works; then
    [[ ! -e .venv ]] || say ".venv is not complete; making it anew"
    python=$(python_for_venv) || die "needs Python 3.11 or newer with its module venv (Debian: python3-venv)"
    run "$python" -m venv --clear .venv
  fi
  if ! has_wheel numpy "$saltus_numpy"; then
    say "into .venv: NumPy (17 MB)"
    pip_install "numpy==$saltus_numpy" || die "pip could not install NumPy (see above)"
  fi
  if [[ $kokkos_wheel == yes ]] && ! has_wheel pygenten "$saltus_pygenten"; then
    say "into .venv: Kokkos 4.7.0 as part of pygenten (27 MB)"
    pip_install "pygenten==$saltus_pygenten" ||
      die "pip could not install pygenten (see above); Kokkos_ROOT=<prefix of your own Kokkos> does without it"
  fi
  if [[ $torch_wheel == yes ]] && ! has_wheel torch "$saltus_torch"; then
    say "into .venv: LibTorch as part of torch (0.2 GB; several GB, and minutes, if pip takes the CUDA build)"
    pip_install "torch==$saltus_torch" ||
      die "pip could not install torch (see above); ./quickstart.sh --without-torch goes on without it"
  fi
  wheels_complete || die ".venv is still not complete; remove it and start this again"
  if [[ $with_torch == no ]]; then : >.venv/without-torch; else rm -f .venv/without-torch; fi
}

# setup_tests: what only tests need, after setup. Without it they are skipped, saying so.
setup_tests() {
  (install_packages missing_test_packages) || say "an MPI or valgrind could not be installed: their tests are skipped"
  has_wheel rdkit "$saltus_rdkit" || pip_install "rdkit==$saltus_rdkit" || say "RDKit could not be installed: its tests are skipped"
  if has_wheel torch "$saltus_torch"; then
    has_wheel transformers "$saltus_transformers" || pip_install "transformers==$saltus_transformers" ||
      say "transformers could not be installed: the test of protein networks is skipped"
  fi
}

# wheels_complete: called by install_wheels, whose variables say what is wanted.
wheels_complete() {
  has_wheel numpy "$saltus_numpy" &&
    { [[ $kokkos_wheel == no ]] || has_wheel pygenten "$saltus_pygenten"; } &&
    { [[ $torch_wheel == no ]] || has_wheel torch "$saltus_torch"; }
}

# setup WITH_TORCH: everything that configuring and building need.
setup() {
  local old_ifs=$IFS
  IFS=':;'
  # shellcheck disable=SC2206 # split at the separators on purpose
  saltus_prefixes=(${CMAKE_PREFIX_PATH:-})
  IFS=$old_ifs
  install_packages missing_packages
  install_wheels "$1"
}

# What ccache knows of one checkout serves another in another folder.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

# configure PRESET: a Kokkos of the user's own wins over one that an earlier run left in CMake's cache.
configure() { run cmake --preset "$1" ${saltus_kokkos:+"-DKokkos_DIR=$saltus_kokkos"}; }
