# SPDX-License-Identifier: Apache-2.0
"""What generation_kwargs of the harness's tasks mean, and what is refused."""

import pytest

from ramjax.evals.harness_generation import generation


def test_nothing_is_greedy_to_256_tokens():
  found = generation({})
  assert (found.options.temperature, found.options.max_tokens) == (0, 256)
  assert found.until == ()


@pytest.mark.parametrize(
  "kwargs, temperature",
  [
    ({"do_sample": False, "temperature": 0.7}, 0),
    ({"do_sample": False}, 0),
    ({"temperature": 0.7}, 0.7),
    ({"temperature": 0}, 0),
    ({"do_sample": True, "temperature": 0.7}, 0.7),
    ({"do_sample": True}, 1),
    ({"do_sample": None, "temperature": None}, 0),
  ],
)
def test_the_temperature_counts_where_it_is_sampled(kwargs, temperature):
  assert generation(kwargs).options.temperature == temperature


@pytest.mark.parametrize(
  "kwargs, max_tokens",
  [
    ({"max_gen_toks": 3}, 3),
    ({"max_new_tokens": "4"}, 4),
    ({"max_tokens": 5.0}, 5),
    ({"max_completion_tokens": 6}, 6),
    ({"max_completion_tokens": 6, "max_new_tokens": 4, "max_tokens": 5}, 4),
    ({"max_gen_toks": None, "max_tokens": 5}, 5),
  ],
)
def test_the_most_tokens_have_four_names(kwargs, max_tokens):
  assert generation(kwargs).options.max_tokens == max_tokens


def test_an_end_is_a_text_or_several():
  assert generation({"until": "\n\n"}).until == ("\n\n",)
  assert generation({"until": ["Q:", "\n"]}).until == ("Q:", "\n")
  assert generation({"until": None}).until == ()


def test_filters_have_their_own_names():
  found = generation(
    {
      "do_sample": True,
      "top_k": 5,
      "top_p": 0.9,
      "min_p": 0.1,
      "repetition_penalty": 1.2,
      "num_beams": 1,
    }
  ).options
  assert (found.top_k, found.top_p, found.min_p) == (5, 0.9, 0.1)
  assert found.repetition_penalty == 1.2


@pytest.mark.parametrize(
  "kwargs, message",
  [
    (
      {"num_beams": 4, "length_penalty": 1},
      "has length_penalty=1, num_beams=4",
    ),
    ({"max_length": 99}, "has max_length=99, which we have not: until"),
    ({"num_beams": True}, "has num_beams=True, which we have not"),
    ({"num_return_sequences": 1.0}, "has num_return_sequences=1.0"),
    ({"do_sample": 0}, "do_sample=0: true or false"),
    ({"do_sample": 1}, "do_sample=1: true or false"),
    ({"until": [""]}, "until=.*none of them empty"),
    ({"until": 3}, "until=3: a text or a list"),
    ({"max_gen_toks": 2.5}, "max_gen_toks=2.5, which is no whole number"),
    ({"max_gen_toks": True}, "max_gen_toks=True, which is no whole number"),
    ({"max_gen_toks": 0}, "max_tokens=0 must be 1 or more"),
    ({"temperature": "hot"}, "temperature='hot', which is no number"),
    ({"do_sample": "yes"}, "do_sample='yes': true or false"),
    ({"do_sample": True, "top_p": 1.5}, "top_p=1.5 must be in"),
  ],
)
def test_what_cannot_be_done_is_refused(kwargs, message):
  with pytest.raises(ValueError, match=message):
    generation(kwargs)


@pytest.mark.peers
def test_the_harness_reads_them_alike():
  pytest.importorskip("lm_eval")
  pytest.importorskip("torch")
  from lm_eval.models.utils import normalize_gen_kwargs

  for kwargs in (
    {},
    {"until": "a", "max_new_tokens": 7, "max_tokens": 8},
    {"do_sample": False, "temperature": 0.7, "until": ["a", "b"]},
    {"temperature": 0.3, "max_completion_tokens": 3},
    {"do_sample": True, "temperature": 0.3},
  ):
    theirs = normalize_gen_kwargs(kwargs)
    ours = generation(kwargs)
    assert list(ours.until) == theirs["until"]
    assert ours.options.max_tokens == theirs["max_gen_toks"]
    assert ours.options.temperature == theirs.get("temperature", 0)
