#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Makes the .deb, installs it in a clean Debian 12 (debootstrap) and runs it there:  sudo tests/package/check_package.sh [ROOT]
# Needs debootstrap, patience (the program is built for x86-64-v2) and 1 GB in ROOT (default: a temporary folder, removed).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source ctmc/cmake/setup.sh
setup asis
configure package
run cmake --build --preset package
run cpack --preset package
deb=$(first_match build/package/saltus_*_amd64.deb)
run dpkg-deb --info "$deb"

say "nothing beyond x86-64-v2"
for file in build/package/apps/saltus build/package/lib/saltus/*.so; do
  if objdump -d --no-show-raw-insn "$file" | grep -Eq '%[yz]mm[0-9]'; then die "$file uses AVX"; fi
done

root=${1:-$(mktemp -d)}
temporary=${1:+no}
leave() {
  umount "$root/proc" 2>/dev/null || true
  [[ $temporary == no ]] || rm -rf --one-file-system "$root"
}
trap leave EXIT
if [[ ! -e $root/etc/debian_version ]]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -1)
  run debootstrap --variant=minbase bookworm "$root" "$mirror"
fi
mount -t proc proc "$root/proc"  # run paths are found through it
# However this machine reaches Debian's packages.
cp -a /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
cp "$deb" "$root/saltus.deb"
inside() { run chroot "$root" /usr/bin/env LC_ALL=C OMP_WAIT_POLICY=passive "$@"; }
inside apt-get -qq -o APT::Sandbox::User=root update || true
inside apt-get -qq -o APT::Sandbox::User=root install -y --reinstall --no-install-recommends /saltus.deb
inside saltus --version
inside saltus info
inside saltus sample --model countdown --samples 100 --out /samples.txt --quiet
inside saltus simulate --generator lg --start stationary --length 50 --times 1 --samples 20 --out /leaves.fasta --quiet
inside saltus compare --model countdown --integrators gillespie,tweedie --nfe 4 --samples 50 --out /compared --quiet
test "$(wc -l < "$root/samples.txt")" = 100
test -s "$root/compared/report.html"
test -s "$root/usr/share/man/man1/saltus.1.gz" || test -s "$root/usr/share/man/man1/saltus.1"
test -s "$root/usr/share/doc/saltus/copyright" -a -s "$root/usr/share/bash-completion/completions/saltus"
# Networks without LibTorch: a message, not a crash.
if chroot "$root" saltus sample --model qm9 --samples 1 2> "$root/said"; then die "a network without LibTorch"; fi
grep -q LibTorch "$root/said"
inside apt-get -qq remove -y saltus
test ! -e "$root/usr/bin/saltus" -a ! -e "$root/usr/lib/saltus"
say "the package installs, runs and goes again"
