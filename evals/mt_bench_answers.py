# SPDX-License-Identifier: Apache-2.0
"""A model's answers to MT-Bench's questions, as the official files have them.

The second turn is answered after the model's own first answer, at a temperature
that the question's category decides (Zheng et al., arXiv 2306.05685).
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from ramjax.data.rows import Message
from ramjax.evals import mt_bench_prompts, sample_seeds
from ramjax.evals.engine import ChatRequest, Engine
from ramjax.evals.mt_bench_files import Question
from ramjax.models.sampling_options import SamplingOptions

# Of one turn's answer, as in the authors' tool.
MAX_TOKENS = 1024

# Theirs have 22 characters, too, but drawn at random.
_ID_LEN = 22


def answer_records(
  engine: Engine,
  questions: Sequence[Question],
  *,
  model_id: str,
  seed: int,
  tstamp: float,
  max_tokens: Callable[[Sequence[Message]], int],
  progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
  """Asks a model the questions, all first turns before the second ones.

  Args:
    engine: What answers.
    questions: Of one turn or two.
    model_id: What the records call the model.
    seed: Of the whole, in [0, 2^32): `question_seed`.
    tstamp: Seconds since 1970, for the records.
    max_tokens: The most tokens of the answer to a conversation.
    progress: Told the tokens of each turn's answer.

  Returns:
    A record for each question, in their order.

  Raises:
    ValueError: A question of which no seed can be made.
  """
  asked: list[list[Message]] = [[] for _ in questions]
  for turn in (1, 2):
    rows = [i for i, each in enumerate(questions) if len(each.turns) >= turn]
    for row in rows:
      asked[row].append(Message("user", questions[row].turns[turn - 1]))
    completions = engine.complete(
      [
        ChatRequest(
          messages=tuple(asked[row]),
          options=SamplingOptions(
            temperature=mt_bench_prompts.temperature(questions[row].category),
            max_tokens=max_tokens(asked[row]),
          ),
          seed=question_seed(seed, questions[row], turn),
        )
        for row in rows
      ],
      progress=progress,
    )
    for row, completion in zip(rows, completions, strict=True):
      asked[row].append(Message("assistant", completion.text))
  return [
    {
      "question_id": question.question_id,
      "answer_id": answer_id(model_id, question.question_id),
      "model_id": model_id,
      "choices": [
        {"index": 0, "turns": [said.content for said in messages[1::2]]}
      ],
      "tstamp": tstamp,
    }
    for question, messages in zip(questions, asked, strict=True)
  ]


def question_seed(seed: int, question: Question, turn: int) -> int:
  """The seed of a turn's answer: `sample_seed` of the question's id and turn.

  Which other questions are asked does not matter.

  Raises:
    ValueError: The seed or the question's id is not in [0, 2^32).
  """
  if not 0 <= question.question_id < 2**32:
    raise ValueError(
      f"{question.where}: question_id={question.question_id} must be in"
      " [0, 2^32), for the seed of the answer is made of it."
    )
  return sample_seeds.sample_seed(seed, question.question_id, turn)


def answer_id(model_id: str, question_id: int) -> str:
  """The name of an answer, which is the same whenever it is made.

  Returns:
    The first 22 hexadecimal digits of the SHA-256 of the JSON list of the
    model's name and the question's id.
  """
  text = json.dumps([model_id, question_id])
  return hashlib.sha256(text.encode()).hexdigest()[:_ID_LEN]
