# SPDX-License-Identifier: Apache-2.0
"""Scorers of whole answers: a score head's, or made of log-probabilities.

Scores are compared between answers to one prompt: the higher, the better.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ramjax.evals import padded_rows, response_rows
from ramjax.evals.likelihood import likelihood
from ramjax.evals.padded_rows import Row
from ramjax.models import heads, llama, sharding
from ramjax.models.config import LlamaConfig

REWARD, IMPLICIT, LOGP, MEAN_LOGP = "reward", "implicit", "logp", "mean_logp"
KINDS = (REWARD, IMPLICIT, LOGP, MEAN_LOGP)
# Positions of one shard whose logits exist at once: 128 MB for 128,000 tokens.
_CHUNK = 256

# Called with how many more answers have been read.
Progress = Callable[[int], object]


class Model(Protocol):
  """A model on a mesh."""

  @property
  def params(self) -> Any:
    """As `llama.apply` takes them."""
    ...

  @property
  def config(self) -> LlamaConfig:
    """Its shape."""
    ...

  @property
  def mesh(self) -> Mesh:
    """Where the parameters are."""
    ...


class Logps(NamedTuple):
  """Of n answers.

  Attributes:
    totals: [n] float64, summed over the tokens that count, in nats.
    num_tokens: [n] how many those are, at least 1.
  """

  totals: np.ndarray
  num_tokens: np.ndarray


@dataclasses.dataclass(frozen=True)
class ResponseScorer:
  """Scores answers in one of four ways.

  * `reward`: the output of the score head at the answer's last token.
  * `implicit`: beta (log pi - log pi_ref), each summed over the answer's
    tokens, which is the reward that DPO trains (Rafailov et al. 2023, arXiv
    2305.18290, equation 5, without the term that a prompt's answers share).
    With beta = 1 it is the log density ratio of any two models, such as a
    strong and a weak one (arXiv 2411.02481).
  * `logp`: log pi, summed.
  * `mean_logp`: log pi, the mean over the answer's tokens; exp(-mean_logp) is
    the answer's perplexity, of which less is better.

  Attributes:
    kind: One of `KINDS`.
    load: Loads the model, each time anew: of two models only one is in memory.
    load_reference: The same of pi_ref; None but for `implicit`.
    beta: Of `implicit`.
    batch_size: See `padded_rows.padded_batches`.
  """

  kind: str
  load: Callable[[], Model]
  load_reference: Callable[[], Model] | None = None
  beta: float = 1.0
  batch_size: int = 16

  def __post_init__(self) -> None:
    if self.kind not in KINDS:
      raise ValueError(f"kind={self.kind!r} is not one of {', '.join(KINDS)}.")
    if (self.kind == IMPLICIT) != (self.load_reference is not None):
      raise ValueError(
        f"kind={self.kind!r}: {IMPLICIT!r} compares with a reference model, and"
        " the others do not."
      )

  def score(
    self,
    rows: Sequence[Row],
    progress: Progress | None = None,
    *,
    places: Sequence[str] | None = None,
  ) -> np.ndarray:
    """Scores answers.

    Args:
      rows: As `response_rows` makes them; their order and number move nothing.
        `check_rows` refuses some before a model is loaded.
      progress: Called after each batch; with a reference each answer is read
        twice.
      places: Of each row, for messages; None is its number.

    Returns:
      [n] float64, in the order of `rows`.

    Raises:
      ValueError: A model that is none of that kind, ids it has not, a row that
        is too long for it or has nothing to score, or a score that is no finite
        number.
    """
    options: dict[str, Any] = dict(
      batch_size=self.batch_size, progress=progress, places=places
    )
    if self.kind == REWARD:
      return head_scores(self.load(), rows, **options)
    logps = response_logps(self.load(), rows, **options)
    if self.kind == MEAN_LOGP:
      return logps.totals / logps.num_tokens
    if self.load_reference is None:
      return logps.totals
    reference = response_logps(self.load_reference(), rows, **options)
    return self.beta * (logps.totals - reference.totals)


def check_rows(
  rows: Sequence[Row],
  config: LlamaConfig,
  *,
  kind: str,
  places: Sequence[str] | None = None,
) -> None:
  """Refuses rows that cannot be scored; reads no weights.

  Args:
    rows: To score.
    config: The model's shape.
    kind: One of `KINDS`.
    places: Of each row, for messages; None is its number.

  Raises:
    ValueError: A row that is too long or has nothing to score, or ids that the
      model has not.
  """
  for i, row in enumerate(rows):
    place = _place(i, places)
    if kind != REWARD and not response_rows.num_scored(row):
      raise ValueError(
        f"{place} has no token to predict: its answer is empty, or follows"
        " nothing, not even BOS."
      )
    if not 0 < len(row.tokens) <= config.max_positions:
      raise ValueError(
        f"{place} has {len(row.tokens)} tokens, and the model is for 1 to"
        f" {config.max_positions}: cut it."
      )
    if not 0 <= row.tokens.min() <= row.tokens.max() < config.vocab_size:
      raise ValueError(
        f"{place} has ids from {row.tokens.min()} to {row.tokens.max()}, and"
        f" the model vocab_size={config.vocab_size}: take the model's own"
        " tokenizer."
      )


def head_scores(
  model: Model,
  rows: Sequence[Row],
  *,
  batch_size: int,
  progress: Progress | None = None,
  places: Sequence[str] | None = None,
) -> np.ndarray:
  """Outputs of the score head at each row's last token.

  Args:
    model: With one score.
    rows: To score, on all devices of the model's mesh.
    batch_size: See `padded_rows.padded_batches`.
    progress: Called with the number of rows of each batch.
    places: Of each row, for messages; None is its number.

  Returns:
    [n] float64.

  Raises:
    ValueError: See `ResponseScorer.score`.
  """
  if model.config.num_labels != 1:
    raise ValueError(
      f"the model has num_labels={model.config.num_labels}: a reward model has"
      " one score."
    )
  check_rows(rows, model.config, kind=REWARD, places=places)
  scores = np.empty(len(rows), np.float64)
  step = functools.partial(_last_scores, model.config)
  for indices, found in _batches(step, model, rows, batch_size, progress):
    scores[indices] = found[: len(indices)]
  _require_finite(scores, "score", model, places)
  return scores


def response_logps(
  model: Model,
  rows: Sequence[Row],
  *,
  batch_size: int,
  progress: Progress | None = None,
  places: Sequence[str] | None = None,
) -> Logps:
  """Log-probabilities of the tokens that count in each row.

  Only these reach the vocabulary, a chunk at a time.

  Args:
    model: A language model.
    rows: As for `head_scores`.
    batch_size: As for `head_scores`.
    progress: As for `head_scores`.
    places: As for `head_scores`.

  Raises:
    ValueError: See `ResponseScorer.score`.
  """
  if model.config.num_labels:
    raise ValueError(
      f"the model has num_labels={model.config.num_labels} and predicts no"
      " token: give a language model."
    )
  check_rows(rows, model.config, kind=LOGP, places=places)
  num_tokens = np.array(
    [response_rows.num_scored(row) for row in rows], np.int64
  )
  totals = np.empty(len(rows), np.float64)
  step = functools.partial(_token_logps, model.config)
  for indices, logps in _batches(step, model, rows, batch_size, progress):
    totals[indices] = logps[: len(indices)].sum(axis=1, dtype=np.float64)
  _require_finite(totals, "log-probability", model, places)
  return Logps(totals, num_tokens)


@functools.partial(jax.jit, static_argnums=0)
def _last_scores(config: LlamaConfig, params: Any, batch: Any) -> jax.Array:
  """[B] scores; of no meaning where a row is empty."""
  hidden = llama.apply(
    params,
    config,
    batch.tokens,
    positions=batch.positions,
    segment_ids=batch.segment_ids,
  )
  last = jnp.maximum(jnp.sum(batch.segment_ids, axis=1) - 1, 0)
  return heads.scores_at(params, hidden, last[:, None])[:, 0, 0]


@functools.partial(jax.jit, static_argnums=0)
def _token_logps(config: LlamaConfig, params: Any, batch: Any) -> jax.Array:
  """[B, T] log-probabilities; 0 where the next token does not count."""
  found = likelihood(params, config, batch, chunk_size=_CHUNK)
  return found.logps.reshape(batch.tokens.shape)


def _batches(
  step: Callable[..., Any],
  model: Model,
  rows: Sequence[Row],
  batch_size: int,
  progress: Progress | None,
) -> Iterator[tuple[list[int], np.ndarray]]:
  """The rows of each batch, and what `step(params, batch)` finds of it."""
  queued: collections.deque[tuple[list[int], jax.Array]] = collections.deque()
  with jax.set_mesh(model.mesh):
    for indices, batch in padded_rows.padded_batches(
      rows,
      batch_size=batch_size,
      multiple=sharding.num_batch_shards(model.mesh),
    ):
      placed = sharding.place_batch(batch, model.mesh)
      queued.append((indices, step(model.params, placed)))
      # A batch is queued before the last one's results are waited for.
      if len(queued) > 1:
        yield _finish(*queued.popleft(), progress)
    while queued:
      yield _finish(*queued.popleft(), progress)


def _finish(
  indices: list[int], found: jax.Array, progress: Progress | None
) -> tuple[list[int], np.ndarray]:
  values = np.asarray(jax.device_get(found))
  if progress is not None:
    progress(len(indices))
  return indices, values


def _require_finite(
  values: np.ndarray,
  what: str,
  model: Model,
  places: Sequence[str] | None,
) -> None:
  if not np.isfinite(values).all():
    i = int(np.argmin(np.isfinite(values)))
    raise ValueError(
      f"the {what} of {_place(i, places)} is {values[i]}: the model overflows in"
      f" dtype={model.config.dtype!r}. Compute in float32, or look for what is"
      " wrong with its weights."
    )


def _place(i: int, places: Sequence[str] | None) -> str:
  return f"row {i + 1}" if places is None else places[i]
