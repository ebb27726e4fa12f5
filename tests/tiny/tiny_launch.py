# SPDX-License-Identifier: Apache-2.0
"""A launch of a run on each place, with what else the place needs to know."""

from ramjax.tools import launch

_RUN = ("--config=sft_quickstart", "--config.run.total_steps=7")
OPTIONS = {
  "tpu_vm": ("--topology=v5p-128", "--zone=us-east5-a", "--install=ramjax"),
  "gke": ("--topology=v5p-128", "--image=r.example/ramjax:v1", "--claim=runs"),
  "xpk": (
    *("--topology=v5e-16", "--zone=us-east5-a", "--cluster=c1"),
    "--image=r.example/ramjax:v1",
  ),
  "slurm": ("--topology=h100x16", "--python=/venv/bin/python"),
  "skypilot": ("--topology=h100x16", "--install=ramjax", "--bucket=gs://runs"),
}
# What a host runs in the end.
TRAIN = [
  *("python", "-m", "ramjax.trainers.launch"),
  *(*_RUN, "--workdir=/data/a run"),
]


def argv(place, *more, name="sft8b", workdir="/data/a run"):
  """The arguments of `ramjax launch`; `more` may replace what a place needs."""
  return [
    *(f"--on={place}", f"--name={name}", f"--workdir={workdir}"),
    *(*OPTIONS[place], *_RUN, *more),
  ]


def render(capsys, place, *more, **changes):
  """What `ramjax launch` prints: the file for that place."""
  assert launch.main(argv(place, *more, **changes)) == 0
  return capsys.readouterr().out
