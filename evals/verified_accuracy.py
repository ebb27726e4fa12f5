# SPDX-License-Identifier: Apache-2.0
"""Share of answers that a program finds correct, in all and by kind of task."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.data import tasks


def verify_responses(
  records: Sequence[Mapping[str, Any]], responses: Sequence[str]
) -> list[bool | None]:
  """Each response's verdict; None where its record has no verifier."""
  return [
    None if task is None else tasks.verify_response(task, response)
    for task, response in zip(map(_task, records), responses, strict=True)
  ]


def _task(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
  """The record's task if it is one of ours; `task` is a common extra key."""
  task = record.get("task")
  known = isinstance(task, Mapping) and task.get("kind") in tasks.TASK_KINDS
  return task if known else None


def verified_accuracy(
  records: Sequence[Mapping[str, Any]], verdicts: Sequence[bool | None]
) -> dict[str, float]:
  """Accuracy over the records that have a verifier.

  Args:
    records: Raw records; `record["task"]["kind"]` names the kind.
    verdicts: From `verify_responses`.

  Returns:
    `verified_accuracy` and `verified_accuracy/<kind>`, shares in [0, 1]; empty
    if no record has a verifier.
  """
  by_kind: dict[str, list[bool]] = collections.defaultdict(list)
  for record, verdict in zip(records, verdicts, strict=True):
    if verdict is not None:
      by_kind[record["task"]["kind"]].append(verdict)
  if not by_kind:
    return {}
  every = [verdict for kind in by_kind.values() for verdict in kind]
  shares = {"verified_accuracy": sum(every) / len(every)}
  for kind in sorted(by_kind):
    verdict_list = by_kind[kind]
    shares[f"verified_accuracy/{kind}"] = sum(verdict_list) / len(verdict_list)
  return shares
