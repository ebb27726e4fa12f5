# SPDX-License-Identifier: Apache-2.0
"""`ramjax plan`: what it prints, what it refuses, and its exit status."""

import importlib.util
import json

import jax
import pytest

from ramjax.tools import (
  plan,
  plan_compile,
  plan_report,
  plan_search,
  step_floors,
  topologies,
)
from ramjax.tools.hlo_collectives import Collective
from ramjax.tools.plan_compile import Compiled

_GIB = 2**30
_TINY = "--config=dpo_tiny"


def _compiled(peak=1.0, **changes):
  figures = dict(
    fits=True,
    peak_bytes=peak * _GIB,
    argument_bytes=0.75 * _GIB,
    donated_bytes=0.7 * _GIB,
    memory={"parameters": 0.7 * _GIB, "batch": 0.05 * _GIB},
    collectives=[Collective("all-gather", "fsdp", 12, 3e9, True)],
    compile_s=30.0,
    reason="",
  )
  return Compiled(**{**figures, **changes})


@pytest.fixture
def compiler(monkeypatch):
  """Stands in for a compiler: this machine's devices, and figures as they come."""
  figures = []
  monkeypatch.setattr(
    plan_compile,
    "target_devices",
    lambda topology: jax.devices()[: topology.num_devices],
  )
  monkeypatch.setattr(
    plan_compile, "compile_step", lambda run, topology: figures.pop(0)
  )
  # Of a search: each mesh is described.
  monkeypatch.setattr(plan_search, "_TENSOR", (1, 2))
  return figures


def _main(capsys, *argv):
  status = plan.main([_TINY, *argv])
  return status, capsys.readouterr()


def test_a_run_that_fits_is_told_in_words_and_json(capsys, compiler, tmp_path):
  compiler.append(_compiled())
  out = tmp_path / "plan.json"
  status, said = _main(capsys, "--topology=v5e:2x4", f"--json={out}")
  assert status == 0
  for line in (
    "preference, 0.00 B parameters and a reference of 0.00 B, on v5e:2x4"
    " (v5litepod-8): 8 devices of 15.75 GiB",
    "mesh data=1 fsdp=8 sequence=1 tensor=1; float32, remat none, attention xla;"
    " 8 rows of 256 tokens an update, in 1 part",
    "FITS: a peak of 1.00 of 15.75 GiB a device, 6%.",
    "  parameters                          0.70",
    "the state is written in place: 0.70 of 0.70 GiB\n",
    "  all-gather over fsdp                  12        3.00\n",
    "chip-hours, without evaluation and checkpoints",
  ):
    assert line in said.out
  figures = json.loads(out.read_text())
  assert figures["fits"] and figures["peak_bytes"] == _GIB
  assert figures["collectives"][0]["bytes"] == 3e9


def test_a_state_that_is_copied_is_marked(capsys, compiler):
  compiler.append(_compiled(donated_bytes=0.3 * _GIB))
  _, said = _main(capsys, "--topology=v5e:2x4")
  assert "in place: 0.30 of 0.70 GiB  NOT ALL OF IT" in said.out


def test_a_tight_fit_is_marked(capsys, compiler):
  compiler.append(_compiled(peak=15.0))
  status, said = _main(capsys, "--topology=v5e:2x4")
  assert status == 0 and "Tight: leave 8% for the runtime." in said.out


@pytest.mark.parametrize(("peak", "said"), [(50.0, False), (60.0, True)])
def test_a_gpu_needs_a_larger_pool_than_jax_takes(capsys, compiler, peak, said):
  compiler.append(_compiled(peak=peak))
  status, output = _main(capsys, "--topology=h100:8")
  assert status == 0 and "of 75.14 GiB a device" in output.out
  # 75 % of 79.1 GiB are 59.3, of which 8 % are left to fragmentation.
  needed = "start the run with XLA_PYTHON_CLIENT_MEM_FRACTION=0.95."
  assert (needed in output.out) == said


def test_a_run_that_does_not_fit_exits_with_3(capsys, compiler):
  compiler.append(_compiled(fits=False, reason="18.06G exceeds 15.75G."))
  status, said = _main(capsys, "--topology=v5e:2x4")
  assert status == 3
  assert "DOES NOT FIT: 18.06G exceeds 15.75G." in said.out
  assert "expected:" not in said.out


@pytest.mark.parametrize(
  ("argv", "said"),
  [
    ([], "--topology is missing: name one, such as v5p:4x4x4"),
    (["--topology=v5p-100"], "a v5p slice has no such size"),
    (["--topology=v5e-16", "--slices=0"], "--slices=0 must be at least 1"),
    (
      ["--topology=v5e-16", "--json=/no/such/x.json"],
      "in a folder that exists",
    ),
    (["--topology=h300:8"], "h300 is not one of a100, h100, h200, b200"),
    (["--topology=v5e-16", "--config.mesh.tensor=3"], "mesh data=1"),
    (["--topology=v5e-16", "--config.optim.lr=1"], "no field"),
  ],
)
def test_mistakes_end_in_a_sentence_and_status_1(
  capsys, monkeypatch, argv, said
):
  if "tensor" in argv[-1] if argv else False:
    monkeypatch.setattr(
      plan_compile, "target_devices", lambda topology: jax.devices()
    )
  status, output = _main(capsys, *argv)
  assert status == 1 and said in output.err and "Traceback" not in output.err


def test_rounds_are_planned_by_their_fit(capsys):
  status = plan.main(["--config=iterative_dpo_tiny", "--topology=v5e-16"])
  assert status == 1
  assert "its own algorithm, 'preference'" in capsys.readouterr().err


@pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is not None, reason="libtpu is installed"
)
def test_without_the_compiler_it_says_what_to_install(capsys):
  status, said = _main(capsys, "--topology=v5e-16")
  assert status == 1 and "pip install 'ramjax[plan]'" in said.err


