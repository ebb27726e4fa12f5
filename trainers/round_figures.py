# SPDX-License-Identifier: Apache-2.0
"""What a round came to, in numbers: of its own answers, and of held-out ones."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import ml_collections
import numpy as np

from ramjax.evals import verified_accuracy
from ramjax.trainers import round_files
from ramjax.trainers.prompt_data import Prompt
from ramjax.trainers.round_roles import Roles
from ramjax.trainers.round_sampling import Asker, Condition
from ramjax.trainers.round_scoring import JUDGE_PART, Scorer


def evaluate(
  config: ml_collections.ConfigDict,
  folder: pathlib.Path,
  roles: Roles,
  asker: Asker,
  scorer: Scorer,
  prompts: Sequence[Prompt],
  *,
  condition: Condition | None,
) -> None:
  """Writes what greedy answers to held-out prompts are worth, and some of them.

  The score of each is kept, so that models can be compared prompt by prompt.

  Args:
    config: Of a run in rounds.
    folder: Of the round.
    roles: `policy` is the model that answers.
    asker: Asks it.
    scorer: Scores the answers.
    prompts: Held out.
    condition: See `Asker.ask`.
  """
  path = folder / round_files.EVALUATED
  if path.is_file():
    return
  asked = list(prompts[: config.evals.num_prompts])
  if not asked:
    round_files.write_json(path, {"metrics": {}, "samples": [], "scores": []})
    return
  longest = max(len(asker.tokens(prompt, condition)) for prompt in asked)
  room = config.data.max_length - longest
  options = asker.options(
    temperature=0.0, max_tokens=min(config.evals.max_new_tokens, room)
  )
  answers, tokens = asker.ask(
    roles.policy,
    asked,
    options,
    seeds=[0] * len(asked),
    condition=condition,
  )
  scored = scorer.score(roles, asked, answers, tokens)
  records = [prompt.record for prompt in asked]
  verdicts = verified_accuracy.verify_responses(
    records, [answer.response for answer in answers]
  )
  scores = [row["score"] for row in scored]
  metrics = {
    **_worth(scored),
    **_mean("score", [score for score in scores if score is not None]),
    "finished": float(np.mean([answer.finished for answer in answers])),
    "response_tokens": float(np.mean([len(ids) for ids in tokens])),
    **verified_accuracy.verified_accuracy(records, verdicts),
  }
  samples = [
    {
      "prompt": asked[i].messages[-1].content,
      "response": answers[i].response,
      "verified": verdicts[i],
      **scored[i],
    }
    for i in range(min(config.evals.num_samples, len(answers)))
  ]
  round_files.write_json(
    path,
    {"metrics": metrics, "samples": samples, "scores": scores},
  )


def log_line(
  workdir: pathlib.Path, number: int, prompt_at: Callable[[int], Prompt]
) -> dict[str, Any]:
  """A round's line of `rounds.jsonl`, from its files.

  Args:
    workdir: Of the run in rounds.
    number: Of the round; 0 is the model before the first one.
    prompt_at: The prompt of each number.
  """
  folder = round_files.folder(workdir, number)
  line: dict[str, Any] = {"round": number}
  if number:
    sampled = _of_samples(folder, prompt_at)
    line |= {f"sampled/{name}": value for name, value in sampled.items()}
    counts = round_files.read_json(folder / round_files.SELECTED)
    line |= {f"selected/{name}": value for name, value in counts.items()}
  evaluated = round_files.read_json(folder / round_files.EVALUATED)
  if evaluated is not None:
    metrics = evaluated["metrics"]
    first = round_files.read_json(
      round_files.folder(workdir, 0) / round_files.EVALUATED
    )
    if number and first is not None:
      change = score_change(first["scores"], evaluated["scores"])
      metrics = {**metrics, **change}
    line |= {f"eval/{name}": value for name, value in metrics.items()}
  return line


def score_change(
  first: Sequence[float | None], last: Sequence[float | None]
) -> dict[str, float]:
  """How much better a model answers than the first one, prompt by prompt.

  The same prompts are hard for both: their differences vary less than the
  scores do. A mean and 1.96 standard errors to either side of it are the 95 %
  interval.

  Args:
    first: The first model's score of each held-out prompt; None where there is
      none.
    last: The other model's, of the same prompts.

  Returns:
    `score_change`, the mean difference over the prompts that both have a score
    of, and `score_change_stderr`, which two of them are needed for. Nothing if
    the number of prompts changed: they cannot be told to be the same.
  """
  if len(first) != len(last):
    return {}
  differences = [
    after - before
    for before, after in zip(first, last, strict=True)
    if before is not None and after is not None
  ]
  return _mean("score_change", differences)


def _mean(name: str, values: Sequence[float]) -> dict[str, float]:
  """The mean, and the standard error that its sample deviation gives."""
  found = {}
  if values:
    found[name] = float(np.mean(values))
  if len(values) > 1:
    deviation = float(np.std(values, ddof=1))
    found[f"{name}_stderr"] = deviation / len(values) ** 0.5
  return found


def _of_samples(
  folder: pathlib.Path, prompt_at: Callable[[int], Prompt]
) -> dict[str, float]:
  samples = round_files.read_rows(folder / round_files.SAMPLES)
  scores = round_files.read_rows(folder / round_files.SCORES)
  groups: dict[int, list[float]] = {}
  for row in scores:
    if row["score"] is not None:
      groups.setdefault(row["number"], []).append(row["score"])
  found = {
    **_worth(scores),
    "finished": float(np.mean([row["finished"] for row in samples])),
    "response_tokens": float(np.mean([row["num_tokens"] for row in samples])),
  }
  if groups:
    # What picking the best answer comes to.
    found["best_score"] = float(np.mean([max(g) for g in groups.values()]))
    # Groups of one worth teach a pair nothing.
    found["uniform_groups"] = float(
      np.mean([len(set(group)) == 1 for group in groups.values()])
    )
  records = [prompt_at(row["number"]).record for row in samples]
  verdicts = verified_accuracy.verify_responses(
    records, [row["response"] for row in samples]
  )
  known = [verdict for verdict in verdicts if verdict is not None]
  if known:
    found["verified_accuracy"] = float(np.mean(known))
  return found


def _worth(scored: Sequence[dict[str, Any]]) -> dict[str, float]:
  """Means of the scores and of their parts, over those that there are."""
  found = {}
  valid = [row["score"] for row in scored if row["score"] is not None]
  if valid:
    found["score"] = float(np.mean(valid))
  for name in scored[0]["rewards"]:
    values = [row["rewards"][name] for row in scored]
    kept = [value for value in values if value is not None]
    if kept:
      found[f"rewards/{name}"] = float(np.mean(kept))
    if name == JUDGE_PART:
      found["judge_invalid"] = 1 - len(kept) / len(values)
  return found
