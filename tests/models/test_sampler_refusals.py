# SPDX-License-Identifier: Apache-2.0
"""What a batch of the sampler refuses, and what it says then."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from ramjax.models import slots as slots_lib
from ramjax.models.sampler import ContinuousBatch, Request, sample
from ramjax.models.sampling_options import SamplingOptions

_GREEDY = SamplingOptions(temperature=0.0, max_tokens=6)
_ALL = slots_lib.Features(filtered=True, penalised=True, biased=True)


def _batch(params, config, **sizes):
  fields: dict[str, Any] = dict(
    num_slots=2, max_length=128, max_tokens=64, features=_ALL
  )
  return ContinuousBatch(params, config, **(fields | sizes))


@pytest.mark.parametrize(
  ("request_", "message"),
  [
    (Request(np.array([], np.int32), _GREEDY), "no tokens"),
    (Request(np.array([3, 64]), _GREEDY), "ids from 3 to 64: .* has 64"),
    (Request(np.array([-1, 3]), _GREEDY), "ids from -1 to 3"),
    (Request(np.array([1]), _GREEDY, seed=-1), "seed=-1 must be in"),
    (Request(np.array([1]), _GREEDY, seed=2**32), "seed=4294967296 must be in"),
    (Request(np.ones(123, int), _GREEDY), "123 tokens and max_tokens=6 do not"),
    (
      Request(np.array([1]), SamplingOptions(max_tokens=65)),
      "continuations of 64: shorten",
    ),
    (
      Request(
        np.array([1]), SamplingOptions(logit_bias={64: 1.0}, max_tokens=1)
      ),
      "logit_bias names id 64; the vocabulary has 64",
    ),
  ],
)
def test_a_request_that_cannot_be_served_is_refused(
  config, params, request_, message
):
  batch = _batch(params, config)
  with pytest.raises(ValueError, match=message):
    batch.submit("refused", request_)
  assert not batch.busy


@pytest.mark.parametrize(
  ("feature", "options"),
  [
    ("filtered", dict(top_k=3)),
    ("penalised", dict(repetition_penalty=1.1)),
    ("biased", dict(logit_bias={1: 1.0})),
  ],
)
def test_a_feature_the_batch_was_made_without_is_refused(
  config, params, feature, options
):
  batch = _batch(params, config, features=slots_lib.Features())
  with pytest.raises(ValueError, match=f"made without {feature}=True"):
    batch.submit(
      0, Request(np.array([1]), SamplingOptions(**options, max_tokens=1))
    )


@pytest.mark.parametrize(
  ("sizes", "message"),
  [
    (dict(num_slots=0), "num_slots=0 and max_tokens=64 must be"),
    (dict(max_tokens=0), "max_tokens=0 must be at least 1"),
    (dict(max_length=10**6), "take 1000000 positions, and the model is for"),
    (dict(vocab_size=65), "vocab_size=65 must be from 1 to the model's 64"),
  ],
)
def test_a_batch_that_cannot_be_made_is_refused(config, params, sizes, message):
  with pytest.raises(ValueError, match=message):
    _batch(params, config, **sizes)


def test_a_classifier_is_refused(config, params):
  classifier = dataclasses.replace(config, num_labels=2)
  with pytest.raises(ValueError, match=r"num_labels=2.* only a\s+language"):
    sample(params, classifier, [Request(np.array([1]), _GREEDY)])
