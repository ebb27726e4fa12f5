# SPDX-License-Identifier: Apache-2.0
"""A judge of pairs behind the tiny endpoint, which prefers longer answers."""

import math
import re

import tiny_endpoint

from ramjax.evals import http_engine, judge_prompt
from ramjax.evals.http_retries import RetryPolicy
from ramjax.tools import eval_sides

TEMPLATE = """<|im_start|>system
You compare.
<|im_end|>
<|im_start|>user
Asked: {instruction}
<first>{output_1}</first>
<second>{output_2}</second>
Which is better, m or M?
<|im_end|>
"""
PROMPT = judge_prompt.parse(TEMPLATE)
PATTERN = r"\[\[(?:(?P<A>A)|(?P<B>B)|(?P<tie>C))\]\]"
_SHOWN = re.compile(r"<first>(.*)</first>\n<second>(.*)</second>", re.DOTALL)


def shown(asked):
  """(instruction, first, second) as the judge sees them."""
  text = asked.body["messages"][-1]["content"]
  found = _SHOWN.search(text)
  assert found is not None
  return (text.partition("\n")[0].removeprefix("Asked: "), *found.groups())


def share_of_first(first, second):
  """The judge's rule: sigmoid of the difference of the lengths."""
  return 1 / (1 + math.exp(len(second) - len(first)))


def top(pairs):
  """An answer of one token with these likeliest ones."""
  body = tiny_endpoint.answer(pairs[0][0], "length", logprobs=(pairs[0][1],))
  body["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = [
    {"token": token, "logprob": logp, "bytes": None} for token, logp in pairs
  ]
  return body


def act(number, asked):
  """Prefers the longer answer, in whichever way it is asked."""
  _, first, second = shown(asked)
  share = share_of_first(first, second)
  if "top_logprobs" not in asked.body:
    letter = "A" if share > 0.5 else "B" if share < 0.5 else "C"
    return tiny_endpoint.reply(tiny_endpoint.answer(f"so: [[{letter}]]"))
  # Shares of 1 and 0 would have no logarithm.
  share = min(max(share, 1e-9), 1 - 1e-9)
  pairs = [("m", math.log(share)), ("M", math.log1p(-share)), ("x", -30.0)]
  return tiny_endpoint.reply(top(pairs))


def retry_quickly(monkeypatch):
  """Endpoints of a benchmark's sides are asked twice at most, without a wait."""

  class Quick(http_engine.HttpEngine):
    def __init__(self, *args, **options):
      retries = RetryPolicy(most=1, first_wait_s=0.0)
      super().__init__(*args, retries=retries, **options)

  monkeypatch.setattr(eval_sides, "HttpEngine", Quick)
