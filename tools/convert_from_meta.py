# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert from-meta`: Meta's original checkpoint to a model folder."""

import argparse
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence

from ramjax.data.tokenizers import Tokenizer
from ramjax.models import (
  carried_files,
  hf_config,
  meta_params,
  model_folder,
)
from ramjax.models.meta_checkpoint import MetaCheckpoint
from ramjax.tools import chat_files, convert_options, model_card, write_model

_TIKTOKEN_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\r?\n")


def main(argv: Sequence[str]) -> int:
  """Converts, and says what was written."""
  args = _parser().parse_args(argv)
  if not args.allow_pickle:
    raise ValueError(
      f"{args.source}: .pth files are Python pickles, which can hold code."
      " They are read with torch.load(weights_only=True), which runs none, and"
      " only here: the folder written holds none. If you trust where the files"
      " come from, add --allow-pickle; or take the release's safetensors and"
      " `ramjax convert from-hf`."
    )
  source = MetaCheckpoint(
    args.source, release=args.release, max_positions=args.max_positions
  )
  wanted = convert_options.cast(source, args.dtype)
  with tempfile.TemporaryDirectory() as folder:
    carried = pathlib.Path(folder)
    notes = _stage(source, args.tokenizer, carried)
    total = write_model.write_model(
      wanted,
      args.target,
      layout=args.to or write_model.RUN,
      like=carried,
      provenance={
        "command": "convert from-meta",
        "source": str(args.source),
        "release": source.release,
        "version": model_card.version(),
      },
      allow_nonfinite=args.allow_nonfinite,
    )
  for note in [_origin(source, args.max_positions), *notes]:
    print(f"note: {note}", file=sys.stderr)
  print(
    f"{args.target}: {len(source.specs)} tensors, {total / 1e9:.2f} GB,"
    f" {source.config.num_parameters:,} parameters"
  )
  return 0


def _stage(
  source: MetaCheckpoint, tokenizer: pathlib.Path | None, folder: pathlib.Path
) -> list[str]:
  """Puts the files to carry along into an empty folder.

  Args:
    source: The checkpoint, whose tokenizer and licence are taken.
    tokenizer: A folder whose tokenizer files are taken instead, or None.
    folder: Where to.

  Returns:
    What the user should know of the tokenizer.
  """
  carried_files.carry(source.path, folder)
  if tokenizer is not None:
    inner = carried_files.folder_of(tokenizer)
    chat_files.load_tokenizer(inner)  # Before any of it is copied.
    for name in carried_files.TOKENIZER_FILES:
      (folder / name).unlink(missing_ok=True)
      if (inner / name).is_file():
        safe = model_folder.safe_file(inner, name)
        shutil.copyfile(safe, folder / name)
  model = folder / "tokenizer.model"
  if (folder / "tokenizer.json").is_file():
    loaded = chat_files.load_tokenizer(folder)
  elif not model.is_file():
    return [
      f"{source.path} has no tokenizer.model. It may lie in the folder above:"
      " name that with --tokenizer=DIR."
    ]
  elif _is_tiktoken(model):
    return [
      "tokenizer.model is a tiktoken file, as of every Llama 3, and is copied"
      " as it is; ramjax and transformers read the release's tokenizer.json"
      " instead. Convert again with --tokenizer=DIR, the folder of the release"
      " at Hugging Face, or put that file"
      f" into the folder written (of a run: into its {carried_files.FOLDER}/)."
    ]
  else:
    loaded = chat_files.load_tokenizer(folder)
  if loaded.vocab_size > source.config.vocab_size:
    raise ValueError(
      f"the tokenizer has {loaded.vocab_size:,} tokens and the model"
      f" {source.config.vocab_size:,}: it is another model's. Name the"
      " release's own with --tokenizer=DIR."
    )
  _save_config(source, loaded, folder)
  return []


def _save_config(
  source: MetaCheckpoint, tokenizer: Tokenizer, folder: pathlib.Path
) -> None:
  """A `config.json` with the ids at which generation begins and ends."""
  ids = {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
  dtype = next(iter(source.specs.values())).dtype
  fields = hf_config.to_hf(source.config, dtype=dtype, carried=ids)
  carried_files.save_config(fields, folder)


def _is_tiktoken(path: pathlib.Path) -> bool:
  """Whether a file is lines of a token in base64 and its rank."""
  with model_folder.open_regular(path) as file:
    return bool(_TIKTOKEN_LINE.match(file.read(512)))


def _origin(source: MetaCheckpoint, max_positions: int | None) -> str:
  """How the shape was completed, which the user may know to be wrong."""
  if source.release is not None:
    how = f"read as {source.release}"
  else:
    how = "no released Llama has this shape"
    if max_positions is None:
      how += (
        ", so its context is taken to be the shortest of any (state it with"
        " --max-positions, or the release with --release)"
      )
  scaling = source.config.rope_scaling
  stretch = f"scaled by {scaling.factor:g}" if scaling else "not scaled"
  tied = "tied" if source.config.tie_embeddings else "not tied"
  return (
    f"{how}; {source.config.max_positions:,} positions, RoPE {stretch}, head"
    f" {tied} to the embedding"
  )


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax convert from-meta",
    description=(
      "Convert Meta's original checkpoint (params.json, consolidated.00.pth"
      " and on,\ntokenizer.model) to a run's folder or a Hugging Face one. The"
      " shards are joined,\nand the rows of queries and keys brought into the"
      " order that Hugging Face and\nramjax use for RoPE. Shards are mapped, not"
      " loaded. Needs PyTorch 2.6 or newer.\n\n"
      "A .pth file is a Python pickle, so it is opened only with"
      " --allow-pickle, and\nread with weights_only, which refuses anything but"
      " tensors. Convert once, and\nuse the folder written from then on.\n\n"
      "params.json does not say by which factor RoPE is scaled, how long the"
      " context\nis, or whether the head is tied. All follow from the release,"
      " which is\nrecognised by its shape. A model of another shape needs"
      " --release where\nuse_scaled_rope is set; elsewhere its context is taken"
      f" to be {min(c.max_positions for c in meta_params.RELEASES.values()):,},"
      "\nthe shortest of any Llama's, unless --max-positions states another."
      "\nThat changes no logit."
    ),
    epilog=(
      "example:\n  ramjax convert from-meta Llama3.2-1B models/llama"
      " --allow-pickle \\\n    --tokenizer=Llama-3.2-1B-hf"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument("source", metavar="SRC", type=pathlib.Path)
  parser.add_argument("target", metavar="DST", type=pathlib.Path)
  parser.add_argument(
    "--allow-pickle",
    action="store_true",
    help="open the .pth files (without it they are refused)",
  )
  parser.add_argument(
    "--release",
    choices=tuple(meta_params.RELEASES),
    metavar="NAME",
    help="what the model is, or was made from: "
    + ", ".join(meta_params.RELEASES),
  )
  parser.add_argument(
    "--max-positions",
    type=int,
    metavar="NUM",
    help="context the model was trained for (default: the release's)",
  )
  parser.add_argument(
    "--tokenizer",
    type=pathlib.Path,
    metavar="DIR",
    help="folder whose tokenizer files to take instead of SRC's; Llama 3 needs"
    " the tokenizer.json of its Hugging Face folder",
  )
  parser.add_argument(
    "--to",
    choices=(write_model.RUN, write_model.HF),
    help=f"kind of folder to write (default: {write_model.RUN})",
  )
  convert_options.add_dtype(parser)
  convert_options.add_allow_nonfinite(parser)
  return parser
