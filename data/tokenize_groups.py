# SPDX-License-Identifier: Apache-2.0
"""Rows with several answers to a prompt, or a judged one, to token ids.

Every answer of a row follows the same prompt, cut once if the longest of them
needs the room, so that a pair differs in its answers only.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data.encode import Encoded, encode, encode_prompt
from ramjax.data.rows import Message
from ramjax.data.shorten import cut_prompt, largest, prompt_room
from ramjax.data.tokenizers import Tokenizer

Text = str | tuple[Message, ...]


class Group(NamedTuple):
  """The tokenised answers of one row.

  Attributes:
    prompts: [p] int32 each: one that all answers follow, or one for each.
    responses: K arrays [n] int32.
    response_masks: K arrays [n] bool, True where the token is supervised.
    features: What else is known of the row, float32 [.] by name, such as
      `margins` [1]; the same names and sizes in every group of a run.
    num_truncated: Tokens cut to fit, over all answers.
  """

  prompts: tuple[np.ndarray, ...]
  responses: tuple[np.ndarray, ...]
  response_masks: tuple[np.ndarray, ...]
  features: Mapping[str, np.ndarray]
  num_truncated: int

  @property
  def num_tokens(self) -> int:
    """Tokens of prompt and answer, summed over the answers."""
    prompts = [self.prompts[k % len(self.prompts)] for k in range(self.size)]
    return sum(map(len, prompts)) + sum(map(len, self.responses))

  @property
  def size(self) -> int:
    """K."""
    return len(self.responses)


def tokenize_group(
  prompt: Text,
  answers: Sequence[Text],
  *,
  features: Mapping[str, Sequence[float]],
  template: str,
  tokenizer: Tokenizer,
  max_length: int,
) -> Group:
  """Tokenises a prompt and its answers.

  Where prompt and longest answer exceed `max_length`, the prompt gives way as
  in `tokenize_rows.tokenize_row` (oldest exchanges, then the end of the last
  user turn; raw text at its start) as long as that answer has less than half
  of the room; then answers lose their end, with the end-of-turn token.

  Args:
    prompt: Raw text or messages.
    answers: At least one, in the form of the prompt.
    features: See `Group`.
    template: Of messages, one of `templates.TEMPLATE_NAMES`.
    tokenizer: The tokenizer.
    max_length: The largest number of tokens of the prompt and one answer.

  Returns:
    A group with one prompt.

  Raises:
    ValueError: The headers alone do not fit, or the template does not suit the
      row or the tokenizer.
  """
  if isinstance(prompt, str):
    full_prompt, encoded = _encode_text(prompt, answers, tokenizer)
  else:
    full_prompt, encoded = _encode_chat(prompt, answers, template, tokenizer)
  longest = max(len(answer.tokens) for answer in encoded)
  kept = full_prompt
  if len(full_prompt) + longest > max_length:
    room = prompt_room(longest, max_length)
    if isinstance(prompt, str):
      kept = _shorten_text(full_prompt, tokenizer, room)
    else:
      kept = _shorten_chat(prompt, template, tokenizer, room)
  rest = max_length - len(kept)
  if rest < 1:
    raise ValueError(
      f"max_length={max_length} leaves no room for an answer: the headers of"
      f" template={template!r} and one token of the answer need"
      f" max_length={len(kept) + 1}."
    )
  full = [len(full_prompt) + len(answer.tokens) for answer in encoded]
  left = [len(kept) + min(len(answer.tokens), rest) for answer in encoded]
  return Group(
    prompts=(np.asarray(kept, np.int32),),
    responses=tuple(np.asarray(a.tokens[:rest], np.int32) for a in encoded),
    response_masks=tuple(np.asarray(a.mask[:rest], bool) for a in encoded),
    features={k: np.asarray(v, np.float32) for k, v in features.items()},
    num_truncated=sum(full) - sum(left),
  )


def _encode_text(
  prompt: str, answers: Sequence[Text], tokenizer: Tokenizer
) -> tuple[list[int], list[Encoded]]:
  """BOS and prompt; answers and EOS, every token of them supervised."""
  bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
  eos = tokenizer.special_id("eos")
  encoded = []
  for answer in answers:
    assert isinstance(answer, str)
    tokens = tokenizer.encode(answer, at_start=not prompt)
    encoded.append(Encoded([*tokens, eos], [True] * (len(tokens) + 1)))
  return bos + tokenizer.encode(prompt, at_start=True), encoded


def _encode_chat(
  prompt: tuple[Message, ...],
  answers: Sequence[Text],
  template: str,
  tokenizer: Tokenizer,
) -> tuple[list[int], list[Encoded]]:
  tokens = encode_prompt(prompt, template, tokenizer).tokens
  encoded = []
  for answer in answers:
    assert not isinstance(answer, str)
    full = encode((*prompt, *answer), template, tokenizer)
    # No token crosses the edge of a span, and a header ends a span.
    if full.tokens[: len(tokens)] != tokens:
      raise ValueError(
        f"template={template!r} renders the prompt of a row differently when an"
        " answer follows: the answers of one prompt cannot be compared."
      )
    rest = slice(len(tokens), None)
    encoded.append(Encoded(full.tokens[rest], full.mask[rest]))
  return tokens, encoded


def _shorten_text(
  tokens: list[int], tokenizer: Tokenizer, room: int
) -> list[int]:
  """Keeps BOS and the end of the prompt."""
  num_bos = 0 if tokenizer.bos_id is None else 1
  start = max(len(tokens) - max(room - num_bos, 0), num_bos)
  return tokens[:num_bos] + tokens[start:]


def _shorten_chat(
  prompt: tuple[Message, ...], template: str, tokenizer: Tokenizer, room: int
) -> list[int]:
  """Drops oldest exchanges, never the system message; then cuts the rest."""
  system = prompt[:1] if prompt[0].role == "system" else prompt[:0]
  turns = prompt[len(system) :]

  def keep(num_exchanges: int) -> tuple[Message, ...]:
    # The last user turn stands alone; before it, turns come in twos.
    return (*system, *turns[-2 * num_exchanges + 1 :])

  num_exchanges = largest(
    lambda n: len(encode_prompt(keep(n), template, tokenizer).tokens) <= room,
    1,
    (len(turns) + 1) // 2,
  )
  kept = list(keep(num_exchanges))
  return cut_prompt(kept, template, tokenizer, room).tokens
