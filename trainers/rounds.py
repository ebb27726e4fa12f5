# SPDX-License-Identifier: Apache-2.0
"""Rounds of sample, score, select and fit, with a model for each role.

    M_0 = what `init` names
    round t: answers of M_{t-1} to the next prompts -> scores -> rows
             -> a run of `config.fit` on those rows = M_t

Iterative DPO and Pairwise Cringe (arXiv 2312.16682, section 3.3), expert
iteration, STaR, rejection sampling, iterative Cringe, Quark and self-rewarding
are this loop with another selection, fit and start; `configs/README.md` says
which. Online DPO is this loop with few prompts in many rounds: the policy that
samples is then at most one round old. Best-of-n is one round without a fit.

`round_files.py` says what lies in the folder. A stage is there or it is not:
the same command goes on after a kill with the one that is missing.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import ml_collections

from ramjax.data import load, parse_rows, record_fields, templates
from ramjax.evals import rewards as rewards_lib
from ramjax.trainers import (
  benchmarks,
  first_model,
  initial_weights,
  loop,
  own_rewards,
  prompt_data,
  prompt_order,
  provenance,
  reward_model,
  round_figures,
  round_files,
  round_fit,
  round_roles,
  round_sampling,
  round_scoring,
  select,
  starting_model,
)
from ramjax.trainers.prompt_data import Prompt, PromptData
from ramjax.trainers.round_roles import Roles
from ramjax.trainers.round_sampling import Asker, Condition, Policies
from ramjax.trainers.round_scoring import Scorer
from ramjax.trainers.select import Selection
from ramjax.trainers.sigterm import Sigterm, Stopped
from ramjax.trainers.starting_model import Start

# How a person's rows are checked, by the algorithm that learns from them.
_PARSERS = {
  "sft": parse_rows.parse_sft,
  "preference": parse_rows.parse_preference,
}
# Of a line of the log; the rest is in the file.
_SHOWN = (
  "sampled/score", "sampled/best_score", "sampled/verified_accuracy",
  "sampled/judge_invalid", "selected/rows", "eval/score",
  "eval/score_stderr", "eval/score_change", "eval/score_change_stderr",
  "eval/verified_accuracy",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Parts:
  """What the stages of every round share."""

  config: ml_collections.ConfigDict
  workdir: pathlib.Path
  selection: Selection
  compares: bool
  human: load.LoadedRows[Any] | None
  first: Start
  policies: Policies
  data: PromptData
  prompt_at: Callable[[int], Prompt]
  asker: Asker
  scorer: Scorer

  def condition(self, rounds_done: int) -> Condition | None:
    """What a model of so many rounds is told; the first knows no phrase."""
    return self.selection.condition if rounds_done else None


def main(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  runner: benchmarks.Runner | None = None,
) -> loop.Outcome:
  """Runs the rounds in `config`, or the rest of them, in `workdir`."""
  if jax.process_count() > 1:
    raise ValueError(
      "algorithm='rounds' runs in one process, and there are"
      f" {jax.process_count()}: use the devices of one host."
    )
  provenance.refuse_other_config(workdir, config.to_dict())
  provenance.refuse_foreign_model(workdir)
  benchmarks.check(config, runner)
  if config.evals.benchmarks and not config.rounds.fit:
    raise ValueError(
      "evals.benchmarks measure what a round has fitted, and rounds.fit=False:"
      " leave them out."
    )
  total = config.rounds.num_rounds
  if _num_logged(workdir) > total:
    _say(f"all {total} rounds in {workdir} are finished: nothing is left to do")
    return loop.Outcome.FINISHED
  try:
    parts = _prepare(config, workdir)
    _evaluate(parts, 0)
    for number in range(1, total + 1):
      if _round(parts, number, runner) is loop.Outcome.PREEMPTED:
        return loop.Outcome.PREEMPTED
  except Stopped:
    _say("SIGTERM: what is done is on disk; stopping.")
    return loop.Outcome.PREEMPTED
  benchmarks.refuse_failed(
    round_files.folder(workdir, number) / round_files.FIT
    for number in range(1, total + 1)
  )
  return loop.Outcome.FINISHED


def _prepare(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> _Parts:
  """Checks everything that can be checked, and claims the folder."""
  round_roles.refuse_unknown(config)
  selection = select.find(config.select.to_dict())
  terms = rewards_lib.find_rewards(
    config.rewards.to_dict(), own_rewards.loaded()
  )
  round_scoring.refuse_unusable(config, terms)
  templates.template_digest(config.data.template)  # Refuses an unknown name.
  start = starting_model.choose(config, workdir)
  whole = round_fit.whole_tree(config).copy_and_resolve_references()
  with whole.unlocked():
    whole.lora.update(rank=0, quantize_base="none")  # The policies' own shape.
  model_config = initial_weights.make_model_config(whole, start)
  if model_config.num_labels:
    raise ValueError(
      f"the model of init is a classifier (num_labels={model_config.num_labels}),"
      " and rounds begin with its answers: name a language model."
    )
  compares = config.rounds.fit and round_fit.check(
    config, model_config, selection
  )
  policies = Policies(config, model_config)
  human = _load_human_rows(config)  # Before the prompts: its faults come first.
  data = prompt_data.load_prompt_data(
    config,
    workdir,
    vocab_size=model_config.vocab_size,
    condition=selection.condition,
  )
  _claim(config, workdir, data, human, model_config.num_parameters, start)
  first = first_model.materialise(
    whole, workdir, start, model_config, data.tokenizer, policies.mesh
  )
  return _Parts(
    config=config,
    workdir=workdir,
    selection=selection,
    compares=compares,
    human=human,
    first=first,
    policies=policies,
    data=data,
    prompt_at=prompt_order.prompt_order(data.train, data.weights, config.seed),
    asker=Asker(config, policies, data),
    scorer=Scorer(config, policies, data.tokenizer, terms),
  )


def _load_human_rows(
  config: ml_collections.ConfigDict,
) -> load.LoadedRows[Any] | None:
  """The rows that people wrote, checked; None where no file is named."""
  if not config.rounds.human_rows:
    return None
  return load.load_rows(
    config.rounds.human_rows,
    parse=_PARSERS.get(config.fit.algorithm, record_fields.parse_object),
  )


def _claim(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  data: PromptData,
  human: load.LoadedRows[Any] | None,
  num_parameters: int,
  start: Start,
) -> None:
  """Writes the config and the manifest, or refuses another run's folder."""
  roles: dict[str, Any] = {}
  scorer = reward_model.choose(config, workdir)
  if scorer is not None:
    roles["reward_model"] = starting_model.describe(scorer)
  if config.judge.role == "model":
    judge = round_roles.choose_judge(config, workdir)
    roles["judge"] = starting_model.describe(judge)
  read: dict[str, Any] = dict(data.summary)
  if human is not None:
    # No name of a source has a dot.
    read["rounds.human_rows"] = {
      "path": config.rounds.human_rows,
      "fingerprint": human.fingerprint,
      "rows": len(human.rows),
    }
  manifest = provenance.build_manifest(
    data=read,
    tokenizer_digest=data.tokenizer.digest,
    template=config.data.template,
    template_digest=templates.template_digest(config.data.template),
    num_parameters=num_parameters,
    initial_weights=initial_weights.describe(config, start),
    roles=roles,
  )
  provenance.claim_workdir(workdir, config.to_dict(), manifest)


