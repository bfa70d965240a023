#!/bin/bash
# One training uses several nodes without SLURM. Run it on each, in the same folder, with the same words:
#   NODES=2 DEVICES=4 HEAD=node0 ID=first cluster/fit.sh --config configs/squeezed.yaml
# NODES: how many. DEVICES: GPUs of each. HEAD: name of one node, where they meet, at port PORT.
# ID: of the run. When a process dies, all start again from the last checkpoint, up to RESTARTS times.
# After a signal, the same words go on with the same run.
set -eu
export PATH="$PWD/.venv/bin:$PATH" OMP_NUM_THREADS="${OMP_NUM_THREADS:-8}"
export TORCHELASTIC_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1
# A store that outlives a start gives the next one addresses of dead processes, and it waits for them:
# https://github.com/pytorch/pytorch/issues/135712
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1

exec torchrun --nnodes="${NODES:-1}" --nproc-per-node="$DEVICES" --max-restarts="${RESTARTS:-3}" \
    --rdzv-backend=c10d --rdzv-endpoint="${HEAD:-localhost}:${PORT:-29400}" --rdzv-id="$ID" \
    train.py fit "$@" \
    --run.id "$ID" --run.resume auto \
    --trainer.num_nodes "${NODES:-1}" --trainer.devices "$DEVICES"
