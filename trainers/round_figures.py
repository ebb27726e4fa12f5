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
    round_files.write_json(path, {"metrics": {}, "samples": []})
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
  metrics = {
    **_worth(scored),
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
  round_files.write_json(path, {"metrics": metrics, "samples": samples})


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
    line |= {f"eval/{name}": value for name, value in metrics.items()}
  return line


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