def _round(
  parts: _Parts, number: int, runner: benchmarks.Runner | None
) -> loop.Outcome:
  """One round, or what is missing of it."""
  config, workdir = parts.config, parts.workdir
  if _num_logged(workdir) > number:
    return loop.Outcome.FINISHED
  folder = round_files.folder(workdir, number)
  roles = round_roles.bind(
    config, workdir, number, parts.first, compares=parts.compares
  )
  round_roles.record(
    workdir, number, roles, accept_change=config.run.allow_config_change
  )
  with Sigterm() as sigterm:
    with _stage(number, "sampling", folder / round_files.SAMPLES):
      round_sampling.sample(
        config,
        folder,
        number,
        parts.asker,
        roles.policy,
        parts.prompt_at,
        condition=parts.condition(number - 1),
        before_chunk=sigterm.check,
      )
    with _stage(number, "scoring", folder / round_files.SCORES):
      round_scoring.score(
        config,
        folder,
        roles,
        parts.scorer,
        parts.prompt_at,
        before_chunk=sigterm.check,
      )
    _select(parts, number)
    sigterm.check()
  if config.rounds.fit:
    parts.policies.clear()
    parts.scorer.clear()
    with _stage(number, "fitting", folder / round_files.FITTED):
      outcome = round_fit.fit(config, workdir, number, roles, runner)
    if outcome is loop.Outcome.PREEMPTED:
      return outcome
  _evaluate(parts, number)
  return loop.Outcome.FINISHED


