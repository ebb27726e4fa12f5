# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of a reference on disk: the same numbers, or a refusal."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest
import tiny_objectives
from tiny_groups import CONFIG

from ramjax.configs import base
from ramjax.data import group_batches
from ramjax.models import sharding
from ramjax.trainers import reference_cache
from ramjax.trainers.group_data import GroupData
from ramjax.trainers.starting_model import Start

_FAMILY = tiny_objectives.FAMILIES["preference"]
_REFERENCE = tiny_objectives.random_params(CONFIG, 2)


def _config(folder):
  config = base.preference(dpo=dict(weight=1.0, beta=0.1))
  config.reference.cache = str(folder)
  config.data.batch_size = 8
  config.data.share_prompt = False
  config.loss.chunk_size = 16
  return config


def _data(**changed):
  groups = list(_FAMILY.groups)
  fields = dict(
    train=[groups[:3], groups[3:8]],
    train_rows=[],
    train_row_ids=[],
    weights=[1.0, 1.0],
    held_out=groups[8:],
    held_out_subsets=["a", "b"],
    held_out_rows=[],
    held_out_records=[],
    tokenizer=types.SimpleNamespace(digest="of the tokenizer"),
    row_length=64,
    summary={},
  )
  return GroupData(**{**fields, **changed})


def _use(
  folder,
  *,
  data=None,
  model_config=CONFIG,
  config=None,
  start=None,
  beat=lambda: None,
):
  mesh = sharding.make_mesh({"fsdp": 8})
  with jax.set_mesh(mesh):
    params = jax.device_put(
      _REFERENCE, jax.sharding.NamedSharding(mesh, jax.P())
    )
    return reference_cache.use(
      config or _config(folder),
      data or _data(),
      lambda: params,
      model_config,
      start or Start(None),
      mesh,
      beat=beat,
    )


def _ref_logps(data):
  groups = [*[g for source in data.train for g in source], *data.held_out]
  return np.stack([group.features["ref_logps"] for group in groups])


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
  """A folder with log-probabilities, and the data that came of making it."""
  folder = tmp_path_factory.mktemp("cache") / "made" / "here"
  return folder, _use(folder)


@pytest.fixture
def copied(filled, tmp_path):
  """The same folder, to be damaged."""
  for path in filled[0].iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  return tmp_path


def _nothing_computed(*args, **kwargs):
  raise AssertionError("computed again")


def test_what_is_read_is_what_was_computed(filled, monkeypatch):
  folder, first = filled
  monkeypatch.setattr(reference_cache, "_compute", _nothing_computed)
  np.testing.assert_array_equal(_ref_logps(_use(folder)), _ref_logps(first))
  assert {path.name for path in folder.iterdir()} == {
    "reference_logps.npy", "reference_logps.json",
  }  # fmt: skip


def test_each_batch_that_is_computed_is_a_sign_of_life(filled, tmp_path):
  beats = []
  data = _data(train=[4 * list(_FAMILY.groups)])
  _use(tmp_path, data=data, beat=lambda: beats.append("computed"))
  # The digests, the weights, and two batches of 8 rows.
  assert len(beats) == 4
  _use(tmp_path, data=data, beat=lambda: beats.append("read"))
  assert len(beats) == 5


def test_the_rest_of_the_data_stays_as_it_is(filled):
  _, data = filled
  for one, other in zip(data.train[1], _data().train[1], strict=True):
    assert one._replace(features={}) == other._replace(features={})
    assert one.features.keys() == {*other.features, "ref_logps"}
  assert [len(source) for source in data.train] == [3, 5]


def test_a_step_on_them_equals_one_that_runs_the_reference(filled):
  # Cached in packed rows over 8 devices, uncached in rows of their own.
  _, data = filled
  policy = tiny_objectives.random_params(CONFIG, 1)
  objective = _FAMILY.objective({"dpo": dict(weight=1.0, beta=0.1)})
  losses, refs = [], []
  for groups, reference in (
    ([*data.train[0], *data.train[1]], {}),
    (_FAMILY.groups[:8], _REFERENCE),
  ):
    (batch,) = group_batches.eval_batches(
      groups, row_length=64, share_prompt=False, batch_size=8, pack=False
    )

    @jax.jit
    def step(policy, reference, batch):
      key = jax.random.key(0)
      batch, _ = objective.prepare(policy, reference, {}, batch, key, 1)
      loss, _ = objective.loss_fn(policy, batch, key)
      return loss, batch.features["ref_logps"]

    loss, ref_logps = step(policy, reference, batch)
    losses.append(loss.value)
    # One group in the first of each row's places.
    refs.append(np.asarray(ref_logps[:, 0]))
  assert np.abs(refs[1]).max() > 10
  np.testing.assert_allclose(refs[0], refs[1], rtol=1e-6)
  np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def _other_tokenizer():
  tokenizer = types.SimpleNamespace(digest="of another")
  return dict(data=_data(tokenizer=tokenizer))


