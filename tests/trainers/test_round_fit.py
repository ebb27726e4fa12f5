# SPDX-License-Identifier: Apache-2.0
"""The config of a round's fit is whole, and bound to the round's models."""

import pathlib

import pytest

from ramjax.configs import base, sizes
from ramjax.trainers import round_fit
from ramjax.trainers.starting_model import Start

_TREES = {
  "sft": base.sft,
  "preference": lambda: base.preference(dpo=dict(weight=1.0, beta=0.1)),
  "unpaired": lambda: base.unpaired(kto=dict(weight=1.0)),
}


def _names(tree, prefix=""):
  found = set()
  for name, value in tree.items():
    inner = prefix + name
    if hasattr(value, "items") and inner not in ("data.sources", "loss.terms"):
      found |= _names(value, f"{inner}.")
    else:
      found.add(inner)
  return found


@pytest.mark.parametrize("algorithm", _TREES)
def test_the_tree_has_every_field_of_its_algorithm_again(algorithm):
  config = base.rounds(
    sizes.tiny(_TREES[algorithm]()), select=dict(name="best"), rewards={}
  )
  assert _names(round_fit.whole_tree(config)) == _names(_TREES[algorithm]())


def test_values_of_the_rounds_and_of_the_fit_meet_in_it():
  config = base.rounds(_TREES["sft"](), select=dict(name="best"), rewards={})
  config.seed = 3
  config.model.preset = "tiny"
  config.data.max_length = 99
  config.fit.optim.learning_rate = 0.5
  config.fit.run.total_steps = 7
  config.run.log_every = 2
  tree = round_fit.whole_tree(config, rows="r.jsonl", seed=8)
  assert (tree.seed, tree.model.preset) == (8, "tiny")
  assert (tree.data.max_length, tree.optim.learning_rate) == (99, 0.5)
  assert (tree.run.total_steps, tree.run.log_every) == (7, 2)
  assert [s.path for s in tree.data.sources.values()] == ["r.jsonl"]
  assert tree.evals.num_prompts == 0


def test_start_and_reference_are_named_by_the_kind_of_their_folder():
  config = base.rounds(
    _TREES["preference"](), select=dict(name="best_and_worst"), rewards={}
  )
  run = Start(pathlib.Path("runs/a"), 5)
  released = Start(pathlib.Path("llama"))
  tree = round_fit.whole_tree(config, start=run, reference=released)
  assert tree.init.from_run == str(pathlib.Path("runs/a").resolve())
  assert (tree.init.from_hf, tree.init.step) == ("", 5)
  assert tree.reference.from_hf == str(pathlib.Path("llama").resolve())
  assert (tree.reference.from_run, tree.reference.step) == ("", None)
  tree = round_fit.whole_tree(config, start=released)
  assert tree.reference.from_hf == tree.reference.from_run == ""
  assert tree.init.from_hf and not tree.init.from_run
