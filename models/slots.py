# SPDX-License-Identifier: Apache-2.0
"""The device's side of sampling: rows of a batch, each with its own request.

A slot holds a prompt's cache, its newest token and its options. `fill` puts
requests into slots, `decode` advances all of them until enough have ended.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ramjax.models import heads, llama, sharding
from ramjax.models.cache import Cache, init_cache, put_rows
from ramjax.models.config import LlamaConfig
from ramjax.models.draw import Controls, draw, logps_of
from ramjax.models.sampling_options import MOST_STOP_TOKENS


@dataclasses.dataclass(frozen=True)
class Features:
  """What any request of a batch asks for; the rest is not compiled.

  Attributes:
    filtered: A filter: top-k, top-p or min-p.
    penalised: A repetition penalty.
    biased: A logit bias.
  """

  filtered: bool = False
  penalised: bool = False
  biased: bool = False


class Requests(NamedTuple):
  """Requests to put into slots, one each.

  Attributes:
    slots: [M] int32; one beyond the last slot is nobody.
    source: [M] int32, the row of the prefilled prompts.
    prompt_lengths: [M] int32, at least 1.
    last: [M] int32, the last token of each prompt.
    limits: [M] int32, most tokens.
    seeds: [M] uint32.
    stops: [M, MOST_STOP_TOKENS] int32, padded with -1.
    controls: Of [M].
    seen: [M, V] bool, tokens of the prompts; None without a penalty.
    bias: [M, V] float32; None without a bias.
  """

  slots: jax.Array
  source: jax.Array
  prompt_lengths: jax.Array
  last: jax.Array
  limits: jax.Array
  seeds: jax.Array
  stops: jax.Array
  controls: Controls
  seen: jax.Array | None
  bias: jax.Array | None


class Slots(NamedTuple):
  """S rows that are being continued.

  Attributes:
    cache: Keys and values of all but the newest token.
    last: [S] int32, the newest token.
    position: [S] int32, where it stands.
    count: [S] int32, tokens generated.
    active: [S] bool, whether the row goes on.
    limits, seeds, stops, controls, seen, bias: As in `Requests`, [S, ...].
    tokens: [S, N] int32, those generated.
    logps: [S, N] float32; see `draw.Drawn`.
    drawn_logps: [S, N] float32.
  """

  cache: Cache
  last: jax.Array
  position: jax.Array
  count: jax.Array
  active: jax.Array
  limits: jax.Array
  seeds: jax.Array
  stops: jax.Array
  controls: Controls
  seen: jax.Array | None
  bias: jax.Array | None
  tokens: jax.Array
  logps: jax.Array
  drawn_logps: jax.Array


@functools.partial(
  jax.jit,
  static_argnames=(
    "config",
    "num_slots",
    "max_length",
    "max_tokens",
    "features",
    "vocab_size",
  ),
)
def empty_slots(
  config: LlamaConfig,
  *,
  num_slots: int,
  max_length: int,
  max_tokens: int,
  features: Features,
  vocab_size: int,
) -> Slots:
  """Slots that nobody is in.

  Args:
    config: Of the model.
    num_slots: S.
    max_length: Positions of each row, prompt and continuation.
    max_tokens: N, tokens of a continuation at most.
    features: What requests may ask for.
    vocab_size: V, ids that may be drawn.
  """

  def full(value, dtype, *shape):
    return jnp.full((num_slots, *shape), value, dtype)

  slots = Slots(
    cache=_laid_out(
      init_cache(config, batch_size=num_slots, length=max_length)
    ),
    last=full(0, jnp.int32),
    position=full(0, jnp.int32),
    count=full(0, jnp.int32),
    active=full(False, bool),
    limits=full(0, jnp.int32),
    seeds=full(0, jnp.uint32),
    stops=full(-1, jnp.int32, MOST_STOP_TOKENS),
    controls=Controls(
      temperature=full(1, jnp.float32),
      top_k=full(0, jnp.int32),
      top_p=full(1, jnp.float32),
      min_p=full(0, jnp.float32),
      repetition_penalty=full(1, jnp.float32),
    ),
    seen=full(False, bool, vocab_size) if features.penalised else None,
    bias=full(0, jnp.float32, vocab_size) if features.biased else None,
    tokens=full(0, jnp.int32, max_tokens),
    logps=full(0, jnp.float32, max_tokens),
    drawn_logps=full(0, jnp.float32, max_tokens),
  )
  return _readable(slots)


prefill = jax.jit(llama.prefill, static_argnames="config")


@functools.partial(jax.jit, donate_argnames="slots")
def fill(slots: Slots, prompts: Cache, requests: Requests) -> Slots:
  """`slots` with requests in them, whatever was there before.

  Args:
    slots: Donated.
    prompts: Keys and values of prompts, from `prefill`. The last token of a
      prompt is fed by the first step of `decode`, so that every token comes
      from one and the same program.
    requests: Several may share a prompt.

  Returns:
    The slots.
  """

  def put(stored, new):
    return stored.at[requests.slots].set(new, mode="drop")

  none = jnp.zeros_like(requests.last)
  filled = slots._replace(
    cache=_laid_out(
      put_rows(
        slots.cache, prompts, rows=requests.slots, source=requests.source
      )
    ),
    last=put(slots.last, requests.last),
    position=put(slots.position, requests.prompt_lengths - 1),
    count=put(slots.count, none),
    active=put(slots.active, none == 0),
    limits=put(slots.limits, requests.limits),
    seeds=put(slots.seeds, requests.seeds),
    stops=put(slots.stops, requests.stops),
    controls=jax.tree.map(put, slots.controls, requests.controls),
    seen=None if slots.seen is None else put(slots.seen, requests.seen),
    bias=None if slots.bias is None else put(slots.bias, requests.bias),
  )
  return _readable(filled)


@functools.partial(jax.jit, donate_argnames="slots")
def halt(slots: Slots, ended: jax.Array) -> Slots:
  """`slots` where those in `ended` [S] bool go on no more."""
  return _readable(slots._replace(active=slots.active & ~ended))


@functools.partial(
  jax.jit,
  static_argnames=("config", "span", "filtered", "vocab_size"),
  donate_argnames="slots",
)
def decode(
  params: llama.Params,
  config: LlamaConfig,
  slots: Slots,
  *,
  most_steps: jax.Array,
  enough_ended: jax.Array,
  span: int,
  filtered: bool,
  vocab_size: int,
) -> Slots:
  """Advances all active rows, a token at a time.

  Args:
    params: Of the model.
    config: Its shape.
    slots: Donated.
    most_steps: [] int32, tokens of each row at most; the position of none may
      reach `span`.
    enough_ended: [] int32; returns when so many rows have ended.
    span: Slots of the cache that are attended to.
    filtered: See `draw.draw`.
    vocab_size: Ids that may be drawn: the tokenizer's, where the model's
      vocabulary is padded beyond them.

  Returns:
    The slots.
  """
  already = jnp.sum(~slots.active)

  def goes_on(loop: tuple[jax.Array, Slots]) -> jax.Array:
    step, now = loop
    ended = jnp.sum(~now.active) - already
    return (step < most_steps) & (ended < enough_ended) & jnp.any(now.active)

  def body(loop: tuple[jax.Array, Slots]) -> tuple[jax.Array, Slots]:
    step, now = loop
    now = _advance(
      params, config, now, span=span, filtered=filtered, vocab_size=vocab_size
    )
    return step + 1, now

  return _readable(jax.lax.while_loop(goes_on, body, (jnp.int32(0), slots))[1])


def _advance(params, config, slots, *, span, filtered, vocab_size) -> Slots:
  """One token of every active row; the others stay as they are."""
  hidden, cache = llama.apply(
    params,
    config,
    slots.last[:, None],
    positions=slots.position[:, None],
    cache=slots.cache,
    span=span,
  )
  logits = heads.lm_logits(params, config, hidden[:, 0])
  drawn = draw(
    logits[:, :vocab_size],
    slots.controls,
    _uniforms(slots.seeds, slots.count),
    seen=slots.seen,
    bias=slots.bias,
    filtered=filtered,
  )
  if vocab_size < logits.shape[1]:
    # Ids that may not be drawn are part of the model's distribution.
    drawn = drawn._replace(logps=logps_of(logits, drawn.tokens))
  active = slots.active
  rows = jnp.arange(active.shape[0])
  # An ended row writes nowhere: beyond the end of the array.
  place = jnp.where(active, slots.count, slots.tokens.shape[1])

  def append(stored, new):
    return stored.at[rows, place].set(new, mode="drop")

  count = slots.count + active
  stopped = jnp.any(drawn.tokens[:, None] == slots.stops, axis=-1)
  seen = slots.seen
  if seen is not None:
    seen = seen.at[rows, drawn.tokens].max(active)
  return slots._replace(
    cache=_laid_out(cache),
    last=jnp.where(active, drawn.tokens, slots.last),
    position=slots.position + active,
    count=count,
    active=active & ~stopped & (count < slots.limits),
    seen=seen,
    tokens=append(slots.tokens, drawn.tokens),
    logps=append(slots.logps, drawn.logps),
    drawn_logps=append(slots.drawn_logps, drawn.drawn_logps),
  )


def _laid_out(cache: Cache) -> Cache:
  """Rows over the mesh's batch axes and heads over `tensor`, where they divide.

  Left to the compiler a cache may lie whole on every device: 64 GiB of 256 rows
  of 2,048 positions of Llama 3 8B.
  """
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return cache
  _, rows, kv_heads, _, _ = cache.key.shape
  ways = mesh.shape["data"] * mesh.shape["fsdp"]
  over_rows = "batch" if rows % ways == 0 else "activation"
  over_heads = "activation"
  if kv_heads % mesh.shape["tensor"] == 0:
    over_heads = "kv_heads"
  axes = ("layers", over_rows, over_heads, "activation", "activation")
  return Cache(*(sharding.constrain(x, *axes) for x in cache))


def _readable(slots: Slots) -> Slots:
  """`slots` whose results lie whole on every device: all processes read them."""

  def everywhere(x: jax.Array) -> jax.Array:
    return sharding.constrain(x, *["activation"] * x.ndim)

  return slots._replace(
    count=everywhere(slots.count),
    active=everywhere(slots.active),
    tokens=everywhere(slots.tokens),
    logps=everywhere(slots.logps),
    drawn_logps=everywhere(slots.drawn_logps),
  )


def _uniforms(seeds: jax.Array, counts: jax.Array) -> jax.Array:
  """[S] random numbers in [0, 1), of a row's seed and its number of tokens."""

  def one(seed: jax.Array, count: jax.Array) -> jax.Array:
    key = jax.random.fold_in(jax.random.key(seed), count)
    return jax.random.uniform(key)

  return jax.vmap(one)(seeds, counts)
