# SPDX-License-Identifier: Apache-2.0
"""Which modules patterns choose, and the shortest patterns for modules."""

import pytest

from ramjax.models import peft_targets

NAMES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj")
MODULES = [f"model.layers.{i}.{name}" for i in range(12) for name in NAMES]
MODULES.append("lm_head")


def _chosen(targets, **fields):
  """As (layer, last part of the name)."""
  found = peft_targets.chosen({"target_modules": targets, **fields}, MODULES)
  return [
    (int(name.split(".")[2]), name.rpartition(".")[2]) if "." in name else name
    for name in found
  ]


def _all(*names):
  return [(i, name) for i in range(12) for name in names]


@pytest.mark.parametrize(
  "targets,expected",
  [
    (["q_proj"], _all("q_proj")),
    (["mlp.up_proj", "lm_head"], [*_all("up_proj"), "lm_head"]),
    (["1.mlp.up_proj"], [(1, "up_proj")]),
    (["model.layers.1.mlp.up_proj"], [(1, "up_proj")]),
    ("all-linear", _all("q_proj", "v_proj", "up_proj")),
    ("ALL-LINEAR", _all("q_proj", "v_proj", "up_proj")),
    (r".*\.1\..*[qv]_proj", [(1, "q_proj"), (1, "v_proj")]),
    ("lm_head", ["lm_head"]),
  ],
)
def test_targets_are_suffixes_or_one_expression(targets, expected):
  assert _chosen(targets) == expected


def test_layers_are_chosen_by_number():
  one = [(1, "q_proj")]
  assert _chosen(["q_proj"], layers_to_transform=1) == one
  assert _chosen(["q_proj"], layers_to_transform=[1]) == one
  assert (
    _chosen(["q_proj"], layers_to_transform=[1], layers_pattern="layers") == one
  )
  assert _chosen(["q_proj"], layers_to_transform=[]) == _all("q_proj")
  # Names in full are exempt, as in PEFT.
  assert _chosen(["q_proj", "lm_head"], layers_to_transform=0) == [
    (0, "q_proj"),
    "lm_head",
  ]
  with pytest.raises(ValueError, match="names no linear layer"):
    _chosen(["q_proj"], layers_to_transform=[1], layers_pattern=["h"])


def test_excluded_modules_are_left_out():
  targets, rest = ["q_proj", "up_proj"], _all("q_proj")
  assert _chosen(targets, exclude_modules=["up_proj"]) == rest
  assert _chosen(targets, exclude_modules=r".*mlp.*") == rest


@pytest.mark.parametrize(
  "fields,message",
  [
    ({"target_modules": None}, "target_modules=None names no linear"),
    ({"target_modules": []}, "names no linear"),
    ({"target_modules": ["c_attn"]}, "names no linear"),
    ({"target_modules": "q_proj"}, "names no linear"),
    ({"target_modules": {"q_proj": 1}}, "must be a list of names"),
    ({"target_modules": [1]}, "must be a list of names"),
    (
      {"target_modules": "all-linear", "layers_to_transform": [1]},
      "to be a list",
    ),
    (
      {"target_modules": ["q_proj"], "layers_to_transform": ["1"]},
      "whole numbers",
    ),
    (
      {"target_modules": ["q_proj"], "layers_to_transform": True},
      "whole numbers",
    ),
  ],
)
def test_what_chooses_nothing_or_is_no_pattern_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    peft_targets.chosen(fields, MODULES)


def _names(name, layers):
  return [f"model.layers.{i}.{name}" for i in layers]


def test_shortest_targets_by_hand():
  every = range(12)
  shortest = peft_targets.shortest_targets
  both = _names(NAMES[0], every) + _names(NAMES[2], every)
  assert shortest([*both, "lm_head"], 12) == (
    ["q_proj", "up_proj", "lm_head"],
    None,
  )
  assert shortest(_names(NAMES[0], [1, 3]), 12) == (["q_proj"], [1, 3])
  assert shortest(["lm_head"], 12) == (["lm_head"], None)
  # Different layers for different names: no list of suffixes says that.
  mixed = _names(NAMES[0], [1, 3]) + _names(NAMES[2], [1])
  assert shortest(mixed, 12) == (mixed, None)


def test_shortest_pattern_by_hand():
  q, v = _names(NAMES[0], [0, 1]), _names(NAMES[1], [0, 1])
  assert peft_targets.shortest_pattern(
    {q[0]: 4, q[1]: 4, v[0]: 2, v[1]: 2, "lm_head": 4}
  ) == (4, {"v_proj": 2})
  assert peft_targets.shortest_pattern({q[0]: 4, q[1]: 1, v[0]: 4}) == (
    4,
    {q[1]: 1},
  )
