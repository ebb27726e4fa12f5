# SPDX-License-Identifier: Apache-2.0
"""Prompts that limit the words of an answer: AlpacaEval-LI's and MT-Bench-LI's.

Both (Yuan et al., "Following Length Constraints in Instructions", arXiv
2406.17744) put a line with the limit before a known instruction. The files are
the user's; none comes with ramjax. Of AlpacaEval-LI a file of the same kind can
be made here, from models' answers to plain instructions.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ramjax.evals import (
  alpaca_files,
  model_outputs,
  mt_bench_rows,
  word_tokens,
)
from ramjax.evals.model_outputs import ModelOutput

_LINE = "Answer the following instruction using {max_len} words or less."
_KIND = (
  "an AlpacaEval-LI file: objects with the texts 'instruction' and 'output' (the"
  " baseline's answer) and the whole number 'max_len'"
)
# What a file of answers has that `ramjax generate` wrote.
_RESPONSES = "responses"
# What we call a baseline that is of several models.
_SHORTEST = "shortest answer"


@dataclasses.dataclass(frozen=True)
class LimitedPrompt:
  """An instruction with a limit.

  Attributes:
    key: What names it: the instruction itself, or the question's id.
    instruction: As a model is asked, with its line.
    max_len: Words that an answer may have.
    baseline: The answer to compare with; None where the file has none.
    group: Its dataset or category; None where the file does not say.
    where: File and row, for errors.
  """

  key: str | int
  instruction: str
  max_len: int
  baseline: str | None
  group: str | None
  where: str


def prompt(instruction: str, max_len: int) -> str:
  """The instruction behind the line with its limit, and an empty line."""
  return f"{_LINE.format(max_len=max_len)}\n\n{instruction}"


def read_alpaca(
  path: str | os.PathLike[str],
) -> tuple[list[LimitedPrompt], str]:
  """Reads AlpacaEval-LI.

  Args:
    path: A JSON list or JSONL, maybe compressed with gzip.

  Returns:
    The prompts in order, and what the baseline is called.

  Raises:
    ValueError: A row lacks a field, does not begin with the line of its limit,
      repeats an instruction or is of another baseline.
    FileNotFoundError: There is no such file.
  """
  prompts: list[LimitedPrompt] = []
  seen: dict[str, str] = {}
  names: dict[str, str] = {}
  for where, row in alpaca_files.read_objects(path, _KIND):
    if "max_len" not in row and "instruction" in row:
      raise ValueError(
        f"{where} has no 'max_len': it is a plain instruction. Make a file with"
        " limits of models' answers to such with --make-from, or give the"
        " official one."
      )
    instruction = alpaca_files.text_field(row, "instruction", where, _KIND)
    alpaca_files.require_new(seen, instruction, where)
    for key in ("generator", "dataset"):
      if row.get(key) is not None:
        alpaca_files.text_field(row, key, where, _KIND)
    names.setdefault(row.get("generator") or "baseline", where)
    if len(names) > 1:
      (first, first_where), (other, _) = names.items()
      raise ValueError(
        f"{where} has generator={other!a} and {first_where} has {first!a}: one"
        " file has one baseline. Split it."
      )
    max_len = _limit(row.get("max_len"), where)
    _require_line(instruction, max_len, where)
    prompts.append(
      LimitedPrompt(
        key=instruction,
        instruction=instruction,
        max_len=max_len,
        baseline=alpaca_files.text_field(row, "output", where, _KIND),
        group=row.get("dataset"),
        where=where,
      )
    )
  return prompts, next(iter(names))


def read_mt_bench(path: str | os.PathLike[str]) -> list[LimitedPrompt]:
  """Reads MT-Bench-LI, which has first turns alone and no baseline.

  Raises:
    ValueError: A row lacks a field, has not one turn and one limit, does not
      begin with the line of its limit, or repeats an id.
    FileNotFoundError: There is no such file.
  """
  prompts: dict[int, LimitedPrompt] = {}
  for row in mt_bench_rows.read_rows(path, "a question"):
    key = row.integer("question_id")
    if key in prompts:
      raise ValueError(
        f"{row.where}: question_id={key} stands in {prompts[key].where}, too,"
        " and would count twice: keep one."
      )
    turns = row.texts("turns", row.take("turns"))
    limits = row.take("max_len")
    if not isinstance(limits, list) or len(limits) != 1 or len(turns) != 1:
      raise ValueError(
        f"{row.where}: 'turns' and 'max_len' must be lists of one entry, for a"
        " question of MT-Bench-LI is a first turn. Give the official file, or"
        " one in its format."
      )
    max_len = _limit(limits[0], row.where)
    _require_line(turns[0], max_len, row.where)
    prompts[key] = LimitedPrompt(
      key=key,
      instruction=turns[0],
      max_len=max_len,
      baseline=None,
      group=row.name("category"),
      where=row.where,
    )
  return list(prompts.values())


def read_answers(path: str | os.PathLike[str]) -> list[ModelOutput]:
  """A model's answers, from model_outputs.json or as `ramjax generate` wrote.

  The latter keeps the fields of what it answers, so that 'output' is the
  baseline's answer there and not the model's.

  Raises:
    ValueError: A row is broken or repeats an instruction.
    FileNotFoundError: There is no such file.
  """
  kind = "a file that `ramjax generate` wrote, with 'responses'"
  rows = alpaca_files.read_objects(path, kind)
  if _RESPONSES not in next(rows)[1]:
    return model_outputs.read(path)
  seen: dict[str, str] = {}
  outputs = []
  for where, row in alpaca_files.read_objects(path, kind):
    instruction = alpaca_files.text_field(row, "instruction", where, kind)
    alpaca_files.require_new(seen, instruction, where)
    responses = row.get(_RESPONSES)
    if (
      not isinstance(responses, list)
      or not responses
      or not isinstance(responses[0], Mapping)
    ):
      raise ValueError(f"{where} has no answer: the file must be {kind}.")
    text = alpaca_files.text_field(responses[0], "text", where, kind)
    outputs.append(ModelOutput(instruction, text))
  return outputs


def make_records(
  models: Sequence[Sequence[ModelOutput]],
) -> tuple[list[dict[str, Any]], int]:
  """Records of AlpacaEval-LI's kind, from answers to plain instructions.

  The baseline of an instruction is the shortest of the models' answers, the
  first of several as short, and the limit is its number of words: the rule that
  the paper and the one published example suggest. The official file has three
  models' and 802 of 805 instructions; which three lack is not known here.

  Args:
    models: Answers of each model.

  Returns:
    Records in the order of the first model's instructions, and how many
    instructions were left out: not all models answer them, or the shortest
    answer has no word.

  Raises:
    ValueError: No instruction is left.
  """
  by_instruction = [{o.instruction: o for o in outputs} for outputs in models]
  every = {i for outputs in by_instruction for i in outputs}
  records = []
  for instruction, first in by_instruction[0].items():
    if not all(instruction in outputs for outputs in by_instruction):
      continue
    answers = [outputs[instruction] for outputs in by_instruction]
    shortest = min(answers, key=lambda x: word_tokens.count_words(x.output))
    max_len = word_tokens.count_words(shortest.output)
    if not max_len:
      continue
    records.append(
      {
        **({"dataset": first.dataset} if first.dataset is not None else {}),
        "instruction": prompt(instruction, max_len),
        "output": shortest.output,
        "generator": _SHORTEST,
        "max_len": max_len,
        "original_instruction": instruction,
      }
    )
  if not records:
    raise ValueError(
      f"none of the {len(every)} instructions is answered in words by all of"
      f" the {len(models)} models: are the files of the same benchmark?"
    )
  return records, len(every) - len(records)


def with_baseline(
  prompts: Iterable[LimitedPrompt], baseline: Mapping[int, str], name: str
) -> list[LimitedPrompt]:
  """The prompts with another file's answers to compare with.

  Args:
    prompts: By question id.
    baseline: Answers by question id.
    name: What to call their file in errors.

  Raises:
    ValueError: A prompt has none.
  """
  prompts = list(prompts)
  missing = [p.key for p in prompts if p.key not in baseline]
  if missing:
    raise ValueError(
      f"{name} has no answer to {len(missing)} of {len(prompts)} questions, such"
      f" as question_id={missing[0]}: the baseline has to answer all."
    )
  return [
    dataclasses.replace(p, baseline=baseline[int(p.key)]) for p in prompts
  ]


def _limit(value: object, where: str) -> int:
  if isinstance(value, bool) or not isinstance(value, int) or value < 1:
    raise ValueError(
      f"{where}: max_len={alpaca_files.shown(value)} must be a whole number of"
      " words from 1 on."
    )
  return value


def _require_line(instruction: str, max_len: int, where: str) -> None:
  start = prompt("", max_len)
  if not instruction.startswith(start) or len(instruction) == len(start):
    raise ValueError(
      f"{where}: the instruction is {alpaca_files.shown(instruction)}, and with"
      f" max_len={max_len} it must begin with {start!a} and go on: a model that"
      " is not told its limit cannot keep it. Give the official file, or one in"
      " its format."
    )
