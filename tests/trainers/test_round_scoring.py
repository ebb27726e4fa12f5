# SPDX-License-Identifier: Apache-2.0
"""What answers are worth: rewards, a reward model and a judge, summed."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_model_folder
from tiny_model_folder import CONFIG

from ramjax.configs import base
from ramjax.data.rows import Message
from ramjax.data.tokenizers import load_tokenizer
from ramjax.evals import rewards
from ramjax.evals.answers import Answer
from ramjax.models import heads, llama, sharding, source_params
from ramjax.trainers import round_scoring
from ramjax.trainers.prompt_data import Prompt
from ramjax.trainers.round_roles import Roles
from ramjax.trainers.round_sampling import Policies
from ramjax.trainers.starting_model import Start


@pytest.fixture(scope="module")
def models(tmp_path_factory):
  """A language model and a reward model of its vocabulary."""
  root = tmp_path_factory.mktemp("models")
  tiny_model_folder.write(root / "policy")
  tiny_model_folder.write(
    root / "reward", dataclasses.replace(CONFIG, num_labels=1), as_run=True
  )
  return root


def _config():
  config = base.rounds(
    base.preference(dpo=dict(weight=1.0, beta=0.1)),
    select=dict(name="best_and_worst"),
    rewards=dict(length=dict(weight=2.0, max_characters=3)),
  )
  config.data.max_length = 32
  config.rollout.num_slots = 4
  return config


def _scorer(config, models):
  terms = rewards.find_rewards(config.rewards.to_dict())
  tokenizer = load_tokenizer(models / "policy" / "tokenizer.model")
  return round_scoring.Scorer(
    config, Policies(config, CONFIG), tokenizer, terms
  )


def _asked():
  """Two prompts, an answer to each, as text and as ids."""
  prompts = [
    Prompt(np.arange(1, 1 + n, dtype=np.int32), (Message("user", "q"),), {})
    for n in (3, 5)
  ]
  answers = [
    Answer(prompt.messages, text, prompt.record, True, len(text))
    for prompt, text in zip(prompts, ("abc", "abcd"), strict=True)
  ]
  tokens = [np.array(ids, np.int32) for ids in ([7, 2], [9, 8, 7, 2])]
  return prompts, answers, tokens


def _roles(models, **roles):
  policy = Start(models / "policy")
  fields = dict(start=None, reference=None, reward_model=None, judge=None)
  return Roles(policy=policy, **{**fields, **roles})


def test_rewards_alone_are_the_score(models):
  scored = _scorer(_config(), models).score(_roles(models), *_asked())
  assert scored == [
    {"score": 2.0, "rewards": {"length": 1.0}},
    {"score": 0.0, "rewards": {"length": 0.0}},
  ]


@pytest.mark.slow
def test_a_reward_model_scores_the_last_token_of_prompt_and_answer(models):
  config = _config()
  config.reward_model.weight = -3.0
  start = Start(models / "reward", 0)
  roles = _roles(models, reward_model=start)
  prompts, answers, tokens = _asked()
  scored = _scorer(config, models).score(roles, prompts, answers, tokens)
  source = start.open()
  params = source_params.load_params(
    source, sharding.make_mesh({"fsdp": -1}), dtype="float32"
  )
  for i, worth in enumerate(scored):
    ids = np.concatenate([prompts[i].tokens, tokens[i]])[None]
    hidden = llama.apply(
      params,
      source.config,
      jnp.asarray(ids),
      positions=jnp.arange(ids.size)[None],
    )
    expected = float(heads.scores(params, hidden)[0, -1, 0])
    assert worth["rewards"]["model"] == pytest.approx(expected, rel=1e-4)
    total = 2.0 * worth["rewards"]["length"] - 3.0 * expected
    assert worth["score"] == pytest.approx(total, rel=1e-4)
  source.close()


def test_a_judge_without_a_verdict_leaves_no_score(models):
  config = _config()
  config.judge.role = "model"
  config.judge.template = "{prompt}{response}"
  config.judge.pattern = "^(never written)$"
  config.judge.max_new_tokens = 4
  roles = _roles(models, judge=Start(models / "policy"))
  scored = _scorer(config, models).score(roles, *_asked())
  assert [worth["score"] for worth in scored] == [None, None]
  assert scored[0]["rewards"] == {"length": 1.0, "judge": None}


def test_an_answer_too_long_for_the_judge_has_no_score_and_stops_nothing(
  models,
):
  config = _config()
  config.judge.role = "model"
  config.judge.template = "{prompt}{response}"
  config.judge.pattern = "^(never written)$"
  config.judge.max_new_tokens = 4
  prompts, answers, tokens = _asked()
  long = dataclasses.replace(answers[0], response="word " * 2000)
  roles = _roles(models, judge=Start(models / "policy"))
  scorer = _scorer(config, models)
  scored = scorer.score(roles, prompts, [long, answers[1]], tokens)
  assert [worth["rewards"]["judge"] for worth in scored] == [None, None]
  (alone,) = scorer.score(roles, prompts[:1], [long], tokens[:1])
  assert alone["score"] is None


def test_a_classifier_is_no_judge(models):
  config = _config()
  config.judge.role = "model"
  roles = _roles(models, judge=Start(models / "reward", 0))
  with pytest.raises(ValueError, match="name it in reward_model"):
    _scorer(config, models).score(roles, *_asked())


def test_a_reward_of_ones_own_is_not_named_like_a_part():
  own = {"judge": lambda answers: [0.0] * len(answers)}
  terms = rewards.find_rewards(dict(judge=dict(weight=1.0)), own)
  with pytest.raises(ValueError, match=r"rewards\.judge has the name"):
    round_scoring.refuse_unusable(_config(), terms)


def test_something_must_say_what_an_answer_is_worth():
  config = _config()
  with pytest.raises(ValueError, match="rewards is empty, reward_model names"):
    round_scoring.refuse_unusable(config, ())
  config.judge.role = "policy"
  round_scoring.refuse_unusable(config, ())
  config.judge.template = "?"
  with pytest.raises(ValueError, match=r"judge\.template"):
    round_scoring.refuse_unusable(config, ())
