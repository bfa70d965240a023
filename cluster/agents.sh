#!/bin/bash
# Agents of a W&B sweep run on one machine, one for each GPU:
#   GPUS="0 1 2 3" cluster/agents.sh ENTITY/PROJECT/SWEEP
# A signal goes to all agents and their runs.
set -eu
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS="${OMP_NUM_THREADS:-8}"

agents=()
trap 'kill -TERM "${agents[@]}"' TERM INT
trap 'kill -USR1 "${agents[@]}"' USR1
for gpu in $GPUS; do
    CUDA_VISIBLE_DEVICES="$gpu" wandb agent --forward-signals "$1" &
    agents+=($!)
done
for agent in "${agents[@]}"; do
    while kill -0 "$agent" 2>/dev/null; do wait "$agent" || true; done
done
