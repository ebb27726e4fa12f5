# SPDX-License-Identifier: Apache-2.0
"""The critic: what it expects, where it comes from, what it shares."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_adapters
import tiny_model_folder
import tiny_objectives
import tiny_rollouts
from tiny_groups import CONFIG

from ramjax.configs import base
from ramjax.models import heads, llama, partition, sharding
from ramjax.models.lora_config import LoraConfig, LoraModule
from ramjax.trainers import critic, rollout_batches
from ramjax.trainers.state import CRITIC

_ADAPTED = tiny_adapters.adapted("lora")


def _one_device():
  return sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])


def _batch(places, vocab_size=CONFIG.vocab_size):
  rollout = tiny_rollouts.random_rollout(vocab_size=vocab_size)
  return rollout_batches.pack(rollout, np.arange(8), places, {})


def _rollout_places(length=16):
  return tiny_rollouts.packed(tiny_rollouts.random_rollout(), length)


def _equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_value_is_that_of_the_text_so_far_wherever_it_lies(tmp_path):
  config = critic.make_config(base.ppo(), CONFIG, tmp_path)
  assert config == dataclasses.replace(CONFIG, num_labels=1)
  own = tiny_objectives.random_params(config, 2)
  params = {**tiny_objectives.random_params(CONFIG, 1), CRITIC: own}
  rollout = tiny_rollouts.random_rollout()
  places = _rollout_places()
  batch = _batch(places)
  values = jax.jit(lambda p, b: critic.values(p, config, b))(params, batch)
  assert values.shape == (places.num_rows * 16,)
  found = rollout_batches.unpack(
    np.asarray(values).reshape(-1, 16), rollout, np.arange(8), places
  )
  rows = tiny_rollouts.plain_rows(rollout, 16)
  hidden = llama.apply(
    own,
    config,
    rows.tokens,
    positions=rows.positions,
    segment_ids=rows.segment_ids,
  )
  plain = np.asarray(heads.scores(own, hidden))[..., 0]
  for i, (prompt, response) in enumerate(tiny_rollouts.LENGTHS):
    for t in range(response):
      # Before token t is chosen, up to the token before it.
      expected = plain[i, prompt + t - 1]
      np.testing.assert_allclose(found[i, t], expected, atol=2e-5)


def test_without_adapters_it_starts_as_a_copy_of_the_policy(tmp_path):
  config = base.ppo()
  shape = critic.make_config(config, CONFIG, tmp_path)
  policy = jax.tree.map(jnp.asarray, tiny_objectives.random_params(CONFIG, 1))
  own = critic.init_params(config, shape, policy, {}, _one_device(), tmp_path)
  assert not np.asarray(own["score"]["kernel"]).any()
  assert own["score"]["kernel"].shape == (CONFIG.width, 1)
  rest = {name: x for name, x in own.items() if name != "score"}
  _equal(rest, {name: x for name, x in policy.items() if name != "lm_head"})
  pointers = {x.unsafe_buffer_pointer() for x in jax.tree.leaves(rest)}
  # A step donates both: they must not be the same buffers.
  assert not pointers & {
    x.unsafe_buffer_pointer() for x in jax.tree.leaves(policy)
  }


def _started(tmp_path, policy=_ADAPTED):
  """(critic's config, trained with the critic, frozen)."""
  config = base.ppo()
  mesh = tiny_adapters.one_device()
  shape = critic.make_config(config, policy, tmp_path)
  params = tiny_adapters.started(policy)
  trained, frozen = partition.split(params, policy)
  own = critic.init_params(config, shape, trained, frozen, mesh, tmp_path)
  return shape, {**trained, CRITIC: own}, frozen


def test_beside_adapters_it_has_adapters_of_its_own_and_no_base(tmp_path):
  shape, trained, frozen = _started(tmp_path)
  own = trained[CRITIC]
  paths = {
    tuple(entry.key for entry in path)
    for path, _ in jax.tree_util.tree_leaves_with_path(own)
  }
  assert ("score", "kernel") in paths
  assert {path[-1] for path in paths if path[0] != "score"} == {
    "lora_a", "lora_b",
  }  # fmt: skip
  policy = {name: x for name, x in trained.items() if name != CRITIC}
  ours, theirs = (
    tree["layers"]["attention"]["query"]["lora_a"] for tree in (own, policy)
  )
  assert ours.shape == theirs.shape and (np.asarray(ours) != theirs).any()
  # What it computes is the base's, with that head.
  own["score"]["kernel"] = own["score"]["kernel"] + 0.1
  batch = _batch(_rollout_places(), vocab_size=48)
  values = critic.values(partition.join(trained, frozen), shape, batch)
  plain = dataclasses.replace(shape, lora=None)
  bare = {**partition.without_adapters(frozen), "score": own["score"]}
  bare.pop("lm_head")
  hidden = llama.apply(
    bare,
    plain,
    batch.tokens,
    positions=batch.positions,
    segment_ids=batch.segment_ids,
  )
  expected = heads.scores(bare, hidden)[..., 0].reshape(-1)
  np.testing.assert_allclose(values, expected, atol=1e-5)


def test_gradients_reach_its_adapters_and_head_and_not_the_policy(tmp_path):
  shape, trained, frozen = _started(tmp_path)
  rng = np.random.default_rng(0)
  trained = jax.tree.map(
    lambda x: x + rng.normal(0, 0.1, x.shape).astype(np.float32), trained
  )
  batch = _batch(_rollout_places(), vocab_size=48)

  def total(trained):
    params = partition.join(trained, frozen)
    return jnp.sum(jnp.square(critic.values(params, shape, batch) - 1))

  grads = jax.jit(jax.grad(total))(trained)
  for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
    has_gradient = bool(np.asarray(leaf).any())
    assert has_gradient == (path[0].key == CRITIC), path


def test_an_adapter_of_the_lm_head_is_the_policys_alone(tmp_path):
  policy = tiny_adapters.adapted("lm_head")
  shape, trained, _ = _started(tmp_path, policy)
  assert shape.lora is not None
  assert [module.name for module in shape.lora.modules] == ["attention/value"]
  assert "lm_head" in trained and "lm_head" not in trained[CRITIC]
  alone = LoraConfig((LoraModule("lm_head", (3,), (5.0,)),))
  with pytest.raises(
    ValueError, match=r"lora\.targets names the LM head alone"
  ):
    critic.make_config(
      base.ppo(), dataclasses.replace(CONFIG, lora=alone), tmp_path
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """A reward model of the tiny policy's vocabulary, and others."""
  root = tmp_path_factory.mktemp("critics")
  shape = dataclasses.replace(tiny_model_folder.CONFIG, num_labels=1, width=32)
  for name, fields in {
    "reward": {},
    "three": {"num_labels": 3},
    "language": {"num_labels": 0},
    "other": {"vocab_size": 384},
  }.items():
    tiny_model_folder.write(
      root / name, dataclasses.replace(shape, **fields), as_run=True
    )
  return root


def _from(folder):
  config = base.ppo()
  config.critic.from_run = str(folder)
  return config


def test_it_can_start_from_a_reward_model_of_another_size(folders, tmp_path):
  config = _from(folders / "reward")
  policy = dataclasses.replace(tiny_model_folder.CONFIG, remat="full")
  shape = critic.make_config(config, policy, tmp_path)
  assert (shape.width, shape.num_labels) == (32, 1)
  assert shape.remat == "full"  # How it is computed is the run's.
  own = critic.init_params(config, shape, {}, {}, _one_device(), tmp_path)
  assert own["score"]["kernel"].shape == (32, 1) and "lm_head" not in own
  assert np.asarray(own["score"]["kernel"]).any()


@pytest.mark.parametrize(
  "name,message",
  [
    ("three", "num_labels=3"),
    ("language", "num_labels=0"),
    ("other", "vocab_size=384: name a reward model with one score"),
  ],
)
def test_another_kind_of_model_is_refused(folders, tmp_path, name, message):
  config = _from(folders / name)
  with pytest.raises(ValueError, match=message):
    critic.make_config(config, tiny_model_folder.CONFIG, tmp_path)


def test_where_nothing_has_a_critic_none_may_be_named(folders, tmp_path):
  assert critic.make_config(base.grpo(), CONFIG, tmp_path) is None
  config = _from(folders / "reward")
  config.credit.name = "group"
  with pytest.raises(ValueError, match=r"credit\.name='group' has no critic"):
    critic.make_config(config, CONFIG, tmp_path)


def test_beside_adapters_none_may_be_named(folders, tmp_path):
  policy = dataclasses.replace(
    tiny_model_folder.CONFIG,
    lora=LoraConfig((LoraModule("mlp/up", (2, 2), (4.0, 4.0)),)),
  )
  with pytest.raises(ValueError, match=r"with lora\.rank the critic shares"):
    critic.make_config(_from(folders / "reward"), policy, tmp_path)


def test_a_run_that_goes_on_keeps_the_checkpoint_of_its_critic(
  folders, tmp_path
):
  folder = str((folders / "reward").resolve())
  record = {"critic": {"folder": folder, "step": 99}}
  (tmp_path / "manifest.json").write_text(json.dumps(record))
  # Not the newest, which is there: the one it began with, which is gone.
  with pytest.raises(FileNotFoundError, match="99"):
    critic.make_config(
      _from(folders / "reward"), tiny_model_folder.CONFIG, tmp_path
    )


def test_the_run_itself_cannot_be_its_own_critic(folders):
  config = _from(folders / "reward")
  with pytest.raises(ValueError, match="is the --workdir itself"):
    critic.make_config(config, tiny_model_folder.CONFIG, folders / "reward")
