#!/usr/bin/env bash
# Tuna et al. 2022: Tables I and II on MNIST, III and IV on CIFAR-10, of four networks each.
#
#   robust reproduce tuna2022 [PART] [--scale smoke|cpu|paper]
#   SCALE=cpu bash papers/tuna2022/reproduce.sh [PART]        # the same, a process for each step
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"

limit=$(by_scale 4 1000 10000)
attacks=$(by_scale 'fgsm bim' '*' '*')
epochs=() # those of the configs, which are the paper's
[[ $SCALE != smoke ]] || epochs=(--epochs 2)
loose=()
[[ $SCALE != smoke ]] || loose=(--loose)

mnist() {
  train standard standard "${epochs[@]}"
  train distillation distillation "${epochs[@]}"
  train squeezed squeezed "${epochs[@]}"
  train mnist_sigmoid papers/tuna2022/configs/mnist_sigmoid.yaml "${epochs[@]}"
}
MNIST=($(runs standard distillation squeezed mnist_sigmoid))

cifar10() {
  for network in standard distillation sigmoid tanh; do
    train cifar10_$network papers/tuna2022/configs/cifar10_$network.yaml
  done
}
CIFAR10=($(runs cifar10_standard cifar10_distillation cifar10_sigmoid cifar10_tanh))

if part table1 "$(by_scale 0.03 2 1)" "Table I, MNIST, eps 0.1"; then
  mnist
  attack table1 "$attacks" "${MNIST[@]}" --table tuna2022_table1 "${loose[@]}" --limit "$limit"
fi
if part table2 "$(by_scale 0.03 2 1)" "Table II, MNIST, eps 0.2"; then
  mnist
  attack table2 "$attacks" "${MNIST[@]}" --table tuna2022_table2 "${loose[@]}" --limit "$limit"
fi
if part table3 "$(by_scale - - 4)" "Table III, CIFAR-10, part 1"; then
  cifar10
  attack table3 "$attacks" "${CIFAR10[@]}" --table tuna2022_table3 --limit "$limit"
fi
if part table4 "$(by_scale - - 4)" "Table IV, CIFAR-10, part 2"; then
  cifar10
  attack table4 "$attacks" "${CIFAR10[@]}" --table tuna2022_table4 --limit "$limit"
fi
