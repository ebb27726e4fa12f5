# SPDX-License-Identifier: Apache-2.0
"""Evaluation of an online run: greedy, of the average, told in full."""

import types
from typing import Any

import numpy as np
import pytest
import tiny_model_folder
import tiny_objectives

from ramjax.configs import base
from ramjax.data import tasks
from ramjax.data.rows import Message
from ramjax.data.tokenizers import load_tokenizer
from ramjax.evals import rewards
from ramjax.trainers.prompt_data import Prompt, PromptData
from ramjax.trainers.prompt_evaluator import PromptEvaluator
from ramjax.trainers.state import CRITIC

_CONFIG = tiny_model_folder.CONFIG


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  """Three held-out prompts, the first of a task that can be verified."""
  root = tmp_path_factory.mktemp("tokenizer")
  tiny_model_folder.write(root / "model")
  tokenizer = load_tokenizer(root / "model/tokenizer.model")
  held_out = []
  for i in range(3):
    text = f"word {i} and"
    ids = [tokenizer.bos_id, *tokenizer.encode(text, at_start=True)]
    record = {"i": i}
    if i == 0:
      (task,) = tasks.generate_tasks(num_tasks=1, seed=0)
      record = tasks.task_record(task)
    held_out.append(
      Prompt(np.array(ids, np.int32), (Message("user", text),), record)
    )
  return PromptData(
    train=[[]],
    weights=[1.0],
    held_out=held_out,
    tokenizer=tokenizer,
    stop_tokens=(tokenizer.eos_id,),
    summary={},
  )


def _tokens_reward(answers):
  return [float(answer.num_tokens) for answer in answers]


def _evaluator(data, reward=_tokens_reward, **fields):
  config = base.ppo()
  config.data.max_length = 20
  config.rollout.num_slots = 4
  config.rollout.temperature = 0.5
  config.rollout.max_new_tokens = 4
  config.evals.max_new_tokens = 4
  config.evals.num_samples = 2
  config.update_from_flattened_dict(fields)
  found = rewards.find_rewards(
    {"tokens": dict(weight=2.0)} if reward else {}, {"tokens": reward}
  )
  return PromptEvaluator(config, _CONFIG, data, found)


def _state() -> Any:
  params = tiny_objectives.random_params(_CONFIG, 1)
  return types.SimpleNamespace(eval_params={**params, CRITIC: {}})


def test_figures_and_samples_of_greedy_answers(data):
  evaluator = _evaluator(data)
  metrics, samples = evaluator.evaluate(_state(), 7)
  assert metrics["eval/score"] == 2 * metrics["eval/response_tokens"]
  assert metrics["eval/rewards/tokens"] == metrics["eval/response_tokens"]
  assert 0 <= metrics["eval/finished"] <= 1
  # Only the first prompt has a verifier.
  assert metrics["eval/verified_accuracy"] in (0.0, 1.0)
  assert [sample["index"] for sample in samples] == [0, 1]
  assert {sample["step"] for sample in samples} == {7}
  assert samples[0]["prompt"] == "word 0 and"
  assert samples[0]["kind"] == data.held_out[0].record["task"]["kind"]
  assert samples[0]["verified"] in (True, False)
  assert samples[1]["kind"] is None and samples[1]["verified"] is None
  # Greedy: the same again.
  assert evaluator.evaluate(_state(), 7) == (metrics, samples)


def _ids_reward(answers):
  return [float(sum(map(ord, answer.response))) for answer in answers]


def test_sampled_answers_are_told_beside_the_greedy_ones(data):
  evaluator = _evaluator(data, _ids_reward, **{"evals.sample": True})
  both, samples = evaluator.evaluate(_state(), 7)
  greedy, shown = _evaluator(data, _ids_reward).evaluate(_state(), 7)
  assert samples == shown
  sampled = {k: v for k, v in both.items() if k.startswith("eval/sampled/")}
  assert {k: v for k, v in both.items() if k not in sampled} == greedy
  assert {k.replace("sampled/", "") for k in sampled} == set(greedy)
  # Drawn, so others; but at every step the same draws.
  assert sampled["eval/sampled/score"] != greedy["eval/score"]
  assert evaluator.evaluate(_state(), 8)[0] == both


def test_a_sampled_answer_is_drawn_as_in_a_rollout(data):
  def sampled(**fields):
    fields = {"evals.sample": True, **fields}
    return _evaluator(data, _ids_reward, **fields).evaluate(_state(), 7)[0]

  # The likeliest token alone is left to draw.
  found = sampled(**{"rollout.top_k": 1})
  assert found["eval/sampled/score"] == found["eval/score"]
  # Another temperature draws others, and as long as in a rollout.
  assert (
    sampled(**{"rollout.temperature": 3.0})["eval/sampled/score"]
    != sampled()["eval/sampled/score"]
  )
  short = sampled(**{"rollout.max_new_tokens": 2})
  assert short["eval/sampled/response_tokens"] <= 2


def test_without_rewards_there_is_no_score(data):
  metrics, samples = _evaluator(
    data, reward=None, **{"evals.num_prompts": 1}
  ).evaluate(_state(), 0)
  assert "eval/score" not in metrics and metrics["eval/response_tokens"] > 0
  assert len(samples) == 1


def test_answers_end_where_the_row_does(data):
  longest = max(len(prompt.tokens) for prompt in data.held_out)
  metrics, _ = _evaluator(
    data,
    **{"evals.max_new_tokens": 100, "data.max_length": longest + 2},
  ).evaluate(_state(), 0)
  assert metrics["eval/response_tokens"] <= 2


def test_nothing_is_evaluated_where_nothing_is_held_out(data):
  evaluator = _evaluator(data, **{"evals.num_prompts": 0})
  assert evaluator.evaluate(_state(), 0) == ({}, [])
