# SPDX-License-Identifier: Apache-2.0
"""Examples into the rows of batches: order, mixture, packing by Grain.

Grain's iterators carry their own state, which goes into the checkpoint: a
resumed run sees the batches it would have seen. Every process of a run makes
the whole batches, and puts its devices' rows on these: so the order is the same
for any number of processes, and so is the state.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grain
import numpy as np

# Rows being filled at once by best-fit packing. More fill tighter, and delay
# an example by up to that many rows: 64 rows of 512 hold Alpaca at 98 %.
_PACKING_BINS = 64
_PREFETCH_BATCHES = 4
# Examples are in memory. Grain's 16 threads that read ahead look at 500 pending
# reads for each example, which costs more than all else here.
_IN_MEMORY = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)


@dataclasses.dataclass(frozen=True)
class Layout:
  """How examples lie in the rows of a batch.

  Attributes:
    features: Of one example: arrays [n_i], by name.
    lengths: How long a row is in each of those features.
    to_batch: From stacked rows, [B, length], with the `NAME_segment_ids` and
      `NAME_positions` that packing adds, to a batch.
    max_per_row: Examples in a row at most; None is as many as fit.
  """

  features: Callable[[Any], dict[str, np.ndarray]]
  lengths: Mapping[str, int]
  to_batch: Callable[[dict[str, np.ndarray]], Any]
  max_per_row: int | None = None


def most_segments(length: int) -> int:
  """Segments that tokens of one row may belong to, at most.

  One for every 32; in rows of up to 4,096 one for every 8 up to 128; or 16.
  `models.attention_cudnn` has room for no more: a number for each segment, head
  and token, which is 64 MiB for a row of 4,096 tokens and 32 heads.
  """
  return max(16, length // 32, min(length // 8, 128))


def train_batches(
  sources: Sequence[Sequence[Any]],
  layout: Layout,
  *,
  weights: Sequence[float],
  batch_size: int,
  pack: bool,
  seed: int,
) -> grain.DatasetIterator:
  """Endless shuffled batches of a weighted mixture.

  Each source is reshuffled every epoch of its own; examples come from the
  sources in proportion to `weights`.

  Args:
    sources: Tokenised examples of each source, each fitting a row.
    layout: Of the rows.
    weights: Relative weight of each source, above 0.
    batch_size: Rows of a batch.
    pack: Whether a row holds several examples, best fit first, or one.
    seed: Of the order.

  Returns:
    A checkpointable iterator of batches.

  Raises:
    ValueError: No source, an empty one, or a weight that is not above 0.
  """
  if not sources or len(sources) != len(weights):
    raise ValueError(
      f"{len(sources)} sources and {len(weights)} weights: give one weight for"
      " each of one or more sources."
    )
  mixed = []
  for i, (examples, weight) in enumerate(zip(sources, weights, strict=True)):
    if weight <= 0:
      raise ValueError(f"weight={weight} of source {i} must be above 0.")
    if not examples:
      raise ValueError(
        f"source {i} has 0 examples: a mixture needs some of each."
      )
    source = grain.MapDataset.source(examples).seed(seed + i)
    mixed.append(source.shuffle().repeat())
  total = sum(weights)
  dataset = grain.MapDataset.mix(mixed, [weight / total for weight in weights])
  rows = _rows(dataset, layout, pack=pack, seed=seed)
  batches = rows.batch(batch_size, drop_remainder=True).map(layout.to_batch)
  return iter(
    grain.experimental.ThreadPrefetchIterDataset(
      batches, prefetch_buffer_size=_PREFETCH_BATCHES
    )
  )


def eval_batches(
  examples: Sequence[Any], layout: Layout, *, batch_size: int, pack: bool
) -> list[Any]:
  """Every example exactly once; the last batch is padded with empty rows.

  Raises:
    ValueError: There are no examples.
  """
  if not examples:
    raise ValueError("no held-out examples: set eval_rows of a source above 0.")
  dataset = grain.MapDataset.source(examples)
  rows = list(_rows(dataset, layout, pack=pack, seed=0))
  empty = {name: np.zeros_like(value) for name, value in rows[0].items()}
  rows += [empty] * (-len(rows) % batch_size)
  return [
    layout.to_batch(
      {
        name: np.stack([row[name] for row in rows[i : i + batch_size]])
        for name in empty
      }
    )
    for i in range(0, len(rows), batch_size)
  ]


def _rows(
  dataset: grain.MapDataset, layout: Layout, *, pack: bool, seed: int
) -> grain.IterDataset:
  return grain.experimental.BestFitPackIterDataset(
    dataset.map(layout.features).to_iter_dataset(_IN_MEMORY),
    length_struct=dict(layout.lengths),
    num_packing_bins=_PACKING_BINS if pack else 1,
    # Without packing a row is a bin of one example, in the dataset's order.
    max_sequences_per_bin=layout.max_per_row if pack else 1,
    shuffle_bins=pack,
    seed=seed,
  )
