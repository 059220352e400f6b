#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Trains the networks that come with the program, with the very commands that made them:
#   examples/backbones/train.sh DATA OUT [NAME...]
# One thread each: two at once make more of two cores than two threads do, and leave gaps for other work.
# DATA holds the unpacked data sets (see models/backbones/README.md). A run that was cut short goes on where it was.
set -euo pipefail
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}  # threads that spin cost more than they win on a busy machine
data=$1 out=$2
shift 2
saltus=${SALTUS:-build/release/apps/saltus}
names=("$@")
((${#names[@]})) || names=(qm9 kunitz qm9_uniform books books_small books_time)

qm9="QM9 (Ramakrishnan et al., Sci. Data 1:140022, 2014), SMILES as in github.com/aspuru-guzik-group/selfies, tests/test_sets/qm9.csv"
qm9_licence="open data (figshare collection 978904, usually cited as CC0); the strings Apache-2.0"
kunitz="Pfam PF00014 (Kunitz domain), alignment of github.com/pagnani/ArDCAData (Trinquier et al., Nat. Commun. 12:5800, 2021)"
kunitz_licence="Pfam CC0, UniProt CC BY 4.0; the repository MIT"
books="eight novels from github.com/GITenberg, reduced to a-z and blank"
books_licence="public domain in the United States"

fit() {  # fit NAME options...
  local name=$1
  shift
  if [[ -e $out/$name/model.json ]]; then
    echo "$name: done"
  elif [[ -e $out/$name/checkpoint.safetensors ]]; then
    "$saltus" train --resume --out "$out/$name"
  else
    "$saltus" train --out "$out/$name" --weights f16 --precision bf16 --threads 1 "$@"
  fi
}

for name in "${names[@]}"; do
  case $name in
    qm9) fit qm9 --data "$data/qm9_train.smi" --valid "$data/qm9_valid.smi" --tokenizer smiles --source "$qm9" --licence "$qm9_licence" \
      --width 144 --layers 5 --steps 9000 --rate 2e-3 --ema 0.999 --checkpoint 250 ;;
    qm9_uniform) fit qm9_uniform --data "$data/qm9_train.smi" --valid "$data/qm9_valid.smi" --tokenizer smiles --source "$qm9" --licence "$qm9_licence" \
      --generator uniform --width 128 --layers 4 --steps 5000 --rate 2e-3 --ema 0.999 --checkpoint 250 ;;
    kunitz) fit kunitz --data "$data/pf00014_kunitz_train.fasta" --valid "$data/pf00014_kunitz_valid.fasta" --tokenizer protein --source "$kunitz" --licence "$kunitz_licence" \
      --width 96 --layers 3 --steps 8000 --batch 64 --rate 2e-3 --weight-decay 0.1 --ema 0.998 --checkpoint 250 ;;
    books) fit books --data "$data/books27_train.txt" --valid "$data/books27_valid.txt" --tokenizer characters --windows --length 64 --source "$books" --licence "$books_licence" \
      --width 160 --layers 4 --steps 5000 --batch 64 --rate 2e-3 --ema 0.999 --checkpoint 250 ;;
    books_small) fit books_small --data "$data/books27_train.txt" --valid "$data/books27_valid.txt" --tokenizer characters --windows --length 64 --source "$books" --licence "$books_licence" \
      --width 80 --layers 4 --steps 5000 --batch 64 --rate 2e-3 --ema 0.999 --checkpoint 250 ;;
    books_time) fit books_time --data "$data/books27_train.txt" --valid "$data/books27_valid.txt" --tokenizer characters --windows --length 64 --source "$books" --licence "$books_licence" \
      --loss score_entropy --width 128 --layers 4 --steps 5000 --batch 64 --rate 2e-3 --ema 0.999 --checkpoint 250 ;;
    *) echo "unknown network '$name'" >&2; exit 2 ;;
  esac
done
