# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval reward_bench`: RewardBench 1 and 2 from scores or results."""

import argparse
import itertools
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.data import read, strict_json
from ramjax.evals import (
  bounded_records,
  replaced_file,
  reward_bench,
  reward_bench_2,
  reward_bench_fields,
)
from ramjax.evals.evaluation import Evaluation
from ramjax.tools import eval_result

# In the authors' format; their tool names it after the model.
RESULTS_FILE = "results.json"
# Fields of a file of results that say what was run.
_TEXTS = ("model", "model_type", "chat_template", "ref_model")
_VERSIONS = {1: reward_bench, 2: reward_bench_2}
# Rows with their places.
_Rows = list[tuple[str, Any]]


class _File(NamedTuple):
  """A file of either kind.

  Attributes:
    path: Where it is.
    texts: What it says of the model.
    rows: Records, each with its place; None in a file of results.
    results: Subset -> figure; None in a file of scores.
  """

  path: pathlib.Path
  texts: dict[str, str]
  rows: _Rows | None
  results: dict[str, Any] | None


def main(argv: Sequence[str]) -> int:
  """Evaluates one model, writes its figures with --out, and prints them.

  Args:
    argv: The arguments behind `ramjax eval reward_bench`.

  Returns:
    0.

  Raises:
    ValueError: A file is none of this benchmark.
    OSError: A file cannot be read or written.
  """
  args = _parser().parse_args(argv)
  paths = [args.model, *([] if args.prior is None else [args.prior])]
  files = [_read(path) for path in paths]
  version = args.version or _version(files[0])
  if args.prior is not None and version != 1:
    raise ValueError("--prior: RewardBench 2 has no prior sets. Leave it out.")
  evaluation, figures = _evaluate(version, files)
  written = []
  if args.out is not None:
    eval_result.prepare(
      args.out,
      benchmark=evaluation.benchmark,
      model=evaluation.model,
      files=[RESULTS_FILE],
      inputs=paths,
    )
    results = {**files[0].texts, **figures}
    written.append(_write_results(results, args.out))
  eval_result.conclude(
    evaluation,
    args.out,
    inputs=paths,
    command=["ramjax", "eval", "reward_bench", *argv],
    written_before=written,
  )
  return 0


def _evaluate(
  version: int, files: Sequence[_File]
) -> tuple[Evaluation, dict[str, float]]:
  rules = _VERSIONS[version]
  model = files[0].texts["model"]
  of_items = [file for file in files if file.rows is not None]
  if len(of_items) == len(files):
    items = [
      [rules.read_item(record, where) for where, record in file.rows or ()]
      for file in files
    ]
    _require_apart(files, [[x.subset for x in found] for found in items])
    return rules.evaluate_items(list(itertools.chain(*items)), model)
  if of_items:
    raise ValueError(
      "--model and --prior: one is a file of scores and the other one of"
      " results: name two of one kind."
    )
  _require_apart(files, [file.results or {} for file in files])
  results = {k: x for file in files for k, x in (file.results or {}).items()}
  return rules.evaluate_results(results, model, str(files[0].path))


def _require_apart(
  files: Sequence[_File], subsets: Sequence[Iterable[str]]
) -> None:
  """Refuses a subset that two files hold."""
  for file, names in zip(files[1:], subsets[1:], strict=True):
    if twice := sorted(set(subsets[0]) & set(names)):
      raise ValueError(
        f"{file.path}: {', '.join(twice)}: also in {files[0].path}. Keep one."
      )


def _version(file: _File) -> int:
  """The version whose subset a file names first."""
  if file.rows is None:
    names = list(file.results or {})
  else:
    names = [
      reward_bench_fields.object_fields(record, where).get("subset")
      for where, record in file.rows
    ]
  for name in names:
    for version, rules in _VERSIONS.items():
      if isinstance(name, str) and name in rules.NUM_ITEMS:
        return version
  raise ValueError(
    f"--model={file.path}: it names no subset of RewardBench 1"
    f" ({', '.join(reward_bench.NUM_ITEMS)}) or 2"
    f" ({', '.join(reward_bench_2.NUM_ITEMS)})."
  )


