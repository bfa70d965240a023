#!/usr/bin/env bash
# Zantedeschi et al. 2017: Tables 1 to 4 on MNIST, 5 on CIFAR-10, Figures 2 and 4, adaptive attacks.
#
#   robust reproduce zantedeschi2017 [PART] [--scale smoke|cpu|paper]
#   SCALE=cpu bash papers/zantedeschi2017/reproduce.sh [PART] # the same, a process for each step
#
# An epoch with noisy copies is as long as 11 plain ones. At scale cpu networks have 3 epochs, or
# EPOCHS; theirs have 20. The static adversarial images are those of the undefended CNN.
source "$(dirname "${BASH_SOURCE[0]}")/../steps.sh"

EPOCHS=${EPOCHS:-$(by_scale 1 3 20)}
limit=$(by_scale 4 1000 10000)
loose=(--loose)
[[ $EPOCHS != 20 ]] || loose=()

networks() { # NAME...: each is a config of that name, the paper's own before ours
  local name config static
  for name in "$@"; do
    config=$name static=()
    case $name in
      cnn | resnet | resnet_brelu) config=papers/zantedeschi2017/configs/$name.yaml ;;
      vat | fgsm_static)
        networks cnn
        config=papers/zantedeschi2017/configs/$name.yaml
        static=("--model.init_args.source=$ROOT/cnn/seed0/checkpoints/best.ckpt")
        ;;
    esac
    train "$name" "$config" --epochs "$EPOCHS" "${static[@]}"
  done
}

FOUR=(cnn brelu resnet resnet_brelu)
SEVEN=(cnn brelu feature_squeezing label_smoothing fgsm_static vat gda brelu_gda)
[[ $SCALE != smoke ]] || SEVEN=(cnn label_smoothing)
RUNS=($(runs "${SEVEN[@]}"))

if part table1 "$(by_scale 0.02 1 1)" "Table 1, FGSM 0.1 from network to network"; then
  [[ $SCALE != smoke ]] || FOUR=(cnn brelu)
  networks "${FOUR[@]}"
  attack table1 '*' $(runs "${FOUR[@]}") --table zantedeschi2017_table1 "${loose[@]}" \
    --limit "$limit"
fi
for number in 2 3; do
  what=("" "" "the first eps that changes the prediction" "sensitivity of the loss")
  if part table$number "$(by_scale 0.02 4 4)" "Table $number, ${what[number]}"; then
    networks "${SEVEN[@]}"
    evaluate table$number "${RUNS[@]}" --table zantedeschi2017_table$number "${loose[@]}" \
      --limit "$limit"
  fi
done
if part table4 "$(by_scale 0.02 4 6)" "Table 4, black box, crafted on the ResNet"; then
  networks "${SEVEN[@]}" resnet
  black_box=("${RUNS[@]}" --table zantedeschi2017_table4 "${loose[@]}" --transfer-from
    $(runs resnet))
  attack table4 "$(by_scale fgsm_0.1 'fgsm_0.1 random_fgsm deepfool' '*')" "${black_box[@]}" \
    --limit "$limit"
  [[ $SCALE != cpu ]] || attack table4_slow 'jsma cw' "${black_box[@]}" --limit 100
fi

cifar10() { # the same defenses around their CNN for CIFAR-10; noise and bits are those of its table
  local cnn=("--model.network=robust.networks.ZantedeschiCifarCNN" --epochs "$EPOCHS")
  local source=("--model.init_args.source=$ROOT/cifar10_cnn/seed0/checkpoints/best.ckpt")
  local own=papers/zantedeschi2017/configs
  train cifar10_cnn $own/cnn.yaml --data cifar10 "${cnn[@]}"
  train cifar10_resnet $own/resnet.yaml --data cifar10 --epochs "$EPOCHS" \
    --model.network.in_channels=3 --model.network.size=32
  train cifar10_feature_squeezing feature_squeezing --data cifar10 "${cnn[@]}" \
    --model.transform.bits=3
  train cifar10_label_smoothing label_smoothing --data cifar10 "${cnn[@]}"
  train cifar10_fgsm_static $own/fgsm_static.yaml --data cifar10 "${cnn[@]}" "${source[@]}"
  train cifar10_vat $own/vat.yaml --data cifar10 "${cnn[@]}" "${source[@]}"
  train cifar10_gda gda --data cifar10_gaussian "${cnn[@]}"
  train cifar10_brelu_gda brelu_gda --data cifar10_gaussian "${cnn[@]}" \
    --model.network.activation=robust.networks.BReLU
}
if part table5 "$(by_scale - - 6)" "Table 5, black box on CIFAR-10"; then
  cifar10
  attack table5 '*' $(runs cifar10_{cnn,feature_squeezing,label_smoothing,fgsm_static,vat,gda} \
    cifar10_brelu_gda) --table zantedeschi2017_table5 --transfer-from $(runs cifar10_resnet) \
    --limit "$limit"
fi

if part figure4 "$(by_scale 0.02 1 1)" "Figure 4, white-box FGSM as the paper's attacker ran it"; then
  networks "${SEVEN[@]}"
  attack figure4 "$(by_scale fgsm_0.1 'fgsm_0.1 fgsm_0.3 fgsm_0.5' 'fgsm_*')" "${RUNS[@]}" \
    --suite zantedeschi2017_figure4 --view published --limit "$limit"
fi
if part adaptive "$(by_scale 0.02 3 3)" "an attacker who knows the defense"; then
  networks "${SEVEN[@]}"
  attack adaptive "$(by_scale fgsm_0.1 '*' '*')" "${RUNS[@]}" --suite zantedeschi2017_adaptive \
    --view adaptive --limit "$limit"
fi

# Figure 2: networks on points of the plane, with ten noisy or one adversarial copy of each point.
toy() { # SHAPE NAME [FLAG]...
  train "$1_$2" "$1" "${toy_epochs[@]}" "${@:3}"
}
toy_epochs=()
[[ $SCALE != smoke ]] || toy_epochs=(--epochs 1)
if part figure2 "$(by_scale 0.02 0.5 0.5)" "Figure 2, confidence on circles and half-moons"; then
  for shape in circles moons; do
    noisy=("--data.augmentation=robust.data.GaussianAugmentation" --data.augmentation.sigma=0.15
      --data.augmentation.clip=true)
    crafted=("--model=robust.defenses.AdversarialTraining" --data.batch_size=1
      "--model.source=$ROOT/${shape}_none/seed0/checkpoints/last.ckpt")
    toy $shape none
    toy $shape gaussian "${noisy[@]}"
    if [[ $SCALE != smoke ]]; then
      toy $shape uniform "${noisy[@]}" --data.augmentation.noise=uniform
      toy $shape fgm "${crafted[@]}" --model.attack="{class_path: robust.attacks.PGD, init_args: \
{eps: 0.15, alpha: 0.15, steps: 1, norm: L2, random_start: false}}"
      toy $shape vat "${crafted[@]}" --model.attack="{class_path: \
robust.defenses.VirtualAdversarialImages, init_args: {eps: 0.15}}"
      toy $shape jsma "${crafted[@]}" --model.attack="{class_path: robust.attacks.JSMA, \
init_args: {theta: 0.05, gamma: 1}}"
    fi
    copies=(none gaussian)
    [[ $SCALE == smoke ]] || copies=(none fgm vat jsma uniform gaussian)
    run robust evaluate $(runs "${copies[@]/#/${shape}_}") --draw confidence
  done
fi
