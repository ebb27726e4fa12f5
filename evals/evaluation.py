# SPDX-License-Identifier: Apache-2.0
"""What a benchmark says of a model: figures, tables, and what was left out."""

import dataclasses
from collections.abc import Mapping, Sequence

Value = float | int | str | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """The result of one benchmark.

  Attributes:
    benchmark: Its name, as `ramjax eval` has it.
    model: What was evaluated, as the files call it.
    figures: By name. A name says what is counted and, where it is not plain,
      its unit; a figure that could not be had is None.
    tables: By name: rows with the same keys, in the order in which they are
      shown.
    counted: Rows that a rule left out or changed, by what the rule says.
    notes: Sentences a reader needs, such as a warning.
  """

  benchmark: str
  model: str
  figures: Mapping[str, Value]
  tables: Mapping[str, Sequence[Mapping[str, Value]]] = dataclasses.field(
    default_factory=dict
  )
  counted: Mapping[str, int] = dataclasses.field(default_factory=dict)
  notes: Sequence[str] = ()
