#!/usr/bin/env bash
# One run on a GKE cluster that `xpk cluster create` made:
#
#   bash FILE run | list | stop
#
# DRY_RUN=1 prints what would run, and runs nothing.
set -euo pipefail

NAME=@NAME@
ZONE=@ZONE@
CLUSTER=@CLUSTER@
TPU_TYPE=@ACCELERATOR_TYPE@
SLICES=@SLICES@
IMAGE=@IMAGE@
# The run, as each host starts it.
TRAIN=@TRAIN@

workload() {
  local command=(xpk workload "$1" "--cluster=$CLUSTER" "--zone=$ZONE" "${@:2}")
  if [[ -n ${DRY_RUN:-} ]]; then
    printf '%q ' "${command[@]}"
    echo
  else
    "${command[@]}"
  fi
}

case ${1:-} in
run)
  # A run that was stopped (75), hung (76), or lost a host (77, and what xpk adds:
  # a signal) continues where its last checkpoint left off; a mistake (1) ends it.
  workload create "--workload=$NAME" "--tpu-type=$TPU_TYPE" \
    "--num-slices=$SLICES" "--docker-image=$IMAGE" "--max-restarts=@MAX_RESTARTS@" \
    --restart-on-exit-codes=75,76,77 --termination-grace-period-seconds=@GRACE_S@ \
    "--command=$TRAIN"
  ;;
list) workload list ;;
stop) workload delete "--workload=$NAME" ;;
*)
  echo "usage: bash $0 run | list | stop" >&2
  exit 2
  ;;
esac
