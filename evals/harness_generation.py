# SPDX-License-Identifier: Apache-2.0
"""What a task of the Language Model Evaluation Harness asks of a generation.

Its `generation_kwargs` are those of transformers with other names for some. The
rules are those of version 0.4.13 (`normalize_gen_kwargs`, `HFLM.generate_until`),
but for options that would be passed on to transformers: what we do not know is
refused, and never left out.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ramjax.models.sampling_options import SamplingOptions

DEFAULT_MAX_TOKENS = 256
# The first that is there counts.
_MAX_TOKENS = (
  "max_gen_toks",
  "max_new_tokens",
  "max_tokens",
  "max_completion_tokens",
)
# Sampling options by their own names, and of what type each is.
_SAMPLING = {
  "top_k": int,
  "top_p": float,
  "min_p": float,
  "repetition_penalty": float,
}
# Options that change nothing at one value.
_NEUTRAL = {"num_beams": 1, "num_return_sequences": 1}
_KNOWN = ("until", *_MAX_TOKENS, "do_sample", "temperature", *_SAMPLING)


class Generation(NamedTuple):
  """How one text is generated.

  Attributes:
    options: Without the ids at which it ends.
    until: Texts that end it and are no part of it.
  """

  options: SamplingOptions
  until: tuple[str, ...]


def generation(kwargs: Mapping[str, Any]) -> Generation:
  """Reads `generation_kwargs`.

  Args:
    kwargs: Of a task. `do_sample` false is greedy whatever the temperature is;
      without it, a temperature above 0 samples. True without a temperature
      samples at 1.

  Returns:
    How a text is generated.

  Raises:
    ValueError: An option that is not known, or a value out of its range.
  """
  unknown = [name for name in kwargs if name not in (*_KNOWN, *_NEUTRAL)]
  # True is 1 to Python, and no number of beams.
  unknown += [
    name
    for name, value in _NEUTRAL.items()
    if name in kwargs
    and (type(kwargs[name]) is not type(value) or kwargs[name] != value)
  ]
  if unknown:
    wrong = ", ".join(f"{name}={kwargs[name]!r}" for name in unknown)
    raise ValueError(
      f"generation_kwargs has {wrong}, which we have not: {', '.join(_KNOWN)}"
      " are known. Leave it out of the task's file."
    )
  given = [kwargs[n] for n in _MAX_TOKENS if kwargs.get(n) is not None]
  settings: dict[str, Any] = {
    "max_tokens": _number(
      int, "max_gen_toks", given[0] if given else DEFAULT_MAX_TOKENS
    ),
    "temperature": _temperature(kwargs),
  }
  for name, kind in _SAMPLING.items():
    if kwargs.get(name) is not None:
      settings[name] = _number(kind, name, kwargs[name])
  return Generation(SamplingOptions(**settings), _until(kwargs.get("until")))


def _temperature(kwargs: Mapping[str, Any]) -> float:
  do_sample = kwargs.get("do_sample")
  if not isinstance(do_sample, bool | None):
    raise ValueError(
      f"generation_kwargs has do_sample={do_sample!r}: true or false."
    )
  temperature = kwargs.get("temperature")
  if do_sample is False or (do_sample is None and temperature is None):
    return 0.0
  return _number(
    float, "temperature", 1.0 if temperature is None else temperature
  )


def _number(kind: type, name: str, value: Any) -> Any:
  try:
    number = kind(value)
    # int() of 2.5 would cut it without a word.
    if isinstance(value, bool) or (
      isinstance(value, float) and number != value
    ):
      raise ValueError
    return number
  except (TypeError, ValueError, OverflowError):
    raise ValueError(
      f"generation_kwargs has {name}={value!r}, which is no"
      f" {'whole ' if kind is int else ''}number."
    ) from None


def _until(value: Any) -> tuple[str, ...]:
  if value is None:
    return ()
  texts = value if isinstance(value, list | tuple) else [value]
  if not all(isinstance(text, str) and text for text in texts):
    raise ValueError(
      f"generation_kwargs has until={value!r}: a text or a list of texts, none"
      " of them empty (an empty one would end every answer)."
    )
  return tuple(texts)
