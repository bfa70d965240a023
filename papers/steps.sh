# What every reproduce.sh is written with. It is sourced, not run.
#
#   SCALE      smoke: minutes; shows that it runs, and its numbers mean nothing
#              cpu: hours on two cores; the numbers of README.md
#              paper: networks, epochs and images of the paper; hours on a GPU
#   ROOT       folder of the runs; default: runs/papers/PAPER/SCALE
#   RESULTS    CSV file of the numbers of tables; default: papers/PAPER/results.csv in a clone, and
#              ROOT/results.csv elsewhere or at scale smoke
#   ATTACKS    names of attacks of a table; default: all
#   PRECISION  of the training, such as bf16-mixed
#   PLAN=1     print the commands instead of running them
#   LIST=1     print the parts instead: name, hours, what it is
#
# What is trained is not trained again, and what is on record is not attacked again. So the same
# command goes on where it stopped.

set -euo pipefail

PAPER=$(basename "$(cd "$(dirname "$0")" && pwd)")
SCALE=${SCALE:-cpu}
ROOT=${ROOT:-runs/papers/$PAPER/$SCALE}
ASKED=${1:-}
declare -A planned=()
if [[ -z ${RESULTS:-} ]]; then
  RESULTS=$ROOT/results.csv
  [[ $SCALE == smoke || ! -f papers/$PAPER/reproduce.sh ]] || RESULTS=papers/$PAPER/results.csv
fi
# What a reader runs to get the numbers of a part, before its name and after it.
COMMAND="${EPOCHS:+EPOCHS=$EPOCHS }${PRECISION:+PRECISION=$PRECISION }robust reproduce $PAPER"
SCALED=
[[ $SCALE == cpu ]] || SCALED=" --scale $SCALE"

case $SCALE in smoke | cpu | paper) ;; *)
  echo "error: Expected SCALE to be smoke, cpu or paper, but got $SCALE." >&2
  exit 2
  ;;
esac

by_scale() { # SMOKE CPU PAPER: the one of this scale
  case $SCALE in smoke) echo "$1" ;; cpu) echo "$2" ;; paper) echo "$3" ;; esac
}

# Flags of every training; at scale smoke a few batches are enough.
TRAINING=(--devices 1 --set evaluation.attacks=null evaluation.threat_models=null)
[[ -z ${PRECISION:-} ]] || TRAINING+=("--trainer.precision=$PRECISION")
[[ $SCALE != smoke ]] || TRAINING+=(--trainer.limit_train_batches=20 --trainer.limit_val_batches=1
  --trainer.limit_test_batches=1 --trainer.enable_progress_bar=false)

part() { # NAME HOURS WHAT: whether it is asked for; "-" for hours if not at this scale
  local name=$1 hours=$2 what=$3
  if [[ -n ${LIST:-} ]]; then
    printf '%s\t%s\t%s\n' "$name" "$hours" "$what"
    return 1
  fi
  [[ -z $ASKED || $name == "$ASKED" || $name == "$ASKED"_@(mnist|fashion_mnist|cifar10) ]] ||
    return 1
  if [[ $hours == - ]]; then
    echo "# $name is left out at scale $SCALE ($what)."
    return 1
  fi
  PART=$name
  echo "# $name: $what."
}

# In a clone the command may be that of its environment.
command -v robust >/dev/null || robust() { python3 -m robust "$@"; }

run() { # COMMAND: run it, or print it
  if [[ -n ${PLAN:-} ]]; then
    printf '%q' "$1"
    printf ' %q' "${@:2}"
    echo
  else
    "$@"
  fi
}

train() { # NAME CONFIG [FLAG]...: unless that is done
  local name=$1 config=$2
  shift 2
  [[ -z ${planned[$name]:-} && ! -e $ROOT/$name/seed0/done ]] || return 0
  planned[$name]=yes
  run robust train "$config" --root "$ROOT" --name "$name" --id seed0 --resume auto \
    "${TRAINING[@]}" "$@"
  run touch "$ROOT/$name/seed0/done"
}

runs() { # NAME...: their folders
  printf "$ROOT/%s/seed0\n" "$@"
}

evaluate() { # FILE RUN-OR-FLAG...: print a table, write it to FILE.md, and its numbers to RESULTS
  local file=$1 kept=()
  shift
  # A cell has one number. With ASIDE=yes, a table of other attacks than its own leaves it alone.
  [[ " $* " != *" --table "* || -n ${ASIDE:-} ]] ||
    kept=(--results "$RESULTS" "$COMMAND $PART$SCALED")
  run robust evaluate "$@" "${kept[@]}" --output "$ROOT/$file.md"
}

attack() { # FILE "PATTERN..." RUN-OR-FLAG...: with these attacks, of which ATTACKS may choose
  local file=$1 patterns names=() name pattern
  read -ra patterns <<<"$2"
  shift 2
  for name in ${ATTACKS:-}; do
    for pattern in "${patterns[@]}"; do
      # shellcheck disable=SC2053 # a pattern, on purpose
      [[ $name != $pattern ]] || names+=("$name")
    done
  done
  [[ -n ${ATTACKS:-} ]] || names=("${patterns[@]}")
  ((${#names[@]} == 0)) || evaluate "$file" "$@" --attacks "${names[@]}"
}
