# SPDX-License-Identifier: Apache-2.0
"""Makes a prompt shorter: what gives way first, and how far."""

import dataclasses
from collections.abc import Callable

from ramjax.data.encode import Encoded, encode_prompt
from ramjax.data.rows import Message
from ramjax.data.tokenizers import Tokenizer


def joined(prompt: Encoded, response: Encoded, max_length: int) -> Encoded:
  """A prompt and as much of its response as fits."""
  return Encoded(
    (prompt.tokens + response.tokens)[:max_length],
    (prompt.mask + response.mask)[:max_length],
  )


def prompt_room(num_response: int, max_length: int) -> int:
  """How long the prompt may stay: the response is worth half of the room."""
  return max_length - min(num_response, max_length // 2)


def largest(fits: Callable[[int], bool], low: int, high: int) -> int:
  """The largest number in low..high that fits; `low` is not tried.

  Where fitting is not quite monotone (one more letter can make one token
  less), some number that fits and whose successor does not.
  """
  while low < high:
    middle = (low + high + 1) // 2
    low, high = (middle, high) if fits(middle) else (low, middle - 1)
  return low


def cut_prompt(
  prompt: list[Message], template: str, tokenizer: Tokenizer, room: int
) -> Encoded:
  """Cuts the end of the user turn, then of the system message, to fit.

  Args:
    prompt: A system message, if there is one, and one user turn.
    template: As for `tokenize_row`.
    tokenizer: As for `tokenize_row`.
    room: The number of tokens to come down to.

  Returns:
    The prompt with as many characters as fit; with none, if even so it is
    longer than `room`.
  """
  encoded = encode_prompt(prompt, template, tokenizer)
  for index in reversed(range(len(prompt))):
    if len(encoded.tokens) <= room:
      break
    message = prompt[index]

    def cut(num_chars: int, index=index, message=message) -> Encoded:
      prompt[index] = dataclasses.replace(
        message, content=message.content[:num_chars]
      )
      return encode_prompt(prompt, template, tokenizer)

    num_chars = largest(
      lambda n, cut=cut: len(cut(n).tokens) <= room, 0, len(message.content)
    )
    encoded = cut(num_chars)
  return encoded
