# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of training are set up from, whatever they train.

Models, a tokenizer for any rows, and how a comparison with the peer is said.
Imports no JAX: TRL's process, whose memory is measured, imports this module.
"""

import pathlib
from collections.abc import Mapping, Sequence, Sized
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ramjax.configs import base
from ramjax.data import sources, tokenizers, train_tokenizer
from ramjax.data.rows import Row
from ramjax.tools import bench_cases, bench_machine
from ramjax.tools.bench_cases import Finding, Summaries

# Fields of the "tiny" preset that a size replaces. "small", 8.0M parameters,
# is what a CPU trains in reasonable time, of a shape (wide MLP, grouped
# queries, thousands of tokens) that resembles a real one.
SIZES: Mapping[str, Mapping[str, int]] = {
  "tiny": {},
  "small": dict(
    vocab_size=8192,
    width=256,
    mlp_width=704,
    num_layers=8,
    num_heads=8,
    num_kv_heads=4,
    head_dim=32,
  ),
}


class Large(NamedTuple):
  """A released shape, for an accelerator.

  Attributes:
    preset: In `models/presets.py`.
    rows: Packed rows of `LARGE_LENGTH` in an update.
    remat: Of packed rows; see `models/remat.py`.
  """

  preset: str
  rows: int
  remat: str


# What one device of 141 GB holds, with AdamW in float32: `ramjax plan` finds a
# peak of 71.45 and of 122.66 GiB on h200:1.
LARGE: Mapping[str, Large] = {
  "1b": Large("llama3_2_1b", 16, "dots"),
  "8b": Large("llama3_1_8b", 2, "full"),
}
LARGE_LENGTH = 4096

# Examples of TRL's default batch, which the raw batch follows.
TRL_ROWS = 8
# The raw batch is padded to a multiple of this, on both sides.
MULTIPLE = 8
# Of <pad> in every tokenizer that `train_tokenizer` makes.
PAD_ID = 3
WARMUP_STEPS = 3
# Losses kept: the first, and those after each of so many updates.
LOSSES = 4
# Public sets have a few rows with an empty answer; their share is no matter of
# speed.
MAX_BAD_SHARE = 0.01


def model_fields(size: str, device: str) -> dict[str, Any]:
  """The preset of a size, and what is not as there.

  Args:
    size: A key of `SIZES` or of `LARGE`.
    device: "cpu", "gpu" or "tpu".

  Raises:
    ValueError: A size of `LARGE` on a CPU.
  """
  dtype = bench_machine.compute_dtype(device)
  if size in SIZES:
    return {"preset": "tiny", **SIZES[size], "dtype": dtype}
  if device == "cpu":
    raise ValueError(
      f"--size={size} is for a GPU or TPU, and JAX runs on the CPU here:"
      f" choose one of {', '.join(SIZES)}."
    )
  return {"preset": LARGE[size].preset, "dtype": dtype}


def configure(config: ConfigDict, rows: str, size: str, device: str) -> None:
  """Sets what every benchmark sets; all else keeps its default.

  Args:
    config: Of an algorithm; changed in place.
    rows: A source of rows.
    size: A key of `SIZES` or of `LARGE`.
    device: "cpu", "gpu" or "tpu".

  Raises:
    ValueError: A size of `LARGE` on a CPU.
  """
  config.data.sources.rows = base.source(rows)
  config.model.update(model_fields(size, device))
  if size in LARGE:
    config.data.max_length = LARGE_LENGTH
    config.data.batch_size = LARGE[size].rows
  config.optim.schedule = "constant"
  config.optim.warmup_steps = 0


def require_a_batch(rows: Sized, label: str) -> None:
  """Checks that there are rows, or pairs, for one of TRL's batches.

  Raises:
    ValueError: There are not.
  """
  if len(rows) < TRL_ROWS:
    raise ValueError(
      f"rows={label!r} has {len(rows)} rows: a batch needs {TRL_ROWS}."
    )


def make_tokenizer(
  folder: pathlib.Path,
  rows: Sequence[Row],
  vocab_size: int,
  template: str,
) -> tokenizers.Tokenizer:
  """A tokenizer of at most `vocab_size`, halved until the rows can fill it.

  Raises:
    ValueError: The rows do not fill 512.
  """
  path = folder / "tokenizer.model"
  texts = list(sources.row_texts(rows, template=template))
  while True:
    try:
      train_tokenizer.train_sentencepiece(
        texts, path=path, vocab_size=vocab_size
      )
      return tokenizers.load_tokenizer(path)
    except ValueError:
      vocab_size //= 2
      if vocab_size < 512:
        raise


def median_batch(lengths: Sequence[int]) -> range:
  """The batch whose padded length is the median of all TRL would make.

  Args:
    lengths: Of every example: what it would make its batch pad to.

  Returns:
    The indices of `TRL_ROWS` consecutive examples.
  """
  starts = range(0, len(lengths) - TRL_ROWS + 1, TRL_ROWS)
  batches = [range(start, start + TRL_ROWS) for start in starts]
  batches.sort(key=lambda batch: max(lengths[i] for i in batch))
  return batches[len(batches) // 2]


def padded_length(longest: int) -> int:
  """The length that the raw batch is padded to."""
  return -(-longest // MULTIPLE) * MULTIPLE


def rate_ratio(
  summaries: Summaries, figure: str, ours: str, trl: str
) -> Finding:
  """One case's tokens per second over another's.

  Args:
    summaries: Of every case.
    figure: "tokens_per_s" or "supervised_tokens_per_s".
    ours: The numerator.
    trl: The denominator.
  """
  rate = bench_cases.ratio(summaries, figure, ours, trl)
  what = figure.replace("_per_s", "/s").replace("_", " ")
  return Finding(_sentence(what, rate), rate)


def time_ratio(summaries: Summaries, ours: str, trl: str) -> Finding:
  """One case's median step time over another's."""
  times = bench_cases.ratio(summaries, "step_s_median", ours, trl)
  return Finding(
    _sentence("step time", times) + "; below 1, ours is faster", times
  )


def _sentence(what: str, ratio: Mapping[str, Any]) -> str:
  rounds = ", ".join(f"{value:.2f}" for value in ratio["rounds"])
  return (
    f"{what}, {ratio['over']} / {ratio['under']}: {ratio['value']:.2f}"
    f" (by round: {rounds})"
  )
