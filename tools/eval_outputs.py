# SPDX-License-Identifier: Apache-2.0
"""A model's answers to instructions: from a file of them, or made now."""

import argparse
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.data.rows import Message
from ramjax.evals import alpaca_files, answer_cache, model_outputs
from ramjax.evals.engine import ChatRequest, Engine
from ramjax.evals.evaluation import Evaluation
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import eval_sides
from ramjax.tools.eval_sides import Side, Tally
from ramjax.tools.generate_progress import GenerateProgress

_CACHE = "answers"
_CUT_OFF = "answers were cut off at the most tokens"


class Outputs(NamedTuple):
  """A file of outputs.

  Attributes:
    path: Where it is.
    identity: What tells the model from others; None where it was not asked.
    num_cut_off: Answers that did not end by themselves.
  """

  path: pathlib.Path
  identity: dict[str, Any] | None
  num_cut_off: int = 0

  def told_in(self, evaluation: Evaluation) -> Evaluation:
    """The evaluation, with what there is to know of how it was answered."""
    if not self.num_cut_off:
      return evaluation
    counted = {**evaluation.counted, _CUT_OFF: self.num_cut_off}
    return dataclasses.replace(evaluation, counted=counted)

  def identity_with(
    self, judge: Mapping[str, Any] | None
  ) -> dict[str, Any] | None:
    """What tells the model from others, and a judge that was asked."""
    if not judge:
      return self.identity
    return {**(self.identity or {}), "judge": dict(judge)}


class Format(NamedTuple):
  """A benchmark's file of answers.

  Attributes:
    file: Its name below --out, and what such a file is called.
    how: How answers are sampled.
    most: Tokens of an answer, where the options do not say it.
    whose: Who answered in such a file; raises ValueError where it is none.
  """

  file: str
  how: str
  most: int
  whose: Callable[[pathlib.Path], str | None]


class Questions(NamedTuple):
  """What a model is asked.

  Attributes:
    num: How many.
    check: Refuses what leaves no room for an answer.
    ask: The rows of the file for those from one index to another.
    write: Writes the file.
  """

  num: int
  check: Callable[[Side], None]
  ask: Callable[
    [Side, Engine, int, int, Callable[[int], None]], list[dict[str, Any]]
  ]
  write: Callable[[pathlib.Path, list[dict[str, Any]]], object]


# AlpacaEval's own models are given this many tokens or more.
OUTPUTS = Format(
  file="model_outputs.json",
  how="greedily",
  most=2048,
  whose=lambda path: model_outputs.read(path)[0].generator,
)


def add_options(
  parser: argparse.ArgumentParser,
  *,
  required: bool = True,
  form: Format = OUTPUTS,
) -> None:
  """Adds `--model` and, for one that has to answer, its options."""
  parser.add_argument(
    "--model",
    required=required,
    metavar="FILE|FOLDER|URL",
    help=f"the model's answers, a {form.file}; or a run's folder, a Hugging"
    f" Face one or an endpoint, which answers {form.how} first",
  )
  eval_sides.add_options(parser, "model", most=form.most)


def files(args: argparse.Namespace, form: Format = OUTPUTS) -> list[str]:
  """Names of what `get` writes, besides the answers it keeps."""
  return [] if _is_file(args) else [form.file]


def inputs(args: argparse.Namespace) -> list[pathlib.Path]:
  """The files that `get` reads."""
  return [pathlib.Path(args.model)] if _is_file(args) else []


def name(args: argparse.Namespace) -> str | None:
  """Who answers, where that is a folder or an endpoint.

  Raises:
    ValueError: A --model that is neither that nor a file, or options that do
      not go with it.
  """
  if _is_file(args):
    if given := eval_sides.given(args, "model"):
      raise ValueError(
        f"{', '.join(given)}: --model={args.model} is a file, whose answers are"
        " there already. Leave them out."
      )
    return None
  return eval_sides.name(args, "model")


