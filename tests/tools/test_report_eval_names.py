# SPDX-License-Identifier: Apache-2.0
"""Names of a run's evaluations, without steps and models."""

from ramjax.evals.evaluation import Evaluation
from ramjax.tools import report_eval_names


def names(*folders_and_models, benchmark="mt_bench"):
  return report_eval_names.without_models(
    [
      (name, step, Evaluation(benchmark, model, {}))
      for name, step, model in folders_and_models
    ]
  )


def test_a_last_part_that_is_the_model_is_dropped():
  assert names(("mt/A-model", None, "A-model")) == ["mt"]
  # As the folder of a name with slashes is called.
  assert names(("mt/org_A", 3, "org/A")) == ["mt"]
  assert names(("mt/other", 3, "A")) == ["mt/other"]
  assert names(("A", None, "A")) == ["A"]


def test_the_opponent_of_a_model_stays():
  assert names(("mt/A_vs_gpt", 1, "A"), ("mt/A_vs_llama", 1, "A")) == [
    "mt/vs_gpt",
    "mt/vs_llama",
  ]


def test_models_that_would_share_a_name_keep_theirs():
  both = [("mt/A", 1, "A"), ("mt/B", 1, "B")]
  assert names(*both) == ["mt/A", "mt/B"]
  # Of one step each, they are one model over the run.
  assert names(("mt/A", 1, "A"), ("mt/B", 2, "B")) == ["mt", "mt"]
  assert names(*both, ("mt/C", 2, "C")) == ["mt/A", "mt/B", "mt"]
