# SPDX-License-Identifier: Apache-2.0
"""What the Language Model Evaluation Harness found: as figures, and as its files."""

import datetime
import json
import math
import numbers
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ramjax.evals import replaced_file
from ramjax.evals.evaluation import Evaluation, Value
from ramjax.tools.eval_mt_bench_shown import file_name

FILE = "results.json"
_STDERR = "_stderr"
# What a metric's name has behind it where answers are not filtered.
_NO_FILTER = "none"


def evaluation(
  found: Mapping[str, Any],
  *,
  benchmark: str,
  model: str,
  template: str | None,
  num_truncated: int,
) -> Evaluation:
  """Figures of all tasks and groups.

  Args:
    found: What `simple_evaluate` returned.
    benchmark: As `ramjax eval` has it.
    model: What was evaluated.
    template: Name of the chat template that was applied, if one was.
    num_truncated: Texts whose left end was cut off.
  """
  figures: dict[str, Value] = {}
  scores = {**found["results"], **found.get("groups", {})}
  for task, metrics in scores.items():
    figures |= {f"{task} {k}": x for k, x in _figures(metrics)}
  counts = found["n-samples"]
  counted = {
    f"documents of {task} are left out by --limit": n["original"]
    - n["effective"]
    for task, n in counts.items()
  }
  counted["texts have their left end cut off, to fit the model"] = num_truncated
  chat = f"chat template {template}" if template else "no chat template"
  notes = [
    f"lm_eval {found['lm_eval_version']}, {chat}. Texts begin with"
    " BOS where the tokenizer has one, as with the harness's own model."
  ]
  if missing := [name for name, value in figures.items() if value is None]:
    notes.append(f"No finite number: {', '.join(missing)}.")
  return Evaluation(
    benchmark=benchmark,
    model=model,
    figures=figures,
    tables={
      "tasks": [
        {
          "task": task,
          "version": _version(found["versions"].get(task)),
          "shots": found["n-shot"].get(task),
          "documents": n["effective"],
        }
        for task, n in counts.items()
      ]
    },
    counted={rule: n for rule, n in counted.items() if n},
    notes=notes,
  )


def _version(value: Any) -> Value:
  return (
    value if value is None or isinstance(value, int | float) else str(value)
  )


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
  """Name and value of each metric, its standard error behind it."""
  for key, value in metrics.items():
    metric, comma, filter_ = key.partition(",")
    if not comma or metric.endswith(_STDERR):
      continue
    if not isinstance(value, numbers.Real):
      continue  # Of a metric that the task has not computed.
    name = metric if filter_ == _NO_FILTER else f"{metric} ({filter_})"
    yield name, _number(value)
    error = metrics.get(f"{metric}{_STDERR},{filter_}")
    if isinstance(error, numbers.Real) and math.isfinite(error):
      yield f"{name}, standard error", float(error)


def _number(value: Any) -> Value:
  if isinstance(value, numbers.Integral):
    return int(value)
  return float(value) if math.isfinite(value) else None


def data_files(
  dataset_kwargs: Iterable[Mapping[str, Any] | None],
) -> list[pathlib.Path]:
  """The local files that tasks read their documents from.

  Args:
    dataset_kwargs: Of each task.
  """
  paths: dict[pathlib.Path, None] = {}

  def walk(value: Any) -> None:
    if isinstance(value, str) and (path := pathlib.Path(value)).is_file():
      paths[path] = None
    elif isinstance(value, Mapping):
      for inner in value.values():
        walk(inner)
    elif isinstance(value, list | tuple):
      for inner in value:
        walk(inner)

  for kwargs in dataset_kwargs:
    walk((kwargs or {}).get("data_files"))
  return list(paths)


def write(
  folder: pathlib.Path,
  found: Mapping[str, Any],
  samples: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[pathlib.Path]:
  """Writes the harness's own files.

  Args:
    folder: Exists.
    found: What `simple_evaluate` returned, without samples.
    samples: Of each task; may be empty.

  Returns:
    The paths: `results.json`, and `samples_TASK_TIME.jsonl` as the harness
    writes them, and names them where a task's name can be a file's.
  """
  path = folder / FILE
  text = json.dumps(_safe(found), indent=2, ensure_ascii=False, allow_nan=False)
  replaced_file.replace_file(path, [text, "\n"])
  written = [path]
  time = datetime.datetime.fromtimestamp(found["date"]).isoformat()
  for task, rows in samples.items():
    name = file_name(task)
    while (
      path := folder / f"samples_{name}_{time.replace(':', '-')}.jsonl"
    ) in written:
      name += "_"  # Of a task whose name differs in what is no file's.
    replaced_file.replace_file(path, map(_sample_line, rows))
    written.append(path)
  return written


def _sample_line(sample: Mapping[str, Any]) -> str:
  """One document, as `EvaluationTracker.save_results_samples` writes it."""
  row = {
    **sample,
    "arguments": {
      f"gen_args_{i}": {f"arg_{j}": value for j, value in enumerate(args)}
      for i, args in enumerate(sample["arguments"])
    },
    "resps": _texts(sample["resps"]),
    "filtered_resps": _texts(sample["filtered_resps"]),
    "target": str(sample["target"]),
  }
  return json.dumps(_safe(row), ensure_ascii=False, allow_nan=False) + "\n"


def _texts(value: Any) -> Any:
  if isinstance(value, list | tuple):
    return [_texts(inner) for inner in value]
  return str(value)


def _safe(value: Any) -> Any:
  """A value as strict JSON can have it; what it has not becomes text."""
  if value is None or isinstance(value, bool | str):
    return value
  if isinstance(value, Mapping):
    return {str(key): _safe(inner) for key, inner in value.items()}
  if isinstance(value, list | tuple | set):
    return [_safe(inner) for inner in value]
  if isinstance(value, numbers.Real):
    return _number(value)
  item = getattr(value, "item", None)  # Of NumPy's booleans.
  return _safe(item()) if callable(item) else str(value)
