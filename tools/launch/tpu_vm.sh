#!/usr/bin/env bash
# One run on Cloud TPU VMs, which `gcloud` makes and reaches:
#
#   bash FILE create | wait | setup | run | status | tail | stop | delete
#
# DRY_RUN=1 prints what would run, and runs nothing.
set -euo pipefail

NAME=@NAME@
ZONE=@ZONE@
ACCELERATOR_TYPE=@ACCELERATOR_TYPE@
RUNTIME_VERSION=@RUNTIME_VERSION@
SLICES=@SLICES@
SPOT=@SPOT@       # 1: cheaper, and taken away at any time.
INSTALL=@INSTALL@ # What pip installs, beside JAX for TPU.
# The run, as each host starts it.
TRAIN=@TRAIN@

# Where a host keeps the environment, the log and the state of the run.
STATE=ramjax-$NAME

run() {
  if [[ -n ${DRY_RUN:-} ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

resource() {
  run gcloud compute tpus queued-resources "$1" "$NAME" "--zone=$ZONE" "${@:2}"
}

# One command on every host of every slice.
everywhere() {
  resource ssh --node=all --worker=all "--command=$1"
}

case ${1:-} in
create)
  nodes=("--node-id=$NAME")
  if ((SLICES > 1)); then
    nodes=("--node-count=$SLICES" "--node-prefix=$NAME")
  fi
  if ((SPOT)); then
    nodes+=(--spot)
  fi
  resource create "--accelerator-type=$ACCELERATOR_TYPE" \
    "--runtime-version=$RUNTIME_VERSION" "${nodes[@]}"
  ;;
wait)
  # Until the hosts are there.
  while :; do
    state=$(resource describe '--format=value(state.state)')
    echo "$state"
    case $state in
    *FAILED* | *SUSPENDED*) exit 1 ;;
    *ACTIVE* | gcloud*) break ;; # DRY_RUN looks once.
    esac
    sleep 30
  done
  ;;
setup)
  # The image's own Python is older than 3.11; uv brings a newer one.
  everywhere "set -e; mkdir -p $STATE; cd $STATE; \
python3 -m pip install --quiet --user uv; \
python3 -m uv venv --quiet --allow-existing --python 3.12 venv; \
python3 -m uv pip install --quiet --python venv 'jax[tpu]' $(printf %q "$INSTALL")"
  ;;
run)
  # In the background, so that the run outlives this connection.
  everywhere "mkdir -p $STATE; cd $STATE; \
if [ -e pid ] && kill -0 \$(cat pid) 2>/dev/null; then echo 'already running' >&2; exit 1; fi; \
rm -f status; PATH=\$PWD/venv/bin:\$PATH; \
nohup sh -c '\"\$@\" & echo \$! > pid; wait \$!; echo \$? > status' sh $TRAIN >> log 2>&1 < /dev/null &"
  ;;
status)
  everywhere "cd $STATE; if [ -e status ]; then echo \"\$(hostname): ended with \$(cat status)\"; \
elif [ -e pid ] && kill -0 \$(cat pid) 2>/dev/null; then echo \"\$(hostname): running\"; \
else echo \"\$(hostname): not started, or killed\"; fi"
  ;;
tail)
  # Only process 0 tells; the others write errors to their own log.
  resource ssh --node=0 --worker=0 "--command=tail -n 50 -F $STATE/log"
  ;;
stop)
  # Saves a checkpoint; the same `run` continues it.
  everywhere "kill -TERM \$(cat $STATE/pid)"
  ;;
delete)
  # With the hosts and what is on their disks.
  resource delete --force
  ;;
*)
  echo "usage: bash $0 create | wait | setup | run | status | tail | stop | delete" >&2
  exit 2
  ;;
esac
