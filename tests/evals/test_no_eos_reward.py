# SPDX-License-Identifier: Apache-2.0
"""No-EOS reward: only the answer that was cut off pays."""

from ramjax.evals.answers import Answer
from ramjax.evals.no_eos_reward import no_eos_reward


def test_an_answer_cut_off_pays_and_one_that_ended_does_not():
  answers = [Answer((), "x", {}, finished, 1) for finished in (True, False)]
  assert no_eos_reward(answers) == [0.0, -1.0]
