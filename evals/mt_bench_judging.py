# SPDX-License-Identifier: Apache-2.0
"""A judge's work on MT-Bench: what it is asked, and what its words come to.

One answer is graded, or two are compared in two games, the second with their
places swapped (Zheng et al., arXiv 2306.05685).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramjax.data.rows import Message
from ramjax.evals import mt_bench_prompts, mt_bench_verdicts
from ramjax.evals.engine import ChatRequest, Engine
from ramjax.evals.grade_canaries import Canary
from ramjax.evals.mt_bench_files import (
  JudgePrompt,
  Mode,
  ModelAnswer,
  Question,
)
from ramjax.models.sampling_options import SamplingOptions

# Of one verdict, as in the authors' tool; it is the most likely one.
MAX_TOKENS = 2048


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
  """A turn of a question that is to be judged.

  Attributes:
    question: The question.
    turn: 1 or 2.
    answer: What is graded, or model_1's in a comparison.
    baseline: What it is compared with, of model_2; None grades.
    prompt: The judge prompt that asks.
    conversations: What the judge is shown: once, or in each of two games.
  """

  question: Question
  turn: int
  answer: ModelAnswer
  baseline: ModelAnswer | None
  prompt: JudgePrompt
  conversations: tuple[tuple[Message, ...], ...]


def cases(
  questions: Mapping[int, Question],
  answers: Mapping[int, ModelAnswer],
  *,
  prompts: Mapping[str, JudgePrompt],
  references: Mapping[int, ModelAnswer],
  baseline: Mapping[int, ModelAnswer] | None = None,
) -> list[Case]:
  """Every turn of every question, in the order of the questions.

  Args:
    questions: By id.
    answers: One model's to these questions, by id of the question.
    prompts: By name.
    references: Reference answers by id of the question; of other questions
      than those in `mt_bench_prompts.NEED_REFERENCE` none is needed.
    baseline: Another model's answers, to compare with; None grades.

  Raises:
    ValueError: A prompt, a reference or an answer is missing, an answer is to
      none of the questions, or a model is compared with itself.
  """
  check_answers(answers, questions)
  if baseline is not None:
    check_answers(baseline, questions)
    names = [next(iter(each.values())).model_id for each in (answers, baseline)]
    if names[0] == names[1]:
      raise ValueError(
        f"both models are called {names[0]!r}, and no verdict could say which"
        " is better: name them apart."
      )
  return [
    _case(question, turn, answers, prompts, references, baseline)
    for question in questions.values()
    for turn in range(1, len(question.turns) + 1)
  ]


def canary_cases(
  judged: Sequence[Case],
  canaries: Sequence[Canary],
  *,
  prompts: Mapping[str, JudgePrompt],
  references: Mapping[int, ModelAnswer],
) -> list[Case]:
  """First turns with other words in the answer's place.

  Args:
    judged: From `cases`; first turns alone.
    canaries: Made of their answers' first turns.
    prompts: As of `cases`.
    references: As of `cases`.
  """
  made = []
  for canary in canaries:
    case = judged[canary.made_of]
    key = case.question.question_id
    answer = dataclasses.replace(
      case.answer, turns=(canary.text, *case.answer.turns[1:])
    )
    baseline = None if case.baseline is None else {key: case.baseline}
    made.append(
      _case(case.question, 1, {key: answer}, prompts, references, baseline)
    )
  return made


def grade_of(record: Mapping[str, Any]) -> float | None:
  """What a record says of the answer: a grade, or 1, 1/2 or 0 of a comparison.

  Args:
    record: From `judgment_records`.

  Returns:
    The number; None where there is no verdict. A comparison is won, or lost, if
    both games are, as the authors count.
  """
  if "score" in record:
    return None if record["score"] == -1 else float(record["score"])
  winners = {record["g1_winner"], record["g2_winner"]}
  if "error" in winners:
    return None
  return {("model_1",): 1.0, ("model_2",): 0.0}.get(tuple(winners), 0.5)


def check(
  questions: Mapping[int, Question],
  *,
  prompts: Mapping[str, JudgePrompt],
  references: Mapping[int, ModelAnswer],
  mode: Mode,
) -> None:
  """Checks, before there are any answers, that they could be judged.

  Raises:
    ValueError: A prompt or a reference is missing.
  """
  stand_ins = [
    {
      question.question_id: ModelAnswer(
        question_id=question.question_id,
        answer_id="",
        model_id=name,
        turns=("",) * len(question.turns),
        tstamp=None,
        where="",
      )
      for question in questions.values()
    }
    for name in ("a", "b")
  ]
  cases(
    questions,
    stand_ins[0],
    prompts=prompts,
    references=references,
    baseline=stand_ins[1] if mode == "pair" else None,
  )


def check_answers(
  answers: Mapping[int, ModelAnswer], questions: Mapping[int, Question]
) -> None:
  """Checks that one model's answers are to these questions, and to all.

  Raises:
    ValueError: They are not, or have fewer turns.
  """
  for answer in answers.values():
    if answer.question_id not in questions:
      raise ValueError(
        f"{answer.where}: question_id={answer.question_id} is none of the"
        f" {len(questions)} questions ({min(questions)} to {max(questions)}):"
        " give the answers to these questions."
      )
    turns = len(questions[answer.question_id].turns)
    if len(answer.turns) < turns:
      raise ValueError(
        f"{answer.where}: the answer has {len(answer.turns)} turns, and question"
        f" {answer.question_id} has {turns}: give answers to all."
      )
  if missing := [each for each in questions if each not in answers]:
    name = next(iter(answers.values())).model_id
    raise ValueError(
      f"{len(missing)} of the {len(questions)} questions have no answer of"
      f" {name!r}, such as question_id={missing[0]}: give answers to all."
    )


def judgment_records(
  engine: Engine,
  judged: Sequence[Case],
  *,
  judge: str,
  tstamp: float,
  max_tokens: Callable[[Sequence[Message]], int],
  progress: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
  """Asks a judge about each case.

  Args:
    engine: The judge.
    judged: From `cases`.
    judge: What the records call the judge.
    tstamp: Seconds since 1970, for the records.
    max_tokens: The most tokens of the verdict on a conversation.
    progress: Told the tokens of each verdict.

  Returns:
    A record for each case, as the authors' tool writes it. Words without a
    verdict have the score -1, or the winner "error".
  """
  completions = engine.complete(
    [
      ChatRequest(
        messages=messages,
        options=SamplingOptions(
          temperature=0.0, max_tokens=max_tokens(messages)
        ),
      )
      for case in judged
      for messages in case.conversations
    ],
    progress=progress,
  )
  said = iter([completion.text for completion in completions])
  return [
    _record(case, [next(said) for _ in case.conversations], judge, tstamp)
    for case in judged
  ]


def _case(
  question: Question,
  turn: int,
  answers: Mapping[int, ModelAnswer],
  prompts: Mapping[str, JudgePrompt],
  references: Mapping[int, ModelAnswer],
  baseline: Mapping[int, ModelAnswer] | None,
) -> Case:
  answer = answers[question.question_id]
  reference = references.get(question.question_id)
  if baseline is None:
    other = None
    conversations = (
      mt_bench_prompts.single_messages(
        prompts, question, answer, turn=turn, reference=reference
      ),
    )
  else:
    other = baseline[question.question_id]
    conversations = tuple(
      mt_bench_prompts.pair_messages(
        prompts, question, *shown, turn=turn, reference=reference
      )
      for shown in ((answer, other), (other, answer))
    )
  name = mt_bench_prompts.prompt_name(
    "single" if baseline is None else "pair", question.category, turn
  )
  return Case(
    question=question,
    turn=turn,
    answer=answer,
    baseline=other,
    prompt=prompts[name],
    conversations=conversations,
  )


def _record(
  case: Case, said: Sequence[str], judge: str, tstamp: float
) -> dict[str, Any]:
  """The keys stand in the order of the official file."""
  shown = [messages[-1].content for messages in case.conversations]
  last = {"turn": case.turn, "tstamp": tstamp}
  by = {"judge": [judge, case.prompt.name]}
  if case.baseline is None:
    return {
      "question_id": case.question.question_id,
      "model": case.answer.model_id,
      **by,
      "user_prompt": shown[0],
      "judgment": said[0],
      "score": mt_bench_verdicts.read_score(said[0]),
      **last,
    }
  verdicts: list[mt_bench_verdicts.Verdict] = [
    mt_bench_verdicts.read_pair(text, case.prompt.output_format)
    for text in said
  ]
  return {
    "question_id": case.question.question_id,
    "model_1": case.answer.model_id,
    "model_2": case.baseline.model_id,
    "g1_winner": mt_bench_verdicts.winner(verdicts[0], swapped=False),
    "g2_winner": mt_bench_verdicts.winner(verdicts[1], swapped=True),
    **by,
    "g1_user_prompt": shown[0],
    "g1_judgment": said[0],
    "g2_user_prompt": shown[1],
    "g2_judgment": said[1],
    **last,
  }
