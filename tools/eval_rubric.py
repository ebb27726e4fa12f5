# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval rubric`: the grades that a judge gives to single answers."""

import argparse
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from ramjax.evals import (
  grade_canaries,
  model_outputs,
  replaced_file,
  rubric_grades,
)
from ramjax.evals import judge as judge_lib
from ramjax.evals.answers import Answer
from ramjax.evals.engine import Engine
from ramjax.evals.evaluation import Evaluation
from ramjax.evals.judge import PatternJudge
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import (
  eval_outputs,
  eval_result,
  eval_sides,
  judge_failures,
  option_types,
  unasked_judge,
)
from ramjax.tools.eval_sides import Side, Tally
from ramjax.tools.generate_progress import GenerateProgress
from ramjax.tools.judge_failures import Failures
from ramjax.tools.unasked_judge import Unasked

_BENCHMARK = "rubric"
_GRADES_FILE = "grades.jsonl"
_CACHE = "verdicts"
_MAX_TOKENS = 512


class Command(NamedTuple):
  """A command line that can run, as far as that is known without the model.

  Attributes:
    args: Its options.
    model: Who answers; of a file of outputs, who answered.
    instructions: What a model is asked that has to answer.
    template: What the judge is shown.
  """

  args: argparse.Namespace
  model: str
  instructions: list[str]
  template: str


class _Graded(NamedTuple):
  """What a judge came to.

  Attributes:
    grades: One for each answer.
    tally: What it was asked.
    num_failed: Requests that it gave no answer to.
    judge: What tells it from others.
  """

  grades: list[float | None]
  tally: Tally
  num_failed: int
  judge: dict[str, Any]


def parse(argv: Sequence[str]) -> Command:
  """Reads the options and files, and opens the judge, but for its weights.

  Raises:
    ValueError: A file, an option or a judge that cannot be used.
    OSError: A file that is not there.
  """
  args = make_parser().parse_args(argv)
  model, instructions = _asked(args)
  eval_sides.check(args, "judge")
  command = Command(args, model, instructions, _template(args.rubric))
  unasked_judge.check(
    args,
    lambda side, engine: _judge(command, side, engine),
    most=_MAX_TOKENS,
  )
  return command


def main(argv: Sequence[str]) -> int:
  """Has answers graded, writes and prints what they came to.

  Args:
    argv: The arguments behind `ramjax eval rubric`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option that cannot be used, or too many answers
      without a verdict.
    OSError: A file that cannot be read or written, or an endpoint that gives
      no answer.
  """
  command = parse(argv)
  args = command.args
  inputs = [*eval_outputs.inputs(args), *([args.data] if args.data else [])]
  if args.rubric not in judge_lib.TEMPLATES:
    inputs.append(pathlib.Path(args.rubric))

  def prepare(model: str) -> None:
    eval_result.prepare(
      args.out,
      benchmark=_BENCHMARK,
      model=model,
      files=[_GRADES_FILE, *eval_outputs.files(args)],
      inputs=inputs,
    )

  prepare(command.model)
  made = eval_outputs.get(args, command.instructions, args.out, prepare)
  answers = rubric_grades.to_answers(model_outputs.read(made.path))
  canaries = grade_canaries.make(
    [answer.response for answer in answers], num=args.canaries, seed=args.seed
  )
  asked = [
    *answers,
    *(rubric_grades.with_text(answers[i], text) for _, i, text in canaries),
  ]
  graded = _graded(command, asked)
  of_answers = graded.grades[: len(answers)]
  _require_valid(of_answers, args.max_invalid)
  evaluation = rubric_grades.evaluate(
    command.model,
    of_answers,
    canaries,
    graded.grades[len(answers) :],
    lowest=args.lowest,
  )
  path = args.out / _GRADES_FILE
  replaced_file.replace_file(
    path,
    (
      json.dumps({"instruction": a.prompt[0].content, "output": a.response,
                  "grade": grade}) + "\n"
      for a, grade in zip(answers, of_answers, strict=True)
    ),
  )  # fmt: skip
  eval_result.conclude(
    made.told_in(_with_account(evaluation, graded)),
    args.out,
    inputs=[made.path, *(each for each in inputs if each != made.path)],
    command=["ramjax", "eval", _BENCHMARK, *argv],
    model_identity=made.identity_with(graded.judge),
    written_before=[path],
  )
  return 0


def _asked(args: argparse.Namespace) -> tuple[str, list[str]]:
  """Who answers what; of a file of outputs, who answered.

  Raises:
    ValueError: Options that do not go together, or a file that is none.
  """
  judge_failures.most_of(args.max_invalid, 1)  # Refuses what is no share.
  model = eval_outputs.check(args, args.out)
  if (args.data is None) != (model is None):
    raise ValueError(
      f"--model={args.model} is "
      + (
        "a file, whose answers are there: leave --data out."
        if model is None
        else "asked: name its instructions with --data=FILE."
      )
    )
  if model is None:
    outputs = model_outputs.read(args.model)
    return outputs[0].generator or pathlib.Path(args.model).stem, []
  return model, model_outputs.read_instructions(args.data)


def _template(rubric: str) -> str:
  """The text of a rubric, by name or from a file.

  Raises:
    ValueError: It is neither.
  """
  if rubric in judge_lib.TEMPLATES:
    return judge_lib.TEMPLATES[rubric]
  path = pathlib.Path(rubric)
  if not path.is_file():
    raise ValueError(
      f"--rubric={rubric} must be one of {', '.join(judge_lib.TEMPLATES)}, or"
      " a file, and there is none of that name."
    )
  return path.read_text("utf-8")


