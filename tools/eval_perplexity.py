# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval perplexity`: how well a model predicts texts."""

import argparse
import math
import pathlib
from collections.abc import Sequence

from ramjax.data.read import SUFFIXES
from ramjax.evals import pair_encoding, rolling_windows, text_perplexity
from ramjax.evals.continuations import TokenPair
from ramjax.evals.evaluation import Evaluation
from ramjax.evals.text_perplexity import TextLogp
from ramjax.tools import eval_answers, eval_likelihood
from ramjax.tools.loaded_model import LoadedModel

_BENCHMARK = "perplexity"
_TEXT = "text"


def main(argv: Sequence[str]) -> int:
  """Writes the perplexities with --out, and prints them.

  Args:
    argv: The arguments behind `ramjax eval perplexity`.

  Returns:
    0.

  Raises:
    ValueError, OSError: For `ramjax eval` to print.
  """
  args, found = parse(argv)
  texts = [text for text in found if text]
  eval_likelihood.prepare(args, benchmark=_BENCHMARK, inputs=[args.data])
  model = eval_likelihood.load(args)
  scored = _scored(args, model.loaded, texts)
  evaluation = evaluate(
    scored,
    model=str(args.model),
    max_length=eval_likelihood.max_length(args, model.loaded),
    num_empty=len(found) - len(texts),
  )
  eval_likelihood.conclude(
    evaluation,
    (
      {
        "logp": text.logp,
        "tokens": text.num_tokens,
        "words": text_perplexity.num_words(text.text),
        "bytes": text_perplexity.num_bytes(text.text),
      }
      for text in scored
    ),
    args,
    model,
    inputs=[args.data],
    command=["ramjax", "eval", "perplexity", *argv],
  )
  return 0


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
  """The options and the texts, empty ones included.

  Raises:
    ValueError, OSError: An option or a file that cannot be used, as far as that
      shows without the model.
  """
  args = make_parser().parse_args(argv)
  texts = read_texts(args.data)
  if not any(texts):
    raise ValueError(f"{args.data} holds no text to predict.")
  return args, texts


def read_texts(path: pathlib.Path) -> list[str]:
  """The texts of a file: of .txt all as one, else `text` of each record.

  Raises:
    ValueError: Another kind of file, not UTF-8, or a record without text.
    OSError: The file cannot be read.
  """
  if path.suffix == ".txt":
    try:
      return [path.read_bytes().decode("utf-8-sig")]
    except UnicodeDecodeError as error:
      raise ValueError(
        f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8."
      ) from None
  if not path.name.endswith(SUFFIXES):
    raise ValueError(
      f"{path}: the name must end in .txt (one text) or in one of"
      f" {', '.join(SUFFIXES)} (records with {_TEXT!r}): rename or convert it."
    )
  texts = []
  for number, record in enumerate(eval_answers.read(path), 1):
    text = record.get(_TEXT)
    if not isinstance(text, str):
      raise ValueError(
        f"{path}: record {number} has no {_TEXT!r} that is a string."
      )
    try:
      text.encode("utf-8")
    except UnicodeEncodeError:
      raise ValueError(
        f"{path}: record {number} has half a surrogate pair, which is no text."
      ) from None
    texts.append(text)
  return texts


def evaluate(
  texts: Sequence[TextLogp], *, model: str, max_length: int, num_empty: int
) -> Evaluation:
  """Perplexities of all texts together.

  Args:
    texts: Scored; at least one.
    model: What scored them.
    max_length: Tokens it read at a time.
    num_empty: Texts that were left out because nothing is in them.
  """
  figures = text_perplexity.text_perplexity(texts)
  notes = [
    f"Windows of {max_length:,} tokens, which predict each token once; the"
    " first token of a text is predicted from BOS (or EOS, where there is no"
    " BOS). token_ppl is by token, and cannot be compared between tokenizers."
  ]
  if missing := [name for name, value in figures.items() if value is None]:
    notes.append(f"{', '.join(missing)}: too large a number.")
  return Evaluation(
    benchmark=_BENCHMARK,
    model=model,
    figures={
      **figures,
      "texts": len(texts),
      "words": sum(text_perplexity.num_words(text.text) for text in texts),
      "bytes": sum(text_perplexity.num_bytes(text.text) for text in texts),
      "tokens": sum(text.num_tokens for text in texts),
      "log-likelihood, nats": math.fsum(text.logp for text in texts),
    },
    counted={"texts are empty and left out": num_empty} if num_empty else {},
    notes=notes,
  )


def _scored(
  args: argparse.Namespace, model: LoadedModel, texts: Sequence[str]
) -> list[TextLogp]:
  """Each text's log-probability, summed over its windows."""
  prefix = pair_encoding.prefix_id(model.tokenizer)
  pairs: list[TokenPair] = []
  ends = []
  for text in texts:
    pairs += rolling_windows.rolling_windows(
      model.tokenizer.encode(text, at_start=True),
      prefix=prefix,
      max_length=eval_likelihood.max_length(args, model),
    )
    ends.append(len(pairs))
  results = eval_likelihood.score(args, model, pairs)
  return [
    TextLogp(
      text,
      math.fsum(result.logp for result in results[start:end]),
      sum(result.num_tokens for result in results[start:end]),
    )
    for text, start, end in zip(texts, [0, *ends[:-1]], ends, strict=True)
  ]


def make_parser() -> argparse.ArgumentParser:
  """Its options."""
  parser = argparse.ArgumentParser(
    prog="ramjax eval perplexity",
    description=(
      "Perplexity of texts by word, byte and token, and bits per byte. Texts"
      " that are longer than the model\nreads are predicted in windows that"
      " follow each other, as the Language Model Evaluation Harness\ndoes. No"
      " chat template is applied."
    ),
    epilog=(
      "example:\n  ramjax eval perplexity --data=pages.jsonl"
      " --model=runs/mine --out=evals/pages"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  parser.add_argument(
    "--data",
    required=True,
    type=pathlib.Path,
    metavar="FILE",
    help="a .txt file, which is one text, or records (.jsonl, .json, .parquet)"
    f" with {_TEXT!r}",
  )
  eval_likelihood.add_options(parser)
  return parser
