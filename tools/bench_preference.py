# SPDX-License-Identifier: Apache-2.0
"""`ramjax bench preference`: which cases are measured, and what they mean.

How fast does DPO go through pairs when each technique is added to the ones
before it? How fast is TRL by its defaults? And how long does one step take on
one and the same padded batch, so that packing is out of the picture ("raw")?

A pair's useful tokens are its prompt once for each answer, and its answers,
on both sides and whatever a side computes.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from ramjax.configs import base
from ramjax.data import group_batches, group_rows, load, parse_rows
from ramjax.data.tokenize_groups import Group
from ramjax.models.config import LlamaConfig
from ramjax.tools import (
  bench_agreement,
  bench_logps_memory,
  bench_preference_pairs,
  bench_training,
  bench_trl_inputs,
  model_flops,
)
from ramjax.tools.bench_cases import Case, Finding, Plan, Report, Summaries
from ramjax.trainers import initial_weights

ROWS = "task_pairs:2000?seed=0"
# One device does not hold 8B parameters with AdamW, and a reference.
SIZES = (*bench_training.SIZES, "1b")

_BETA = 0.1
_LEARNING_RATE = 1e-4
# Rows are as long as the longest pair, in such multiples: longer ones cost
# more attention, on a CPU, than they save in padding.
_ROW_MULTIPLE = 256
_OURS = "ramjax.tools.bench_preference_ours"
_TRL = "ramjax.tools.bench_trl_preference"
# Ours, each with one technique more than the one before; what a pair costs
# outside of the step is said on its own.
_LADDER = (
  "ours plain",
  "ours +supervised",
  "ours +packed",
  "ours +shared",
  "ours +cached",
)


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
  """Tokenises the pairs and decides on the cases.

  Args:
    folder: Gets what the cases read.
    rows: A source of pairs, as in a config.
    size: A key of `SIZES`.
    against: "trl", or "" for our side alone.
    device: "cpu", "gpu" or "tpu".
    steps: Measured steps of a case in one process.
    seconds: A case's process measures no longer than that.

  Returns:
    The plan, TRL's cases among ours.

  Raises:
    ValueError: Rows that cannot be read, too few of them, or answers that are
      supervised in part.
    FileNotFoundError: There is no such file.
  """
  config = base.preference(dpo=dict(weight=1.0, beta=_BETA))
  bench_training.configure(config, rows, size, device)
  config.optim.learning_rate = _LEARNING_RATE
  model = initial_weights.make_model_config(config, platform=device)
  pairs, found = _tokenize(folder, rows, config, model.vocab_size)
  bench_preference_pairs.save(folder / "pairs.npz", pairs)
  lengths = [bench_preference_pairs.longest_answer(pair) for pair in pairs]
  raw = bench_training.median_batch(lengths)
  bench_preference_pairs.save(folder / "raw.npz", [pairs[i] for i in raw])
  padded = bench_training.padded_length(max(lengths[i] for i in raw))
  facts: dict[str, Any] = dict(
    rows=rows,
    **found,
    size=size,
    model=dataclasses.asdict(model),
    parameters=model.num_parameters,
    optim=config.optim.to_dict(),
    beta=_BETA,
    raw_batch=[2 * len(raw), padded],
    separate_rows=_rows_like_trl(pairs, share_prompt=False),
    shared_rows=_rows_like_trl(pairs, share_prompt=True),
    warmup_steps=bench_training.WARMUP_STEPS,
    formula=model_flops.FORMULA,
  )
  spec = dict(
    folder=str(folder),
    config=config.to_dict(),
    hf_config=bench_trl_inputs.hf_fields(model),
    device=device,
    warmup=bench_training.WARMUP_STEPS,
    steps=steps,
    seconds=seconds,
    losses=bench_training.LOSSES,
    raw_batch=[len(raw), padded],
    raw_reference_seed=config.seed + 1,
    multiple=bench_training.MULTIPLE,
  )
  num_rows, row_length = facts["shared_rows"]
  reference = dict(batch="reference", rows=num_rows, row_length=row_length)
  return Plan(
    setup=[
      Case("weights", _OURS, dict(spec, batch="weights")),
      Case("reference", _OURS, dict(spec, **reference)),
      bench_logps_memory.CASE,
    ],
    cases=_cases(spec, facts, against),
    flops=lambda counts: model_flops.model_flops(model, counts),
    facts=facts,
    lines=_introduction(facts, model),
  )


def _tokenize(
  folder: pathlib.Path, rows: str, config: ConfigDict, vocab_size: int
) -> tuple[list[Group], dict[str, Any]]:
  """The pairs of a source, and what is known of them."""
  loaded = load.load_rows(
    rows,
    parse=parse_rows.parse_preference,
    max_bad_share=bench_training.MAX_BAD_SHARE,
    quarantine_path=folder / "quarantine.jsonl",
  )
  tokenizer = bench_training.make_tokenizer(
    folder, loaded.rows, vocab_size, config.data.template
  )
  pairs, _, counts = group_rows.tokenize_group_rows(
    loaded.rows,
    template=config.data.template,
    tokenizer=tokenizer,
    max_length=config.data.max_length,
    label=rows,
  )
  bench_training.require_a_batch(pairs, rows)
  _require_whole_answers(pairs, rows)
  return pairs, dict(
    rows_sha256=loaded.fingerprint,
    data=dict(counts, examples=len(pairs)),
    tokenizer_vocab_size=tokenizer.vocab_size,
  )


def _require_whole_answers(pairs: Sequence[Group], label: str) -> None:
  """TRL knows prompt and answer, and nothing between them."""
  masks = (mask for pair in pairs for mask in pair.response_masks)
  if not all(mask.all() for mask in masks):
    raise ValueError(
      f"rows={label!r} has answers that are supervised in part, as those with"
      " several turns are: DPOTrainer cannot train on them."
    )


def _rows_like_trl(pairs: Sequence[Group], *, share_prompt: bool) -> list[int]:
  """Rows that hold as many pairs as TRL's batch, and how long they are."""
  tokens = [
    group_batches.row_tokens(pair, share_prompt=share_prompt) for pair in pairs
  ]
  length = -(-max(tokens) // _ROW_MULTIPLE) * _ROW_MULTIPLE
  needed = bench_training.TRL_ROWS * sum(tokens) / len(tokens)
  return [max(round(needed / length), 1), length]


def _introduction(facts: Mapping[str, Any], model: LlamaConfig) -> list[str]:
  """What is being measured, for a reader of the table."""
  data = facts["data"]
  separate_rows, separate_length = facts["separate_rows"]
  shared_rows, shared_length = facts["shared_rows"]
  raw_rows, raw_length = facts["raw_batch"]
  return [
    f"rows: {facts['rows']}: {data['examples']:,} pairs,"
    f" {data['tokens']:,} tokens (a prompt once for each answer),"
    f" {data['supervised_tokens']:,} supervised; vocabulary of"
    f" {facts['tokenizer_vocab_size']:,}",
    f"model: {facts['size']}, {model.num_parameters:,} parameters,"
    f" {model.dtype}; AdamW, learning rate {facts['optim']['learning_rate']};"
    f" DPO, beta {facts['beta']}",
    f"ours, each with what those before have: plain, {bench_training.TRL_ROWS}"
    f" pairs an update, each padded to {separate_length}, the reference run in"
    " each step, every place through the head; +supervised, supervised tokens"
    f" alone through the head; +packed, {separate_rows} rows of"
    f" {separate_length} that hold as many pairs as fit; +shared, a prompt"
    f" computed once for both answers, {shared_rows} rows of {shared_length};"
    " +cached, the reference's log-probabilities read, not computed",
    f"raw: the same {raw_rows // 2} pairs, answers padded to {raw_length}, every"
    f" step (TRL: {raw_rows} rows; ours: {raw_rows // 2} of {2 * raw_length}),"
    " and a reference of other weights, so that the first loss is not ln 2",
    f"{facts['formula']} So does the reference; a prompt counts once for each"
    " answer, even where it is computed once.",
  ]


def _cases(
  spec: Mapping[str, Any], facts: Mapping[str, Any], against: str
) -> list[Case]:
  """The ladder, and TRL's cases within it."""
  separate_rows, separate_length = facts["separate_rows"]
  shared_rows, shared_length = facts["shared_rows"]
  plain = dict(
    batch="pairs",
    rows=bench_training.TRL_ROWS,
    row_length=separate_length,
    pack=False,
    share_prompt=False,
    every_token=True,
    cached=False,
  )
  supervised = dict(plain, every_token=False)
  packed = dict(supervised, pack=True, rows=separate_rows)
  shared = dict(
    packed, share_prompt=True, rows=shared_rows, row_length=shared_length
  )
  rungs = (plain, supervised, packed, shared, dict(shared, cached=True))
  cases = [
    Case(name, _OURS, dict(spec, **fields))
    for name, fields in zip(_LADDER, rungs, strict=True)
  ]
  raw = dict(batch="raw", row_length=2 * spec["raw_batch"][1], cached=False)
  cases.append(Case("ours raw", _OURS, dict(spec, **raw)))
  if against:
    default = Case("trl default", _TRL, dict(spec, batch="default"))
    trl_raw = dict(batch="raw", checkpointing=False)
    # Beside what each is compared with.
    cases.insert(len(_LADDER) - 1, default)
    cases.append(Case("trl raw", _TRL, dict(spec, **trl_raw)))
  return cases


def compare(
  plan: Plan, summaries: Summaries, made: Mapping[str, Report]
) -> list[Finding]:
  """Checks that both sides computed the same, then divides their figures.

  Args:
    plan: From `prepare`.
    summaries: Of every case.
    made: What `plan.setup` reported.

  Returns:
    The findings.

  Raises:
    ValueError: The two sides had different tokens, or another first loss.
  """
  findings = []
  if "trl default" in summaries:
    bench_agreement.require_same_tokens(plan, summaries)
    findings.append(bench_agreement.same_losses(plan, summaries))
    findings += [
      bench_training.rate_ratio(summaries, "tokens_per_s", name, "trl default")
      for name in _LADDER
    ]
    findings.append(bench_training.time_ratio(summaries, "ours raw", "trl raw"))
  findings += [_gains(summaries), _epoch(plan, summaries, made["reference"])]
  findings.append(bench_logps_memory.finding(made["logps memory"]))
  return findings


def _gains(summaries: Summaries) -> Finding:
  """What each technique adds to those before it."""
  gains = {
    name: summaries[name]["tokens_per_s"] / summaries[before]["tokens_per_s"]
    for before, name in itertools.pairwise(_LADDER)
  }
  shares = ", ".join(
    f"{name.removeprefix('ours ')} {gain:.2f}" for name, gain in gains.items()
  )
  return Finding(
    f"tokens/s of ours over those of the case before: {shares}",
    dict(figure="gains", gains=gains),
  )


def _epoch(plan: Plan, summaries: Summaries, reference: Report) -> Finding:
  """The cached reference with what caching costs, for a single epoch."""
  tokens = plan.facts["data"]["tokens"]
  seconds = reference["seconds"]
  rate = tokens / (tokens / summaries["ours +cached"]["tokens_per_s"] + seconds)
  sentence = (
    f"the reference's log-probabilities of {reference['pairs']:,} pairs took"
    f" {seconds:.1f} s, once: one epoch of ours +cached, with them, goes at"
    f" {rate:,.0f} tokens/s"
  )
  figures = dict(figure="epoch", reference_s=seconds, tokens_per_s=rate)
  if "trl default" in summaries:
    figures["over_trl"] = rate / summaries["trl default"]["tokens_per_s"]
    sentence += f", {figures['over_trl']:.2f} of trl default"
  return Finding(sentence, figures)