def check(
  args: argparse.Namespace, folder: pathlib.Path | None, form: Format = OUTPUTS
) -> str | None:
  """Refuses a model that cannot be asked, before it is opened.

  Args:
    args: Of `add_options`.
    folder: Of --out.
    form: Of the file of answers.

  Returns:
    As `name`.

  Raises:
    ValueError: See `name`; or options of the other kind, no folder, or one
      where answers of somebody else would be replaced.
  """
  model = name(args)
  if model is None:
    return None
  eval_sides.check(args, "model")
  if folder is None:
    raise ValueError(
      "--out=DIR is missing: the folder where the answers go, so that an"
      " evaluation that was stopped can be continued."
    )
  _refuse_others(folder, model, form)
  return model


def get(
  args: argparse.Namespace,
  instructions: Sequence[str],
  folder: pathlib.Path | None,
  prepare: Callable[[str], None],
) -> Outputs:
  """The model_outputs.json; where there is none yet, the model is asked.

  What was answered is kept below the folder, and not asked again.

  Args:
    args: Of `add_options`.
    instructions: What a model is asked.
    folder: Of --out.
    prepare: Called with a model's name before it is asked, to make and check
      the folder.

  Raises:
    ValueError, OSError: See `check`; or a model that cannot be used, or an
      instruction that leaves no room for an answer.
  """
  questions = Questions(
    num=len(instructions),
    check=lambda side: _check_room(side, instructions),
    ask=lambda side, engine, start, stop, tell: _ask(
      side, engine, instructions[start:stop], tell
    ),
    write=alpaca_files.write_objects,
  )
  return get_as(OUTPUTS, args, questions, folder, prepare)


def get_as(
  form: Format,
  args: argparse.Namespace,
  questions: Questions,
  folder: pathlib.Path | None,
  prepare: Callable[[str], None],
) -> Outputs:
  """As `get`, for files of another format."""
  model = check(args, folder, form)
  if model is None:
    return Outputs(pathlib.Path(args.model), None)
  assert folder is not None  # `check` saw to it.
  with eval_sides.opened(args, "model", most=form.most) as side:
    prepare(model)
    questions.check(side)
    rows: list[dict[str, Any]] = []
    with (
      side.engine(folder / _CACHE) as engine,
      GenerateProgress(questions.num, 0, 1) as progress,
    ):
      tally = Tally(engine)
      for start in range(0, questions.num, side.chunk):
        stop = min(start + side.chunk, questions.num)
        rows += questions.ask(side, tally, start, stop, progress.tell)
        progress.rows_written(len(rows))
    path = folder / form.file
    questions.write(path, rows)
    return Outputs(path, dict(side.identity), tally.num_cut_off)


def _is_file(args: argparse.Namespace) -> bool:
  if eval_sides.is_url(args.model):
    return False
  return not pathlib.Path(args.model).is_dir()


def _refuse_others(folder: pathlib.Path, model: str, form: Format) -> None:
  """Refuses to replace answers that were not made here.

  Raises:
    ValueError: There are some, under the name that ours would have.
  """
  path = folder / form.file
  if not path.exists():
    return
  if (folder / _CACHE / answer_cache.FILE_NAME).exists():
    try:
      if form.whose(path) == model:
        return
    except (ValueError, OSError):
      pass  # Whatever it is, it is not ours.
  raise ValueError(
    f"{path} holds what {model!r} did not answer here, and would be replaced:"
    " name another folder with --out, or move that file. To evaluate its"
    f" answers, give --model={path}."
  )


def _check_room(side: Side, instructions: Sequence[str]) -> None:
  for text in instructions:
    side.room((Message("user", text),))


def _ask(
  side: Side,
  engine: Engine,
  instructions: Sequence[str],
  tell: Callable[[int], None],
) -> list[dict[str, Any]]:
  requests = []
  for text in instructions:
    messages = (Message("user", text),)
    most = side.room(messages)
    options = SamplingOptions(temperature=0.0, max_tokens=most)
    requests.append(ChatRequest(messages, options))
  answers = engine.complete(requests, progress=tell)
  return [
    {"instruction": text, "output": answer.text, "generator": side.name}
    for text, answer in zip(instructions, answers, strict=True)
  ]
