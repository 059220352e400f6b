#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Trains the small network of countdown.py on sequences of the countdown itself:  examples/reproduction/train_countdown.sh OUT
set -euo pipefail
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
out=$1
saltus=${SALTUS:-build/release/apps/saltus}
mkdir -p "$out"
[[ -e $out/data.txt ]] || "$saltus" sample --model countdown --integrator first_hitting --samples 20000 --format txt --out "$out/data.txt" --quiet
if [[ -e $out/network/checkpoint.safetensors ]]; then
  [[ -e $out/network/model.json ]] || "$saltus" train --resume --out "$out/network"
else
  "$saltus" train --data "$out/data.txt" --tokenizer words --out "$out/network" --width 64 --layers 3 --steps 1500 --batch 32 \
    --rate 3e-3 --weights f16 --precision bf16 --checkpoint 250
fi
