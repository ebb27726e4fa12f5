# SPDX-License-Identifier: Apache-2.0
"""What the answers of a round are worth: rewards, a reward model, a judge."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from ramjax.data import tokenizer_probe
from ramjax.data.tokenizers import Tokenizer, load_tokenizer
from ramjax.evals import judge as judge_lib
from ramjax.evals import rewards as rewards_lib
from ramjax.evals.answers import Answer
from ramjax.evals.local_engine import LocalEngine
from ramjax.models import carried_files, source_params
from ramjax.models.config import LlamaConfig
from ramjax.models.sampling_options import SamplingOptions
from ramjax.trainers import round_files, round_sampling
from ramjax.trainers.prompt_data import Prompt
from ramjax.trainers.reward_model import RewardModel
from ramjax.trainers.rollout import Rollout
from ramjax.trainers.rollouts import MODEL_PART
from ramjax.trainers.round_roles import Roles
from ramjax.trainers.round_sampling import Policies
from ramjax.trainers.select import Group, ScoredAnswer
from ramjax.trainers.starting_model import Start

# Name of the judge among the parts of a score.
JUDGE_PART = "judge"


def refuse_unusable(
  config: ml_collections.ConfigDict, terms: Sequence[rewards_lib.Term]
) -> None:
  """Refuses a run in which nothing says what an answer is worth.

  Raises:
    ValueError: No reward, reward model or judge; a reward named like one of
      the latter; a judge's option that cannot work.
  """
  named = config.reward_model.from_hf or config.reward_model.from_run
  if not terms and not named and not config.judge.role:
    raise ValueError(
      "rewards is empty, reward_model names no model and judge.role is '': say"
      " what an answer is worth, as in config.rewards.task = dict(weight=1.0)."
    )
  taken = {MODEL_PART, JUDGE_PART} & {term.name for term in terms}
  if taken:
    raise ValueError(
      f"rewards.{min(taken)} has the name under which the scores of reward_model"
      " or judge are recorded: give it another."
    )
  if config.judge.role:
    judge_lib.check_template(config.judge.template)
    judge_lib.check_pattern(config.judge.pattern)


class Scorer:
  """Scores answers as the config says; models are loaded when needed."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    policies: Policies,
    tokenizer: Tokenizer,
    terms: Sequence[rewards_lib.Term],
  ):
    """Loads nothing.

    Args:
      config: Of a run in rounds.
      policies: Of the run; a judge may be one of them.
      tokenizer: Of the policies.
      terms: From `rewards.find_rewards`.
    """
    self._config = config
    self._policies = policies
    self._tokenizer = tokenizer
    self._terms = tuple(terms)
    self._reward_model: RewardModel | None = None
    self._judge: judge_lib.Judge | None = None
    self._judged_by: Start | None = None

  def clear(self) -> None:
    """Makes room for a fit."""
    self._reward_model = self._judge = self._judged_by = None

  def score(
    self,
    roles: Roles,
    prompts: Sequence[Prompt],
    answers: Sequence[Answer],
    tokens: Sequence[np.ndarray],
  ) -> list[dict[str, Any]]:
    """What each answer is worth.

    Args:
      roles: Who scores.
      prompts: What each answers.
      answers: As text.
      tokens: As ids.

    Returns:
      For each `score`, None where the judge gave no number, and `rewards`, its
      parts by name before they are weighted.
    """
    scores = rewards_lib.score(self._terms, answers)
    total: list[float | None] = scores.total.tolist()
    parts: dict[str, list[Any]] = {
      name: part.tolist() for name, part in scores.parts.items()
    }
    if roles.reward_model is not None:
      raw = self._model_scores(roles.reward_model, prompts, tokens)
      parts[MODEL_PART] = raw
      total = _plus(total, raw, self._config.reward_model.weight)
    if roles.judge is not None:
      with jax.set_mesh(self._policies.mesh):
        verdicts = self._judge_of(roles.judge).score(answers)
      parts[JUDGE_PART] = verdicts
      total = _plus(total, verdicts, self._config.judge.weight)
    return [
      {
        "score": total[i],
        "rewards": {name: part[i] for name, part in parts.items()},
      }
      for i in range(len(answers))
    ]

  def _model_scores(
    self, start: Start, prompts: Sequence[Prompt], tokens: Sequence[np.ndarray]
  ) -> list[float]:
    mesh = self._policies.mesh
    if self._reward_model is None:
      self._reward_model = RewardModel(
        start,
        self._policies.config,
        mesh,
        row_length=self._config.data.max_length,
      )
    with jax.set_mesh(mesh):
      scores = self._reward_model.score(_rollout(prompts, tokens), None)
    if not np.isfinite(scores).all():
      raise ValueError(
        f"the reward model in {start.folder} gave an answer a score that is no"
        " finite number: it is damaged, or needs model.dtype=float32."
      )
    return scores.tolist()

  def _judge_of(self, start: Start) -> judge_lib.Judge:
    """The judge, with the options of the config; a policy is not kept."""
    judge = self._config.judge
    own = judge.role == "policy"
    if self._judge is not None and start == self._judged_by and not own:
      return self._judge
    engine = self._policy_engine(start) if own else self._engine(start)
    self._judge = judge_lib.PatternJudge(
      engine,
      template=judge.template,
      pattern=judge.pattern,
      lowest=judge.lowest,
      highest=judge.highest,
      samples=judge.samples,
      options=SamplingOptions(
        temperature=judge.temperature,
        top_p=judge.top_p,
        max_tokens=judge.max_new_tokens,
      ),
      seed=self._config.seed,
      fits=engine.fits,
    )
    self._judged_by = start
    return self._judge

  def _policy_engine(self, start: Start) -> LocalEngine:
    params = self._policies.load(start)
    return self._local(params, self._policies.config, self._tokenizer)

  def _engine(self, start: Start) -> LocalEngine:
    """Another model, with its own tokenizer."""
    assert start.folder is not None
    place = carried_files.tokenizer_folder(start.folder)
    if place is None:
      raise FileNotFoundError(
        f"the judge in {start.folder} came without a tokenizer: put it there."
      )
    tokenizer_probe.probe_tokenizer(place)
    with start.reading() as source:
      if source.config.num_labels:
        raise ValueError(
          f"the judge in {start.folder} is a classifier, which writes no verdict:"
          " name it in reward_model."
        )
      params = source_params.load_params(
        source, self._policies.mesh, dtype=source.config.dtype
      )
    return self._local(params, source.config, load_tokenizer(place))

  def _local(
    self, params: Any, shape: LlamaConfig, tokenizer: Tokenizer
  ) -> LocalEngine:
    return LocalEngine(
      params,
      shape,
      tokenizer=tokenizer,
      template=self._config.judge.chat_template or self._config.data.template,
      num_slots=self._config.rollout.num_slots,
    )


