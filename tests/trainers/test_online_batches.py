# SPDX-License-Identifier: Apache-2.0
"""How rollouts are cut into updates, and go on where they were."""

import dataclasses
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
import pytest
import tiny_checkpoints
import tiny_rollouts
from tiny_checkpoints import PROGRESS

from ramjax.configs import base
from ramjax.evals.running_moments import RunningMoments
from ramjax.losses.kl_controller import adaptive_kl_coef
from ramjax.models import sharding
from ramjax.models.saved_digests import Damaged
from ramjax.trainers import good_step, online_batches, rollouts
from ramjax.trainers.checkpoint_folder import CheckpointFolder
from ramjax.trainers.checkpoint_step import ReadError
from ramjax.trainers.online_batches import OnlineBatches
from ramjax.trainers.run_error import PassingError

_STATE: Any = object()
_PROMPTS = 8


class _Maker:
  """Stands in for `RolloutMaker`: random rollouts, named by their prompts."""

  def __init__(self, extra=0):
    self.asked = []
    self._extra = extra

  def make(self, state, prompt_at, *, first_prompt, kl_coef, moments, check):
    assert state is _STATE
    num = _PROMPTS + self._extra
    prompts = [prompt_at(first_prompt + i) for i in range(num)]
    self.asked.append((first_prompt, kl_coef, moments, prompts))
    # Its number at the first answer token, to find the samples again.
    made = tiny_rollouts.random_rollout(seed=first_prompt)
    ids = np.arange(len(made.scores), dtype=np.float32)
    returns = np.where(made.mask, ids[:, None] + 1, 0).astype(np.float32)
    return rollouts.Made(
      rollout=tiny_rollouts.replaced(made, returns=returns),
      records=[{"first": first_prompt}],
      metrics={"rollout/score": float(first_prompt)},
      num_prompts=num,
      kl=3.0,
      moments=moments.update(made.scores),
    )


def _config(**fields):
  config = base.ppo()
  config.rollout.prompts = _PROMPTS
  config.rollout.max_new_tokens = 6
  config.data.batch_size = 4
  config.data.max_length = 14
  config.update_from_flattened_dict(fields)
  return config


def _mesh():
  return sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])


def _batches(workdir, config=None, maker=None, prompts=None, weights=(1.0,)):
  batches = OnlineBatches(
    config or _config(),
    workdir,
    prompts or [list(range(20))],
    list(weights),
    maker or _Maker(),
    _mesh(),
  )
  return batches


def _next(batches):
  return batches.next_batch(_STATE, lambda: None, lambda: None)


def _ids(batch):
  """The samples of a batch, by their `returns`."""
  found = batch.features["returns"][batch.features["returns"] > 0]
  return set((found - 1).astype(int).tolist())


def test_each_epoch_uses_every_sample_once_in_an_order_of_its_own(tmp_path):
  batches = _batches(tmp_path, _config(**{"rollout.epochs": 3}))
  parts = [_ids(_next(batches)[0]) for _ in range(12)]
  epochs = [parts[at : at + 2] for at in range(0, 12, 2)]
  for first, second in epochs:
    assert len(first) == len(second) == 4
    assert first | second == set(range(8))
  assert len({frozenset(first) for first, _ in epochs}) > 3


def _in_pairs(**fields):
  """Four prompts with two answers each."""
  return _config(
    **{"rollout.prompts": 4, "rollout.group_size": 2, "rollout.epochs": 3}
    | fields
  )


class _GroupMaker(_Maker):
  """The prompts of each `size` answers are the same."""

  def __init__(self, size):
    super().__init__()
    self._size = size

  def make(self, *args, **kwargs):
    made = super().make(*args, **kwargs)
    grouped = tiny_rollouts.grouped(made.rollout, self._size)
    return dataclasses.replace(made, rollout=grouped)


