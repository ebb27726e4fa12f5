# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint plays which role in a round, and the record of it."""

import dataclasses
import pathlib
from typing import Any

import ml_collections

from ramjax.trainers import (
  reward_model,
  round_files,
  starting_model,
)
from ramjax.trainers.starting_model import Start

_ROLES = ("policy", "start", "reference", "reward_model", "judge")


@dataclasses.dataclass(frozen=True)
class Roles:
  """The models of one round; None where nobody plays the role.

  Attributes:
    policy: Whose answers are sampled.
    start: What the fit starts from.
    reference: What the fit compares with.
    reward_model: Scores the answers.
    judge: Judges the answers.
  """

  policy: Start
  start: Start | None
  reference: Start | None
  reward_model: Start | None
  judge: Start | None


def refuse_unknown(config: ml_collections.ConfigDict) -> None:
  """Refuses options of the rounds that say nothing, or contradict.

  Raises:
    ValueError: Names the field, what it may be, and the remedy.
  """
  options = config.rounds
  for name, allowed in (
    ("start", ("last", "first")),
    ("reference", ("start", "first")),
  ):
    if options[name] not in allowed:
      raise ValueError(
        f"rounds.{name}={options[name]!r} is not one of {', '.join(allowed)}."
      )
  if config.judge.role not in ("", "policy", "model"):
    raise ValueError(
      f"judge.role={config.judge.role!r} must be '', 'policy' or 'model'."
    )
  named = bool(config.judge.from_hf or config.judge.from_run)
  if named != (config.judge.role == "model"):
    raise ValueError(
      f"judge.role={config.judge.role!r} with"
      f" judge.from_hf={config.judge.from_hf!r} and"
      f" judge.from_run={config.judge.from_run!r}: name a model for"
      " judge.role='model', and none otherwise."
    )
  if options.num_rounds < 1 or options.replay < 0:
    raise ValueError(
      f"rounds.num_rounds={options.num_rounds} must be at least 1, and"
      f" rounds.replay={options.replay} at least 0."
    )
  if not options.fit and options.num_rounds > 1:
    raise ValueError(
      f"rounds.fit=False makes no model for another round to sample from: set"
      f" rounds.num_rounds={options.num_rounds} to 1."
    )
  for name in ("prompts", "group_size", "num_slots"):
    if config.rollout[name] < 1:
      raise ValueError(
        f"rollout.{name}={config.rollout[name]} must be at least 1."
      )


def newest(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  number: int,
  first: Start,
) -> Start:
  """The model after so many rounds.

  Args:
    config: Of a run in rounds.
    workdir: Its folder.
    number: Rounds that are finished; 0 gives the first model.
    first: That one.
  """
  if number == 0:
    return first
  folder = workdir / f"round_{number}" / round_files.FIT
  return Start(folder.resolve(), config.fit.run.total_steps)


def bind(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  number: int,
  first: Start,
  *,
  compares: bool,
) -> Roles:
  """Who plays what in a round.

  Args:
    config: Of a run in rounds.
    workdir: Its folder.
    number: Of the round, from 1.
    first: The model that the first round samples from.
    compares: Whether the fit's loss has a reference.
  """
  policy = newest(config, workdir, number - 1, first)
  start = policy if config.rounds.start == "last" else first
  reference = first if config.rounds.reference == "first" else start
  judge = None
  if config.judge.role == "model":
    judge = choose_judge(config, workdir)
  elif config.judge.role == "policy":
    judge = policy
  return Roles(
    policy=policy,
    start=start if config.rounds.fit else None,
    reference=reference if config.rounds.fit and compares else None,
    reward_model=reward_model.choose(config, workdir),
    judge=judge,
  )


def choose_judge(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> Start:
  """The model that `config.judge` names.

  Raises:
    ValueError: Fields that contradict each other.
    FileNotFoundError: There is no such folder or checkpoint.
  """
  return starting_model.choose_from(
    config.judge, "judge", workdir, recorded_as="judge"
  )


def record(
  workdir: pathlib.Path, number: int, roles: Roles, *, accept_change: bool
) -> None:
  """Writes the roles of a round into the manifest.

  Args:
    workdir: Of the run in rounds.
    number: Of the round.
    roles: Of the round.
    accept_change: Whether other models than those of the record may go on.

  Raises:
    ValueError: The round was begun with another model in some role.
  """
  path = workdir / round_files.MANIFEST
  manifest = round_files.read_json(path) or {"rounds": {}}
  described: dict[str, Any] = {}
  for role in _ROLES:
    start = getattr(roles, role)
    described[role] = None if start is None else starting_model.describe(start)
  before = manifest["rounds"].get(str(number))
  if before is not None and not accept_change:
    changed = [name for name in _ROLES if before.get(name) != described[name]]
    if changed:
      raise ValueError(
        f"round {number} in {workdir} was begun with another model as"
        f" {', '.join(changed)} (see {path.name}): put that back, give another"
        " --workdir, or pass --config.run.allow_config_change=True to go on."
      )
  manifest["rounds"][str(number)] = described
  round_files.write_json(path, manifest)