def score(
  config: ml_collections.ConfigDict,
  folder: pathlib.Path,
  roles: Roles,
  scorer: Scorer,
  prompt_at: Callable[[int], Prompt],
  *,
  before_chunk: Callable[[], None],
) -> None:
  """Writes what the answers of a round are worth, or the rest of it.

  Args:
    config: Of a run in rounds.
    folder: Of the round, with its answers.
    roles: Who scores.
    scorer: Scores them.
    prompt_at: The prompt of each number.
    before_chunk: See `round_files.write_in_chunks`.
  """
  if (folder / round_files.SCORES).is_file():
    return
  samples = round_files.read_rows(folder / round_files.SAMPLES)
  size = config.rollout.group_size

  def make(items: range) -> list[dict[str, Any]]:
    rows = samples[items.start * size : items.stop * size]
    prompts = [prompt_at(row["number"]) for row in rows]
    answers = [
      Answer(
        prompt=prompt.messages,
        response=row["response"],
        record=prompt.record,
        finished=row["finished"],
        num_tokens=row["num_tokens"],
      )
      for prompt, row in zip(prompts, rows, strict=True)
    ]
    tokens = [np.asarray(row["tokens"], np.int32) for row in rows]
    scored = scorer.score(roles, prompts, answers, tokens)
    return [
      {"number": row["number"], "sample": row["sample"], **worth}
      for row, worth in zip(rows, scored, strict=True)
    ]

  round_files.write_in_chunks(
    folder / round_files.SCORES,
    make,
    num_items=len(samples) // size,
    rows_per_item=size,
    chunk=round_sampling.chunk_size(config),
    before_chunk=before_chunk,
  )


def read_groups(folder: pathlib.Path) -> list[Group]:
  """The scored answers of a round, prompt by prompt."""
  samples = round_files.read_rows(folder / round_files.SAMPLES)
  scores = round_files.read_rows(folder / round_files.SCORES)
  prompts: dict[int, Any] = {}
  answers: dict[int, list[ScoredAnswer]] = {}
  for row, worth in zip(samples, scores, strict=True):
    prompts[row["number"]] = row["prompt"]
    answers.setdefault(row["number"], []).append(
      ScoredAnswer(row["response"], worth["score"], row["finished"])
    )
  return [
    Group(round_sampling.from_json(prompts[number]), tuple(group))
    for number, group in answers.items()
  ]


def _plus(
  total: Sequence[float | None], part: Sequence[float | None], weight: float
) -> list[float | None]:
  return [
    None if a is None or b is None else a + weight * b
    for a, b in zip(total, part, strict=True)
  ]


def _rollout(
  prompts: Sequence[Prompt], tokens: Sequence[np.ndarray]
) -> Rollout:
  """Answers as the reward model reads them; the rest of a rollout is empty."""
  num = len(prompts)
  asked = np.zeros((num, max(len(p.tokens) for p in prompts)), np.int32)
  responses = np.zeros((num, max(map(len, tokens))), np.int32)
  for i, (prompt, answer) in enumerate(zip(prompts, tokens, strict=True)):
    asked[i, : len(prompt.tokens)] = prompt.tokens
    responses[i, : len(answer)] = answer
  nothing = np.zeros((num, 0), np.float32)
  return Rollout(
    prompts=asked,
    prompt_lengths=np.array([len(p.tokens) for p in prompts], np.int32),
    responses=responses,
    response_lengths=np.array([len(answer) for answer in tokens], np.int32),
    drawn_logps=nothing,
    old_logps=nothing,
    ref_logps=nothing,
    values=nothing,
    advantages=nothing,
    returns=nothing,
    scores=np.zeros(num, np.float32),
  )
