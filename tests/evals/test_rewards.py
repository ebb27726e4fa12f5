# SPDX-License-Identifier: Apache-2.0
"""Rewards of a run: found by name, options checked, clipped, weighted, summed."""

import inspect

import numpy as np
import pytest

from ramjax.evals import rewards
from ramjax.evals.answers import Answer

_BUILT_IN = {
  "exact_match", "f1", "json_schema", "length", "math", "no_eos",
  "number_match", "overlong", "pattern", "repetition", "task",
}  # fmt: skip


def _answers(*responses):
  return [
    Answer((), response, {"answer": "5"}, index == 0, index)
    for index, response in enumerate(responses)
  ]


def _brevity(answers, *, scale: float, offset=0.0):
  return [offset - scale * len(answer.response) for answer in answers]


def _refusal(own=None, **terms):
  with pytest.raises(ValueError) as error:
    rewards.find_rewards(terms, own or {})
  return str(error.value)


def _returns(result):
  (term,) = rewards.find_rewards(
    {"mine": dict(weight=1.0)}, {"mine": lambda answers: result}
  )
  with pytest.raises(ValueError, match=r"rewards\.mine must return") as error:
    rewards.score([term], _answers("a", "b"))
  return str(error.value)


def test_the_built_in_rewards_are_found_by_their_files():
  assert set(rewards.reward_names()) >= _BUILT_IN


@pytest.mark.parametrize("name", rewards.reward_names())
def test_every_built_in_reward_keeps_the_contract(name):
  function = rewards._built_in(name, {})
  first, *others = inspect.signature(function).parameters.values()
  assert first.name == "answers"
  assert all(option.kind is option.KEYWORD_ONLY for option in others)
  assert all(option.annotation is not option.empty for option in others)


def test_rewards_are_clipped_weighted_and_summed_and_kept_raw():
  terms = rewards.find_rewards(
    {
      "number_match": dict(weight=10.0),
      "no_eos": dict(weight=2),
      "brevity": dict(weight=0.5, clip=[-2.0, 0.0], scale=1),
      "repetition": dict(weight=0.0),
    },
    {"brevity": _brevity},
  )
  scores = rewards.score(terms, _answers("5", "a a a a a 5"))
  # 10 * 1 + 0 - 0.5 * 1, and 10 * 1 - 2 * 1 - 0.5 * 2.
  np.testing.assert_array_equal(scores.total, [9.5, 7.0])
  assert scores.total.dtype == np.float32
  assert list(scores.parts) == [
    "number_match",
    "no_eos",
    "brevity",
    "repetition",
  ]
  np.testing.assert_array_equal(scores.parts["brevity"], [-1.0, -11.0])
  np.testing.assert_array_equal(scores.parts["no_eos"], [0.0, -1.0])
  assert scores.parts["repetition"][1] == -0.5


def test_no_reward_is_nothing():
  scores = rewards.score(rewards.find_rewards({}), _answers("a", "b"))
  np.testing.assert_array_equal(scores.total, [0.0, 0.0])
  assert scores.parts == {}


def test_no_answer_has_no_score():
  terms = rewards.find_rewards({"no_eos": dict(weight=1.0)})
  assert rewards.score(terms, []).total.shape == (0,)


@pytest.mark.parametrize(
  "name", ["number_mach", "number_match_reward", "answers", "../x", "a.b"]
)
def test_an_unknown_reward_is_refused(name):
  message = _refusal(**{name: dict(weight=1.0)})
  assert repr(name) in message and "repetition" in message
  assert ("Is it number_match?" in message) == name.startswith("number")


def test_an_own_reward_is_suggested_too():
  message = _refusal({"brevity": _brevity}, brevty=dict(weight=1.0, scale=1.0))
  assert "Is it brevity?" in message and "own brevity" in message


def test_an_own_reward_with_a_built_in_name_is_refused():
  message = _refusal({"length": _brevity}, no_eos=dict(weight=1.0))
  assert "'length'" in message and "rename" in message


def test_an_unknown_option_is_refused_with_the_nearest():
  message = _refusal(repetition=dict(weight=1.0, m=3))
  assert "no option 'm'" in message and "n, weight, clip" in message
  message = _refusal(length=dict(weight=1.0, max_word=3))
  assert "Is it max_words?" in message


