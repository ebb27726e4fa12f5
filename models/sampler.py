# SPDX-License-Identifier: Apache-2.0
"""Sampling from a queue of requests: continuous batching.

Rows that end make room for the next requests, so a long answer delays no other.
Requests with the same prompt, such as the samples of a group, share one prefill.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ramjax.models import slots as slots_lib
from ramjax.models.cache import Cache
from ramjax.models.config import LlamaConfig
from ramjax.models.draw import Controls
from ramjax.models.sampling_options import MOST_STOP_TOKENS, SamplingOptions

# Lengths are rounded up to powers of two, so that few programs are compiled.
_LEAST_PROMPT = 16
_LEAST_SPAN = 64
# A batch waits for this share of its rows to end before others are prefilled:
# waiting costs half of it in idle rows, prefilling one by one costs calls.
_REFILLED_SHARE = 8
# Tokens between two looks at the text of rows that end at a string.
_LOOK_EVERY = 8


@dataclasses.dataclass(frozen=True)
class Request:
  """One continuation that is asked for.

  Attributes:
    prompt: [P] int32, at least one token.
    options: How it is sampled.
    seed: In [0, 2^32). With the prompt and the options it decides the
      continuation: neighbours in the batch do not.
    cut: From the tokens so far to how many of them to keep, if it is complete,
      and None if it goes on: for stop strings. It is asked every few tokens, and
      must say the same of a longer continuation.
  """

  prompt: np.ndarray
  options: SamplingOptions
  seed: int = 0
  cut: Callable[[np.ndarray], int | None] | None = None


@dataclasses.dataclass(frozen=True)
class Sample:
  """One continuation.

  Attributes:
    tokens: [n] int32; a stop token that ended it is the last.
    logps: [n] float32 log-probabilities under the model as it is, in nats.
    drawn_logps: [n] float32, under the distribution that was drawn from; see
      `draw.Drawn`.
    finished: Whether a stop token or `cut` ended it, and not the most tokens.
  """

  tokens: np.ndarray
  logps: np.ndarray
  drawn_logps: np.ndarray
  finished: bool


@dataclasses.dataclass(frozen=True)
class Update:
  """What is known of a request: tokens so far, and the sample once it ended."""

  name: Any
  tokens: np.ndarray
  sample: Sample | None


def sample(
  params: Any,
  config: LlamaConfig,
  requests: Sequence[Request],
  *,
  num_slots: int = 64,
  vocab_size: int | None = None,
  progress: Callable[[int], None] | None = None,
) -> list[Sample]:
  """Continues every prompt; the order of the results is that of the requests.

  Args:
    params: Of a language model.
    config: Its shape.
    requests: Any number.
    num_slots: Rows that are continued at a time, at most.
    vocab_size: Of the tokenizer, where the model's is padded beyond it: ids
      from there up are never drawn. None allows every id.
    progress: Told the number of tokens of each sample that ends.

  Returns:
    A sample for each request.

  Raises:
    ValueError: A prompt is empty, or too long for the model with the tokens
      that are asked for.
  """
  if not requests:
    return []
  batch = ContinuousBatch(
    params,
    config,
    num_slots=min(num_slots, _power_of_two(len(requests), 1)),
    max_length=_row_length(
      max(len(r.prompt) + r.options.max_tokens for r in requests), config
    ),
    max_tokens=max(r.options.max_tokens for r in requests),
    features=features_of([request.options for request in requests]),
    vocab_size=vocab_size,
  )
  # Prompts of like length are prefilled together, and the longest go first: a
  # batch that ends on short rows has fewer idle ones.
  order = sorted(range(len(requests)), key=lambda i: -len(requests[i].prompt))
  for i in order:
    batch.submit(i, requests[i])
  samples: dict[int, Sample] = {}
  for update in batch.run():
    if update.sample is not None:
      samples[update.name] = update.sample
      if progress is not None:
        progress(len(update.sample.tokens))
  return [samples[i] for i in range(len(requests))]


def features_of(options: Sequence[SamplingOptions]) -> slots_lib.Features:
  """What requests with these options need compiled."""
  return slots_lib.Features(
    filtered=any(o.filters for o in options),
    penalised=any(o.repetition_penalty != 1 for o in options),
    biased=any(o.logit_bias for o in options),
  )


@dataclasses.dataclass
class _Placed:
  """A request in a slot."""

  name: Any
  request: Request


class ContinuousBatch:
  """Rows that are continued together, and the queue for them."""

  def __init__(
    self,
    params: Any,
    config: LlamaConfig,
    *,
    num_slots: int,
    max_length: int,
    max_tokens: int,
    features: slots_lib.Features,
    vocab_size: int | None = None,
  ):
    """Makes an empty batch on the device.

    Args:
      params: Of a language model; held in the dtype of the computation.
      config: Its shape.
      num_slots: Rows at a time.
      max_length: Positions of a row, prompt and continuation, at most.
      max_tokens: Tokens of a continuation at most.
      features: What requests may ask for; the rest is refused.
      vocab_size: See `sample`.

    Raises:
      ValueError: The model is a classifier, `max_length` is beyond its
        positions, or a size is below 1.
    """
    if config.num_labels:
      raise ValueError(
        f"the model is a classifier (num_labels={config.num_labels}): only a"
        " language model can be sampled from."
      )
    if num_slots < 1 or max_tokens < 1:
      raise ValueError(
        f"num_slots={num_slots} and max_tokens={max_tokens} must be at least 1."
      )
    if vocab_size is not None and not 0 < vocab_size <= config.vocab_size:
      raise ValueError(
        f"vocab_size={vocab_size} must be from 1 to the model's"
        f" {config.vocab_size}: is it another model's tokenizer?"
      )
    if max_length > config.max_positions:
      raise ValueError(
        f"a prompt and its continuation take {max_length} positions, and the"
        f" model is for {config.max_positions}: shorten the prompt or lower"
        " max_tokens."
      )
    self._params = _in_compute_dtype(params, config)
    self._config = config
    self._vocab_size = vocab_size or config.vocab_size
    self._features = features
    self._max_length = max_length
    self._max_tokens = max_tokens
    self._refilled = max(1, num_slots // _REFILLED_SHARE)
    self._slots = slots_lib.empty_slots(
      config,
      num_slots=num_slots,
      max_length=max_length,
      max_tokens=max_tokens,
      features=features,
      vocab_size=self._vocab_size,
    )
    self._queue: collections.deque[_Placed] = collections.deque()
    self._placed: dict[int, _Placed] = {}
    self._free = list(range(num_slots))
    # Prompts in the cache that was prefilled last, and where they lie in it.
    self._rows: dict[bytes, int] = {}
    self._prompts: Cache | None = None

  @property
  def busy(self) -> bool:
    """Whether any request is waiting or being continued."""
    return bool(self._queue or self._placed)

  def submit(self, name: Any, request: Request) -> None:
    """Puts a request into the queue.

    Args:
      name: What its updates are called.
      request: What is asked for.

    Raises:
      ValueError: The prompt is empty or too long, a token is not in the
        vocabulary, or an option is not among the batch's features.
    """
    options, prompt = request.options, np.asarray(request.prompt)
    length = len(prompt)
    if length < 1:
      raise ValueError("a prompt has no tokens: it needs at least a BOS.")
    least, largest = int(np.min(prompt)), int(np.max(prompt))
    if least < 0 or largest >= self._config.vocab_size:
      raise ValueError(
        f"a prompt has ids from {least} to {largest}: the model's vocabulary"
        f" has {self._config.vocab_size}."
      )
    if not 0 <= request.seed < 2**32:
      raise ValueError(f"seed={request.seed} must be in [0, 2^32).")
    if (
      length + options.max_tokens > self._max_length
      or options.max_tokens > self._max_tokens
    ):
      raise ValueError(
        f"a prompt of {length} tokens and max_tokens={options.max_tokens} do not"
        f" fit rows of {self._max_length} and continuations of"
        f" {self._max_tokens}: shorten the prompt or lower max_tokens."
      )
    for token in options.logit_bias:
      if token >= self._vocab_size:
        raise ValueError(
          f"logit_bias names id {token}; the vocabulary has {self._vocab_size}."
        )
    wanted = dataclasses.asdict(features_of([options]))
    for feature, allowed in dataclasses.asdict(self._features).items():
      if wanted[feature] and not allowed:
        raise ValueError(
          f"the batch was made without {feature}=True, which a request needs."
        )
    # Of one dtype: prompts are told apart by their bytes.
    request = dataclasses.replace(request, prompt=prompt.astype(np.int32))
    self._queue.append(_Placed(name, request))

  def cancel(self, name: Any) -> None:
    """Forgets a request; there are no more updates of it."""
    self._queue = collections.deque(p for p in self._queue if p.name != name)
    gone = [slot for slot, p in self._placed.items() if p.name == name]
    self._release(gone)

  def run(self) -> Iterator[Update]:
    """Updates until nothing is left to do."""
    while self.busy:
      yield from self.advance()

  def advance(self, most_tokens: int | None = None) -> list[Update]:
    """Continues the rows for a while.

    Args:
      most_tokens: Of each row at most, as a stream wants it; None goes on until
        rows have ended.

    Returns:
      The samples that ended, and with `most_tokens` an update of every row.
    """
    self._refill()
    if not self._placed:
      return []
    self._decode(most_tokens)
    return self._collect(with_tokens=most_tokens is not None)

  def _decode(self, most_tokens: int | None) -> None:
    counts = np.asarray(self._slots.count)
    furthest = max(
      len(placed.request.prompt) + int(counts[slot])
      for slot, placed in self._placed.items()
    )
    span = min(_power_of_two(furthest + 1, _LEAST_SPAN), self._max_length)
    # `furthest` tokens stand at positions below it.
    steps = span - furthest + 1
    if most_tokens is not None:
      steps = min(steps, most_tokens)
    if any(p.request.cut is not None for p in self._placed.values()):
      steps = min(steps, _LOOK_EVERY)
    self._slots = slots_lib.decode(
      self._params,
      self._config,
      self._slots,
      most_steps=jnp.int32(steps),
      enough_ended=jnp.int32(
        self._refilled if self._queue else len(self._placed)
      ),
      span=span,
      filtered=self._features.filtered,
      vocab_size=self._vocab_size,
    )

  def _collect(self, *, with_tokens: bool) -> list[Update]:
    """Reads what the rows have come to; ended ones leave their slot."""
    active, counts = jax.device_get((self._slots.active, self._slots.count))
    look = with_tokens or any(
      p.request.cut is not None for p in self._placed.values()
    )
    if not look and all(active[slot] for slot in self._placed):
      return []
    tokens, logps, drawn = jax.device_get(
      (self._slots.tokens, self._slots.logps, self._slots.drawn_logps)
    )
    updates, ended = [], []
    for slot, placed in self._placed.items():
      request = placed.request
      row = tokens[slot, : counts[slot]]
      kept = None if request.cut is None else request.cut(row)
      finished = kept is not None or (
        bool(len(row)) and int(row[-1]) in request.options.stop_tokens
      )
      if kept is not None:
        row = row[:kept]
      result = None
      if kept is not None or not active[slot]:
        ended.append(slot)
        result = Sample(
          tokens=row.copy(),
          logps=logps[slot, : len(row)].copy(),
          drawn_logps=drawn[slot, : len(row)].copy(),
          finished=finished,
        )
      if result is not None or with_tokens:
        updates.append(Update(placed.name, row.copy(), result))
    self._release(ended)
    return updates

  def _release(self, ended: Sequence[int]) -> None:
    if not ended:
      return
    for slot in ended:
      del self._placed[slot]
      self._free.append(slot)
    mask = np.zeros(self._slots.active.shape, bool)
    mask[list(ended)] = True
    self._slots = slots_lib.halt(self._slots, jnp.asarray(mask))

  def _refill(self) -> None:
    """Puts waiting requests into free slots."""
    while self._queue and self._free:
      if self._queue[0].request.prompt.tobytes() not in self._rows:
        self._prefill()
      group = []
      while (
        self._queue
        and self._free
        and len(group) < self._refilled
        and self._queue[0].request.prompt.tobytes() in self._rows
      ):
        group.append((self._free.pop(), self._queue.popleft()))
      self._fill(group)

  def _prefill(self) -> None:
    """Computes the caches of the next prompts in the queue."""
    prompts: dict[bytes, np.ndarray] = {}
    for placed in self._queue:
      prompts.setdefault(placed.request.prompt.tobytes(), placed.request.prompt)
      if len(prompts) == self._refilled:
        break
    longest = max(len(prompt) for prompt in prompts.values())
    length = min(_power_of_two(longest, _LEAST_PROMPT), self._max_length)
    tokens = np.zeros((self._refilled, length), np.int32)
    for row, prompt in zip(tokens, prompts.values(), strict=False):
      row[: len(prompt)] = prompt
    self._rows = {key: i for i, key in enumerate(prompts)}
    self._prompts = slots_lib.prefill(
      self._params, self._config, jnp.asarray(tokens)
    )

  def _fill(self, group: Sequence[tuple[int, _Placed]]) -> None:
    num_slots = self._slots.active.shape[0]
    size = self._refilled
    fields: dict[str, np.ndarray] = dict(
      slots=np.full(size, num_slots, np.int32),
      source=np.zeros(size, np.int32),
      prompt_lengths=np.ones(size, np.int32),
      last=np.zeros(size, np.int32),
      limits=np.zeros(size, np.int32),
      seeds=np.zeros(size, np.uint32),
      stops=np.full((size, MOST_STOP_TOKENS), -1, np.int32),
    )
    controls: dict[str, np.ndarray] = {
      name: np.zeros(size, np.float32) for name in Controls._fields
    }
    controls["top_k"] = np.zeros(size, np.int32)
    seen = bias = None
    if self._features.penalised:
      seen = np.zeros((size, self._vocab_size), bool)
    if self._features.biased:
      bias = np.zeros((size, self._vocab_size), np.float32)
    for i, (slot, placed) in enumerate(group):
      request, options = placed.request, placed.request.options
      self._placed[slot] = placed
      fields["slots"][i] = slot
      fields["source"][i] = self._rows[request.prompt.tobytes()]
      fields["prompt_lengths"][i] = len(request.prompt)
      fields["last"][i] = request.prompt[-1]
      fields["limits"][i] = options.max_tokens
      fields["seeds"][i] = request.seed
      fields["stops"][i, : len(options.stop_tokens)] = options.stop_tokens
      for name in Controls._fields:
        controls[name][i] = getattr(options, name)
      if seen is not None:
        in_vocabulary = request.prompt < self._vocab_size
        seen[i, request.prompt[in_vocabulary]] = True
      if bias is not None and options.logit_bias:
        bias[i, list(options.logit_bias)] = list(options.logit_bias.values())
    assert self._prompts is not None
    requests = slots_lib.Requests(
      **_on_device(fields),
      controls=Controls(**_on_device(controls)),
      seen=None if seen is None else jnp.asarray(seen),
      bias=None if bias is None else jnp.asarray(bias),
    )
    self._slots = slots_lib.fill(self._slots, self._prompts, requests)


def _row_length(longest: int, config: LlamaConfig) -> int:
  """Positions of a row, rounded up by a quarter or `_LEAST_SPAN` at most.

  Calls whose longest prompts differ a little run the same programs.
  """
  step = max(_LEAST_SPAN, _power_of_two(longest, 1) // 8)
  return max(longest, min(-(-longest // step) * step, config.max_positions))


def _power_of_two(value: int, least: int) -> int:
  return max(least, 1 << (value - 1).bit_length())


def _on_device(fields: dict[str, np.ndarray]) -> dict[str, jax.Array]:
  return {name: jnp.asarray(value) for name, value in fields.items()}


def _in_compute_dtype(params: Any, config: LlamaConfig) -> Any:
  """Float32 masters in the dtype of the computation, cast once, not a token."""
  if config.dtype == "float32":
    return params
  return _cast(params, config.dtype)


@functools.partial(jax.jit, static_argnames="dtype")
def _cast(params: Any, dtype: str) -> Any:
  def cast(leaf: jax.Array) -> jax.Array:
    return leaf.astype(dtype) if leaf.dtype == jnp.float32 else leaf

  return jax.tree.map(cast, params)
