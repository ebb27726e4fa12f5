# SPDX-License-Identifier: Apache-2.0
"""A model's answers to a benchmark: AlpacaEval's `model_outputs.json`."""

import dataclasses
import os

from ramjax.evals import alpaca_files

_KIND = (
  "a model_outputs.json, a list of objects with the texts 'instruction' and"
  " 'output' and, as a rule, 'generator'"
)


@dataclasses.dataclass(frozen=True)
class ModelOutput:
  """One answer.

  Attributes:
    instruction: What was asked. It names the row: no other has it.
    output: The answer; may be empty.
    generator: The model's name.
    dataset: Which part of the benchmark asks it.
  """

  instruction: str
  output: str
  generator: str | None = None
  dataset: str | None = None


def read(path: str | os.PathLike[str]) -> list[ModelOutput]:
  """Reads one model's answers, in order.

  Args:
    path: A JSON list, JSONL, or either of them compressed with gzip.

  Raises:
    ValueError: A row is broken, lacks a key, repeats an instruction (even with
      the same answer: `avg_length` would count it twice) or is another
      model's; or there are none.
    FileNotFoundError: There is no such file.
  """
  outputs = []
  seen: dict[str, str] = {}
  named: tuple[str, str] | None = None
  for where, row in alpaca_files.read_objects(path, _KIND):
    optional = {
      key: alpaca_files.text_field(row, key, where, _KIND)
      for key in ("generator", "dataset")
      if row.get(key) is not None
    }
    output = ModelOutput(
      instruction=alpaca_files.text_field(row, "instruction", where, _KIND),
      output=alpaca_files.text_field(row, "output", where, _KIND),
      **optional,
    )
    alpaca_files.require_new(seen, output.instruction, where)
    if output.generator is not None:
      named = named or (output.generator, where)
      if output.generator != named[0]:
        raise ValueError(
          f"{where} is by {output.generator!r} and {named[1]} by {named[0]!r}:"
          " one file holds one model's outputs. Split it."
        )
    outputs.append(output)
  return outputs


def read_instructions(path: str | os.PathLike[str]) -> list[str]:
  """Reads what models are asked, in order.

  Args:
    path: As for `read`; objects with the text `instruction`.

  Raises:
    ValueError: A row is broken, lacks it, or repeats one; or there are none.
    FileNotFoundError: There is no such file.
  """
  kind = "a list of objects with the text 'instruction'"
  seen: dict[str, str] = {}
  for where, row in alpaca_files.read_objects(path, kind):
    text = alpaca_files.text_field(row, "instruction", where, kind)
    alpaca_files.require_new(seen, text, where)
  return list(seen)