def test_a_missing_option_is_refused_by_its_place_in_the_config():
  message = _refusal(overlong=dict(weight=1.0, cache=5))
  assert "rewards.overlong.max_tokens in the config" in message


@pytest.mark.parametrize(
  "options,expected",
  [
    (dict(max_words="5"), "int or None"),
    (dict(max_words=True), "int or None"),
    (dict(max_words=5.0), "int or None"),
  ],
)
def test_an_option_of_a_wrong_type_is_refused(options, expected):
  message = _refusal(length=dict(weight=1.0, **options))
  assert "rewards.length.max_words=" in message
  assert expected.split(" ")[0] in message


def test_an_integer_for_a_float_is_one():
  options = dict(weight=1.0, scale=2)
  (term,) = rewards.find_rewards({"b": options}, {"b": _brevity})
  assert type(term.options["scale"]) is float
  assert options == dict(weight=1.0, scale=2)


def test_a_wrong_value_is_refused_before_any_answer():
  assert "is no regular expression" in _refusal(
    pattern=dict(weight=1.0, pattern="(", mode="search")
  )
  assert "cache=0" in _refusal(overlong=dict(weight=1.0, max_tokens=5, cache=0))


@pytest.mark.parametrize(
  "weight", [None, "1", True, float("nan"), float("inf")]
)
def test_a_weight_that_is_no_number_is_refused(weight):
  assert "rewards.no_eos.weight=" in _refusal(no_eos=dict(weight=weight))


def test_a_reward_without_a_weight_is_refused():
  assert "rewards.no_eos.weight=None" in _refusal(no_eos={})
  assert "dict(weight=1.0)" in _refusal(no_eos=1.0)


@pytest.mark.parametrize("clip", [1.0, (1.0,), (1.0, 0.0), ("a", "b"), "ab"])
def test_a_clip_that_is_no_pair_is_refused(clip):
  assert "rewards.no_eos.clip=" in _refusal(no_eos=dict(weight=1.0, clip=clip))


@pytest.mark.parametrize(
  "function",
  [
    lambda: [],
    lambda answers, other: [],
    lambda answers, **options: [],
    lambda *answers: [],
  ],
)
def test_a_function_that_is_not_written_as_a_reward_is_refused(function):
  message = _refusal({"mine": function}, mine=dict(weight=1.0))
  assert "def mine_reward(answers, *, option, ...)" in message


def test_an_option_that_every_reward_has_is_refused():
  def function(answers, *, clip):
    return [clip for _ in answers]

  assert "option 'clip'" in _refusal({"mine": function}, mine=dict(weight=1.0))


@pytest.mark.parametrize("values", [[1.0], [1.0] * 3, np.zeros((1, 2))])
def test_a_wrong_number_of_values_is_refused(values):
  assert f"it returned {len(values)} values" in _returns(values)


@pytest.mark.parametrize("result", [None, 1.0, "ab", (x for x in [1.0, 2.0])])
def test_a_result_that_is_no_list_is_refused(result):
  assert "each of the 2 answers, and it returned" in _returns(result)


@pytest.mark.parametrize(
  "value", [float("nan"), float("-inf"), None, "1", [1.0], 10**400, 1e39]
)
def test_a_value_that_is_no_finite_number_is_refused_by_its_answer(value):
  message = _returns([0.0, value])
  assert "for answer 1, 'b', it returned" in message


def test_a_sum_too_large_for_float32_is_refused():
  terms = rewards.find_rewards(
    {"mine": dict(weight=1e30)}, {"mine": lambda answers: [1e30]}
  )
  with pytest.raises(ValueError, match="rewards of answer 0 sum to"):
    rewards.score(terms, _answers("a"))


def test_numpy_values_and_booleans_are_numbers():
  terms = rewards.find_rewards(
    {"mine": dict(weight=2.0)},
    {"mine": lambda answers: np.array([True, False])},
  )
  np.testing.assert_array_equal(
    rewards.score(terms, _answers("a", "b")).total, [2.0, 0.0]
  )
