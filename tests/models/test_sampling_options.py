# SPDX-License-Identifier: Apache-2.0
"""Options of sampling: what they may be, and what a wrong one is told."""

import math

import pytest

from ramjax.models.sampling_options import MOST_STOP_TOKENS, SamplingOptions


def test_by_default_nothing_is_changed_or_left_out():
  options = SamplingOptions()
  assert options.temperature == 1 and options.repetition_penalty == 1
  assert not options.filters and not options.logit_bias
  assert options.stop_tokens == ()


@pytest.mark.parametrize(
  "options",
  [
    dict(repetition_penalty=0.001),
    dict(repetition_penalty=1000),
    dict(temperature=0),
    dict(temperature=1e-30),
    dict(temperature=1e6),
    dict(top_k=2**31 - 1),
    dict(top_p=1e-9),
    dict(top_p=1),
    dict(min_p=0.999),
    dict(max_tokens=1),
    dict(stop_tokens=tuple(range(MOST_STOP_TOKENS))),
    dict(logit_bias={0: -math.inf, 5: 1e6, 6: -1e6}),
  ],
)
def test_the_edges_of_every_range_are_allowed(options):
  made = SamplingOptions(**options)
  assert {name: getattr(made, name) for name in options} == options


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (dict(repetition_penalty=0), "repetition_penalty=0 must be from 0.001 to"),
    (dict(repetition_penalty=math.inf), "repetition_penalty=inf must be"),
    (dict(temperature=-0.1), "temperature=-0.1 must be from 0 to 1e"),
    (dict(temperature=math.nan), "temperature=nan must be"),
    (dict(temperature=1e7), "temperature=10000000.0 must be"),
    (dict(top_k=-1), r"top_k=-1 must be 0 \(all\) or more"),
    (dict(top_k=2**31), "top_k=2147483648 must be"),
    (dict(top_p=0), r"top_p=0 must be in \(0, 1\]"),
    (dict(top_p=1.01), "top_p=1.01 must be"),
    (dict(min_p=-0.5), r"min_p=-0.5 must be in \[0, 1\)"),
    (dict(min_p=1), "min_p=1 must be"),
    (dict(max_tokens=0), "max_tokens=0 must be 1 or more"),
    (dict(stop_tokens=tuple(range(9))), "has 9 ids: give at most 8"),
    (dict(stop_tokens=(3, -1)), "stop_tokens names -1"),
    (dict(logit_bias={-2: 0.0}), "logit_bias names -2"),
    (dict(logit_bias={7: math.nan}), r"logit_bias\[7\]=nan must be from"),
    (dict(logit_bias={7: math.inf}), r"logit_bias\[7\]=inf .* -inf to ban"),
    (dict(logit_bias={7: -1e39}), r"logit_bias\[7\]=-1e\+39 must be from"),
  ],
)
def test_what_lies_outside_is_refused_by_name(options, message):
  with pytest.raises(ValueError, match=message):
    SamplingOptions(**options)


@pytest.mark.parametrize(
  ("options", "filters"),
  [
    (dict(top_k=5), True),
    (dict(top_p=0.9), True),
    (dict(min_p=0.1), True),
    (dict(temperature=0.5), False),
    (dict(logit_bias={1: 2.0}, repetition_penalty=1.2), False),
    # The most likely token passes every filter.
    (dict(temperature=0, top_k=5, top_p=0.5, min_p=0.1), False),
  ],
)
def test_a_filter_is_what_leaves_tokens_out_of_a_draw(options, filters):
  assert SamplingOptions(**options).filters is filters