def _judge(
  command: Command, side: Side, engine: Engine | Unasked
) -> PatternJudge:
  """How an engine grades.

  Raises:
    ValueError: An option that cannot be used.
  """
  args = command.args
  return PatternJudge(
    engine,
    template=command.template,
    pattern=args.pattern,
    lowest=args.lowest,
    highest=args.highest,
    samples=args.samples,
    options=SamplingOptions(temperature=args.temperature, max_tokens=side.most),
    seed=args.seed,
    fits=side.fits,
  )


def _graded(command: Command, answers: Sequence[Answer]) -> _Graded:
  """A grade for each answer; verdicts are kept below --out as they come."""
  args = command.args
  grades: list[float | None] = []
  requests = len(answers) * args.samples
  failures = Failures(judge_failures.most_of(args.max_invalid, requests))
  with (
    eval_sides.opened(args, "judge", most=_MAX_TOKENS) as side,
    side.engine(args.out / _CACHE, failures) as engine,
    GenerateProgress(len(answers), 0, args.samples) as progress,
  ):
    tally = Tally(engine)
    judge = _judge(command, side, tally)
    chunk = max(1, side.chunk // args.samples)
    for start in range(0, len(answers), chunk):
      part = answers[start : start + chunk]
      grades += judge.score(part, progress=progress.tell)
      progress.rows_written(len(grades))
    options = ("pattern", "lowest", "highest", "samples", "temperature", "seed")
    identity = {
      "name": side.name,
      **side.identity,
      "rubric": hashlib.sha256(command.template.encode()).hexdigest(),
      "max_tokens": side.most,
      **{name: getattr(args, name) for name in options},
    }
  return _Graded(grades, tally, failures.num, identity)


def _with_account(evaluation: Evaluation, graded: _Graded) -> Evaluation:
  """The evaluation, with what the judge took and failed on."""
  figures = {
    "judge_requests": graded.tally.num_requests,
    "judge_prompt_tokens": graded.tally.num_prompt_tokens,
    "judge_tokens": graded.tally.num_tokens,
  }
  counted = {
    "requests that the judge gave no answer to: no verdict": graded.num_failed,
  }
  return dataclasses.replace(
    evaluation,
    figures={**evaluation.figures, **figures},
    counted={
      **evaluation.counted,
      **{rule: number for rule, number in counted.items() if number},
    },
  )


def _require_valid(grades: Sequence[float | None], most: float) -> None:
  missing = sum(grade is None for grade in grades)
  if missing > judge_failures.most_of(most, len(grades)):
    raise ValueError(
      f"{missing} of {len(grades)} answers have no verdict, a share of"
      f" {missing / len(grades):.3f}, and at most {most:g} may (--max-invalid)."
      f" The judge's words are kept in {_CACHE} below --out."
    )


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval rubric",
    description=(
      "Have a judge grade each answer by itself, by a rubric, and say what the"
      " grades come to. Of\nseveral verdicts on an answer (--samples) the mean"
      " counts. The judge also grades canaries:\nno answer, a request for the"
      " highest grade in its place (both should get a lower one), and a\npadded"
      " answer, which should get no higher one.\n\n"
      "The same command again continues one that was stopped; no verdict is"
      " asked for twice."
    ),
    epilog=(
      "examples:\n"
      "  ramjax eval rubric --model=outputs.json --judge=Llama-3.1-70B-Instruct"
      " --out=results\n"
      "  ramjax eval rubric --model=runs/mine --data=instructions.json"
      " \\\n    --judge=http://localhost:8000 --judge-name=large --out=results"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--out",
    required=True,
    type=pathlib.Path,
    metavar="DIR",
    help=f"where verdicts, {_GRADES_FILE} and {eval_result.FILE} go",
  )
  parser.add_argument(
    "--data",
    type=pathlib.Path,
    metavar="FILE",
    help="what a FOLDER or URL is asked: records with instruction",
  )
  parser.add_argument(
    "--judge", required=True, metavar="FOLDER|URL", help="who grades"
  )
  _add_grading(parser)
  eval_outputs.add_options(parser)
  eval_sides.add_options(parser, "judge", most=_MAX_TOKENS)
  return parser


def _add_grading(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("how it is graded")
  group.add_argument(
    "--rubric",
    default="additive",
    metavar="NAME|FILE",
    help="what the judge is shown: additive, five points that add up, or a file"
    " with {prompt} and {response} in it (default: %(default)s)",
  )
  group.add_argument(
    "--pattern",
    default=r"Score:\s*([0-9]+(?:\.[0-9]+)?)",
    metavar="REGEX",
    help="the grade in the judge's words, by its one group; the last match"
    " counts (default: a number behind 'Score:')",
  )
  for name, default, text in (
    ("lowest", 0.0, "the lowest grade there is"),
    ("highest", 5.0, "the highest; beyond them there is no verdict"),
    ("temperature", 0.0, "of a verdict"),
  ):
    group.add_argument(
      f"--{name}",
      type=float,
      default=default,
      metavar="NUM",
      help=f"{text} (default: %(default)g)",
    )
  group.add_argument(
    "--samples",
    type=option_types.positive_int,
    default=1,
    metavar="NUM",
    help="verdicts on each answer, whose mean counts (default: 1)",
  )
  group.add_argument(
    "--seed", type=option_types.count, default=0, help="of draws (default: 0)"
  )
  group.add_argument(
    "--canaries",
    type=option_types.count,
    default=5,
    metavar="NUM",
    help="of each of the three kinds (default: 5)",
  )
  group.add_argument(
    "--max-invalid",
    type=float,
    default=0.1,
    metavar="SHARE",
    help="of answers that may have no verdict (default: 0.1)",
  )
