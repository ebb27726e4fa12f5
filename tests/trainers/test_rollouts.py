# SPDX-License-Identifier: Apache-2.0
"""Rollouts of a tiny policy: seeds, rewards, what is recorded and told."""

import dataclasses
import types
from typing import Any

import jax
import numpy as np
import pytest
import tiny_model_folder
import tiny_objectives

from ramjax.configs import base
from ramjax.data.rows import Message
from ramjax.data.tokenizers import load_tokenizer
from ramjax.evals import rewards
from ramjax.evals.running_moments import RunningMoments
from ramjax.models import sharding
from ramjax.trainers import policy_objective, rollouts, run_error
from ramjax.trainers.prompt_data import Prompt
from ramjax.trainers.state import CRITIC

# All ids are the tokenizer's: none is banned, and nothing left out.
_CONFIG = dataclasses.replace(
  tiny_model_folder.CONFIG, vocab_size=300, width=16, mlp_width=16, num_layers=1
)
# So many that some answers of this nearly uniform policy end.
_STOPS = (2, 60, 90, 120, 150, 180, 210, 240)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  root = tmp_path_factory.mktemp("tokenizer")
  tiny_model_folder.write(root / "model")
  return load_tokenizer(root / "model/tokenizer.model")


def _length_reward(answers):
  return [float(answer.num_tokens) for answer in answers]


def _first_reward(answers):
  return [float(ord((answer.response or " ")[0]) % 2) for answer in answers]


def _same_reward(answers):
  """Alike within the groups of even prompts."""
  return [
    0.0 if answer.record["i"] % 2 == 0 else float(k)
    for k, answer in enumerate(answers)
  ]


_OWN = {"words": _length_reward, "first": _first_reward, "same": _same_reward}


def _config(make=base.grpo, **fields):
  config = make(words=dict(weight=1.0))
  config.rollout.prompts = 4
  config.rollout.group_size = 2
  config.rollout.max_new_tokens = 12
  config.rollout.num_slots = 8
  config.data.batch_size = 4
  config.data.max_length = 32
  config.update_from_flattened_dict(fields)
  return config


def _mesh():
  return sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])


class _Scorer:
  """Stands in for a reward model."""

  def score(self, rollout, frozen):
    return -rollout.response_lengths.astype(np.float32)


def _maker(
  config: Any,
  tokenizer: Any,
  terms: Any = None,
  scorer: Any = None,
  reference: bool = True,
) -> rollouts.RolloutMaker:
  terms = terms or {"words": dict(weight=1.0)}
  has_critic = config.credit.name == "gae"
  return rollouts.RolloutMaker(
    config,
    _CONFIG,
    tokenizer=tokenizer,
    stop_tokens=_STOPS,
    terms=rewards.find_rewards(terms, _OWN),
    reward_model=scorer,
    assess=policy_objective.make_assess(
      _CONFIG,
      temperature=config.rollout.temperature,
      chunk_size=16,
      reference_config=_CONFIG if reference else None,
      critic_config=(
        dataclasses.replace(_CONFIG, num_labels=1) if has_critic else None
      ),
    ),
    mesh=_mesh(),
  )


def _state(reference=1, **changed) -> Any:
  params = tiny_objectives.random_params(_CONFIG, 1)
  own = tiny_objectives.random_params(
    dataclasses.replace(_CONFIG, num_labels=1), 2
  )
  return types.SimpleNamespace(
    all_params={**params, CRITIC: own, **changed},
    frozen={},
    all_reference=tiny_objectives.random_params(_CONFIG, reference),
  )


def _prompt(tokenizer, i):
  text = f"word {i} and"
  ids = [tokenizer.bos_id, *tokenizer.encode(text, at_start=True)]
  return Prompt(np.array(ids, np.int32), (Message("user", text),), {"i": i})


def _make(maker, tokenizer, *, first=0, state=None, kl_coef=0.0, **options):
  options.setdefault("moments", RunningMoments())
  options.setdefault("check", lambda: None)
  return maker.make(
    state or _state(),
    lambda i: _prompt(tokenizer, i),
    first_prompt=first,
    kl_coef=kl_coef,
    **options,
  )


