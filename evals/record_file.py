# SPDX-License-Identifier: Apache-2.0
"""Records as a file of JSON lines, which is whole or not there."""

import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from ramjax.evals import replaced_file


def write_records(
  path: pathlib.Path, records: Iterable[Mapping[str, Any]]
) -> pathlib.Path:
  """Writes one JSON object a line.

  Args:
    path: In a folder that exists; a file of that name is replaced at the end.
    records: What strict JSON has: no number that is not finite.

  Returns:
    The path.

  Raises:
    ValueError: A number that is not finite.
  """
  replaced_file.replace_file(
    path,
    (
      json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
      for record in records
    ),
  )
  return path
