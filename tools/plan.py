# SPDX-License-Identifier: Apache-2.0
"""`ramjax plan`: does a run fit, and how fast can it be, before it is paid for."""

import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from ramjax.trainers import command_line

_EXAMPLE = (
  "ramjax plan --config=configs/sft_llama3_1_8b.py --topology=v5p:2x2x2"
)

_HELP = f"""\
usage: ramjax plan --config=FILE [--config.a.b=VALUE ...] --topology=NAME
                   [--slices=N] [--search] [--compiles=N] [--json=OUT.json]

Compiles the train step of a config for accelerators that are not here, and says
whether it fits their memory, what lies in it, what moves between devices, and
how fast a step can be. Reads no data and no weights, and runs nothing. Needs
a compiler and no device: for TPUs libtpu (pip install 'ramjax[plan]'), for GPUs
JAX's CUDA plug-in (pip install 'jax[cuda12]', of the version that is here).

  --config=FILE     as for `ramjax train`. It is a program: run only files you
                    trust. A model that init names and that is not here is
                    taken to be of the shape of model.preset.
  --config.a.b=V    replaces one field of it; --config=FILE --help lists them
  --topology=NAME   a slice by its shape, v5p:4x4x4 or v6e:2x4, or by the name of
                    the pod, v5p-128 or v5e-16; or GPUs, h100:8 or h200:16, in
                    nodes of eight
  --slices=N        so many of them, connected by the data-centre network; they
                    go along mesh.data (1)
  --search          tries meshes, rematerialisation and microbatches, those first
                    that should be fastest, and names the fastest that fits; the
                    config as it is is one of them, and mesh.sequence stays;
                    on GPUs, every model.remat but offload
  --compiles=N      of a search, programs to compile at most (8); each takes
                    half a minute to some minutes
  --json=OUT.json   writes all figures, too

example: {_EXAMPLE}

Exit status: 0 it fits; 1 the command failed, such as for a bad config; 3 it does
not fit, or nothing of the search does.
"""

_DOES_NOT_FIT = 3


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line `argv` (without the program's name).

  Returns:
    The exit status, as --help says.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  argv, wants_help = command_line.split_help(argv)
  if wants_help and not any(a.startswith("--config") for a in argv):
    print(_HELP, end="")
    return 0
  # The devices that are here take no part.
  os.environ["JAX_PLATFORMS"] = "cpu"
  try:
    config, flags = command_line.parse(
      argv, program="ramjax plan", example=_EXAMPLE, define=_define_flags
    )
    if wants_help:
      print(_HELP)
      print(f"fields and their values:\n\n{config}")
      return 0
    return _plan(config, flags)
  except (ValueError, OSError, ModuleNotFoundError) as error:
    print(f"ramjax plan: {error}", file=sys.stderr)
    return 1


def _define_flags(values: Any) -> None:
  from absl import flags

  flags.DEFINE_string("topology", "", "What it is for.", values)
  flags.DEFINE_integer("slices", 1, "How many of them.", flag_values=values)
  flags.DEFINE_boolean("search", False, "Try others, too.", values)
  flags.DEFINE_integer(
    "compiles", 8, "Programs to compile at most.", 1, flag_values=values
  )
  flags.DEFINE_string("json", "", "Where to write all figures.", values)


def _plan(config: Any, flags: Any) -> int:
  import jax

  jax.config.update("jax_platforms", "cpu")
  from ramjax.tools import (
    plan_compile,
    plan_report,
    plan_search,
    step_floors,
    topologies,
  )
  from ramjax.trainers import abstract_run

  if not flags.topology:
    raise ValueError(
      f"--topology is missing: name one, such as {topologies.EXAMPLES}."
    )
  if config.algorithm == "rounds":
    raise ValueError(
      "algorithm='rounds' is a fit in each round: plan that, by a config of its"
      f" own algorithm, {config.fit.algorithm!r}."
    )
  out = _writable(flags.json)
  topology = topologies.find_topology(flags.topology, num_slices=flags.slices)
  devices = plan_compile.target_devices(topology)
  if flags.search:
    found = plan_search.search(
      config, topology, devices, most=flags.compiles, say=_say
    )
    print(plan_report.search_table(found))
    best = plan_search.fastest(found)
    if best is not None:
      print(f"the fastest that fits: {best.overrides}\n")
    else:
      best = plan_search.nearest(found)
      print(
        f"Nothing that was compiled fits. What wants least: {best.overrides}\n"
      )
    run, compiled = best.run, best.compiled
  else:
    run = abstract_run.describe_run(config, devices)
    _say(f"compiling for {topology.name} ...")
    compiled = plan_compile.compile_step(run, topology)
  floors = step_floors.step_floors(run, topology, compiled.collectives)
  print(plan_report.report(run, topology, compiled, floors))
  if out is not None:
    figures = plan_report.as_json(run, topology, compiled, floors)
    out.write_text(json.dumps(figures, indent=1) + "\n")
  return 0 if compiled.fits else _DOES_NOT_FIT


def _writable(path: str) -> pathlib.Path | None:
  if not path:
    return None
  out = pathlib.Path(path)
  if not out.parent.is_dir() or out.is_dir():
    raise FileNotFoundError(
      f"--json={path!r}: name a file in a folder that exists."
    )
  return out


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)