def _select(parts: _Parts, number: int) -> None:
  """Writes the rows of a round, from its answers and those of rounds before."""
  config, workdir = parts.config, parts.workdir
  folder = round_files.folder(workdir, number)
  if (folder / round_files.SELECTED).is_file():
    return
  oldest = max(1, number - config.rounds.replay)
  groups = [
    group
    for earlier in range(oldest, number + 1)
    for group in round_scoring.read_groups(round_files.folder(workdir, earlier))
  ]
  selected = parts.selection.select(groups)
  rows, counts = list(selected.rows), dict(selected.counts)
  if parts.human is not None:
    rows += parts.human.records
    counts["human_rows"] = len(parts.human.records)
  if not rows:
    told = ", ".join(f"{name}: {value}" for name, value in counts.items())
    raise ValueError(
      f"round {number} selected no rows ({told}; scores are in"
      f" {folder / round_files.SCORES}). Sample more (rollout.group_size,"
      " rollout.temperature), give answers room to end"
      " (rollout.max_new_tokens), relax select, or add rounds.human_rows, with"
      " --config.run.allow_config_change=True or in another --workdir."
    )
  round_files.write_rows(folder / round_files.ROWS, rows)
  round_files.write_json(folder / round_files.SELECTED, counts)


def _evaluate(parts: _Parts, number: int) -> None:
  """Answers held-out prompts with the newest model, and logs the round."""
  config, workdir = parts.config, parts.workdir
  if _num_logged(workdir) > number:
    return
  folder = round_files.folder(workdir, number)
  if config.rounds.fit or number == 0:
    policy = round_roles.newest(config, workdir, number, parts.first)
    roles = Roles(
      policy=policy,
      start=None,
      reference=None,
      reward_model=reward_model.choose(config, workdir),
      judge=_evaluation_judge(parts),
    )
    with Sigterm() as sigterm:
      round_figures.evaluate(
        config,
        folder,
        roles,
        parts.asker,
        parts.scorer,
        parts.data.held_out,
        condition=parts.condition(number),
      )
    if number < config.rounds.num_rounds:
      sigterm.check()
  log = workdir / round_files.LOG
  line = round_figures.log_line(workdir, number, parts.prompt_at)
  before = round_files.read_rows(log) if log.is_file() else []
  round_files.write_rows(log, [*before, line])
  _say(_described(line, config.rounds.num_rounds))


def _evaluation_judge(parts: _Parts) -> Start | None:
  """Of held-out answers. A policy's judge is the first one, in every round.

  Were each model its own, a judge that grew generous would look like progress.
  """
  if parts.config.judge.role == "model":
    return round_roles.choose_judge(parts.config, parts.workdir)
  return parts.first if parts.config.judge.role == "policy" else None


def _num_logged(workdir: pathlib.Path) -> int:
  path = workdir / round_files.LOG
  return len(round_files.read_rows(path)) if path.is_file() else 0


@contextlib.contextmanager
def _stage(number: int, doing: str, made: pathlib.Path) -> Iterator[None]:
  """Says what a stage does, unless it is done."""
  if not made.is_file():
    _say(f"round {number}: {doing}")
  yield


def _described(line: Mapping[str, Any], total: int) -> str:
  shown = [
    f"{name} {line[name]:.4g}" for name in _SHOWN if line.get(name) is not None
  ]
  return "  ".join([f"round {line['round']}/{total}", *shown])


def _say(text: str) -> None:
  print(text, flush=True)
