# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval rubric`: the grades that a judge gives to single answers."""

import argparse
import json
import pathlib
import re
from collections.abc import Callable, Sequence

from ramjax.evals import (
  grade_canaries,
  model_outputs,
  replaced_file,
  rubric_grades,
)
from ramjax.evals import judge as judge_lib
from ramjax.evals.answers import Answer
from ramjax.evals.engine import Engine
from ramjax.evals.judge import PatternJudge
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import (
  eval_outputs,
  eval_result,
  eval_sides,
  judge_failures,
  option_types,
)
from ramjax.tools.eval_sides import Side
from ramjax.tools.generate_progress import GenerateProgress
from ramjax.tools.judge_failures import Failures

_BENCHMARK = "rubric"
_GRADES_FILE = "grades.jsonl"
_CACHE = "verdicts"
_MAX_TOKENS = 512


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
  args = make_parser().parse_args(argv)
  model, instructions = _asked(args)
  inputs = [*eval_outputs.inputs(args), *([args.data] if args.data else [])]

  def prepare(model: str) -> None:
    eval_result.prepare(
      args.out,
      benchmark=_BENCHMARK,
      model=model,
      files=[_GRADES_FILE, *eval_outputs.files(args)],
      inputs=inputs,
    )

  prepare(model)
  with eval_sides.opened(args, "judge", most=_MAX_TOKENS) as side:
    judge_of = _judge_maker(args, side)
    made = eval_outputs.get(args, instructions, args.out, prepare)
    answers = rubric_grades.to_answers(model_outputs.read(made.path))
    canaries = grade_canaries.make(
      [answer.response for answer in answers],
      num=args.canaries,
      seed=args.seed,
    )
    asked = [
      *answers,
      *(rubric_grades.with_text(answers[i], text) for _, i, text in canaries),
    ]
    grades = _grades(args, side, judge_of, asked)
  of_answers = grades[: len(answers)]
  _require_valid(of_answers, args.max_invalid)
  evaluation = rubric_grades.evaluate(
    model, of_answers, canaries, grades[len(answers) :]
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
    evaluation,
    args.out,
    inputs=[made.path, *inputs],
    command=["ramjax", "eval", _BENCHMARK, *argv],
    model_identity=made.identity,
    written_before=[path],
  )
  return 0


def _asked(args: argparse.Namespace) -> tuple[str, list[str]]:
  """Who answers what; of a file of outputs, who answered.

  Raises:
    ValueError: Options that do not go together, or a file that is none.
  """
  judge_failures.most_of(args.max_invalid, 1)  # Refuses what is no share.
  model = eval_outputs.name(args)
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


def _judge_maker(
  args: argparse.Namespace, side: Side
) -> Callable[[Engine], PatternJudge]:
  """How an engine grades; what cannot be is refused without one.

  Raises:
    ValueError: An option that cannot be used.
  """
  path = pathlib.Path(args.rubric)
  is_name = args.rubric in judge_lib.TEMPLATES
  template = args.rubric if is_name else path.read_text("utf-8")

  def make(engine: Engine) -> PatternJudge:
    return PatternJudge(
      engine,
      template=template,
      pattern=args.pattern,
      lowest=args.lowest,
      highest=args.highest,
      samples=args.samples,
      options=SamplingOptions(
        temperature=args.temperature, max_tokens=side.most
      ),
      seed=args.seed,
      fits=side.fits,
    )

  try:
    make(_NoEngine())
  except ValueError as error:
    # The same judge is configured in runs, by `judge.samples` and so on.
    text = re.sub(r"\bjudge\.template\b", "--rubric", str(error))
    text = re.sub(r"\bjudge\.(\w+)", r"--\1", text)
    raise ValueError(text) from error
  return make


class _NoEngine:
  """Stands where nothing is asked yet."""

  def complete(self, requests, *, progress=None):
    raise AssertionError("nothing may be asked before everything is checked")


def _grades(
  args: argparse.Namespace,
  side: Side,
  judge_of: Callable[[Engine], PatternJudge],
  answers: Sequence[Answer],
) -> list[float | None]:
  """A grade for each answer; verdicts are kept below --out as they come."""
  grades: list[float | None] = []
  requests = len(answers) * args.samples
  failures = Failures(judge_failures.most_of(args.max_invalid, requests))
  with (
    side.engine(args.out / _CACHE, failures) as engine,
    GenerateProgress(len(answers), 0, args.samples) as progress,
  ):
    judge = judge_of(engine)
    chunk = max(1, side.chunk // args.samples)
    for start in range(0, len(answers), chunk):
      part = answers[start : start + chunk]
      grades += judge.score(part, progress=progress.tell)
      progress.rows_written(len(grades))
  return grades


def _require_valid(grades: Sequence[float | None], most: float) -> None:
  missing = sum(grade is None for grade in grades)
  if missing > most * len(grades):
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
      " counts. The judge also grades canaries:\nno answer, an answer that asks"
      " for the highest grade, a padded one; none should raise the grade.\n\n"
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
