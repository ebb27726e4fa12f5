# SPDX-License-Identifier: Apache-2.0
"""Several processes train as one, and go on with what any number of them saved."""

import json
import shutil

import jax
import numpy as np
import pytest
import tiny_processes
from tiny_processes import STEPS, Job

from ramjax.models import saved_digests, sharding, source_params
from ramjax.models.run_folder import RunFolder

pytestmark = pytest.mark.slow

_KINDS = ("sft", "dpo", "ppo")
# Sums in another order.
_TOLERANCE = 1e-5


def _job(root, name, **options):
  """The run of a kind, in a folder of its own."""
  kind = name.partition("_")[0]
  fields = {}
  if "cached" in name:
    fields["reference.cache"] = str(root / "logps")
  return Job(kind, str(root / name), fields, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  root = tmp_path_factory.mktemp("processes")
  tiny_processes.write_model(root)
  return root


@pytest.fixture(scope="module")
def two(folder):
  """Two processes with two devices each: every kind, straight and resumed."""
  root = folder / "two"
  root.mkdir()
  jobs = [_job(root, kind) for kind in _KINDS]
  jobs.append(_job(root, "dpo_cached"))
  jobs += [
    _job(root, f"{kind}_resumed", goes_on=str(root / kind)) for kind in _KINDS
  ]
  said = tiny_processes.run(jobs, folder, num_processes=2)
  assert said == [[""] * len(jobs)] * 2
  return root


@pytest.fixture(scope="module")
def one(folder, two):
  """One process with four devices; some runs go on with what two have saved."""
  root = folder / "one"
  root.mkdir()
  jobs = [_job(root, kind) for kind in _KINDS]
  jobs += [
    _job(root, f"{kind}_resumed", goes_on=str(two / kind))
    for kind in ("sft", "ppo")
  ]
  said = tiny_processes.run(jobs, folder, num_processes=1)
  assert said == [[""] * len(jobs)]
  return root


def _lines(workdir):
  text = (workdir / "metrics.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


def _figures(workdir, first_step=1):
  """Loss and gradient norm by step, and the last evaluation."""
  found = {}
  for line in _lines(workdir):
    if line["step"] >= first_step:
      found |= {
        (line["step"], name): value
        for name, value in line.items()
        if name in ("train/loss", "train/grad_norm", "train/tokens")
        or name.startswith("eval/")
      }
  return found


def _params(workdir):
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  return source_params.load_params(RunFolder(workdir, step=STEPS), mesh)


def _difference(one, other, first_step=1):
  """The largest of any figure and of any parameter."""
  left, right = _figures(one, first_step), _figures(other, first_step)
  assert left.keys() == right.keys()
  # A perplexity is some hundred: what counts is its share.
  figures = max(
    abs(left[name] - right[name]) / max(1.0, abs(left[name])) for name in left
  )
  weights = max(
    float(np.max(np.abs(np.asarray(a) - np.asarray(b))))
    for a, b in zip(
      jax.tree.leaves(_params(one)),
      jax.tree.leaves(_params(other)),
      strict=True,
    )
  )
  print(f"{one.parent.name}/{one.name}: figures {figures:.1e}", end=", ")
  print(f"parameters {weights:.1e}")
  return max(figures, weights)


@pytest.mark.parametrize("kind", _KINDS)
def test_two_processes_train_as_one(one, two, kind):
  assert _difference(two / kind, one / kind) <= _TOLERANCE


def test_a_cached_reference_is_the_one_in_the_step(two):
  assert _difference(two / "dpo_cached", two / "dpo") <= _TOLERANCE


@pytest.mark.parametrize("kind", _KINDS)
def test_resuming_equals_never_having_stopped_bit_for_bit(two, kind):
  assert _difference(two / f"{kind}_resumed", two / kind, STEPS // 2 + 1) == 0


@pytest.mark.parametrize("kind", ["sft", "ppo"])
def test_one_process_goes_on_with_what_two_saved(one, two, kind):
  found = _difference(one / f"{kind}_resumed", two / kind, STEPS // 2 + 1)
  assert found <= _TOLERANCE


def test_four_processes_go_on_with_what_two_saved_bit_for_bit(folder, two):
  root = folder / "four"
  root.mkdir()
  job = _job(root, "sft", goes_on=str(two / "sft"))
  said = tiny_processes.run([job], folder, num_processes=4)
  assert said == [[""]] * 4
  # The same four devices, in the same order.
  assert _difference(root / "sft", two / "sft", STEPS // 2 + 1) == 0


def test_weights_of_which_each_process_reads_a_half_must_be_those_saved(
  folder, two
):
  root, name = folder / "from_run", "layers/attention/output/kernel"
  shutil.copytree(two / "sft", root / "damaged")
  # What is read is sound, and other output projections were saved.
  step = root / "damaged" / "checkpoints" / str(STEPS)
  path = step / saved_digests.ITEM / saved_digests.file_name(1)
  record = json.loads(path.read_text())
  del record["sha256"]
  record["arrays"]["params"][name]["sums"][0] ^= 1
  path.write_text(saved_digests.seal(record))
  jobs = [
    Job(
      "sft",
      str(root / job),
      # Rows of these, as Hugging Face has them, lie on all four devices.
      {"init.from_hf": "", "init.from_run": str(model), "mesh.data": 1},
    )
    for job, model in [("a", two / "sft"), ("b", root / "damaged")]
  ]
  first, last = tiny_processes.run(jobs, folder, num_processes=2)
  assert first[0] == last[0] == ""
  for said in (first[1], last[1]):
    assert f"the digest of params/{name} is not the one saved" in said


def test_every_line_is_written_once(two):
  for kind in _KINDS:
    steps = [
      line["step"] for line in _lines(two / kind) if "train/loss" in line
    ]
    assert steps == list(range(1, STEPS + 1)), kind
  samples = (two / "sft" / "samples.jsonl").read_text().splitlines()
  # Three answers before the first step and three after the last.
  assert len(samples) == 6


def test_the_first_process_alone_is_asked_what_answers_are_worth(two):
  # Where others ask, the reward is 100 more.
  for path in sorted((two / "ppo" / "rollouts").glob("*.jsonl")):
    for line in path.read_text().splitlines():
      assert 0 <= json.loads(line)["rewards"]["own"] <= 2


def test_what_several_processes_cannot_do_is_refused_by_all(folder):
  root = folder / "refused"
  root.mkdir()
  jobs = [
    Job("sft", str(root / "a"), of_last={"optim.learning_rate": 0.5}),
    Job("sft", str(root / "b"), {"algorithm": "rounds"}),
  ]
  first, last = tiny_processes.run(jobs, folder, num_processes=2)
  assert first[0] == f"process 1 failed: {last[0]}"
  assert "optim.learning_rate: 0.003 there, 0.5 now" in last[0]
  assert first[1] == last[1]
  assert "algorithm='rounds' runs in one process, and there are 2" in first[1]
  assert not list(root.iterdir())