@pytest.mark.parametrize("share", [True, False])
def test_answers_behind_one_prompt_stay_together(tmp_path, share):
  config = _in_pairs(**{"data.share_prompt": share})
  batches = _batches(tmp_path, config, _GroupMaker(2))
  parts = [_next(batches)[0] for _ in range(12)]
  whole = [all(i ^ 1 in _ids(part) for i in _ids(part)) for part in parts]
  assert all(whole) == share
  assert [part.branch_ids is not None for part in parts] == [share] * 12
  for first, second in zip(parts[::2], parts[1::2], strict=True):
    assert _ids(first) | _ids(second) == set(range(8))
  assert len({frozenset(_ids(part)) for part in parts}) > 3


def test_an_update_may_end_within_a_group(tmp_path):
  config = _config(
    **{
      "rollout.prompts": 2,
      "rollout.group_size": 4,
      "data.batch_size": 2,
      "data.max_length": 20,
    }
  )
  batches = _batches(tmp_path, config, _GroupMaker(4))
  parts = [_ids(_next(batches)[0]) for _ in range(4)]
  assert [len(part) for part in parts] == [2] * 4
  assert set.union(*parts) == set(range(8))


def test_a_rollout_is_made_when_the_last_one_is_used_up(tmp_path):
  maker = _Maker()
  batches = _batches(tmp_path, _config(**{"rollout.epochs": 2}), maker)
  told = [_next(batches)[1] for _ in range(9)]
  assert [bool(metrics) for metrics in told] == [
    True, False, False, False, True, False, False, False, True,
  ]  # fmt: skip
  assert told[4] == {"rollout/score": 8.0, "rollout/kl_coef": 0.05}
  assert [first for first, *_ in maker.asked] == [0, 8, 16]
  written = sorted(path.name for path in (tmp_path / "rollouts").iterdir())
  assert written == ["000000.jsonl", "000001.jsonl", "000002.jsonl"]


def test_the_last_update_is_judged_before_the_policy_samples(tmp_path):
  maker = _Maker()
  batches = _batches(tmp_path, maker=maker)
  made_before = []
  for _ in range(4):
    batches.next_batch(
      _STATE, lambda: made_before.append(len(maker.asked)), lambda: None
    )
  assert made_before == [0, 1]


def test_prompts_that_a_rollout_left_out_are_not_asked_again(tmp_path):
  maker = _Maker(extra=3)
  batches = _batches(tmp_path, maker=maker)
  for _ in range(4):
    _next(batches)
  asked = [prompt for *_, prompts in maker.asked for prompt in prompts]
  # 22 of 20 prompts: each once, and two in the next epoch.
  assert sorted(asked[:20]) == list(range(20)) and len(asked) == 22
  assert asked[:20] != list(range(20))


def test_prompts_come_from_each_source_by_its_weight(tmp_path):
  maker = _Maker()
  sources = [list(range(20)), list(range(100, 120))]
  batches = _batches(tmp_path, maker=maker, prompts=sources, weights=(3, 1))
  for _ in range(10):
    _next(batches)
  asked = [prompt for *_, prompts in maker.asked for prompt in prompts]
  assert sum(prompt < 100 for prompt in asked) == 30


def test_weights_and_counts_are_those_of_the_whole_answers(tmp_path):
  for reduction, total in (("token", 28), ("sequence", 8), ("constant", 8)):
    batches = _batches(tmp_path, _config(**{"loss.reduction": reduction}))
    both = [_next(batches)[0] for _ in range(2)]
    counts = sum(batch.features["counts"].sum() for batch in both)
    np.testing.assert_allclose(counts, total, rtol=1e-6)
    weights = sum(batch.features["weights"].sum() for batch in both)
    expected = 28 / 6 if reduction == "constant" else total
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def _equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("stop", range(9))
def test_it_goes_on_within_a_rollout_as_if_never_stopped(tmp_path, stop):
  fields = {
    "rollout.epochs": 2,
    "loss.kl_target": 1.0,
    "loss.kl_horizon": 100,
  }
  whole = _batches(tmp_path / "whole", _config(**fields))
  (tmp_path / "whole").mkdir()
  (tmp_path / "cut").mkdir()
  expected = [_next(whole) for _ in range(11)]
  first = _batches(tmp_path / "cut", _config(**fields))
  found = [_next(first) for _ in range(stop)]
  position = first.get_state()
  maker = _Maker()
  second = _batches(tmp_path / "cut", _config(**fields), maker)
  second.set_state(position)
  assert second.get_state() == position
  found += [_next(second) for _ in range(11 - stop)]
  assert len(maker.asked) == 3 - (stop + 3) // 4
  for (batch, metrics), (other, told) in zip(found, expected, strict=True):
    _equal(batch, other)
    assert metrics == told
  assert second.get_state() == whole.get_state()


