#!/usr/bin/env bash
# Paranjape et al. 2020 on MNIST: Table 1 in both protocols, adaptive attacks, Figures 2 to 7.
#
#   robust reproduce paranjape2020 [PART] [--scale smoke|cpu|paper]
#   SCALE=cpu bash papers/paranjape2020/reproduce.sh [PART]   # the same, a process for each step
#
# The boundary attack takes 500 iterations, at scale paper 5,000. Every query of TVM through
# `deployed` minimizes again, so TVM has fewer images there.
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"

suite=()
[[ $SCALE == paper ]] || suite=(--suite paranjape2020_short)
epochs=()
[[ $SCALE != smoke ]] || epochs=(--epochs 1)
limit=()
[[ $SCALE != smoke ]] || limit=(--limit 4)
attacks=$(by_scale 'single_pixel gaussian_noise uniform_noise' '*' '*')

mlps() {
  for name in ibol iboi inoi cdr; do
    train $name $name "${epochs[@]}"
  done
}
RUNS=($(runs ibol iboi inoi cdr))
TVM=$(runs tvm)

if part table1 "$(by_scale 0.02 2 12)" "Table 1, three samples of 500 training images"; then
  mlps
  attack table1 "$attacks" "${RUNS[@]}" --table paranjape2020_table1 "${suite[@]}" "${limit[@]}"
fi
if part table1_tvm "$(by_scale - 3 20)" "Table 1, TVM, which minimizes each image"; then
  train tvm papers/paranjape2020/configs/mlp_tvm.yaml
  attack table1_tvm "$attacks" "$TVM" --table paranjape2020_table1 "${suite[@]}" --view published
  attack table1_tvm_deployed "$attacks" "$TVM" --table paranjape2020_table1 "${suite[@]}" \
    --limit "$(by_scale 1 20 500)"
fi
if part adaptive "$(by_scale 0.02 3 6)" "an attacker who knows the binarizer"; then
  mlps
  attack adaptive "$(by_scale 'pgd*' '*' '*')" "${RUNS[@]}" --suite paranjape2020_adaptive \
    --view adaptive --limit "$(by_scale 4 50 200)"
fi
if part figures "$(by_scale - 0.5 1)" "Figures 2 to 7, recalled images and attacks on them"; then
  mlps
  run robust evaluate "${RUNS[@]:1:2}" --draw recalled
  for name in single_pixel boundary gaussian_noise uniform_noise; do
    run robust evaluate "${RUNS[@]:0:3}" --suite paranjape2020_short --limit 10 --view deployed \
      --attacks $name --grid $name --images 3
  done
fi
