#!/usr/bin/env bash
# Wang et al. 2018: Tables 1 and 2 on CIFAR-10, and WNLL against its own linear head.
#
#   robust reproduce wang2018 [PART] [--scale smoke|cpu|paper]
#   SCALE=cpu bash papers/wang2018/reproduce.sh [PART]        # the same, a process for each step
#
# At scale cpu a ResNet-20 trains for 3 epochs through the linear head, and WNLL then for 60 steps;
# in table2_sets for 2 epochs.
# At scale paper it is their ResNet-56 with 420 epochs, and all three training sets.
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"

limit=$(by_scale 2 100 10000)
attacks=$(by_scale fgsm_0.02 'fgsm_0.02 fgsm_0.1 ifgsm_projected_0.02 ifgsm_projected_0.1 cw' \
  'fgsm_* ifgsm_projected_* cw')
linear=$(by_scale 1 3 200)
loose=(--loose)
sets=("")
if [[ $SCALE == paper ]]; then
  loose=()
  sets=("" _tvm _original_tvm)
fi

reduced=("--model.network.depth=$(by_scale 8 20 56)"
  "--model.scheduler=robust.defenses.WangSchedule" "--model.scheduler.linear_epochs=$linear"
  --model.scheduler.wnll_epochs=1)
stages=("--model.linear_epochs=$linear" --model.wnll_epochs=1 --epochs $((linear + 1)))
[[ $SCALE != cpu ]] || stages+=(--trainer.max_steps=1176) # 1,116 linear ones, 60 of WNLL

cifar10() {
  local set softmax=() wnll=()
  if [[ $SCALE != paper ]]; then
    softmax=("${reduced[@]}" --epochs "$linear")
    wnll=("${reduced[@]}" "${stages[@]}")
  fi
  for set in "${sets[@]}"; do
    train "softmax_cifar10$set" "papers/wang2018/configs/softmax_cifar10$set.yaml" "${softmax[@]}"
    train "wnll_cifar10$set" "papers/wang2018/configs/wnll_cifar10$set.yaml" "${wnll[@]}"
  done
}
RUNS=($(runs "${sets[@]/#/softmax_cifar10}" "${sets[@]/#/wnll_cifar10}"))

if part table1 "$(by_scale 0.02 2 20)" "Table 1, each network on the other's images"; then
  cifar10
  attack table1 "$attacks" "${RUNS[@]}" --table wang2018_table1 "${loose[@]}" --limit "$limit"
fi
if part table2 "$(by_scale 0.02 2 20)" "Table 2, first numbers"; then
  cifar10
  attack table2 "$attacks" "${RUNS[@]}" --table wang2018_table2 "${loose[@]}" --limit "$limit"
fi
if part table2_sets "$(by_scale - 6 -)" "Table 2, networks trained on images after TVM, reduced"; then
  for set in _tvm _original_tvm; do
    shorter=("${reduced[@]}" --model.scheduler.linear_epochs=2)
    [[ $set == _tvm ]] || shorter+=(--trainer.limit_train_batches=372) # half of each epoch
    train "softmax_cifar10$set" "papers/wang2018/configs/softmax_cifar10$set.yaml" "${shorter[@]}" \
      --epochs 2
    train "wnll_cifar10$set" "papers/wang2018/configs/wnll_cifar10$set.yaml" "${shorter[@]}" \
      --model.linear_epochs=2 --model.wnll_epochs=1 --epochs 3 --trainer.max_steps=804
  done
  four=($(runs {softmax,wnll}_cifar10_{tvm,original_tvm}))
  attack table2_sets 'ifgsm_projected_0.02 cw' "${four[@]}" --table wang2018_table2 "${loose[@]}" \
    --limit "$limit"
  attack table2_sets_tvm 'ifgsm_projected_0.02 cw' "${four[@]}" --table wang2018_table2_tvm \
    "${loose[@]}" --model.transform=robust.transforms.TotalVariation --limit "$limit"
fi
if part table2_released "$(by_scale - 1 10)" "Table 2, attacked as their code was released"; then
  cifar10
  ASIDE=yes attack table2_released "$attacks" "${RUNS[@]}" --table wang2018_table2 "${loose[@]}" \
    --suite wang2018_released --limit "$limit"
fi
if part table2_tvm "$(by_scale - 2 20)" "Table 2, second numbers, behind TVM"; then
  cifar10
  attack table2_tvm "$attacks" "${RUNS[@]}" --table wang2018_table2_tvm "${loose[@]}" \
    --model.transform=robust.transforms.TotalVariation --limit "$limit"
fi
if part heads "$(by_scale 0.02 2 -)" "WNLL against its own linear head, on MNIST"; then
  train wnll_mnist wnll $(by_scale '--epochs 2 --model.linear_epochs=1' '' '')
  run=($(runs wnll_mnist))
  attack wnll_mnist "$attacks" "${run[@]}" --suite wang2018 --limit "$limit"
  attack linear_mnist "$attacks" "${run[@]}" --suite wang2018 --limit "$limit" \
    --model.head=linear --view published
fi
