# SPDX-License-Identifier: Apache-2.0
"""`ramjax mistakes RUN`: pairs of a right answer and the model's own wrong one.

What a model gets wrong is what it should learn to avoid: made-up mistakes teach
little, because the model would not make them.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import tqdm

from ramjax.data import parse_rows, sources, tasks, templates, tokenizers
from ramjax.evals import responses
from ramjax.models import open_model, sharding, source_params
from ramjax.trainers import provenance

_AT_A_TIME = 256


def main(argv: Sequence[str]) -> int:
  """Writes the pairs and says how many there are.

  Args:
    argv: The arguments behind `ramjax mistakes`.

  Returns:
    The exit status: 0, or 1 with a message.
  """
  args = _parser().parse_args(argv)
  try:
    if args.out.exists():
      raise FileExistsError(f"--out={args.out} exists: name another file.")
    template = args.template or _template_of(args.run)
    templates.template_digest(template)  # Refuses an unknown name.
    records = [
      tasks.task_record(task)
      for task in tasks.generate_tasks(num_tasks=args.tasks, seed=args.seed)
    ]
    answers = _answers(args, records, template)
    pairs = [
      {
        "prompt": record["prompt"],
        "chosen": record["completion"],
        "rejected": [{"role": "assistant", "content": answer}],
        "task": record["task"],
      }
      for record, answer in zip(records, answers, strict=True)
      # An empty answer has no token to learn from.
      if answer and not tasks.verify_response(record["task"], answer)
    ]
    if not pairs:
      raise ValueError(
        f"{args.run} made no mistake in {args.tasks} tasks: ask for more."
      )
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    args.out.write_text(lines)
  except (ValueError, OSError) as error:
    print(f"ramjax mistakes: {error}", file=sys.stderr)
    return 1
  print(f"{len(pairs)} mistakes in {len(records)} tasks; pairs in {args.out}")
  return 0


def _answers(
  args: argparse.Namespace, records: list[dict[str, Any]], template: str
) -> list[str]:
  """The model's greedy answer to each task."""
  source = open_model.open_model(args.run)
  mesh = sharding.make_mesh({"data": 1, "fsdp": -1, "sequence": 1, "tensor": 1})
  try:
    params = source_params.load_params(source, mesh)
    config = source.config
  finally:
    source.close()
  respond = responses.make_responder(
    config,
    tokenizer=tokenizers.load_tokenizer(args.run),
    template=template,
    max_new_tokens=args.max_new_tokens,
    batch_size=min(_AT_A_TIME, len(records)),
  )
  prompts = []
  for record in records:
    asked = sources.prompt_and_reference(parse_rows.parse_sft(record))
    assert asked is not None
    prompts.append(asked[0])
  found: list[str] = []
  with tqdm.tqdm(total=len(prompts), unit="task", disable=None) as progress:
    for start in range(0, len(prompts), _AT_A_TIME):
      part = prompts[start : start + _AT_A_TIME]
      found += respond(params, part)
      progress.update(len(part))
  return found


def _template_of(run: pathlib.Path) -> str:
  """The chat template that a run was trained with."""
  path = run / provenance.CONFIG_FILE
  if not path.is_file():
    raise FileNotFoundError(
      f"{run} holds no {provenance.CONFIG_FILE}, which names the chat template:"
      " give --template."
    )
  return json.loads(path.read_text())["data"]["template"]


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax mistakes",
    description=(
      "Let a model answer generated tasks, and write a pair for each one that it"
      " gets wrong: the right\nanswer as chosen, its own as rejected."
    ),
    epilog="example:\n  ramjax mistakes runs/quickstart --out=pairs.jsonl",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "run", type=pathlib.Path, metavar="RUN", help="folder of a finished run"
  )
  parser.add_argument(
    "--out", type=pathlib.Path, required=True, metavar="FILE.jsonl"
  )
  parser.add_argument(
    "--tasks", type=int, default=4000, help="how many (default: %(default)s)"
  )
  parser.add_argument(
    "--seed",
    type=int,
    default=1,
    help="of the tasks; those of the quickstart are 0 (default: %(default)s)",
  )
  parser.add_argument(
    "--template", default="", help="chat template, if the run does not say"
  )
  parser.add_argument(
    "--max-new-tokens", type=int, default=32, help="(default: %(default)s)"
  )
  return parser
