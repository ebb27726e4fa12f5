# SPDX-License-Identifier: Apache-2.0
"""What a client asks for: the body of a request, checked and tokenised."""

import dataclasses
import secrets
from typing import Any

import numpy as np

from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import serve_fields, serve_messages, serve_scores
from ramjax.tools.loaded_model import LoadedModel
from ramjax.tools.serve_errors import ApiError, invalid, too_long
from ramjax.tools.serve_fields import Fields

MOST_CHOICES = 128
_MOST_PROMPTS = 2048
_MOST_STOPS, _MOST_STOP_LEN = 16, 1000
_MOST_BIASES = 1024
# OpenAI's own default for completions of text; a chat goes on to the end.
_COMPLETION_TOKENS = 16
_MOST_INT = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Asked:
  """A request for answers.

  Attributes:
    prompts: [P] int32 ids each.
    echoes: What is put before the answers of each prompt; None for nothing.
    options: How each answer is sampled.
    generates: Whether anything is; else the prompts are only scored.
    stop: Texts that end an answer.
    seed: In [0, 2^32), of the first answer of each prompt.
    num_choices: Answers of each prompt.
    is_chat: Whether the prompt is a conversation.
    stream: Whether the answers are sent while they are written.
    include_usage: Whether a stream ends with the counts of tokens.
    logprobs: Whether log-probabilities are wanted.
    num_top: Alternatives of each token that are wanted.
  """

  prompts: tuple[np.ndarray, ...]
  echoes: tuple[str, ...] | None
  options: SamplingOptions
  generates: bool
  stop: tuple[str, ...]
  seed: int
  num_choices: int
  is_chat: bool
  stream: bool
  include_usage: bool
  logprobs: bool
  num_top: int


def parse_chat(
  body: dict[str, Any], model: LoadedModel, *, name: str, max_length: int
) -> Asked:
  """Reads the body of `/v1/chat/completions`.

  Args:
    body: A JSON object.
    model: What answers.
    name: Under which it is served.
    max_length: Tokens of a prompt with its answer, at most.

  Raises:
    ApiError: It cannot be done as it is asked.
  """
  fields = Fields(body)
  _check_name(fields, name)
  messages = serve_messages.parse(fields.take("messages"))
  if model.template is None:
    raise ApiError(
      400,
      "this model has no chat template that is known here: ask"
      " /v1/completions, or start the server with --template.",
      code="no_chat_template",
    )
  try:
    prompt = tokenize_prompt(
      messages, template=model.template, tokenizer=model.tokenizer
    )
  except ValueError as error:
    raise invalid("messages", str(error)) from error
  limit = fields.whole("max_tokens", 1, _MOST_INT)
  newer = fields.whole("max_completion_tokens", 1, _MOST_INT)
  if limit is not None and newer is not None and limit != newer:
    raise invalid(
      "max_tokens",
      f"max_tokens={limit} and max_completion_tokens={newer} contradict each"
      " other: give one.",
    )
  room = max_length - len(prompt)
  limit = limit or newer or max(room, 1)
  logprobs = fields.flag("logprobs")
  num_top = fields.whole("top_logprobs", 0, serve_scores.MOST_TOP) or 0
  if num_top and not logprobs:
    raise invalid("top_logprobs", "top_logprobs needs logprobs=true.")
  return _finish(
    fields,
    model,
    max_length=max_length,
    prompts=(prompt,),
    max_tokens=limit,
    is_chat=True,
    echoes=None,
    logprobs=logprobs,
    num_top=num_top,
  )


def parse_completion(
  body: dict[str, Any], model: LoadedModel, *, name: str, max_length: int
) -> Asked:
  """Reads the body of `/v1/completions`; see `parse_chat`."""
  fields = Fields(body)
  _check_name(fields, name)
  prompts, texts = _prompts(fields.take("prompt"), model)
  num_top = fields.whole("logprobs", 0, serve_scores.MOST_TOP)
  echo = fields.flag("echo")
  limit = fields.whole("max_tokens", 0, _MOST_INT)
  if limit is None:
    limit = _COMPLETION_TOKENS
  if limit == 0 and not echo:
    raise invalid("max_tokens", "max_tokens=0 is for echo=true.")
  return _finish(
    fields,
    model,
    max_length=max_length,
    prompts=prompts,
    max_tokens=limit,
    is_chat=False,
    echoes=texts if echo else None,
    logprobs=num_top is not None,
    num_top=num_top or 0,
  )


def _finish(
  fields: Fields,
  model: LoadedModel,
  *,
  max_length: int,
  prompts: tuple[np.ndarray, ...],
  max_tokens: int,
  is_chat: bool,
  echoes: tuple[str, ...] | None,
  logprobs: bool,
  num_top: int,
) -> Asked:
  """Reads what conversations and texts have in common."""
  for prompt in prompts:
    if len(prompt) + max(max_tokens, 0 if echoes else 1) > max_length:
      raise too_long(
        f"a prompt of {len(prompt)} tokens and {max_tokens} of an answer are"
        f" more than the {max_length} that this server was started for:"
        " shorten the prompt or lower max_tokens."
      )
  stream = fields.flag("stream")
  include_usage = _include_usage(fields.take("stream_options"), stream)
  if stream and (num_top or (logprobs and echoes)):
    raise invalid(
      "stream",
      "alternatives and the log-probabilities of a prompt are not streamed:"
      " leave stream out, or those.",
    )
  asked = Asked(
    prompts=prompts,
    echoes=echoes,
    options=_options(fields, model, max_tokens=max(max_tokens, 1)),
    generates=max_tokens > 0,
    stop=_stops(fields.take("stop")),
    seed=_seed(fields),
    num_choices=fields.whole("n", 1, MOST_CHOICES) or 1,
    is_chat=is_chat,
    stream=stream,
    include_usage=include_usage,
    logprobs=logprobs,
    num_top=num_top,
  )
  fields.done()
  return asked


