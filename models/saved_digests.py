# SPDX-License-Identifier: Apache-2.0
"""The digests that lie in a checkpoint: JSON records that vouch for themselves.

A step's item `digests` holds a file of each process that saved it: of each array
of each item its dtype, its shape and the sums of `array_digest` over what that
process held, and the SHA-256 of the file itself. That of the first process also
has the SHA-256 of the small texts: the position in the data, the counters.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ramjax.models import array_digest, strict_json

ITEM = "digests"
FORMAT = 1
# What Orbax writes beside the items: their names, among others.
_STEP_METADATA = "_CHECKPOINT_METADATA"
_SELF = "sha256"
# A file that is not there. Another error of the system says nothing of a file.
MISSING = (FileNotFoundError, NotADirectoryError)


class Damaged(Exception):
  """A checkpoint that is not, bit for bit, what was saved; says where."""


def file_name(process: int) -> str:
  """Of the record of one process."""
  return f"process_{process}.json"


def seal(record: dict[str, Any]) -> str:
  """The record as the text of a file that vouches for itself."""
  sealed = {**record, "format": FORMAT}
  sealed[_SELF] = text_digest(sealed)
  return json.dumps(sealed, sort_keys=True) + "\n"


def text_digest(value: Any) -> str:
  """SHA-256 of a JSON value, whatever its white space and order were."""
  value = json.loads(json.dumps(value))  # Keys are strings, tuples are lists.
  text = json.dumps(value, sort_keys=True, separators=(",", ":"))
  return hashlib.sha256(text.encode()).hexdigest()


def read(step_dir: pathlib.Path) -> dict[str, Any] | None:
  """The record of a step, over all processes; None if its writer made none.

  Args:
    step_dir: The folder of one finished checkpoint.

  Raises:
    Damaged: The record, or what says whether there was one, is not as written.
    ValueError: Of a format that this version does not know.
  """
  folder = step_dir / ITEM
  if not (folder / file_name(0)).is_file():
    return _require_written_without(step_dir)
  record = _read_one(folder / file_name(0))
  for process in range(1, record["processes"]):
    of_other = _read_one(folder / file_name(process))
    for item, leaves in record["arrays"].items():
      for name, leaf in leaves.items():
        other = of_other["arrays"][item][name]["sums"]
        leaf["sums"] = list(array_digest.add([leaf["sums"], other]))
  return record


def require_step(record: Mapping[str, Any], step: int) -> None:
  """Raises if the record is that of another step.

  Raises:
    Damaged: Says of which.
  """
  if record["step"] != step:
    raise Damaged(f"it is the checkpoint of step {record['step']}")


def may_be_in(step_dir: pathlib.Path) -> bool:
  """Whether a run wrote the step: converters keep no digests, nor what tells."""
  return (step_dir / _STEP_METADATA).exists() or (step_dir / ITEM).exists()


def _read_one(path: pathlib.Path) -> dict[str, Any]:
  name = f"{ITEM}/{path.name}"
  try:
    record = strict_json.parse_object(path.read_bytes(), what=name)
  except (*MISSING, ValueError) as error:
    raise Damaged(f"{name} cannot be read: {error}") from error
  found = record.pop(_SELF, None)
  if found != text_digest(record):
    raise Damaged(f"{name} is not what was written")
  if record["format"] != FORMAT:
    raise ValueError(
      f"{path} has format {record['format']} and this version reads {FORMAT}:"
      " use the version that wrote it, or a newer one."
    )
  return record


def _require_written_without(step_dir: pathlib.Path) -> None:
  """Whether the writer knew no digests, or they were lost."""
  path = step_dir / _STEP_METADATA
  try:
    items = json.loads(path.read_bytes())["item_handlers"]
    written = ITEM in items
  except (*MISSING, ValueError, KeyError, TypeError) as error:
    raise Damaged(
      f"the digests are missing, and {_STEP_METADATA}, which says whether there"
      " were any, is missing or damaged"
    ) from error
  if written:
    raise Damaged(f"{ITEM}/{file_name(0)} is missing")