def _cut(path):
  path.write_bytes(path.read_bytes()[:-1])


def _put_another_there(path):
  shutil.copy(path.with_name("000000.npz"), path)


@pytest.fixture(name="saved", scope="module")
def _saved(tmp_path_factory):
  """Steps 3 and 6, which lie within the first two rollouts of four updates."""
  workdir = tmp_path_factory.mktemp("saved")
  batches = _batches(workdir, _config(**{"rollout.epochs": 2}))
  folder = CheckpointFolder(workdir / "steps", keep=3, keep_every=0)
  for step in range(1, 7):
    _next(batches)
    if step in (3, 6):
      folder.save(step, tiny_checkpoints.state(step), batches, PROGRESS)
  folder.close()
  return workdir


class _Reopened:
  """A copy of the folder, and what a run that is launched in it goes on from."""

  def __init__(self, saved, workdir):
    shutil.copytree(saved, workdir, dirs_exist_ok=True)
    self.file = workdir / "rollouts" / "000001.npz"
    self.folder = CheckpointFolder(workdir / "steps", keep=3, keep_every=0)
    self.batches = _batches(workdir, _config(**{"rollout.epochs": 2}))

  def restore(self):
    like = tiny_checkpoints.state(9)
    return good_step.restore_newest([self.folder], like, self.batches)


@pytest.fixture(name="reopened")
def _reopened(saved, tmp_path):
  made = _Reopened(saved, tmp_path)
  yield made
  made.folder.close()


@pytest.mark.parametrize(
  "damage,reason",
  [
    (_cut, "the digest of rollouts/000001.npz, "),
    (tiny_checkpoints.flip_a_bit, "the digest of rollouts/000001.npz, "),
    (_put_another_there, "the digest of rollouts/000001.npz, "),
    (pathlib.Path.unlink, "rollouts/000001.npz, the rollout that it lies"),
  ],
)
def test_a_step_whose_rollout_is_damaged_is_set_aside_for_the_one_before(
  reopened, tmp_path, damage, reason
):
  damage(reopened.file)
  found = reopened.restore()
  assert found is not None and found.step == 3
  (note,) = found.notes
  assert note.startswith(f"checkpoint of step 6 rejected: {reason}")
  assert note.endswith(f"it is now {tmp_path / 'steps' / '6.rejected'}")
  whole = _batches(tmp_path, _config(**{"rollout.epochs": 2}))
  expected = [_next(whole)[0] for _ in range(8)]
  for batch in expected[3:]:
    _equal(_next(reopened.batches)[0], batch)


def test_a_sound_rollout_is_gone_on_with(reopened):
  found = reopened.restore()
  assert found is not None and (found.step, found.notes) == (6, [])


def test_where_each_rollout_is_gone_no_step_is_set_aside(reopened):
  for path in reopened.file.parent.glob("*.npz"):
    path.unlink()
  with pytest.raises(good_step.NoGoodStepError, match=r"000000\.npz.* is gone"):
    reopened.restore()
  assert reopened.folder.steps() == [3, 6]


def test_a_rollout_that_cannot_be_read_now_sets_nothing_aside(reopened):
  reopened.file.unlink()
  reopened.file.symlink_to(reopened.file.name)
  with pytest.raises(ReadError, match=r"symbolic links.*rollouts/000001\.npz"):
    reopened.restore()
  assert reopened.folder.steps() == [3, 6]