def _other_template():
  config = _config("")
  config.data.template = "llama3"
  return dict(config=config)


def _other_token():
  groups = list(_FAMILY.groups[:3])
  response = groups[1].responses[1].copy()
  response[0] += 1
  groups[1] = groups[1]._replace(responses=(groups[1].responses[0], response))
  return dict(data=_data(train=[groups, _data().train[1]]))


def _other_order():
  return dict(data=_data(train=_data().train[::-1]))


def _other_seed():
  config = _config("")
  config.seed = 1
  return dict(config=config)


@pytest.mark.parametrize(
  "name,change",
  [
    ("tokenizer", _other_tokenizer),
    ("template", _other_template),
    ("data", _other_token),
    ("data", _other_order),
    ("reference", _other_seed),
    (
      "shape",
      lambda: dict(model_config=dataclasses.replace(CONFIG, dtype="bfloat16")),
    ),
  ],
)
def test_numbers_of_something_else_are_refused_by_its_name(
  filled, name, change
):
  changed = change()
  if "config" in changed:
    changed["config"].reference.cache = str(filled[0])
  with pytest.raises(ValueError) as error:
    _use(filled[0], **changed)
  message = str(error.value)
  assert f"log-probabilities of another {name}." in message
  assert (
    str(filled[0]) in message and "or delete reference_logps.npy" in message
  )


def test_numbers_of_other_code_are_refused(filled, monkeypatch):
  monkeypatch.setattr(reference_cache, "_CODE", reference_cache._CODE[:-1])
  with pytest.raises(ValueError, match="of another code"):
    _use(filled[0])


def test_every_file_that_the_code_digest_names_exists(filled):
  key = json.loads((filled[0] / "reference_logps.json").read_text())
  assert len(key["code"]) == 64


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"data": 3}'])
def test_a_key_that_is_damaged_is_of_something_else(copied, text):
  (copied / "reference_logps.json").write_text(text)
  with pytest.raises(ValueError, match="of another reference, shape"):
    _use(copied)


def _truncated(path):
  path.write_bytes(path.read_bytes()[:-20])


def _missing(path):
  path.unlink()


def _with(change):
  def damage(path):
    np.save(path, change(np.load(path)), allow_pickle=False)

  return damage


def _one_nan(logps):
  logps[3, 1] = np.nan
  return logps


@pytest.mark.parametrize(
  "damage",
  [
    _truncated,
    _missing,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"PK\x03\x04 no archive"),
    lambda path: path.write_bytes(b"no array"),
    _with(lambda logps: logps[:-1]),
    _with(lambda logps: logps[:, :1]),
    _with(lambda logps: logps.reshape(-1)),
    _with(lambda logps: logps.astype(np.float64)),
    _with(_one_nan),
  ],
)
def test_a_damaged_file_is_refused(copied, damage):
  damage(copied / "reference_logps.npy")
  with pytest.raises(ValueError, match=r"reference_logps\.npy .*elete the"):
    _use(copied)


@pytest.mark.parametrize("killed_at", ["partial.npy", "partial.json"])
def test_what_a_kill_leaves_is_not_used(
  filled, tmp_path, monkeypatch, killed_at
):
  class Killed(BaseException):
    pass

  replace = type(tmp_path).replace
  logps = _ref_logps(filled[1])
  computed = []

  def compute(*args):
    computed.append(args)
    return logps

  def die(self, target):
    if self.name == killed_at:
      raise Killed
    return replace(self, target)

  monkeypatch.setattr(reference_cache, "_compute", compute)
  with monkeypatch.context() as patched:
    patched.setattr(type(tmp_path), "replace", die)
    with pytest.raises(Killed):
      _use(tmp_path)
  left = {path.name for path in tmp_path.iterdir()}
  assert killed_at in left and "reference_logps.json" not in left
  if (tmp_path / "reference_logps.npy").exists():
    np.save(tmp_path / "reference_logps.npy", np.zeros((10, 2), np.float32))
  np.testing.assert_array_equal(_ref_logps(_use(tmp_path)), logps)
  assert len(computed) == 2
  # From here on they are read.
  np.testing.assert_array_equal(_ref_logps(_use(tmp_path)), logps)
  assert len(computed) == 2


def test_a_reference_that_gives_no_number_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(
    reference_cache, "_compute", lambda *args: np.full((10, 2), np.nan)
  )
  with pytest.raises(ValueError, match="not finite"):
    _use(tmp_path)
  assert not list(tmp_path.iterdir())