def _rows(rollout):
  return [
    rollout.responses[i, :length].tolist()
    for i, length in enumerate(rollout.response_lengths)
  ]


@pytest.fixture(scope="module")
def made(tokenizer):
  """A rollout of prompts 0 to 3, from a policy that is its reference."""
  return _make(_maker(_config(), tokenizer), tokenizer)


def test_a_prompts_answers_do_not_depend_on_the_others(made, tokenizer):
  maker = _maker(_config(), tokenizer)
  later = _make(maker, tokenizer, first=2)
  assert _rows(later.rollout)[:4] == _rows(made.rollout)[4:]
  # Nor on how many are asked at a time, or of the same prompt.
  alone = _config(**{"rollout.prompts": 2, "rollout.group_size": 4})
  more = _make(_maker(alone, tokenizer), tokenizer, first=2)
  assert _rows(more.rollout)[:2] == _rows(made.rollout)[4:6]
  # Two of a group are drawn apart; another seed is another draw.
  assert len(set(map(tuple, _rows(made.rollout)))) > 4
  other = _make(_maker(_config(seed=1), tokenizer), tokenizer)
  assert _rows(other.rollout) != _rows(made.rollout)


def test_answers_lie_after_their_prompts(made, tokenizer):
  rollout = made.rollout
  for i in range(8):
    tokens = _prompt(tokenizer, i // 2).tokens
    length = rollout.prompt_lengths[i]
    np.testing.assert_array_equal(rollout.prompts[i, :length], tokens)
    assert not rollout.prompts[i, length:].any()
  assert made.num_prompts == 4
  for name in ("old_logps", "ref_logps", "drawn_logps", "advantages"):
    assert not getattr(rollout, name)[~rollout.mask].any()
  assert (rollout.old_logps[rollout.mask] < 0).all()


def test_sampler_and_trainer_find_the_same_probabilities(made, tokenizer):
  assert made.metrics["rollout/sampler_gap_max"] < 1e-4
  warm = _config(**{"rollout.temperature": 0.6})
  metrics = _make(_maker(warm, tokenizer), tokenizer).metrics
  assert metrics["rollout/sampler_gap_max"] < 1e-4
  # And not where the sampler leaves tokens out.
  few = _config(**{"rollout.top_k": 3})
  metrics = _make(_maker(few, tokenizer), tokenizer).metrics
  assert metrics["rollout/sampler_gap"] > 0.1


def test_records_say_what_was_answered_and_what_it_was_worth(made, tokenizer):
  assert len(made.records) == 8
  for i, record in enumerate(made.records):
    assert record["prompt"] == [
      {"role": "user", "content": f"word {i // 2} and"}
    ]
    tokens = _rows(made.rollout)[i]
    assert record["num_tokens"] == len(tokens)
    assert record["finished"] == (tokens[-1] in _STOPS)
    assert record["finished"] or len(tokens) == 12
    shown = tokens[:-1] if record["finished"] else tokens
    assert record["response"] == tokenizer.decode(shown).strip()
    assert record["score"] == record["learned_score"] == len(tokens)
    assert record["rewards"] == {"words": float(len(tokens))}
  assert 0 < sum(record["finished"] for record in made.records) < 8


def test_figures_are_those_of_the_answers(made):
  rollout, metrics = made.rollout, made.metrics
  scores = rollout.response_lengths.astype(float)
  assert metrics["rollout/score"] == pytest.approx(scores.mean())
  assert metrics["rollout/score_std"] == pytest.approx(scores.std())
  assert metrics["rollout/rewards/words"] == pytest.approx(scores.mean())
  assert metrics["rollout/response_tokens"] == pytest.approx(scores.mean())
  assert metrics["rollout/entropy"] == pytest.approx(
    -rollout.old_logps[rollout.mask].mean()
  )
  groups = scores.reshape(4, 2)
  assert metrics["rollout/uniform_groups"] == np.mean(
    groups[:, 0] == groups[:, 1]
  )
  finished = np.mean([record["finished"] for record in made.records])
  assert metrics["rollout/finished"] == finished
  assert "rollout/explained_variance" not in metrics
  # The policy is its own reference.
  assert made.kl == metrics["rollout/kl"] == pytest.approx(0, abs=1e-6)


def test_the_divergence_is_that_of_whole_answers_and_costs_in_the_reward(
  tokenizer,
):
  config = _config(
    **{
      "loss.kl_in": "reward",
      "loss.kl_estimator": "k1",
      "credit.baseline": "none",
      "credit.scale": "none",
    }
  )
  state = _state(reference=3)
  maker = _maker(config, tokenizer)
  made = _make(maker, tokenizer, state=state, kl_coef=0.5)
  rollout = made.rollout
  apart = np.where(rollout.mask, rollout.old_logps - rollout.ref_logps, 0)
  assert made.kl == pytest.approx(apart.sum(axis=1).mean(), rel=1e-5)
  assert abs(made.kl) > 0.01
  worth = rollout.response_lengths - 0.5 * apart.sum(axis=1)
  np.testing.assert_allclose(rollout.advantages[:, 0], worth, rtol=1e-5)
  # As a term of the loss it costs nothing here.
  config.loss.kl_in = "loss"
  made = _make(maker, tokenizer, state=state, kl_coef=0.5)
  np.testing.assert_allclose(
    made.rollout.advantages[:, 0], rollout.response_lengths, rtol=1e-6
  )
  assert abs(made.kl) > 0.01


def test_without_a_reference_there_is_no_divergence(tokenizer):
  config = _config(**{"loss.kl_coef": 0.0, "loss.kl_estimator": "k1"})
  maker = _maker(config, tokenizer, reference=False)
  made = _make(maker, tokenizer, state=_state(reference=3))
  assert made.kl == 0
  np.testing.assert_array_equal(made.rollout.ref_logps, made.rollout.old_logps)


def test_scores_are_normalised_by_those_so_far_and_cut(tokenizer):
  config = _config(**{"scores.normalise": True, "scores.clip": 0.5})
  before = RunningMoments().update(np.array([0.0, 2.0, 4.0]))
  made = _make(_maker(config, tokenizer), tokenizer, moments=before)
  raw = made.rollout.response_lengths.astype(float)
  seen = np.concatenate([[0.0, 2.0, 4.0], raw])
  expected = np.clip((raw - seen.mean()) / seen.std(), -0.5, 0.5)
  np.testing.assert_allclose(made.rollout.scores, expected, rtol=1e-5)
  assert made.moments.count == 11
  # People are told both.
  assert made.records[0]["score"] == raw[0]
  assert made.records[0]["learned_score"] == pytest.approx(expected[0])
  assert made.metrics["rollout/score"] == pytest.approx(raw.mean())


def test_scores_can_be_cut_alone(tokenizer):
  config = _config(**{"scores.clip": 9.0})
  made = _make(_maker(config, tokenizer), tokenizer)
  np.testing.assert_array_equal(
    made.rollout.scores, np.minimum(made.rollout.response_lengths, 9)
  )
  assert made.moments == RunningMoments()


def test_sharing_the_prompt_of_a_group_changes_no_figure(made, tokenizer):
  apart = _make(
    _maker(_config(**{"data.share_prompt": False}), tokenizer), tokenizer
  )
  assert apart.records == made.records
  for name in ("old_logps", "ref_logps", "advantages"):
    np.testing.assert_allclose(
      getattr(apart.rollout, name), getattr(made.rollout, name), atol=2e-5
    )


def test_a_reward_model_is_weighed_and_told_beside_the_rewards(tokenizer):
  config = _config(**{"reward_model.weight": 3.0})
  maker = _maker(config, tokenizer, scorer=_Scorer())
  made = _make(maker, tokenizer)
  lengths = made.rollout.response_lengths
  np.testing.assert_allclose(made.rollout.scores, lengths - 3.0 * lengths)
  assert made.records[0]["rewards"] == {
    "words": lengths[0],
    "model": -lengths[0],
  }
  assert made.metrics["rollout/rewards/model"] == pytest.approx(-lengths.mean())


def test_groups_that_teach_nothing_are_sampled_past(tokenizer):
  config = _config(**{"rollout.drop_uniform_groups": True})
  maker = _maker(config, tokenizer, {"same": dict(weight=1.0)})
  made = _make(maker, tokenizer)
  # Of prompts 0 to 7 the odd ones; in the order in which they were asked.
  assert made.num_prompts == 8
  asked = [record["prompt"][0]["content"] for record in made.records]
  assert asked[::2] == asked[1::2]
  assert asked[::2] == [f"word {i} and" for i in (1, 3, 5, 7)]
  # Figures are of all that were sampled, before any was left out.
  assert made.metrics["rollout/uniform_groups"] == 0.5
  assert made.metrics["rollout/prompts"] == 8
  assert len(made.rollout.scores) == 8
  assert np.abs(made.rollout.advantages[:, 0]).min() > 0.1


def test_after_a_few_tries_the_rest_are_groups_that_teach_nothing(tokenizer):
  config = _config(**{"rollout.drop_uniform_groups": True})
  maker = _maker(config, tokenizer, {"words": dict(weight=0.0)})
  made = _make(maker, tokenizer)
  assert made.num_prompts == 16 and len(made.rollout.scores) == 8
  assert made.metrics["rollout/uniform_groups"] == 1
  assert not made.rollout.advantages.any()


def test_with_a_critic_its_values_and_what_they_explain_are_there(tokenizer):
  config = _config(base.ppo, **{"credit.whiten": False, "credit.lam": 1.0})
  made = _make(_maker(config, tokenizer), tokenizer)
  rollout, mask = made.rollout, made.rollout.mask
  assert np.abs(rollout.values[mask]).max() > 0.01
  # Lambda and gamma 1: each return is the answer's score.
  worth = np.broadcast_to(rollout.scores[:, None], mask.shape)[mask]
  np.testing.assert_allclose(rollout.returns[mask], worth, rtol=1e-5)
  explained = 1 - np.var(worth - rollout.values[mask]) / np.var(worth)
  assert made.metrics["rollout/explained_variance"] == pytest.approx(
    explained, abs=1e-4
  )


def test_a_policy_that_is_broken_is_not_sampled_from(tokenizer):
  head = {"kernel": np.full((_CONFIG.width, 300), np.nan, np.float32)}
  maker = _maker(_config(), tokenizer)
  with pytest.raises(
    run_error.NonFiniteError, match="probabilities are not finite"
  ):
    _make(maker, tokenizer, state=_state(lm_head=head))


@pytest.mark.parametrize(
  "fields,options,message",
  [
    ({"rollout.temperature": 0.0}, {}, "rollout.temperature=0.0"),
    ({"rollout.temperature": -1.0}, {}, "temperature=-1.0 must be"),
    ({"rollout.top_p": 0.0}, {}, "top_p=0.0 must be"),
    (
      {"rollout.drop_uniform_groups": True, "rollout.group_size": 1},
      {},
      "rollout.group_size=1: sample at least 2",
    ),
    ({"scores.clip": -1.0}, {}, "scores.clip=-1.0 must be above 0"),
    ({}, {"clash": True}, "rewards.model has the name under which"),
  ],
  ids=str,
)
def test_options_that_cannot_be_are_refused_beforehand(
  tokenizer, monkeypatch, fields, options, message
):
  terms = None
  if options:
    monkeypatch.setitem(_OWN, "model", _length_reward)
    terms = {"model": dict(weight=1.0)}
    options = dict(scorer=_Scorer())
  with pytest.raises(ValueError, match=message):
    _maker(_config(**fields), tokenizer, terms, **options)


def test_answers_that_nothing_judges_are_refused(tokenizer):
  with pytest.raises(ValueError, match="rewards is empty and reward_model"):
    rollouts.RolloutMaker(
      _config(),
      _CONFIG,
      tokenizer=tokenizer,
      stop_tokens=(2,),
      terms=(),
      reward_model=None,
      assess=lambda *_: None,
      mesh=_mesh(),
    )


@pytest.mark.slow
def test_the_model_can_be_split_otherwise_while_it_samples(made, tokenizer):
  config = _config(**{"rollout.tensor_parallel": 2})
  found = _make(_maker(config, tokenizer), tokenizer)
  # Sums in another order may draw another token here and there.
  same = [
    one == other
    for one, other in zip(
      _rows(found.rollout), _rows(made.rollout), strict=True
    )
  ]
  assert np.mean(same) >= 0.75
  assert found.metrics["rollout/sampler_gap_max"] < 1e-4
