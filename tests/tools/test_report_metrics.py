# SPDX-License-Identifier: Apache-2.0
"""The unit of a loss, for each algorithm."""

import pytest

from ramjax.tools import report_metrics


@pytest.mark.parametrize(
  ("algorithm", "logged", "unit"),
  [
    ("sft", "train/accuracy", "nats per token"),
    ("cut", "train/nll", "nats per token"),
    ("preference", "train/rewards/chosen", "per pair"),
    ("unpaired", "train/rewards/desirable", "per answer"),
    ("reward", "train/rewards/chosen", "per pair"),
    ("reward", "train/error", "per answer"),
    ("reward", "train/rewards/best_first", "per ranking"),
    (None, "eval/rewards/desirable", "per answer"),
    (None, "eval/rewards/chosen", "per pair"),
    (None, "train/grad_norm", ""),
    (["sft"], "train/grad_norm", ""),
  ],
)
def test_unit_of_the_loss_is_that_of_the_algorithm(algorithm, logged, unit):
  assert report_metrics.loss_unit(algorithm, {logged}) == unit
