# SPDX-License-Identifier: Apache-2.0
"""Which tasks of the Language Model Evaluation Harness are meant, and found."""

import importlib
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

_WILDCARDS = frozenset("*?[")
# Names that an error lists, at most.
_MOST_LISTED = 20


class Tasks(NamedTuple):
  """Tasks that were found.

  Attributes:
    manager: The harness's task manager, which knows them.
    names: Of tasks and groups.
    files: Those of them that lie in the user's folder.
  """

  manager: Any
  names: list[str]
  files: list[pathlib.Path]


def import_harness(module: str) -> Any:
  """A module of the harness.

  Raises:
    ValueError: The harness is not installed.
  """
  try:
    return importlib.import_module(module)
  except ImportError as error:
    raise ValueError(
      f"the Language Model Evaluation Harness cannot be imported ({error}): pip"
      " install 'ramjax[harness]'."
    ) from error


def find_tasks(
  names: Sequence[str], include_path: pathlib.Path | None
) -> Tasks:
  """Finds tasks by name; no data is read.

  Args:
    names: Of tasks or groups, or patterns.
    include_path: A folder of task files besides the harness's own.

  Raises:
    ValueError: No name, one that no task has, or `include_path` is no folder.
  """
  if not names:
    raise ValueError("--tasks names no task: --tasks=NAME,NAME ...")
  if include_path is not None and not include_path.is_dir():
    raise ValueError(
      f"--include-path={include_path} is no folder: name the one that holds the"
      " task files (.yaml)."
    )
  make = import_harness("lm_eval.tasks").TaskManager
  if include_path is not None and not _WILDCARDS & set("".join(names)):
    # Its own tasks are thousands of files, which takes ten seconds to list.
    manager = make(include_path=str(include_path), include_defaults=False)
    if set(names) <= set(manager.all_subtasks):
      return Tasks(manager, list(names), _files(manager, names, include_path))
  manager = make(include_path=include_path and str(include_path))
  found = {name: manager.match_tasks([name]) for name in names}
  if missing := [name for name in names if not found[name]]:
    raise ValueError(
      f"the harness has no task {', '.join(map(repr, missing))}: `lm_eval ls"
      " tasks` lists its own, and --include-path=DIR adds a folder of task files"
      f" (.yaml).{_listed(make, include_path)}"
    )
  every = list(dict.fromkeys(task for name in names for task in found[name]))
  return Tasks(manager, every, _files(manager, every, include_path))


def _listed(make: Any, include_path: pathlib.Path | None) -> str:
  """What a folder has, to be told beside what it has not."""
  if include_path is None:
    return ""
  manager = make(include_path=str(include_path), include_defaults=False)
  there = list(manager.all_tasks)
  if not there:
    return f" {include_path} has none."
  more = ", ..." if len(there) > _MOST_LISTED else ""
  return f" {include_path} has: {', '.join(there[:_MOST_LISTED])}{more}."


def _files(
  manager: Any, names: Sequence[str], include_path: pathlib.Path | None
) -> list[pathlib.Path]:
  """The files of tasks that lie in the user's folder."""
  if include_path is None:
    return []
  folder = include_path.resolve()
  paths = (manager.task_index[name].yaml_path for name in names)
  return [
    pathlib.Path(path)
    for path in dict.fromkeys(paths)
    if path is not None and pathlib.Path(path).resolve().is_relative_to(folder)
  ]
