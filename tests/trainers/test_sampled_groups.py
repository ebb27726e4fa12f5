# SPDX-License-Identifier: Apache-2.0
"""Samples as answers and as arrays: what is text, what is padding."""

import dataclasses

import numpy as np
import pytest
import tiny_rollouts

from ramjax.data.rows import Message
from ramjax.evals.answers import Answer
from ramjax.evals.rewards import Scores
from ramjax.models.sampler import Sample
from ramjax.trainers import run_error, sampled_groups
from ramjax.trainers.prompt_data import Prompt
from ramjax.trainers.sampled_groups import Group


class _Reader:
  """Stands in for a tokenizer: letters by their codes."""

  def decode(self, tokens):
    return "".join(map(chr, np.asarray(tokens).tolist()))


def _sample(text, finished=True, logp=-1.0):
  tokens = np.array(list(map(ord, text)), np.int32)
  logps = np.full(len(tokens), logp, np.float32)
  return Sample(tokens, logps, logps, finished)


def _prompt(num=2):
  return Prompt(
    np.arange(1, num + 1, dtype=np.int32), (Message("user", "?"),), {"i": num}
  )


@pytest.mark.parametrize(
  "text,finished,shown",
  [
    (" yes.\x02", True, "yes."),
    (" yes.\x03", True, "yes."),
    # Cut off at the most tokens: all of it is the answer's.
    (" yes and", False, "yes and"),
    ("\x02", True, ""),
  ],
)
def test_the_text_of_an_answer_is_without_what_ended_it(text, finished, shown):
  (answer,) = sampled_groups.to_answers(
    [_prompt()], [_sample(text, finished)], _Reader(), (2, 3)
  )
  assert answer == Answer(
    prompt=(Message("user", "?"),),
    response=shown,
    record={"i": 2},
    finished=finished,
    num_tokens=len(text),
  )


def test_behind_raw_text_an_answer_keeps_its_white_space():
  raw = Prompt(np.ones(1, np.int32), "2 + 2 =", {})
  (answer,) = sampled_groups.to_answers(
    [raw], [_sample(" 4\x02")], _Reader(), (2, 3)
  )
  assert answer.response == " 4"
  assert answer.prompt == (Message("user", "2 + 2 ="),)


def test_samples_are_padded_on_the_right():
  made = sampled_groups.unassessed(
    [_prompt(1), _prompt(3)], [_sample("ab"), _sample("c", logp=-2.0)], 3
  )
  assert made.prompts.tolist() == [[1, 0, 0], [1, 2, 3]]
  assert made.prompt_lengths.tolist() == [1, 3]
  assert made.responses.tolist() == [[97, 98, 0], [99, 0, 0]]
  assert made.response_lengths.tolist() == [2, 1]
  assert made.drawn_logps.tolist() == [[-1, -1, 0], [-2, 0, 0]]


@pytest.mark.parametrize("logp", [float("nan"), float("-inf")])
def test_what_was_drawn_from_no_distribution_is_refused(logp):
  sampled_groups.refuse_broken([_sample("ab")])
  with pytest.raises(run_error.NonFiniteError, match="an earlier checkpoint"):
    sampled_groups.refuse_broken([_sample("ab"), _sample("c", logp=logp)])


def _group(lengths, totals, seed):
  rollout = tiny_rollouts.random_rollout(lengths, seed=seed)
  total = np.array(totals, np.float32)
  return Group(
    [Answer((), f"{seed} {i}", {}, True, 1) for i in range(len(lengths))],
    rollout,
    Scores(total, {"a": total + 1}),
  )


def test_groups_with_prompts_of_any_length_become_one_rollout():
  groups = [
    _group([(2, 1), (2, 3)], [1, 2], 0),
    _group([(5, 2), (5, 1)], [3, 3], 1),
  ]
  assert [group.varies for group in groups] == [True, False]
  whole = sampled_groups.together(groups)
  assert [a.response for a in whole.answers] == ["0 0", "0 1", "1 0", "1 1"]
  assert whole.scores.total.tolist() == [1, 2, 3, 3]
  assert whole.scores.parts["a"].tolist() == [2, 3, 4, 4]
  assert whole.rollout.prompts.shape == (4, 5)
  assert not whole.rollout.prompts[:2, 2:].any()
  for k, group in enumerate(groups):
    part = sampled_groups.rows_of(whole.rollout, slice(2 * k, 2 * k + 2))
    for field in dataclasses.fields(part):
      found = getattr(part, field.name)
      other = getattr(group.rollout, field.name)
      if field.name == "prompts":
        found = found[:, : other.shape[1]]
      np.testing.assert_array_equal(found, other)
