# SPDX-License-Identifier: Apache-2.0
"""The check of large configs: what it fails for, and that its cases are real."""

import importlib
import json
import operator

import pytest

from ramjax.tools import check_plans, plan_compile, topologies

_CASES = json.loads(check_plans._CASES.read_text())
_ACCEPTED = {"peak_gib": 10.0, "collectives": {"all-gather over fsdp": 5}}


def _measured(**changes):
  return {"compile_s": 1, **_ACCEPTED, **changes}


def test_the_same_figures_hold_and_fewer_do():
  assert not check_plans.violations(_measured(), _ACCEPTED, 16.0, "")
  fewer = _measured(peak_gib=9.0, collectives={})
  assert not check_plans.violations(fewer, _ACCEPTED, 16.0, "")


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    (dict(peak_gib=None), "it does not fit: too large"),
    (dict(peak_gib=10.3), "a peak of 10.3 GiB; accepted: 10.0"),
    (dict(peak_gib=14.8), "is more than 92% of 16.00 GiB"),
    (
      dict(collectives={"all-gather over fsdp": 6}),
      "6 all-gather over fsdp; accepted: 5",
    ),
    (
      dict(collectives={"all-to-all over tensor": 1}),
      "1 all-to-all over tensor; accepted: 0",
    ),
  ],
)
def test_more_than_was_accepted_fails(changes, said):
  wrong = check_plans.violations(
    _measured(**changes), _ACCEPTED, 16.0, "too large"
  )
  assert any(said in sentence for sentence in wrong)


def test_a_case_without_accepted_figures_fails():
  (wrong,) = check_plans.violations(_measured(), None, 16.0, "")
  assert "--write" in wrong


@pytest.mark.parametrize("case", _CASES, ids=check_plans._name)
def test_every_case_names_a_config_and_a_slice(case):
  module = importlib.import_module(f"ramjax.configs.{case['config']}")
  config = module.get_config()
  config.update_from_flattened_dict(case["overrides"])
  topology = topologies.find_topology(
    case["topology"], num_slices=case["slices"]
  )
  assert topology.num_slices == case["slices"]
  for name, value in case["overrides"].items():
    assert operator.attrgetter(name)(config) == value


def test_8b_and_70b_of_six_methods_are_checked_for_tpu():
  configs = {
    case["config"]
    for case in _CASES
    if topologies.find_topology(case["topology"]).device.platform == "tpu"
  }
  methods = ("sft", "reward", "dpo", "cringe", "pairwise_cringe", "ppo")
  assert configs == {
    f"{method}_llama3_1_{size}" for method in methods for size in ("8b", "70b")
  }


def test_a_case_that_there_is_not_is_an_error(capsys):
  assert check_plans.main(["--only=no such"]) == 1
  assert "no case has 'no such'" in capsys.readouterr().err


def test_what_cannot_be_compiled_here_is_said_and_does_not_pass(
  monkeypatch, capsys
):
  monkeypatch.setattr(plan_compile, "missing_compiler", lambda _: "install it.")
  assert check_plans.main([f"--only={_CASES[0]['config']}"]) == 1
  out = capsys.readouterr().out
  assert "not checked: install it." in out and "0 of 0 plans hold" in out