def test_a_rollout_that_the_first_process_alone_sees_sets_nothing_aside(
  reopened, monkeypatch
):
  reopened.file.unlink()

  def of_first(make):
    return make() or True  # What this one does not see, the first one does.

  monkeypatch.setattr(online_batches.processes, "first_tells", of_first)
  monkeypatch.setattr(online_batches.processes, "_SHARED_SECONDS", 0)
  with pytest.raises(PassingError, match="process 0 sees it"):
    reopened.restore()
  assert reopened.folder.steps() == [3, 6]


def test_a_position_of_an_earlier_version_has_no_digest_and_is_gone_on_with(
  tmp_path,
):
  first = _batches(tmp_path)
  _next(first)
  position = first.get_state()
  del position["rollout_sha256"]
  second = _batches(tmp_path)
  second.set_state(position)
  _equal(_next(second)[0], _next(first)[0])
  _cut(tmp_path / "rollouts" / "000000.npz")
  with pytest.raises(Damaged, match=r"000000\.npz, .* cannot be read"):
    second.set_state(position)


def test_moments_and_coefficient_go_from_rollout_to_rollout(tmp_path):
  maker = _Maker()
  fields = {"loss.kl_target": 6.0, "loss.kl_horizon": 100}
  batches = _batches(tmp_path, _config(**fields), maker)
  for _ in range(4):
    _next(batches)
  moments = RunningMoments()
  expected = adaptive_kl_coef(
    kl_coef=0.05, kl=3.0, target=6.0, horizon=100, num_samples=8
  )
  assert maker.asked[0][1:3] == (0.05, moments)
  assert maker.asked[1][1] == expected < 0.05
  assert maker.asked[1][2].count == 8


def test_the_position_between_rollouts_needs_no_file(tmp_path):
  batches = _batches(tmp_path)
  _next(batches), _next(batches)
  state = batches.get_state()
  assert (state["number"], state["update"], state["num_prompts"]) == (1, 0, 8)
  assert not list(tmp_path.glob("rollouts/*.npz"))


def test_a_rollout_of_other_sizes_is_not_gone_on_with(tmp_path):
  batches = _batches(tmp_path, _config(**{"rollout.epochs": 2}))
  for _ in range(3):
    _next(batches)
  position = batches.get_state()
  fewer = _batches(tmp_path, _config(**{"rollout.epochs": 1}))
  with pytest.raises(ValueError, match="after 3 updates on a rollout of 8"):
    fewer.set_state(position)
  more = _batches(tmp_path, _config(**{"rollout.prompts": 16}))
  with pytest.raises(ValueError, match="of 16, 1 together, for 4 updates"):
    more.set_state(position)


def test_groups_of_other_answers_are_not_gone_on_with(tmp_path):
  batches = _batches(tmp_path, _in_pairs(), _GroupMaker(2))
  for _ in range(3):
    _next(batches)
  position = batches.get_state()
  fours = {"rollout.prompts": 2, "rollout.group_size": 4}
  for fields, now in ((fours, 4), ({"data.share_prompt": False}, 1)):
    others = _batches(tmp_path, _in_pairs(**fields), _GroupMaker(2))
    with pytest.raises(ValueError, match=f"2 together, .* 8, {now} together"):
      others.set_state(position)


@pytest.mark.parametrize(
  "fields,message",
  [
    (
      {"rollout.prompts": 6},
      "is 6 answers, which updates of data.batch_size=4",
    ),
    ({"rollout.prompts": 0}, "rollout.prompts=0 must be at least 1"),
    ({"rollout.group_size": 0}, "rollout.group_size=0 must be at least 1"),
    ({"rollout.epochs": 0}, "rollout.epochs=0 must be at least 1"),
    ({"loss.kl_target": 1.0, "loss.kl_horizon": 1}, "Raise the horizon"),
  ],
)
def test_sizes_that_do_not_fit_are_refused_beforehand(
  tmp_path, fields, message
):
  with pytest.raises(ValueError, match=message):
    _batches(tmp_path, _config(**fields))
