# SPDX-License-Identifier: Apache-2.0
"""Runs that start from a model's folder: whole, with adapters, continued."""

import contextlib
import dataclasses
import json
import shutil
import threading
from unittest import mock

import jax
import numpy as np
import pytest
import tiny_model_folder
from tiny_loop import make_watch
from tiny_model_folder import CONFIG

from ramjax.models import (
  fingerprint,
  hf_names,
  open_model,
  run_adapters,
  sharding,
  tensors,
)
from ramjax.models.hf_folder import HFFolder
from ramjax.models.tensors import TensorError
from ramjax.trainers import (
  from_config,
  launch,
  processes,
  reference_cache,
  references,
  run,
)
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.first_state import FirstState
from ramjax.trainers.starting_model import Start
from ramjax.trainers.watchdog import Watchdog

_OVERRIDES = {
  "data.sources.main.path": "tasks:200?seed=0",
  "data.sources.main.eval_rows": 8,
  "data.max_length": 64,
  "data.batch_size": 8,
  "data.template": "plain",
  "optim.learning_rate": 1e-2,
  "optim.warmup_steps": 1,
  "run.total_steps": 4,
  "run.log_every": 2,
  "evals.every_steps": 2,
  "evals.num_prompts": 0,
  "checkpoint.every_steps": 2,
}
_ADAPTERS = {
  "lora.rank": 2,
  "lora.targets": "('query','mlp/up')",
  "lora.rank_pattern": "(('layers/0/mlp/up',1),)",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """The same weights as a Hugging Face folder and as a run's."""
  root = tmp_path_factory.mktemp("models")
  tiny_model_folder.write(root / "hf")
  tiny_model_folder.write(root / "run", as_run=True)
  return root


@pytest.fixture(scope="module")
def train():
  """Runs the command line; returns its exit status."""

  def run(workdir, **overrides):
    fields = _OVERRIDES | overrides | {"run.compilation_cache": ""}
    return launch.main(
      [
        "--config=sft_from_hf",
        f"--workdir={workdir}",
        *(f"--config.{name}={value}" for name, value in fields.items()),
      ]
    )

  return run


@pytest.fixture(scope="module")
def adapted(folders, train):
  """A finished run with adapters."""
  workdir = folders / "adapted"
  assert train(workdir, **{"init.from_hf": folders / "hf"}, **_ADAPTERS) == 0
  return workdir


@pytest.fixture(scope="module")
def whole(folders, train):
  """A finished run that trained every weight."""
  assert train(folders / "whole", **{"init.from_hf": folders / "hf"}) == 0
  return folders / "whole"


def _evals(workdir):
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  entries = [json.loads(line) for line in lines]
  return {e["step"]: e["eval/loss"] for e in entries if "eval/loss" in e}


def _arrays(source):
  return {
    name: source.rows(name, 0, spec.shape[0])
    for name, spec in source.specs.items()
  }


@pytest.mark.slow
def test_both_kinds_of_folder_give_the_same_run(folders, train):
  for field, name in (("init.from_hf", "hf"), ("init.from_run", "run")):
    other = {"init.from_hf": "", field: folders / name}
    assert train(folders / f"from_{name}", **other) == 0
  assert _evals(folders / "from_hf") == _evals(folders / "from_run")


def test_with_adapters_the_run_starts_where_the_base_is(whole, adapted):
  assert _evals(adapted)[0] == pytest.approx(_evals(whole)[0], rel=1e-6)


def test_adapters_learn(adapted):
  losses = _evals(adapted)
  assert losses[4] < losses[2] < losses[0]


def test_checkpoints_hold_the_adapters_alone(adapted):
  metadata = (adapted / "checkpoints/4/params/_METADATA").read_text()
  assert "lora_a" in metadata and "embedding" not in metadata
  assert "kernel" not in metadata


def test_the_opened_run_is_the_base_plus_what_was_learned(folders, adapted):
  base = _arrays(HFFolder(folders / "hf"))
  merged = _arrays(open_model.open_model(adapted))
  leaves = run_adapters.load(adapted).params["layers"]
  up, query = leaves["mlp"]["up"], leaves["attention"]["query"]
  # Alpha 16 over rank 1 in layer 0 and over rank 2 in layer 1.
  for layer, scale in ((0, 16.0), (1, 8.0)):
    name = f"model.layers.{layer}.mlp.up_proj.weight"
    update = scale * (up["lora_a"][layer] @ up["lora_b"][layer]).T
    assert np.abs(update).max() > 1e-4
    np.testing.assert_allclose(merged[name], base[name] + update, atol=1e-6)
  assert not up["lora_a"][0][:, 1].any() and not up["lora_b"][0][1].any()
  update = 8.0 * (query["lora_a"][1] @ query["lora_b"][1]).T
  name = "model.layers.1.self_attn.q_proj.weight"
  np.testing.assert_allclose(merged[name], base[name] + update, atol=1e-6)
  name = "model.layers.1.mlp.down_proj.weight"
  np.testing.assert_array_equal(merged[name], base[name])


def test_a_continued_run_equals_one_that_never_stopped(folders, train, adapted):
  again = folders / "again"
  shutil.copytree(adapted, again)
  shutil.rmtree(again / "checkpoints/4")
  assert train(again, **{"init.from_hf": folders / "hf"}, **_ADAPTERS) == 0
  first, second = (run_adapters.load(w).params for w in (adapted, again))
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_a_run_that_goes_on_does_not_read_what_it_began_with(
  folders, train, whole, monkeypatch
):
  again = folders / "whole_again"
  shutil.copytree(whole, again)
  shutil.rmtree(again / "checkpoints/4")
  monkeypatch.setattr(run.initial_weights, "load", None)
  assert train(again, **{"init.from_hf": folders / "hf"}) == 0
  first, second = (_arrays(open_model.open_model(w)) for w in (whole, again))
  assert first.keys() == second.keys()
  for name, array in first.items():
    np.testing.assert_array_equal(array, second[name])


@pytest.mark.parametrize("name", ["whole", "adapted"])
def test_weights_of_another_step_are_not_read_as_those_of_this_one(
  folders, request, name
):
  damaged = folders / f"damaged_{name}"
  shutil.copytree(request.getfixturevalue(name), damaged)
  shutil.rmtree(damaged / "checkpoints/4/params")
  shutil.copytree(
    damaged / "checkpoints/2/params", damaged / "checkpoints/4/params"
  )
  with pytest.raises(TensorError, match=r"not, bit for bit, what was saved"):
    opened = open_model.open_model(damaged)
    # It reads a row of each matrix, and what is read later counts as well.
    fingerprint.fingerprint(opened)
    _arrays(opened)
  _arrays(open_model.open_model(damaged, step=2))


def _read_half(source, number):
  rows = source.specs["model.embed_tokens.weight"].shape[0]
  start = rows // 2 * number
  source.rows("model.embed_tokens.weight", start, start + rows // 2)


# A model, and how to the run that holds its embedding.
_OF_RUNS = [
  pytest.param("whole", lambda opened: opened, id="run"),
  pytest.param(
    "adapted_run",
    lambda opened: opened.base,
    id="adapters",
    marks=pytest.mark.slow,
  ),
]


@pytest.mark.parametrize(("name", "stored"), _OF_RUNS)
@pytest.mark.parametrize("other_is_sound", [True, False])
def test_what_processes_read_of_a_run_between_them_is_compared(
  request, monkeypatch, name, stored, other_is_sound
):
  start = Start(request.getfixturevalue(name))
  other = start.open()
  _read_half(other, 1)
  ((array, part),) = (told := stored(other).parts_read()).items()
  if not other_is_sound:
    part["sums"][0] ^= 1
  monkeypatch.setattr(processes, "gather", lambda own: [own, told])
  ends = contextlib.nullcontext()
  if not other_is_sound:
    ends = pytest.raises(TensorError, match=f"digest of params/{array} is not")
  with ends, start.reading() as source:
    _read_half(source, 0)


def test_a_run_is_not_continued_on_another_base(
  folders, train, adapted, capsys
):
  moved = folders / "moved"
  shutil.copytree(adapted, moved)
  model = tiny_model_folder.RandomModel(CONFIG, dtype="float32", seed=1)
  kept = (folders / "hf/model.safetensors").read_bytes()
  try:
    (folders / "hf/model.safetensors").unlink()
    writer = tiny_model_folder.HFWriter(folders / "hf", CONFIG, model.specs)
    tensors.copy(model, writer)
    assert train(moved, **{"init.from_hf": folders / "hf"}, **_ADAPTERS) == 1
    assert "initial_weights.fingerprint" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is not the one that the adapters"):
      open_model.open_model(adapted)
  finally:
    (folders / "hf/model.safetensors").write_bytes(kept)


def test_a_missing_base_is_named(adapted, folders, tmp_path):
  lost = tmp_path / "lost"
  shutil.copytree(adapted, lost)
  record = json.loads((lost / "base.json").read_text())
  record["folder"] = str(tmp_path / "gone")
  (lost / "base.json").write_text(json.dumps(record))
  with pytest.raises(FileNotFoundError, match=r"gone, which does not exist"):
    open_model.open_model(lost)


def test_every_tensor_of_the_base_is_covered_by_the_merge(adapted):
  source = open_model.open_model(adapted)
  assert set(source.specs) == set(hf_names.hf_shapes(CONFIG))


def test_a_classifier_is_not_trained_as_a_language_model(
  folders, train, capsys
):
  config = dataclasses.replace(CONFIG, num_labels=1)
  tiny_model_folder.write(folders / "classifier", config)
  workdir = folders / "refused"
  assert train(workdir, **{"init.from_hf": folders / "classifier"}) == 1
  assert "num_labels=1" in capsys.readouterr().err
  assert not workdir.exists()


def test_a_folder_that_a_converter_made_is_not_overwritten(
  folders, train, capsys
):
  target = folders / "converted"
  tiny_model_folder.write(target, as_run=True)
  kept = (target / "model.json").read_bytes()
  assert train(target, **{"init.from_hf": folders / "hf"}) == 1
  assert "would overwrite it" in capsys.readouterr().err
  assert (target / "model.json").read_bytes() == kept
  open_model.open_model(target).close()


def test_the_watchdog_looks_on_before_the_first_step(
  folders, train, monkeypatch, capsys
):
  told = []

  class _Told(Watchdog):
    def during(self, doing):
      told.append(doing)
      assert "watchdog" in {thread.name for thread in threading.enumerate()}
      return super().during(doing)

  def enough(*args):
    raise ValueError("enough was seen")

  monkeypatch.setattr(from_config, "Watchdog", _Told)
  monkeypatch.setattr(Checkpoints, "restore_latest", enough)
  assert train(folders / "watched", **{"init.from_hf": folders / "hf"}) == 1
  assert "enough was seen" in capsys.readouterr().err
  assert told == [
    "reading the data", "describing the models", "opening the checkpoints",
    "reading the weights", "opening the batches", "the restore",
  ]  # fmt: skip
  assert "watchdog" not in {thread.name for thread in threading.enumerate()}


def test_the_watchdog_looks_on_while_a_reference_is_asked(
  tmp_path, monkeypatch
):
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  watch, told = make_watch(tmp_path, mesh), []

  def use(*args, beat):
    told.append((watch.watchdog._now.doing, beat))

  monkeypatch.setattr(reference_cache, "use", use)
  reference = references.Reference(None, CONFIG, None)
  first = FirstState(None, CONFIG, None, mesh, Start(None), None, {}, None)
  run._with_cached_reference(first, None, None, reference, watch)
  assert told == [("the reference's log-probabilities", watch.watchdog.beat)]


def test_a_state_that_was_read_to_go_on_is_not_read_again(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(run, "_describe_model", lambda *_: None)
  watch = make_watch(
    tmp_path, sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  )
  first = mock.Mock(config=None, model_config=CONFIG)
  checkpoints = mock.Mock(any_there=lambda: True)
  first.to_restore.return_value = {"frozen": np.ones(2)}
  state, began = run._begin(first, checkpoints, tmp_path, {}, watch)
  assert began() is state and not first.read.called
  first.to_restore.return_value = {"params": jax.ShapeDtypeStruct((2,), "int8")}
  _, began = run._begin(first, checkpoints, tmp_path, {}, watch)
  assert began() is first.read.return_value


def test_a_run_does_not_start_from_its_own_folder(whole, train, capsys):
  own = {"init.from_hf": "", "init.from_run": whole}
  allow = {"run.allow_config_change": True}
  assert train(whole, **own, **allow) == 1
  assert "is the --workdir itself" in capsys.readouterr().err


@pytest.fixture(scope="module")
def adapted_run(folders, train, whole):
  """A finished run with adapters on another's checkpoint, which is not its last."""
  older = {"init.from_hf": "", "init.from_run": whole}
  chosen = {"init.step": 2, "run.total_steps": 2}
  workdir = folders / "on_step_2"
  assert train(workdir, **older, **chosen, **_ADAPTERS) == 0
  return workdir


@pytest.mark.slow
def test_adapters_know_the_checkpoint_they_began_with(adapted_run):
  # The base has a newer checkpoint, which is not taken for it.
  assert json.loads((adapted_run / "base.json").read_text())["step"] == 2
  base = open_model.open_model(adapted_run).base
  assert base.step == 2


@pytest.mark.slow
def test_a_name_that_is_no_url_is_read_back(folders, train):
  workdir = folders / "lr50%#1"
  quick = {"run.total_steps": 2, "init.from_hf": folders / "hf"}
  assert train(workdir, **quick) == 0
  source = open_model.open_model(workdir)
  source.rows("model.norm.weight", 0, 4)
