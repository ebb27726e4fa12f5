# SPDX-License-Identifier: Apache-2.0
"""Which tasks of the Language Model Evaluation Harness are meant, and found."""

import importlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.evals import harness_generation

_WILDCARDS = frozenset("*?[")
# Names that an error lists, at most.
_MOST_LISTED = 20
_CODE = ".py"


class Tasks(NamedTuple):
  """Tasks that were found.

  Attributes:
    manager: The harness's task manager, which knows them.
    names: Of tasks and groups.
    files: Those of them that lie in the user's folder, with the files that they
      include or take functions from.
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
    ValueError: No name, one that no task has, `include_path` is no folder, or a
      task's file asks for a generation that is not known.
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
      return _found(manager, names, include_path)
  manager = make(include_path=include_path and str(include_path))
  found = {name: manager.match_tasks([name]) for name in names}
  if missing := [name for name in names if not found[name]]:
    raise ValueError(
      f"the harness has no task {', '.join(map(repr, missing))}: `lm_eval ls"
      " tasks` lists its own, and --include-path=DIR adds a folder of task files"
      f" (.yaml).{_listed(make, include_path)}"
    )
  every = dict.fromkeys(task for name in names for task in found[name])
  return _found(manager, list(every), include_path)


def check_loaded(
  manager: Any, check: Callable[[Mapping[str, Any]], None]
) -> None:
  """Has the harness check tasks as soon as it has loaded them.

  Not before: what some do as they are loaded depends on the seeds that it sets
  first.

  Args:
    manager: The harness's, of `Tasks`.
    check: Called with the tasks by name.
  """
  load = manager.load

  def checked(names: Any) -> Any:
    loaded = load(names)
    check(loaded["tasks"])
    return loaded

  manager.load = checked


def _found(
  manager: Any, names: Sequence[str], include_path: pathlib.Path | None
) -> Tasks:
  """Tasks whose files ask for nothing that is not known."""
  entries = _entries(manager.task_index, names)
  for entry in entries:
    wanted = (entry.cfg or {}).get("generation_kwargs")
    if isinstance(wanted, Mapping):
      try:
        harness_generation.generation(wanted)
      except ValueError as error:
        raise ValueError(
          f"task {entry.name!r} ({entry.yaml_path}): {error}"
        ) from None
  return Tasks(manager, list(names), _files(entries, include_path))


def _entries(index: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
  """The index's entries of tasks and groups, and of all that are in these."""
  found: dict[str, Any] = {}
  left = list(names)
  while left:
    name = left.pop(0)
    if name not in found and name in index:
      entry = found[name] = index[name]
      left += sorted(entry.tags) if entry.yaml_path is None else []
      left += _members((entry.cfg or {}).get("task"))
  return list(found.values())


def _members(listed: Any) -> Iterator[str]:
  """Names in what a group's file has as `task`."""
  if isinstance(listed, str):
    yield listed
  elif isinstance(listed, Mapping):
    yield from _members(listed.get("group"))
    yield from _members(listed.get("task"))
  elif isinstance(listed, list):
    for one in listed:
      yield from _members(one)


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
  entries: Sequence[Any], include_path: pathlib.Path | None
) -> list[pathlib.Path]:
  """The files of tasks that lie in the user's folder."""
  if include_path is None:
    return []
  folder = include_path.resolve()
  found: dict[pathlib.Path, None] = {}
  left = [
    pathlib.Path(entry.yaml_path)
    for entry in entries
    if entry.yaml_path is not None
  ]
  while left:
    path = left.pop(0)
    if path not in found and path.resolve().is_relative_to(folder):
      found[path] = None
      if path.suffix != _CODE:
        left += _named_files(path)
  return list(found)


def _named_files(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Files that a task's file includes, or takes functions from."""
  load = import_harness("lm_eval.tasks._yaml_loader").load_yaml
  config = load(path, resolve_func=False, recursive=False)
  included = config.pop("include", None) or []
  for name in [included] if isinstance(included, str) else included:
    yield path.parent / name
  left = [config]
  while left:
    value = left.pop()
    if isinstance(value, Mapping):
      left += value.values()
    elif isinstance(value, list):
      left += value
    elif isinstance(value, str) and value.startswith(
      str(path.resolve().parent)
    ):
      # FOLDER/MODULE.FUNCTION, as the harness has a !function.
      place = pathlib.Path(value)
      module = place.name.rpartition(".")[0].replace(".", "/")
      code = place.parent / f"{module}{_CODE}"
      if module and code.is_file():
        yield code