def _read(path: pathlib.Path) -> _File:
  # Longest first, so that .jsonl.gz goes as a whole.
  suffix = next(
    (x for x in sorted(read.SUFFIXES, key=len)[::-1] if path.name.endswith(x)),
    "",
  )
  texts = {"model": path.name.removesuffix(suffix)}
  if suffix == ".json" and path.is_file():
    with path.open("rb") as file:
      start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{"):
      found = _one_object(path)
      texts |= {k: found[k] for k in _TEXTS if isinstance(found.get(k), str)}
      columns = {k: x for k, x in found.items() if isinstance(x, list)}
      if "subset" in columns:
        return _File(path, texts, _rows(columns, path), None)
      figures = {k: x for k, x in found.items() if k not in _TEXTS}
      return _File(path, texts, None, figures)
  records = bounded_records.read_records(path)
  rows = [(record.where, record.value) for record in records]
  return _File(path, texts, rows, None)


def _one_object(path: pathlib.Path) -> Mapping[str, Any]:
  if path.stat().st_size > read.MAX_JSON_BYTES:
    raise ValueError(
      f"{path}: larger than {read.MAX_JSON_BYTES} bytes: write its items as"
      " JSONL, one a line."
    )
  try:
    text = path.read_text("utf-8-sig")
    start = strict_json.skip_space(text, 0)
    value, end = strict_json.StrictDecoder().decode(text, start)
  except ValueError as error:
    raise ValueError(
      f"{path}: not one JSON object ({error}): mend it, or name a file with one"
      ' object a line ".jsonl".'
    ) from None
  if isinstance(value, Exception):
    raise ValueError(f"{path}: {value}")
  if strict_json.skip_space(text, end) < len(text):
    raise ValueError(
      f"{path}: more follows its first object: name a file with one object a"
      ' line ".jsonl".'
    )
  return value


def _rows(columns: Mapping[str, list[Any]], path: pathlib.Path) -> _Rows:
  """Rows from the authors' files of scores, which hold a list for each field."""
  lengths = {name: len(values) for name, values in columns.items()}
  if len(set(lengths.values())) > 1:
    told = ", ".join(f"{name} {n}" for name, n in lengths.items())
    raise ValueError(f"{path}: lists of different lengths: {told}.")
  return [
    (
      f"{path.name}: row {row + 1}",
      {name: values[row] for name, values in columns.items()},
    )
    for row in range(lengths["subset"])
  ]


def _write_results(
  results: Mapping[str, float | str], folder: pathlib.Path
) -> pathlib.Path:
  """Writes the file of results as the authors' tool does."""
  text = json.dumps(results, indent=4, sort_keys=True, allow_nan=False)
  path = folder / RESULTS_FILE
  replaced_file.replace_file(path, [text, "\n"])
  return path


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax eval reward_bench",
    description=(
      "RewardBench 1 (arXiv 2403.13787) and 2 (arXiv 2506.01937): how often a"
      " reward model prefers the\nanswer that people chose. Reads one of\n"
      "  results  one JSON object, subset -> accuracy, as the authors' tool"
      " writes it;\n"
      "  scores   a JSON list or JSONL, an object an item, or the authors' one"
      " object of lists:\n"
      "           version 1: subset, scores_chosen, scores_rejected, id (may"
      " be missing); a judge of\n"
      "           pairs has results, 1, 0 or 0.5 (no verdict), instead of"
      " scores;\n"
      "           version 2: subset, scores (right answers first),"
      " num_correct, id."
    ),
    epilog=(
      "example:\n"
      "  ramjax eval reward_bench --model=scores.jsonl --out=evals/my-model"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--model",
    type=pathlib.Path,
    required=True,
    metavar="FILE",
    help="scores or results of one model",
  )
  parser.add_argument(
    "--prior",
    type=pathlib.Path,
    metavar="FILE",
    help="version 1: the same of the prior sets, where --model is without",
  )
  parser.add_argument(
    "--version",
    type=int,
    choices=sorted(_VERSIONS),
    help="of the benchmark (default: the one whose subsets the file names)",
  )
  parser.add_argument(
    "--out",
    type=pathlib.Path,
    metavar="DIR",
    help=f"write {eval_result.FILE} and {RESULTS_FILE}, the authors' format",
  )
  return parser
