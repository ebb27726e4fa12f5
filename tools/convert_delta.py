# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert delta`: what tuning changed, without the base; and back."""

import argparse
import collections
import pathlib
import sys
from collections.abc import Sequence

import tqdm

from ramjax.models import delta, delta_folder, model_digest, same_shape, tensors
from ramjax.models.open_model import open_model
from ramjax.models.tensors import Source, TensorError
from ramjax.tools import convert_options, model_card, new_folder, write_model


def main(argv: Sequence[str]) -> int:
  """Makes or applies a delta, and says what was written."""
  args = _parser().parse_args(argv)
  new_folder.check_new(args.target)
  return args.run(args)


def _make(args: argparse.Namespace) -> int:
  base, tuned = open_model(args.base), open_model(args.tuned)
  same_shape.check({str(args.base): base, str(args.tuned): tuned})
  with _progress(tuned, "comparing") as bar:
    chosen = delta.plan(base, tuned, on_bytes=bar.update)
  difference = delta.Delta(base, tuned, chosen)
  provenance = {
    "command": "convert delta make",
    "warning": "These are differences to a base, not a model.",
    "base": str(args.base),
    "base_sha256": chosen.base.total,
    "tuned": str(args.tuned),
    "tuned_sha256": chosen.result.total,
    "of_tuned": model_card.read_provenance(args.tuned),
    "version": model_card.version(),
  }

  def finish(folder: pathlib.Path) -> None:
    delta_folder.save(folder, difference, chosen)
    card = model_card.render_delta(args.target.name, provenance)
    (folder / "README.md").write_text(card)

  total = write_model.write_model(
    difference,
    args.target,
    layout=write_model.HF,
    like=args.tuned,
    provenance=provenance,
    finish=finish,
  )
  dtypes = collections.Counter(chosen.dtypes.values())
  print(
    f"{args.target}: {len(tuned.specs)} tensors, {total / 1e9:.2f} GB"
    f" ({', '.join(f'{n} {dtype}' for dtype, n in sorted(dtypes.items()))});"
    f" {sum(chosen.exceptions.values()):,} elements kept as they are"
  )
  return 0


def _apply(args: argparse.Namespace) -> int:
  base = open_model(args.base)
  change = delta_folder.DeltaFolder(args.delta)
  same_shape.check({str(args.base): base, str(args.delta): change})
  with _progress(base, "checking the base") as bar:
    found = model_digest.digest(base, on_bytes=bar.update)
  if found != change.base:
    names = model_digest.differing(change.base, found)
    raise TensorError(
      f"{args.base} is not the base of {args.delta}: {len(names)} of"
      f" {len(found.tensors)} tensors differ, first"
      f" {model_digest.describe(names)}. Its SHA-256 is {found.total}, and the"
      f" delta was made from {change.base.total}."
    )
  result = model_digest.Hashed(delta.Applied(base, change))
  total = write_model.write_model(
    result,
    args.target,
    layout=convert_options.layout(args.to, base),
    like=args.delta,
    provenance={
      "command": "convert delta apply",
      "base": str(args.base),
      "base_sha256": found.total,
      "delta": str(args.delta),
      "of_delta": model_card.read_provenance(args.delta),
      "sha256": change.result.total,
      "version": model_card.version(),
    },
    # Not finite: then the checksum is wrong as well, and says more.
    allow_nonfinite=True,
    finish=lambda _: _check_result(result, change),
  )
  print(
    f"{args.target}: {len(result.specs)} tensors, {total / 1e9:.2f} GB, as the"
    f" delta was made from (SHA-256 {change.result.total})"
  )
  return 0


def _check_result(
  result: model_digest.Hashed, change: delta_folder.DeltaFolder
) -> None:
  found = result.result()
  if found != change.result:
    names = model_digest.differing(change.result, found)
    raise TensorError(
      f"{change.path} is damaged: {len(names)} of {len(found.tensors)} tensors"
      " are not those of the model it was made from, first"
      f" {model_digest.describe(names)}. Nothing was written."
    )


def _progress(source: Source, what: str) -> tqdm.tqdm:
  return tqdm.tqdm(
    total=sum(map(tensors.num_bytes, source.specs.values())),
    unit="B",
    unit_scale=True,
    desc=what,
    disable=not sys.stderr.isatty(),
  )


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax convert delta",
    description=(
      "Publish what tuning changed, for those who hold the base under its"
      " licence."
    ),
    epilog=(
      "examples:\n"
      "  ramjax convert delta make Llama-3.2-1B exported delta\n"
      "  ramjax convert delta apply Llama-3.2-1B delta rebuilt"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  commands = parser.add_subparsers(required=True, metavar="make|apply")
  make = commands.add_parser(
    "make",
    help="write TUNED - BASE",
    description=(
      "Write TUNED - BASE as a Hugging Face folder with TUNED's tokenizer and"
      " chat\ntemplate, and delta.json with the SHA-256 of both models. Each"
      " tensor has the\nsmallest of its own dtype, float32 and float64 whose"
      " sums are TUNED again, but for\none element in 64 at most. Those"
      " elements are kept in delta_exceptions.safetensors\nas they are, so that"
      " the result is TUNED to the last bit."
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  make.add_argument("base", metavar="BASE", type=pathlib.Path)
  make.add_argument("tuned", metavar="TUNED", type=pathlib.Path)
  make.add_argument("target", metavar="DST", type=pathlib.Path)
  make.set_defaults(run=_make)
  apply = commands.add_parser(
    "apply",
    help="write BASE + DELTA",
    description=(
      "Write BASE + DELTA: the tuned model, to the last bit. The base's"
      " checksum is\nchecked before anything is written, and the result's"
      " before DST appears."
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  apply.add_argument("base", metavar="BASE", type=pathlib.Path)
  apply.add_argument("delta", metavar="DELTA", type=pathlib.Path)
  apply.add_argument("target", metavar="DST", type=pathlib.Path)
  convert_options.add_layout(apply, of="BASE")
  apply.set_defaults(run=_apply)
  return parser
