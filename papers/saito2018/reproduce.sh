#!/usr/bin/env bash
# Saito and Roy 2018: Tables 3 to 7 and operator norms of three networks, on each data set.
#
#   robust reproduce saito2018 [PART] [--scale smoke|cpu|paper]
#   SCALE=cpu bash papers/saito2018/reproduce.sh [PART]       # the same, a process for each step
#
# At scales smoke and cpu the network is the small CNN of the configs, so numbers stand under "does
# not match". At scale paper it is their DenseNet after 300 epochs.
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"

loose=(--loose)
network=(--epochs "$(by_scale 1 10 300)")
if [[ $SCALE == paper ]]; then
  loose=()
  network+=("--model.network=robust.networks.DenseNet" --model.network.depth=40
    --model.network.growth=12)
fi

hours() { # SMOKE CPU PAPER: CIFAR-10 is for a GPU, and one data set is enough for smoke
  case $data/$SCALE in
    mnist/* | fashion_mnist/cpu | */paper) by_scale "$@" ;;
    *) echo - ;;
  esac
}

table() { # NUMBER LIMIT "PATTERN..." RUN-OR-FLAG...
  local number=$1 limit=$2 patterns=$3
  shift 3
  for defense in standard softmax_mse codewords; do
    train "${data}_$defense" "$defense" --data "$data" "${network[@]}"
  done
  attack "table${number}_$data" "$patterns" "$@" --table "saito2018_table${number}_$data" \
    "${loose[@]}" --limit "$limit" --model.published=as_released
}

for data in mnist fashion_mnist cifar10; do
  RUNS=($(runs "${data}_standard" "${data}_softmax_mse" "${data}_codewords"))
  if part "table3_$data" "$(hours 0.02 2 6)" "Table 3, untargeted attacks"; then
    fast='mim_* bim_* fgsm_* madry_0.1 deepfool_10'
    table 3 "$(by_scale 4 1000 1000)" "$(by_scale 'fgsm_0.1 mim_0.1' "$fast" '*')" "${RUNS[@]}"
  fi
  if part "table4_$data" "$(hours 0.02 0.5 1)" "Table 4, clean accuracy"; then
    table 4 "$(by_scale 20 10000 10000)" fgsm "${RUNS[@]}" --view deployed
  fi
  if part "table5_$data" "$(hours 0.02 1 6)" "Table 5, random targets"; then
    fast='fgsm_* bim_* mim_* madry_*'
    table 5 "$(by_scale 4 500 1000)" "$(by_scale fgsm_0.1 "$fast" '*')" "${RUNS[@]}"
  fi
  if part "table6_$data" "$(hours 0.02 1 2)" "Table 6, crafted on the cross-entropy network"; then
    table 6 "$(by_scale 4 100 1000)" "$(by_scale mim_0.01 '*' '*')" "${RUNS[@]:1}" \
      --transfer-from "${RUNS[0]}"
  fi
  if part "table7_$data" "$(hours - 1 6)" "Table 7, 5,000 steps of CW toward random targets"; then
    table 7 "$(by_scale 4 80 1000)" "$(by_scale '*' '*_1' '*')" "${RUNS[2]}" --view published
  fi
  if part "norms_$data" "$(hours 0.02 0.5 1)" "Figure 4, operator norms of the layers"; then
    for defense in standard softmax_mse codewords; do
      train "${data}_$defense" "$defense" --data "$data" "${network[@]}"
    done
    evaluate "norms_$data" "${RUNS[@]}" --lipschitz
  fi
done
