# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: everything comes back, bit for bit, also on another mesh."""

import dataclasses
import hashlib
import pathlib
import shutil

import jax
import numpy as np
import pytest

from ramjax.data.batches import train_batches
from ramjax.data.tokenize_rows import Example
from ramjax.models import (
  llama,
  open_model,
  sharding,
  source_params,
  tensors,
  weights,
)
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_writer import HFWriter
from ramjax.models.run_folder import RunFolder
from ramjax.trainers import optimizers, state_items
from ramjax.trainers.checkpoints import Checkpoints
from ramjax.trainers.good_step import NoGoodStepError
from ramjax.trainers.state import CRITIC, init_state

_CONFIG = LlamaConfig(
  vocab_size=32,
  width=16,
  mlp_width=32,
  num_layers=1,
  num_heads=4,
  num_kv_heads=4,
  head_dim=8,
)
_OPTIMIZER = optimizers.make_optimizer(
  "adamw",
  lambda _: 0.1,
  b1=0.9,
  b2=0.95,
  eps=1e-8,
  weight_decay=0.1,
  clip_norm=1.0,
)
_V0 = pathlib.Path(__file__).parent.parent / "golden" / "checkpoint_v0"
# SHA-256 of its parameters, read by Orbax alone, in the order of their names.
_V0_PARAMS = "5bdda18ac0edba17d79bfc4c1e682b9a9b722b2fae35494b0408d5094f8370fe"
_PROGRESS = {"tokens": 2**40, "supervised_tokens": 7, "elapsed_s": 1.5}


def _state(mesh, *, seed=0, with_ema=True, **options):
  params = llama.init_params(_CONFIG, jax.random.key(seed), mesh)
  return init_state(
    params, _OPTIMIZER, mesh=mesh, seed=seed, with_ema=with_ema, **options
  )


def _batches():
  examples = [
    Example(np.full(3 + i, i + 1, np.int32), np.arange(3 + i) > 1, 0)
    for i in range(9)
  ]
  return train_batches(
    [examples], weights=[1.0], length=16, batch_size=2, pack=True, seed=0
  )


def _assert_equal(one, other):
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
      a, b = jax.random.key_data(a), jax.random.key_data(b)
    np.testing.assert_array_equal(a, b)


# Each mesh once, and an average or none; the rest of the table is slow.
@pytest.mark.parametrize(
  "axes,with_ema",
  [
    ({"data": 2, "tensor": 4}, True),
    pytest.param({"fsdp": 8}, False, marks=pytest.mark.slow),
    pytest.param({"data": 2, "tensor": 4}, False, marks=pytest.mark.slow),
    pytest.param({"fsdp": 8}, True, marks=pytest.mark.slow),
  ],
)
def test_everything_comes_back_on_any_mesh(tmp_path, axes, with_ema):
  saved_on = sharding.make_mesh({"fsdp": 4, "tensor": 2})
  state = _state(saved_on, seed=1, with_ema=with_ema)
  batches = _batches()
  next(batches), next(batches)
  checkpoints = Checkpoints(tmp_path, keep=1, keep_every=0)
  checkpoints.save(5, state, batches, _PROGRESS)
  following = next(batches)
  checkpoints.close()

  mesh = sharding.make_mesh(axes)
  like = _state(mesh, seed=2, with_ema=with_ema)
  fresh = _batches()
  checkpoints = Checkpoints(tmp_path, keep=1, keep_every=0)
  assert checkpoints.latest_step() == 5
  restored, progress = checkpoints.restore(5, like, fresh)
  _assert_equal(restored, state)
  assert progress == _PROGRESS
  np.testing.assert_array_equal(next(fresh).tokens, following.tokens)
  kernel = restored.params["layers"]["mlp"]["up"]["kernel"]
  assert kernel.sharding.mesh.shape == mesh.shape
  for opened in (checkpoints, batches, fresh):
    opened.close()


