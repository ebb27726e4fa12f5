# SPDX-License-Identifier: Apache-2.0
"""Answers as the JSON of OpenAI's API, whole or in chunks of a stream."""

import dataclasses
import itertools
import json
import math
import secrets
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ramjax.data.tokenizers import Tokenizer
from ramjax.tools.serve_answering import Choice, Piece
from ramjax.tools.serve_requests import Asked

# What OpenAI says of tokens that are next to impossible; JSON has no infinity.
_LEAST_LOGP = -9999.0


@dataclasses.dataclass(frozen=True)
class Reply:
  """What all parts of one answer share.

  Attributes:
    asked: The request.
    tokenizer: Of the model.
    name: Of the model.
    fingerprint: Of the model's weights.
    id: Of this answer.
    created: Seconds since 1970.
  """

  asked: Asked
  tokenizer: Tokenizer
  name: str
  fingerprint: str
  id: str = dataclasses.field(default_factory=lambda: secrets.token_hex(12))
  created: int = dataclasses.field(default_factory=lambda: int(time.time()))

  def whole(self, choices: Sequence[Choice]) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    shown = [self._choice(choice) for choice in choices]
    is_chat = self.asked.is_chat
    kind = "chat.completion" if is_chat else "text_completion"
    return self._envelope(kind) | {
      "choices": shown,
      "usage": self._usage(choices),
    }

  def opening(self) -> list[dict[str, Any]]:
    """The chunks that precede any text: whose turn it is, and echoes."""
    num = len(self.asked.prompts) * self.asked.num_choices
    if self.asked.is_chat:
      return [
        self._chat_chunk(i, {"role": "assistant", "content": ""})
        for i in range(num)
      ]
    if not self.asked.echoes:
      return []
    return [self._text_chunk(i, self._echo(i)) for i in range(num)]

  def chunks(self, piece: Piece) -> list[dict[str, Any]]:
    """The chunks of a piece; log-probabilities come with its last one."""
    chunks = []
    is_chat = self.asked.is_chat
    if piece.text:
      chunks.append(
        self._chat_chunk(piece.index, {"content": piece.text})
        if is_chat
        else self._text_chunk(piece.index, piece.text)
      )
    if piece.choice is not None:
      reason = _finish_reason(piece.choice)
      logprobs = self._logprobs(piece.choice)
      chunks.append(
        self._chat_chunk(piece.index, {}, reason, logprobs)
        if is_chat
        else self._text_chunk(piece.index, "", reason, logprobs)
      )
    return chunks

  def closing(self, choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """The chunk behind all choices, where one is asked for."""
    if not self.asked.include_usage:
      return []
    return [self._chunk() | {"choices": [], "usage": self._usage(choices)}]

  def _envelope(self, kind: str) -> dict[str, Any]:
    prefix = "chatcmpl" if self.asked.is_chat else "cmpl"
    return {
      "id": f"{prefix}-{self.id}",
      "object": kind,
      "created": self.created,
      "model": self.name,
      "system_fingerprint": f"fp_{self.fingerprint[:16]}",
    }

  def _chunk(self) -> dict[str, Any]:
    is_chat = self.asked.is_chat
    return self._envelope(
      "chat.completion.chunk" if is_chat else "text_completion"
    )

  def _chat_chunk(self, index, delta, reason=None, logprobs=None):
    choice = {
      "index": index,
      "delta": delta,
      "logprobs": logprobs,
      "finish_reason": reason,
    }
    return self._chunk() | {"choices": [choice]}

  def _text_chunk(self, index, text, reason=None, logprobs=None):
    choice = {
      "index": index,
      "text": text,
      "logprobs": logprobs,
      "finish_reason": reason,
    }
    return self._chunk() | {"choices": [choice]}

  def _choice(self, choice: Choice) -> dict[str, Any]:
    shown: dict[str, Any] = {"index": choice.index}
    if self.asked.is_chat:
      shown["message"] = {
        "role": "assistant",
        "content": choice.text,
        "refusal": None,
      }
    else:
      shown["text"] = self._echo(choice.index) + choice.text
    shown["logprobs"] = self._logprobs(choice)
    shown["finish_reason"] = _finish_reason(choice)
    return shown

  def _echo(self, index: int) -> str:
    if not self.asked.echoes:
      return ""
    return self.asked.echoes[index // self.asked.num_choices]

  def _usage(self, choices: Sequence[Choice]) -> dict[str, int]:
    prompt = sum(map(len, self.asked.prompts))
    answers = sum(len(choice.sample.tokens) for choice in choices)
    return {
      "prompt_tokens": prompt,
      "completion_tokens": answers,
      "total_tokens": prompt + answers,
    }

  def _logprobs(self, choice: Choice) -> dict[str, Any] | None:
    if not self.asked.logprobs:
      return None
    if self.asked.is_chat:
      return self._chat_logprobs(choice)
    return self._text_logprobs(choice)

  def _chat_logprobs(self, choice: Choice) -> dict[str, Any]:
    content = []
    rows = zip(choice.sample.tokens, choice.sample.logps, strict=True)
    for i, (token, logp) in enumerate(rows):
      top = [] if choice.scores is None else self._top(choice, i)
      content.append(
        self._entry(token, logp)
        | {"top_logprobs": [self._entry(*one) for one in top]}
      )
    return {"content": content, "refusal": None}

  def _text_logprobs(self, choice: Choice) -> dict[str, Any]:
    """The older format: lists side by side."""
    ids, logps = choice.sample.tokens, [float(x) for x in choice.sample.logps]
    values: list[float | None] = [_finite(x) for x in logps]
    if self.asked.echoes:
      assert choice.scores is not None
      ids = np.concatenate([choice.prompt, ids])
      # Of the prompt's first token nothing is known.
      of_prompt = choice.scores.logps[: len(choice.prompt) - 1]
      values = [None, *(_finite(x) for x in of_prompt), *values]
    texts = [self._token(id_) for id_ in ids]
    lengths = [0, *itertools.accumulate(map(len, texts))]
    tops: list[dict[str, float] | None] = []
    if self.asked.num_top:
      assert choice.scores is not None
      missing = len(ids) - len(choice.scores.logps)
      tops += [None] * missing
      for i in range(len(choice.scores.logps)):
        chosen = int(ids[missing + i]), float(choice.scores.logps[i])
        best = [*self._top(choice, i), chosen]
        best.sort(key=lambda pair: pair[1])
        # Two ids may have one spelling; the likelier one stands for both.
        tops.append({self._token(id_): _finite(x) for id_, x in best})
    return {
      "tokens": texts,
      "token_logprobs": values,
      "top_logprobs": tops or None,
      "text_offset": lengths[:-1],
    }

  def _top(self, choice: Choice, place: int) -> list[tuple[int, float]]:
    assert choice.scores is not None
    num = self.asked.num_top
    return list(
      zip(
        choice.scores.top_ids[place, :num].tolist(),
        choice.scores.top_logps[place, :num].tolist(),
        strict=True,
      )
    )

  def _entry(self, token: int, logp: float) -> dict[str, Any]:
    text = self._token(token)
    # Part of a character: its bytes are not told by its text.
    is_part = "\N{REPLACEMENT CHARACTER}" in text
    return {
      "token": text,
      "logprob": _finite(logp),
      "bytes": None if is_part else list(text.encode()),
    }

  def _token(self, id_: int) -> str:
    return self.tokenizer.decode([int(id_)], keep_special=True)


def to_bytes(body: dict[str, Any]) -> bytes:
  """JSON; a value that is not finite is an error, as the model's are not."""
  return json.dumps(body, allow_nan=False).encode()


def event(body: dict[str, Any]) -> bytes:
  """One server-sent event."""
  return b"data: " + to_bytes(body) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def _finite(logp: float) -> float:
  value = float(logp)
  return _LEAST_LOGP if value == -math.inf else value


def _finish_reason(choice: Choice) -> str:
  return "stop" if choice.sample.finished else "length"
