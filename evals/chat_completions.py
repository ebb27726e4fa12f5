# SPDX-License-Identifier: Apache-2.0
"""The JSON of /v1/chat/completions: what is asked, and what an answer must be.

The fields are OpenAI's; `top_k`, `min_p`, `repetition_penalty` and
`stop_token_ids` are those that vLLM and SGLang add, and are sent only where
they say something. An answer comes from a stranger: it is checked before any of
it is used.
"""

import dataclasses
import json
import math
from typing import Any, TypeGuard

import numpy as np

from ramjax.data import strict_json
from ramjax.evals import top_tokens
from ramjax.evals.engine import ChatRequest, Completion
from ramjax.evals.top_tokens import NextTokens
from ramjax.models.sampling_options import SamplingOptions

# The bounds of logit_bias in the API; the lower one bans in effect.
_MOST_BIAS = 100
_MOST_TOKENS = 2**31 - 1
# Some servers write the probability 0 as a finite number, and 1 as one slightly
# above.
_LEAST_LOGP, _MOST_LOGP = -1e6, 1e-3


class AnswerError(ValueError):
  """An answer that is none: what is wrong with it."""


def request_body(
  request: ChatRequest, *, model: str, logprobs: bool
) -> dict[str, Any]:
  """The JSON object that asks for one answer.

  Raises:
    ValueError: A bias beyond what the API takes.
  """
  options = request.options
  body: dict[str, Any] = {
    "model": model,
    "messages": [
      {"role": message.role, "content": message.content}
      for message in request.messages
    ],
    "temperature": options.temperature,
    "top_p": options.top_p,
    "max_tokens": options.max_tokens,
    "seed": request.seed,
  }
  if request.stop:
    body["stop"] = list(request.stop)
  if logprobs:
    body["logprobs"] = True
  if options.top_k:
    body["top_k"] = options.top_k
  if options.min_p:
    body["min_p"] = options.min_p
  if options.repetition_penalty != 1:
    body["repetition_penalty"] = options.repetition_penalty
  if options.stop_tokens:
    body["stop_token_ids"] = list(options.stop_tokens)
  if options.logit_bias:
    body["logit_bias"] = {
      str(token): _bias(token, bias)
      for token, bias in options.logit_bias.items()
    }
  return body


def top_tokens_body(
  request: ChatRequest, *, model: str, num: int
) -> dict[str, Any]:
  """The JSON object that asks for the likeliest first tokens of an answer.

  Temperature and filters are left at 1 and none, for some servers tell
  probabilities behind them.
  """
  plain = dataclasses.replace(
    request, options=SamplingOptions(max_tokens=1), stop=()
  )
  body = request_body(plain, model=model, logprobs=True)
  return {**body, "top_logprobs": num}


def _bias(token: int, bias: float) -> float:
  if bias == -math.inf:
    return -_MOST_BIAS
  if abs(bias) > _MOST_BIAS:
    raise ValueError(
      f"logit_bias[{token}]={bias}: an endpoint takes from {-_MOST_BIAS} to"
      f" {_MOST_BIAS}, or -inf to ban the token."
    )
  return bias


def parse_answer(data: bytes) -> Completion:
  """The first choice of an answer.

  Log-probabilities are of the tokens that the server tells of: some leave out
  the one that ended the answer.

  Raises:
    AnswerError: Not strict JSON, or of another shape.
  """
  answer, choice = _first_choice(data)
  reason = choice.get("finish_reason")
  if not isinstance(reason, str):
    raise AnswerError("choices[0].finish_reason is not a string")
  message = _object(choice.get("message"), "choices[0].message")
  # Null where the model said nothing.
  text = message.get("content")
  text = "" if text is None else text
  if not isinstance(text, str):
    raise AnswerError("choices[0].message.content is not a string")
  if any("\ud800" <= c <= "\udfff" for c in text):
    raise AnswerError("choices[0].message.content holds half a character")
  logps = _logps(choice.get("logprobs"))
  return Completion(
    text=text.strip(),
    finished=reason == "stop",
    num_tokens=_num_tokens(answer.get("usage"), logps),
    logps=logps,
    num_prompt_tokens=_num_prompt_tokens(answer.get("usage")),
  )


