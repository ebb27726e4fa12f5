# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench sft`: which cases are measured, on what, and what they mean.

Two questions. How fast does each side go through the same rows, each by its
defaults (ours packs, TRL pads)? And how long does one step take on one and the
same padded batch, so that packing is out of the picture ("raw")?

Imports no JAX: TRL's process, whose memory is measured, imports this module.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ramjax.configs import base
from ramjax.data import load, parse_rows, sources
from ramjax.data.tokenize_rows import Example
from ramjax.models.config import LlamaConfig
from ramjax.tools import (
  bench_agreement,
  bench_training,
  bench_trl_inputs,
  model_flops,
)
from ramjax.tools.bench_cases import Case, Finding, Plan, Report, Summaries
from ramjax.trainers import initial_weights

ROWS = "tasks:2000?seed=0"

SIZES = (*bench_training.SIZES, *bench_training.LARGE)

_OURS = "ramjax.tools.bench_sft_ours"
_TRL = "ramjax.tools.bench_trl_sft"


def prepare(
  folder: pathlib.Path,
  *,
  rows: str,
  size: str,
  against: str,
  device: str,
  steps: int,
  seconds: float,
) -> Plan:
  """Tokenises the rows and decides on the cases.

  Args:
    folder: Gets what the cases read.
    rows: A source of rows, as in a config.
    size: A key of `SIZES`.
    against: "trl", or "" for our side alone.
    device: "cpu", "gpu" or "tpu".
    steps: Measured steps of a case in one process.
    seconds: A case's process measures no longer than that.

  Returns:
    The plan, cases of both sides in alternation.

  Raises:
    ValueError: Rows that cannot be read, or too few of them.
    FileNotFoundError: There is no such file.
  """
  config = _config(rows, size, device)
  model = initial_weights.make_model_config(config, platform=device)
  loaded = load.load_rows(
    rows,
    parse=parse_rows.parse_sft,
    max_bad_share=bench_training.MAX_BAD_SHARE,
    quarantine_path=folder / "quarantine.jsonl",
  )
  bench_training.require_a_batch(loaded.rows, rows)
  template = config.data.template
  tokenizer = bench_training.make_tokenizer(
    folder, loaded.rows, model.vocab_size, template
  )
  examples, counts = sources.tokenize_rows(
    loaded.rows,
    template=template,
    tokenizer=tokenizer,
    max_length=config.data.max_length,
    label=rows,
  )
  _save_examples(folder / "examples.npz", examples)
  raw = _raw_examples(examples)
  _save_examples(folder / "raw.npz", raw)
  longest = max(len(example.tokens) for example in raw)
  batch = [len(raw), bench_training.padded_length(longest)]
  facts = dict(
    rows=rows,
    rows_sha256=loaded.fingerprint,
    data=dict(counts, examples=len(examples)),
    tokenizer_vocab_size=tokenizer.vocab_size,
    size=size,
    model=dataclasses.asdict(model),
    parameters=model.num_parameters,
    optim=config.optim.to_dict(),
    packed_rows=[config.data.batch_size, config.data.max_length],
    raw_batch=batch,
    warmup_steps=bench_training.WARMUP_STEPS,
    formula=model_flops.FORMULA,
  )
  large = bench_training.LARGE.get(size)
  spec = dict(
    folder=str(folder),
    config=config.to_dict(),
    packed_remat=large.remat if large else "dots",
    hf_config=bench_trl_inputs.hf_fields(model),
    data=facts["data"],
    device=device,
    warmup=bench_training.WARMUP_STEPS,
    steps=steps,
    seconds=seconds,
    losses=bench_training.LOSSES,
    raw_batch=batch,
    multiple=bench_training.MULTIPLE,
  )
  return Plan(
    setup=(
      [Case("weights", _OURS, dict(spec, batch="weights"))] if against else []
    ),
    cases=_cases(spec, against),
    flops=lambda counts: model_flops.model_flops(model, counts),
    facts=facts,
    lines=_introduction(facts, model),
  )