def test_a_moving_reference_and_carried_scalars_come_back(tmp_path):
  mesh = sharding.make_mesh({"fsdp": 8})
  options = dict(with_ema=False, moving_reference=True)
  state = _state(mesh, seed=1, carried={"bco/mean": -2.5}, **options)
  batches = _batches()
  checkpoints = Checkpoints(tmp_path, keep=1, keep_every=0)
  checkpoints.save(2, state, batches, _PROGRESS)
  like = _state(mesh, seed=2, carried={"bco/mean": 0.0}, **options)
  restored, _ = checkpoints.restore(2, like, batches)
  _assert_equal(restored, state)
  assert restored.carried["bco/mean"] == -2.5
  checkpoints.close()
  batches.close()


def _with_critic(mesh, *, seed, **options):
  """A state of policy and critic, as PPO has it."""
  shape = dataclasses.replace(_CONFIG, num_labels=1)
  params = llama.init_params(_CONFIG, jax.random.key(seed), mesh)
  critic = llama.init_params(shape, jax.random.key(seed + 10), mesh)
  return init_state(
    {**params, CRITIC: critic}, _OPTIMIZER, mesh=mesh, seed=seed, **options
  )


@pytest.mark.parametrize(
  "with_ema", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_a_critic_comes_back_and_the_policy_is_readable_alone(
  tmp_path, with_ema
):
  mesh = sharding.make_mesh({"fsdp": 8})
  options = dict(with_ema=with_ema, moving_reference=True)
  state = _with_critic(mesh, seed=1, **options)
  # Another model than the policy: no reference follows it.
  assert CRITIC not in state.moving and CRITIC in state.params
  batches = _batches()
  checkpoints = Checkpoints(tmp_path, keep=1, keep_every=0)
  checkpoints.save(2, state, batches, _PROGRESS)
  like = _with_critic(mesh, seed=2, **options)
  restored, _ = checkpoints.restore(2, like, batches)
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  _assert_equal(restored, state)
  checkpoints.close()
  batches.close()

  weights.save_config(tmp_path, _CONFIG)
  policy = {k: x for k, x in state.params.items() if k != CRITIC}
  params = source_params.load_params(RunFolder(tmp_path), mesh)
  assert params.keys() == policy.keys()
  jax.tree.map(np.testing.assert_array_equal, params, policy)
  if with_ema:
    average = source_params.load_params(RunFolder(tmp_path, average=True), mesh)
    assert average.keys() == policy.keys()
  # A Hugging Face folder of the policy, and of nothing else.
  source = RunFolder(tmp_path)
  (tmp_path / "hf").mkdir()
  tensors.copy(source, HFWriter(tmp_path / "hf", _CONFIG, source.specs))
  exported = open_model.open_model(tmp_path / "hf")
  params = source_params.load_params(exported, mesh)
  exported.close()
  jax.tree.map(np.testing.assert_array_equal, params, policy)


def test_a_reference_that_stays_is_not_saved(tmp_path):
  mesh = sharding.make_mesh({"fsdp": 8})
  params = llama.init_params(_CONFIG, jax.random.key(7), mesh)
  state = _state(mesh, with_ema=False, reference=params)
  batches = _batches()
  checkpoints = Checkpoints(tmp_path, keep=1, keep_every=0)
  checkpoints.save(2, state, batches, _PROGRESS)
  restored, _ = checkpoints.restore(2, state, batches)
  assert restored.reference is params and restored.moving == {}
  saved = (tmp_path / "checkpoints/2/train/_METADATA").read_text()
  assert "reference" not in saved and "moving" not in saved
  checkpoints.close()
  batches.close()


def test_parameters_are_readable_without_the_trainer(tmp_path):
  mesh = sharding.make_mesh({"fsdp": 8})
  state = _state(mesh)
  batches = _batches()
  checkpoints = Checkpoints(tmp_path, keep=1, keep_every=0)
  checkpoints.save(3, state, batches, _PROGRESS)
  checkpoints.close()
  batches.close()
  weights.save_config(tmp_path, _CONFIG)
  params = source_params.load_params(RunFolder(tmp_path), mesh)
  _assert_equal(params, state.params)
  average = source_params.load_params(RunFolder(tmp_path, average=True), mesh)
  _assert_equal(average, state.ema)


def test_only_the_newest_and_the_periodic_ones_are_kept(tmp_path):
  mesh = sharding.make_mesh({"fsdp": 8})
  state = _state(mesh, with_ema=False)
  batches = _batches()
  checkpoints = Checkpoints(tmp_path, keep=2, keep_every=4)
  for step in (2, 4, 6, 8, 10, 12, 14):
    checkpoints.save(step, state, batches, _PROGRESS)
  checkpoints.close()
  batches.close()
  assert weights.checkpoint_steps(tmp_path) == [4, 8, 12, 14]


def test_a_save_cut_off_in_the_middle_is_ignored_and_can_be_done_again(
  tmp_path,
):
  mesh = sharding.make_mesh({"fsdp": 8})
  state = _state(mesh, with_ema=False)
  batches = _batches()
  checkpoints = Checkpoints(tmp_path, keep=2, keep_every=0)
  checkpoints.save(1, state, batches, _PROGRESS)
  checkpoints.close()
  torn = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
  (torn / "params").mkdir(parents=True)
  checkpoints = Checkpoints(tmp_path, keep=2, keep_every=0)
  assert checkpoints.latest_step() == 1
  checkpoints.save(2, state, batches, _PROGRESS)
  checkpoints.close()
  batches.close()
  assert weights.checkpoint_steps(tmp_path) == [1, 2]


@pytest.mark.parametrize("keep,keep_every", [(0, 0), (1, -1)])
def test_a_policy_that_keeps_nothing_is_refused(tmp_path, keep, keep_every):
  with pytest.raises(ValueError, match="checkpoint"):
    Checkpoints(tmp_path, keep=keep, keep_every=keep_every)


def test_a_checkpoint_of_the_first_version_loads_and_is_said_not_proven(
  tmp_path,
):
  shutil.copytree(_V0 / "checkpoints", tmp_path / "checkpoints")
  checkpoints = Checkpoints(tmp_path, keep=2, keep_every=0)
  like = _state(
    sharding.make_mesh({"fsdp": 1}, jax.devices()[:1]), seed=2, with_ema=False
  )
  batches = _batches()
  found = checkpoints.restore_latest(like, batches)
  assert found.step == 5 and found.progress == _PROGRESS
  (note,) = found.notes
  assert "has no digests" in note and "not proven" in note
  _assert_is_v0(found.state)
  checkpoints.save(6, found.state, batches, dict(_PROGRESS))
  checkpoints.wait()
  again = checkpoints.restore_latest(like, batches)
  assert (again.step, again.notes) == (6, [])
  _assert_is_v0(again.state)
  checkpoints.close()
  batches.close()


def test_what_is_read_takes_the_place_of_the_first_state(tmp_path, monkeypatch):
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  reference = llama.init_params(_CONFIG, jax.random.key(7), mesh)
  fresh = _state(mesh, reference=reference)
  checkpoints, batches = Checkpoints(tmp_path, keep=2, keep_every=0), _batches()
  started = checkpoints.restore_latest(fresh, batches).state
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(started))
  checkpoints.save(1, started, batches, _PROGRESS)
  checkpoints.wait()
  replaced = jax.tree.leaves((fresh.params, fresh.opt_state, fresh.ema))
  read, gone = state_items.read, []

  def watched(*args):
    gone.append(all(leaf.is_deleted() for leaf in replaced))
    return read(*args)

  monkeypatch.setattr(state_items, "read", watched)
  found = checkpoints.restore_latest(fresh, batches).state
  checkpoints.close()
  batches.close()
  assert len(gone) == 3 and all(gone)
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(found))


def test_checkpoints_that_were_seen_and_are_gone_start_no_run(
  tmp_path, monkeypatch
):
  fresh = _state(sharding.make_mesh({"fsdp": 1}, jax.devices()[:1]))
  checkpoints, batches = Checkpoints(tmp_path, keep=2, keep_every=0), _batches()
  with monkeypatch.context() as seen:
    seen.setattr(checkpoints, "latest_step", lambda: 3)
    assert checkpoints.any_there()
  with pytest.raises(NoGoodStepError, match="there a moment ago and are gone"):
    checkpoints.restore_latest(fresh, batches)
  assert not checkpoints.any_there()
  assert checkpoints.restore_latest(fresh, batches).step is None
  checkpoints.close()
  batches.close()


def _assert_is_v0(state):
  leaves = [
    np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state.params)
  ]
  assert hashlib.sha256(b"".join(leaves)).hexdigest() == _V0_PARAMS
  assert jax.random.key_data(state.key).tolist() == [0, 1]