def test_help_is_worth_reading(capsys):
  assert plan.main(["--help"]) == 0
  assert "Exit status: 0 it fits" in capsys.readouterr().out


def test_a_search_compiles_the_likely_ones_and_names_the_fastest(
  capsys, compiler
):
  compiler += [
    _compiled(fits=False, reason="too large"),
    _compiled(collectives=[Collective("all-reduce", "data", 1, 9e12, True)]),
    _compiled(),
    _compiled(),
    _compiled(),
  ]
  status, said = _main(capsys, "--topology=v5e:2x4", "--search")
  assert status == 0
  assert said.out.count("--config.mesh.data=1") == 4 + 1
  assert "does not fit" in said.out and "the fastest that fits:" in said.out
  # The first that fits, and two more: one is left.
  assert len(compiler) == 1


def test_a_search_in_which_nothing_fits_tells_what_comes_nearest(
  capsys, compiler, tmp_path
):
  # The compiler does not always say how much was wanted.
  compiler += [
    _compiled(peak=peak, fits=False, reason=f"{peak} GiB are too much.")
    for peak in (30.0, 20.0, 0.0)
  ]
  out = tmp_path / "plan.json"
  status, said = _main(
    capsys,
    *("--topology=v5e:2x4", "--search", "--compiles=3", f"--json={out}"),
  )
  assert status == 3 and "Nothing that was compiled fits." in said.out
  figures = json.loads(out.read_text())
  assert not figures["fits"] and figures["reason"] == "20.0 GiB are too much."
  assert figures["peak_bytes"] == 20 * _GIB


def test_a_search_tries_what_should_be_fastest_first(compiler):
  config = plan_search_config()
  topology = topologies.find_topology("v5e:2x4")
  ordered = plan_search._ordered(config, topology, jax.devices())
  estimates = [estimate for estimate, _ in ordered]
  assert estimates == sorted(estimates)
  # On so few tokens nothing is gained by computing anything again.
  assert ordered[0][1].remat in ("none", "dots") and ordered[0][1].parts == 1


def _overrides(config, topology):
  """Of all candidates of a search, in order."""
  ordered = plan_search._ordered(
    config, topologies.find_topology(topology), jax.devices()
  )
  return [candidate.overrides for _, candidate in ordered]


def test_a_search_keeps_how_rows_are_split_over_devices():
  config = plan_search_config()
  config.mesh.update(fsdp=1, sequence=8)
  config.data.batch_size = 1
  found = _overrides(config, "v5e:2x4")
  assert found and all(
    "mesh.data=1 --config.mesh.fsdp=1 --config.mesh.sequence=8" in overrides
    for overrides in found
  )
  # The rest of the devices, as `sequence` may be given, too.
  config.mesh.sequence = -1
  assert _overrides(config, "v5e:2x4") == found
  # A split that leaves devices over: they are the other axes'.
  config.mesh.update(fsdp=2, sequence=4)
  config.data.batch_size = 2
  found = _overrides(config, "v5e:2x4")
  assert {text.partition(" --config.model")[0] for text in found} == {
    "--config.mesh.data=1 --config.mesh.fsdp=2 --config.mesh.sequence=4"
    " --config.mesh.tensor=1",
    "--config.mesh.data=1 --config.mesh.fsdp=1 --config.mesh.sequence=4"
    " --config.mesh.tensor=2",
  }


def test_what_a_search_compiles_is_what_it_names(capsys, compiler):
  compiler += [_compiled()] * 3
  status, said = _main(
    capsys,
    *("--topology=v5e:2x4", "--search", "--config.mesh.fsdp=1"),
    *("--config.mesh.sequence=8", "--config.data.batch_size=1"),
  )
  assert status == 0
  assert "mesh data=1 fsdp=1 sequence=8 tensor=1; " in said.out


def test_the_config_as_given_is_a_candidate():
  config = plan_search_config()
  given = "mesh.data=8 --config.mesh.fsdp=1 --config.mesh.sequence=1"
  assert not any(given in found for found in _overrides(config, "v5e:2x4"))
  config.mesh.update(data=8, fsdp=1)
  (found,) = [f for f in _overrides(config, "v5e:2x4") if given in f]
  assert found.endswith("model.remat=none --config.data.num_microbatches=1")


def test_what_is_given_and_should_not_fit_comes_last(monkeypatch):
  config = plan_search_config()
  config.mesh.update(data=8, fsdp=1)
  monkeypatch.setattr(
    plan_search,
    "estimated_bytes",
    lambda run: 1e15 if run.mesh.shape["data"] == 8 else 1.0,
  )
  *others, last = _overrides(config, "v5e:2x4")
  assert "mesh.data=8" in last
  assert others and not any("mesh.data=8" in found for found in others)


def test_a_search_refuses_a_mesh_that_was_written_and_no_other():
  config = plan_search_config()
  config.mesh.sequence = 3
  with pytest.raises(ValueError, match="sequence=3, tensor=1 does not cover 8"):
    _overrides(config, "v5e:2x4")


def plan_search_config():
  from ramjax.configs import dpo_tiny

  return dpo_tiny.get_config()


def test_the_report_names_what_is_not_here():
  from ramjax.configs import dpo_llama3_1_8b
  from ramjax.trainers import abstract_run

  topology = topologies.find_topology("v5p:2x2x2")
  run = abstract_run.describe_run(dpo_llama3_1_8b.get_config(), jax.devices())
  floors = step_floors.step_floors(run, topology, [])
  text = plan_report.report(run, topology, _compiled(), floors)
  assert (
    "init.from_hf='Llama-3.1-8B-Instruct' is not here: its shape is that of"
    " model.preset" in text
  )
