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
from ramjax.data import load, parse_rows, sources, tokenizers, train_tokenizer
from ramjax.data.rows import SFTRow
from ramjax.data.tokenize_rows import Example
from ramjax.models import presets
from ramjax.models.config import LlamaConfig
from ramjax.tools import bench_agreement, bench_cases, bench_machine
from ramjax.tools.bench_cases import Case, Finding, Plan, Summaries

ROWS = "tasks:2000?seed=0"

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

FORMULA = (
  "FLOP = 6 P t + 6 D V s + 12 L N H p, where P = L (2 D H (N + K) + 3 D F);"
  " t tokens without padding, s supervised ones, p (query, key) pairs of causal"
  " attention within the examples, n (n + 1) / 2 for one of n tokens. The same"
  " count on both sides: what is spent on padding, on the head's other"
  " positions or on recomputation counts as nothing."
)

# Rows of TRL's default batch, which the raw batch and the small packed one
# follow.
_TRL_ROWS = 8
# The raw batch is padded to a multiple of this, on both sides.
_MULTIPLE = 8
# Of <pad> in every tokenizer that `train_tokenizer` makes.
PAD_ID = 3
_WARMUP_STEPS = 3
_OURS = "ramjax.tools.bench_sft_ours"
_TRL = "ramjax.tools.bench_trl"
# Losses kept: the first, and those after each of so many updates.
_LOSSES = 4


def model_flops(model: LlamaConfig, counts: Mapping[str, int]) -> float:
  """Floating-point operations that training on some tokens needs: `FORMULA`.

  Args:
    model: The shape.
    counts: `tokens`, `supervised` and `pairs`; see `bench_cases.COUNTS`.

  Returns:
    Multiplications and additions of the matmuls, forward and backward.
  """
  heads = model.head_dim * (model.num_heads + model.num_kv_heads)
  per_layer = 2 * model.width * heads + 3 * model.width * model.mlp_width
  layers = 6.0 * model.num_layers * per_layer * counts["tokens"]
  head = 6.0 * model.width * model.vocab_size * counts["supervised"]
  attention = 12.0 * model.num_layers * model.num_heads * model.head_dim
  return layers + head + attention * counts["pairs"]


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
  fields = config.model.to_dict()
  model = presets.llama_config(fields.pop("preset"), **fields)
  # Alpaca has rows with an empty output; their share is no matter of speed.
  loaded = load.load_rows(
    rows,
    parse=parse_rows.parse_sft,
    max_bad_share=0.01,
    quarantine_path=folder / "quarantine.jsonl",
  )
  if len(loaded.rows) < _TRL_ROWS:
    raise ValueError(
      f"rows={rows!r} has {len(loaded.rows)} rows: a batch needs {_TRL_ROWS}."
    )
  template = config.data.template
  tokenizer = _train_tokenizer(folder, loaded.rows, model.vocab_size, template)
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
  batch = [len(raw), -(-longest // _MULTIPLE) * _MULTIPLE]
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
    warmup_steps=_WARMUP_STEPS,
    formula=FORMULA,
  )
  spec = dict(
    folder=str(folder),
    config=config.to_dict(),
    model=facts["model"],
    data=facts["data"],
    device=device,
    warmup=_WARMUP_STEPS,
    steps=steps,
    seconds=seconds,
    losses=_LOSSES,
    raw_batch=batch,
    multiple=_MULTIPLE,
  )
  return Plan(
    setup=[Case("weights", _OURS, dict(spec, batch="weights"))],
    cases=_cases(spec, against),
    flops=lambda counts: model_flops(model, counts),
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
    FORMULA,
  ]


def _config(rows: str, size: str, device: str) -> ConfigDict:
  """An SFT config with all its defaults, but for a constant learning rate."""
  config = base.sft()
  config.data.sources.rows = base.source(rows)
  config.model.preset = "tiny"
  config.model.update(SIZES[size])
  config.model.dtype = bench_machine.compute_dtype(device)
  config.optim.schedule = "constant"
  config.optim.warmup_steps = 0
  return config


def _cases(spec: Mapping[str, Any], against: str) -> list[Case]:
  """Ours and TRL's in alternation."""

  def ours(name: str, **fields: Any) -> Case:
    return Case(name, _OURS, dict(spec, **fields))

  def trl(name: str, **fields: Any) -> Case:
    return Case(name, _TRL, dict(spec, **fields))

  data, defaults = spec["data"], spec["config"]["data"]
  packed = ours(
    "ours packed", batch="packed", rows=defaults["batch_size"], remat="dots"
  )
  raw = ours("ours raw", batch="raw", remat="none")
  if not against:
    return [packed, raw]
  # TRL's default update has fewer tokens than ours, and more of its time goes
  # into the optimizer; so ours is also measured with about as few.
  per_update = _TRL_ROWS * data["tokens"] / data["examples"]
  small = max(round(per_update / defaults["max_length"]), 1)
  return [
    packed,
    trl("trl default", batch="default"),
    ours("ours packed small", batch="packed", rows=small, remat="dots"),
    raw,
    trl("trl raw", batch="raw", checkpointing=False),
    ours("ours raw remat", batch="raw", remat="full"),
    trl("trl raw ckpt", batch="raw", checkpointing=True),
  ]


def _train_tokenizer(
  folder: pathlib.Path,
  rows: Sequence[SFTRow],
  vocab_size: int,
  template: str,
) -> tokenizers.Tokenizer:
  """A tokenizer of at most `vocab_size`, halved until the rows can fill it."""
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


def _raw_examples(examples: Sequence[Example]) -> list[Example]:
  """The batch whose padded length is the median of all TRL would make."""
  groups = [
    examples[i : i + _TRL_ROWS]
    for i in range(0, len(examples) - _TRL_ROWS + 1, _TRL_ROWS)
  ]
  groups.sort(key=lambda group: max(len(example.tokens) for example in group))
  return list(groups[len(groups) // 2])


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


def compare(plan: Plan, summaries: Summaries) -> list[Finding]:
  """Checks that both sides computed the same, then divides their figures.

  Args:
    plan: From `prepare`.
    summaries: Of every case.

  Returns:
    The findings; none without TRL's cases.

  Raises:
    ValueError: The two sides had different tokens, or another first loss.
  """
  if "trl default" not in summaries:
    return []
  bench_agreement.require_same_tokens(plan, summaries)
  findings = [bench_agreement.same_losses(plan, summaries)]
  for ours in ("ours packed", "ours packed small"):
    rate = bench_cases.ratio(
      summaries, "supervised_tokens_per_s", ours, "trl default"
    )
    findings.append(Finding(_sentence("supervised tokens/s", rate), rate))
  for ours, trl in (
    ("ours raw", "trl raw"),
    ("ours raw remat", "trl raw ckpt"),
  ):
    times = bench_cases.ratio(summaries, "step_s_median", ours, trl)
    findings.append(
      Finding(
        _sentence("step time", times) + "; below 1, ours is faster", times
      )
    )
  return findings


def _sentence(what: str, ratio: Mapping[str, Any]) -> str:
  rounds = ", ".join(f"{value:.2f}" for value in ratio["rounds"])
  return (
    f"{what}, {ratio['over']} / {ratio['under']}: {ratio['value']:.2f}"
    f" (by round: {rounds})"
  )