def parse_top_tokens(data: bytes, *, num: int) -> NextTokens:
  """The likeliest first tokens in an answer to `top_tokens_body`.

  Args:
    data: The answer.
    num: How many were asked for; the one that was drawn may come besides.

  Raises:
    AnswerError: Not strict JSON, of another shape, or without the tokens.
  """
  answer, choice = _first_choice(data)
  name = "choices[0].logprobs"
  content = _object(choice.get("logprobs"), name).get("content")
  if not isinstance(content, list):
    raise AnswerError(f"{name}.content is not a list")
  top: tuple[tuple[str, float], ...] = ()
  if content:
    name += ".content[0]"
    listed = _object(content[0], name).get("top_logprobs")
    if not isinstance(listed, list) or not 0 < len(listed) <= num + 1:
      raise AnswerError(f"{name}.top_logprobs is not a list of {num} tokens")
    name += ".top_logprobs"
    top = top_tokens.merged(
      _named_logp(one, f"{name}[{i}]") for i, one in enumerate(listed)
    )
  usage = answer.get("usage")
  return NextTokens(
    top=top,
    num_prompt_tokens=_num_prompt_tokens(usage),
    num_tokens=len(content) if usage is None else _num_tokens(usage, None),
  )


def _named_logp(value: Any, name: str) -> tuple[str, float]:
  token = _object(value, name).get("token")
  if not isinstance(token, str):
    raise AnswerError(f"{name}.token is not a string")
  return token, _logp(value, name)


def _first_choice(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
  """The answer, and the first choice in it."""
  answer = _object(parse_json(data), "the answer")
  choices = answer.get("choices")
  if not isinstance(choices, list) or not choices:
    raise AnswerError("choices is not a list with an answer in it")
  return answer, _object(choices[0], "choices[0]")


def parse_json(data: bytes) -> Any:
  """Decodes one value of strict JSON.

  Raises:
    AnswerError: It is not.
  """
  try:
    text = data.decode()
    start = strict_json.skip_space(text, 0)
    value, end = strict_json.StrictDecoder().decode(text, start)
  except UnicodeDecodeError as error:
    raise AnswerError("not UTF-8") from error
  except json.JSONDecodeError as error:
    raise AnswerError(
      f"not valid JSON: {error.msg} at character {error.pos}"
    ) from error
  if isinstance(value, strict_json.RecordError):
    raise AnswerError(f"not strict JSON: {value}")
  if strict_json.skip_space(text, end) < len(text):
    raise AnswerError(f"not valid JSON: more than one value, at {end}")
  return value


def _object(value: Any, name: str) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise AnswerError(f"{name} is not an object")
  return value


def _logps(value: Any) -> np.ndarray | None:
  if value is None:
    return None
  content = _object(value, "choices[0].logprobs").get("content")
  if content is None:
    return None
  if not isinstance(content, list):
    raise AnswerError("choices[0].logprobs.content is not a list")
  numbers = [
    _logp(token, f"choices[0].logprobs.content[{i}]")
    for i, token in enumerate(content)
  ]
  return np.array(numbers, np.float32)


def _logp(value: Any, name: str) -> float:
  number = _object(value, name).get("logprob")
  if (
    not isinstance(number, int | float)
    or isinstance(number, bool)
    or not _LEAST_LOGP <= number <= _MOST_LOGP
  ):
    raise AnswerError(f"{name}.logprob is not a log-probability")
  return min(float(number), 0.0)


def _num_tokens(usage: Any, logps: np.ndarray | None) -> int:
  if usage is None and logps is not None:
    return len(logps)
  count = _object(usage, "usage").get("completion_tokens")
  if not _is_count(count):
    raise AnswerError("usage.completion_tokens is not a number of tokens")
  return count


def _num_prompt_tokens(usage: Any) -> int | None:
  """Not needed for an answer: what is no count is not told."""
  count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
  return count if _is_count(count) else None


def _is_count(value: Any) -> TypeGuard[int]:
  return (
    isinstance(value, int)
    and not isinstance(value, bool)
    and 0 <= value <= _MOST_TOKENS
  )
