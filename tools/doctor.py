# SPDX-License-Identifier: Apache-2.0
"""`ramjax doctor`: what a run would see of its data, before it runs."""

import importlib
import json
import pathlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.trainers import command_line

_EXAMPLE = "ramjax doctor --config=configs/sft_own_rows.py --html=data.html"

_HELP = f"""\
usage: ramjax doctor --config=FILE [--config.a.b=VALUE ...] [--html=OUT.html]
                     [--rows=N] [--json]

Reads and tokenises the data as `ramjax train` with the same config would, and
says what is amiss: missing or stray BOS and end-of-answer tokens, what
truncation costs, copies, leaks between training and held-out rows, length bias
of preferences, and more. Shows rows with every token marked as prompt,
supervised or cut. Trains nothing and writes nothing but OUT.html.

  --config=FILE     as for `ramjax train`. It is a program: run only files you
                    trust.
  --config.a.b=V    replaces one field of it; --config=FILE --help lists them
  --html=OUT.html   also writes one page that opens from disk
  --rows=N          rows to show of each source (3)
  --json            prints findings and counts as JSON, and no rows

example: {_EXAMPLE}

Exit status: 0 nothing found, or notes only; 1 the command failed: a bad config,
an unreadable file; 3 warnings; 4 errors in the data.
"""


class Diagnosis(NamedTuple):
  """What the doctor found.

  Attributes:
    name: Of the config file.
    algorithm: `config.algorithm`.
    data: An `audit_data.AuditedData`.
    found: `findings.Finding`s, the worst first.
    refused: Records that are no rows, as "SOURCE WHERE: REASON"; the first few.
    num_rows: How many to show of each source.
  """

  name: str
  algorithm: str
  data: Any
  found: Sequence[Any]
  refused: Sequence[str]
  num_rows: int


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line `argv` (without the program's name).

  Returns:
    The exit status, as --help says.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  argv, wants_help = command_line.split_help(argv)
  if wants_help and not any(a.startswith("--config") for a in argv):
    print(_HELP, end="")
    return 0
  try:
    config, flags = command_line.parse(
      argv, program="ramjax doctor", example=_EXAMPLE, define=_define_flags
    )
    if wants_help:
      print(_HELP)
      print(f"fields and their values:\n\n{config}")
      return 0
    html = _writable(flags.html)  # Known before a long load, not after.
    diagnosis = diagnose(
      config, name=pathlib.Path(_config_name(argv)).stem, num_rows=flags.rows
    )
    return _report(diagnosis, html=html, as_json=flags.json)
  except (ValueError, OSError, ModuleNotFoundError) as error:
    print(f"ramjax doctor: {error}", file=sys.stderr)
    return 1


def _define_flags(values: Any) -> None:
  from absl import flags

  flags.DEFINE_string("html", "", "Where to write a page.", values)
  flags.DEFINE_integer(
    "rows", 3, "Rows to show of each source.", 0, flag_values=values
  )
  flags.DEFINE_boolean("json", False, "Print JSON.", values)


def _writable(html: str) -> pathlib.Path | None:
  """Where the page goes; None for nowhere."""
  if not html:
    return None
  out = pathlib.Path(html)
  if not out.parent.is_dir():
    raise FileNotFoundError(
      f"--html={html!r}: the folder {str(out.parent)!r} does not exist. Make it"
      " first."
    )
  if out.is_dir():
    raise IsADirectoryError(
      f"--html={html!r} is a folder: name a file, such as"
      f" {str(out / 'data.html')!r}."
    )
  return out


def _config_name(argv: Sequence[str]) -> str:
  """What was given as --config, in one argument or two."""
  for i, argument in enumerate(argv):
    flag, equals, value = argument.partition("=")
    if flag.lstrip("-") == "config":
      return value if equals else argv[i + 1]
  return ""


def diagnose(config: Any, *, name: str, num_rows: int) -> Diagnosis:
  """Loads the data of a run as the run does, and audits it.

  Args:
    config: Of the run.
    name: Of the config, for the reports.
    num_rows: How many rows of each source will be shown.

  Raises:
    ValueError: No such algorithm, bad rows, or what loading refuses.
    FileNotFoundError: A file of the config does not exist.
  """
  from ramjax.data import audit, audit_data, templates
  from ramjax.trainers import audited, initial_weights, launch

  if config.algorithm not in launch.algorithms():
    raise ValueError(
      f"algorithm={config.algorithm!r} is not one of"
      f" {', '.join(launch.algorithms())}."
    )
  templates.template_digest(config.data.template)  # Refuses an unknown name.
  model_config = initial_weights.make_model_config(config)
  module = importlib.import_module(f"ramjax.trainers.{config.algorithm}")
  if not hasattr(module, "ALGORITHM"):
    raise ValueError(audited.NO_ANSWERS.format(config.algorithm))
  with tempfile.TemporaryDirectory(prefix="ramjax-doctor-") as folder:
    workdir = pathlib.Path(folder)
    loaded = module.ALGORITHM.load_data(
      config, workdir, vocab_size=model_config.vocab_size
    )
    refused = _refused(workdir / "quarantine")
  data = audit_data.of_run(
    loaded,
    template=config.data.template,
    max_length=config.data.max_length,
    pack=config.data.pack,
    row_ids=loaded.train_row_ids,
  )
  return Diagnosis(
    name=name,
    algorithm=config.algorithm,
    data=data,
    found=audit.audit(data),
    refused=refused,
    num_rows=num_rows,
  )


def _refused(folder: pathlib.Path) -> list[str]:
  """The first few records of each source that were set aside, and why."""
  from ramjax.data import findings

  lines = []
  for path in sorted(folder.glob("*.jsonl")):
    with path.open(encoding="utf-8") as file:
      for line, _ in zip(file, range(findings.NUM_EXAMPLES), strict=False):
        record = json.loads(line)
        lines.append(f"{path.stem} {record['where']}: {record['reason']}")
  return lines


def _report(
  diagnosis: Diagnosis, *, html: pathlib.Path | None, as_json: bool
) -> int:
  """Prints, writes the page, and returns the exit status."""
  from ramjax.data import findings
  from ramjax.data.findings import Severity
  from ramjax.tools import doctor_page, doctor_terminal

  if html:
    html.write_text(doctor_page.page(diagnosis), encoding="utf-8")
  worst = findings.worst(diagnosis.found)
  status = {Severity.WARNING: 3, Severity.ERROR: 4}.get(worst, 0)
  if as_json:
    print(json.dumps(_tree(diagnosis, status), indent=2))
    return status
  print(doctor_terminal.text(diagnosis, sys.stdout, status))
  if html:
    print(html)
  return status


def _tree(diagnosis: Diagnosis, status: int) -> Mapping[str, Any]:
  """What --json prints."""
  return {
    "config": diagnosis.name,
    "algorithm": diagnosis.algorithm,
    "exit_status": status,
    "findings": [
      {
        **finding._asdict(),
        "severity": finding.severity.name.lower(),
        "examples": [
          {"source": p.source, "kind": p.kind, "number": p.index + 1}
          for p in finding.examples
        ],
      }
      for finding in diagnosis.found
    ],
    "sources": {
      source.name: dict(source.counts) for source in diagnosis.data.sources
    },
  }


if __name__ == "__main__":
  sys.exit(main())