def _introduction(facts: Mapping[str, Any], model: LlamaConfig) -> list[str]:
  """What is being measured, for a reader of the table."""
  data = facts["data"]
  batch_size, length = facts["packed_rows"]
  raw_rows, raw_length = facts["raw_batch"]
  return [
    f"rows: {facts['rows']}: {data['examples']:,} examples,"
    f" {data['tokens']:,} tokens, {data['supervised_tokens']:,} supervised;"
    f" vocabulary of {facts['tokenizer_vocab_size']:,}",
    f"model: {facts['size']}, {model.num_parameters:,} parameters,"
    f" {model.dtype}; AdamW, learning rate {facts['optim']['learning_rate']}",
    f"ours packed: {batch_size} rows of {length} an update; raw: the same"
    f" {raw_rows} examples padded to {raw_length}, every step",
    model_flops.FORMULA,
  ]


def _config(rows: str, size: str, device: str) -> ConfigDict:
  """An SFT config with all its defaults, but for a constant learning rate."""
  config = base.sft()
  bench_training.configure(config, rows, size, device)
  return config


def _cases(spec: Mapping[str, Any], against: str) -> list[Case]:
  """Ours and TRL's in alternation."""

  def ours(name: str, **fields: Any) -> Case:
    return Case(name, _OURS, dict(spec, **fields))

  def trl(name: str, **fields: Any) -> Case:
    return Case(name, _TRL, dict(spec, **fields))

  data, defaults = spec["data"], spec["config"]["data"]
  remat = spec["packed_remat"]
  packed = ours(
    "ours packed", batch="packed", rows=defaults["batch_size"], remat=remat
  )
  raw = ours("ours raw", batch="raw", remat="none")
  if not against:
    return [packed, raw]
  # TRL's default update has fewer tokens than ours, and more of its time goes
  # into the optimizer; so ours is also measured with about as few.
  per_update = bench_training.TRL_ROWS * data["tokens"] / data["examples"]
  small = max(round(per_update / defaults["max_length"]), 1)
  return [
    packed,
    trl("trl default", batch="default"),
    ours("ours packed small", batch="packed", rows=small, remat=remat),
    raw,
    trl("trl raw", batch="raw", checkpointing=False),
    ours("ours raw remat", batch="raw", remat="full"),
    trl("trl raw ckpt", batch="raw", checkpointing=True),
  ]


def _raw_examples(examples: Sequence[Example]) -> list[Example]:
  """The batch whose padded length is the median of all TRL would make."""
  lengths = [len(example.tokens) for example in examples]
  return [examples[i] for i in bench_training.median_batch(lengths)]


def _save_examples(path: pathlib.Path, examples: Sequence[Example]) -> None:
  np.savez(
    path,
    tokens=np.concatenate([example.tokens for example in examples]),
    mask=np.concatenate([example.response_mask for example in examples]),
    lengths=np.asarray([len(example.tokens) for example in examples]),
  )


def load_examples(path: pathlib.Path) -> list[Example]:
  """Reads the examples that `prepare` wrote."""
  with np.load(path) as stored:
    ends = np.cumsum(stored["lengths"])[:-1]
    tokens = np.split(stored["tokens"], ends)
    masks = np.split(stored["mask"], ends)
  return [Example(t, m, 0) for t, m in zip(tokens, masks, strict=True)]


def compare(
  plan: Plan, summaries: Summaries, made: Mapping[str, Report]
) -> list[Finding]:
  """Checks that both sides computed the same, then divides their figures.

  Args:
    plan: From `prepare`.
    summaries: Of every case.
    made: What `plan.setup` reported, which is nothing.

  Returns:
    The findings; none without TRL's cases.

  Raises:
    ValueError: The two sides had different tokens, or another first loss.
  """
  del made
  if "trl default" not in summaries:
    return []
  bench_agreement.require_same_tokens(plan, summaries)
  return [
    bench_agreement.same_losses(plan, summaries),
    *(
      bench_training.rate_ratio(
        summaries, "supervised_tokens_per_s", ours, "trl default"
      )
      for ours in ("ours packed", "ours packed small")
    ),
    bench_training.time_ratio(summaries, "ours raw", "trl raw"),
    bench_training.time_ratio(summaries, "ours raw remat", "trl raw ckpt"),
  ]