def _check_name(fields: Fields, name: str) -> None:
  """Whoever names a model means that one."""
  asked = fields.take("model")
  if asked is not None and asked != name:
    raise ApiError(
      404,
      f"the model {str(asked)[:80]!r} is not served here: {name!r} is.",
      param="model",
      code="model_not_found",
    )


def _options(
  fields: Fields, model: LoadedModel, *, max_tokens: int
) -> SamplingOptions:
  ends = dict.fromkeys(model.turn_ends)
  if model.tokenizer.eos_id is not None:
    ends[model.tokenizer.eos_id] = None
  bias = _logit_bias(fields.take("logit_bias"), model.tokenizer.vocab_size)
  try:
    return SamplingOptions(
      logit_bias=bias,
      repetition_penalty=fields.number("repetition_penalty", 1.0),
      temperature=fields.number("temperature", 1.0),
      top_k=fields.whole("top_k", 0, _MOST_INT) or 0,
      top_p=fields.number("top_p", 1.0),
      min_p=fields.number("min_p", 0.0),
      max_tokens=max_tokens,
      stop_tokens=tuple(ends),
    )
  except ValueError as error:  # Begins with the field's name.
    name = str(error).partition("=")[0].partition("[")[0]
    raise invalid(name, str(error)) from error


def _logit_bias(value: Any, vocab_size: int) -> dict[int, float]:
  if value is None:
    return {}
  rule = (
    "logit_bias must be an object from ids below"
    f" {vocab_size} to numbers, {_MOST_BIASES} at most."
  )
  if not isinstance(value, dict) or len(value) > _MOST_BIASES:
    raise invalid("logit_bias", rule)
  bias = {}
  for key, number in value.items():
    is_id = key.isascii() and key.isdigit() and len(key) < 10
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not (is_id and int(key) < vocab_size and is_number):
      raise invalid("logit_bias", rule)
    if abs(number) > 1e6:
      raise invalid("logit_bias", "logit_bias must be from -1e6 to 1e6.")
    bias[int(key)] = float(number)
  return bias


def _seed(fields: Fields) -> int:
  seed = fields.whole("seed", 0, 2**32 - 1)
  return secrets.randbits(32) if seed is None else seed


def _stops(value: Any) -> tuple[str, ...]:
  if value is None:
    return ()
  stops = value if isinstance(value, list) else [value]
  if len(stops) > _MOST_STOPS:
    raise invalid("stop", f"stop has over {_MOST_STOPS} texts.")
  checked = tuple(serve_fields.text(stop, "stop") for stop in stops)
  if not all(1 <= len(stop) <= _MOST_STOP_LEN for stop in checked):
    raise invalid(
      "stop",
      f"texts of stop must have 1 to {_MOST_STOP_LEN} characters: an empty one"
      " ends every answer.",
    )
  return checked


def _include_usage(value: Any, stream: bool) -> bool:
  if value is None:
    return False
  if not stream or not isinstance(value, dict):
    raise invalid(
      "stream_options", "stream_options is an object, given with stream=true."
    )
  fields = Fields(value, where="stream_options.")
  include = fields.flag("include_usage")
  fields.done()
  return include


def _prompts(
  value: Any, model: LoadedModel
) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
  """The ids of each prompt, and the text that stands for it."""
  is_one = isinstance(value, str) or (
    isinstance(value, list) and bool(value) and not _is_nested(value)
  )
  prompts = [value] if is_one else value
  if not isinstance(prompts, list) or not prompts:
    raise invalid(
      "prompt", "prompt must be a text, ids of tokens, or a list of such."
    )
  if len(prompts) > _MOST_PROMPTS:
    raise invalid("prompt", f"prompt has more than {_MOST_PROMPTS} prompts.")
  both = [_prompt(prompt, model) for prompt in prompts]
  return tuple(ids for ids, _ in both), tuple(shown for _, shown in both)


def _is_nested(value: list) -> bool:
  return isinstance(value[0], list | str)


def _prompt(value: Any, model: LoadedModel) -> tuple[np.ndarray, str]:
  tokenizer = model.tokenizer
  if isinstance(value, list):
    for id_ in value:
      is_id = isinstance(id_, int) and not isinstance(id_, bool)
      if not is_id or not 0 <= id_ < tokenizer.vocab_size:
        raise invalid(
          "prompt",
          f"prompt has ids that are not from 0 to {tokenizer.vocab_size - 1}.",
        )
    ids, shown = value, tokenizer.decode(value)
  else:
    shown = serve_fields.text(value, "prompt")
    bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    ids = [*bos, *tokenizer.encode(shown, at_start=True)]
  if not ids:
    raise invalid("prompt", "prompt has no tokens: give it a text.")
  return np.asarray(ids, np.int32), shown
