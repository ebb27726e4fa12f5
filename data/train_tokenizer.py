# SPDX-License-Identifier: Apache-2.0
"""Trains a sentencepiece tokenizer that keeps every text as it is.

For models trained from scratch: a small vocabulary fitted to the task, byte
fallback for what it lacks, and no rewriting: decoding gives the text back.
"""

import io
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

# Longer texts are handed over in pieces: sentencepiece skips any sentence
# above its limit, and its memory grows with the longest.
_MAX_CHUNK_CHARS = 4096
_MAX_CHUNK_BYTES = 4 * _MAX_CHUNK_CHARS  # UTF-8 takes at most 4 a character.

# The four special tokens and the 256 bytes.
_NUM_RESERVED = 260


def train_sentencepiece(
  texts: Iterable[str],
  *,
  path: str | pathlib.Path,
  vocab_size: int,
  model_type: str = "bpe",
  character_coverage: float = 1.0,
) -> None:
  """Trains a tokenizer and writes it to `path`.

  Special tokens are <unk> 0, <s> 1 (BOS), </s> 2 (EOS) and <pad> 3. Text is
  neither normalised nor given a leading space; newlines, tabs and runs of
  spaces are kept; digits are split one by one. The same texts in the same
  order give the same bytes.

  Args:
    texts: The training texts, of any length.
    path: The file to write, `tok.model` say; its folder must exist.
    vocab_size: The number of tokens, special tokens and 256 bytes included.
    model_type: "bpe" (as Llama) or "unigram".
    character_coverage: The share of the texts' characters, in (0, 1], that get
      tokens of their own; the rest, the rarest, are spelt in bytes. 0.9995
      suits a vocabulary too small for all the characters of a big script.

  Raises:
    ValueError: A setting out of range, no text, or a vocabulary size that the
      texts cannot fill or that cannot hold their characters.
    FileNotFoundError: The folder of `path` does not exist.
  """
  import sentencepiece

  path = pathlib.Path(path)
  _check_settings(path, vocab_size, model_type, character_coverage)
  model = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=_chunks(texts),
      model_writer=model,
      vocab_size=vocab_size,
      model_type=model_type,
      character_coverage=character_coverage,
      unk_id=0,
      bos_id=1,
      eos_id=2,
      pad_id=3,
      byte_fallback=True,
      normalization_rule_name="identity",
      add_dummy_prefix=False,
      remove_extra_whitespaces=False,
      allow_whitespace_only_pieces=True,
      split_digits=True,
      max_sentence_length=_MAX_CHUNK_BYTES,
      shuffle_input_sentence=False,
      num_threads=1,  # More would make the order of sums, and so ties, vary.
      minloglevel=2,
    )
  except RuntimeError as error:
    raise ValueError(_explain(str(error), vocab_size)) from error
  # Written aside and renamed: a killed run leaves no half a tokenizer.
  partial = path.with_name(f"{path.name}.partial")
  partial.write_bytes(model.getvalue())
  os.replace(partial, path)


def _check_settings(
  path: pathlib.Path,
  vocab_size: int,
  model_type: str,
  character_coverage: float,
) -> None:
  if model_type not in ("bpe", "unigram"):
    raise ValueError(
      f"model_type={model_type!r} must be 'bpe' or 'unigram': no other kind"
      " is read back."
    )
  if vocab_size <= _NUM_RESERVED:
    raise ValueError(
      f"vocab_size={vocab_size} must be above {_NUM_RESERVED}: the 256 bytes"
      " and 4 special tokens take that many. Try 1024 or more."
    )
  if not 0 < character_coverage <= 1:
    raise ValueError(
      f"character_coverage={character_coverage} must be in (0, 1]: it is a"
      " share of the characters."
    )
  if not path.parent.is_dir():
    raise FileNotFoundError(
      f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist."
      " Create it first."
    )


def _chunks(texts: Iterable[str]) -> Iterator[str]:
  """The texts in pieces of bounded length, cut before a space if possible."""
  for text in texts:
    start = 0
    while len(text) - start > _MAX_CHUNK_CHARS:
      end = start + _MAX_CHUNK_CHARS
      space = text.rfind(" ", start + 1, end)
      end = end if space < 0 else space
      yield text[start:end]
      start = end
    yield text[start:]


def _explain(message: str, vocab_size: int) -> str:
  """Says what to do about an error of sentencepiece's trainer."""
  if match := re.search(r"set it to a value <= (\d+)", message):
    return (
      f"vocab_size={vocab_size} is more than these texts can fill. Lower it"
      f" to at most {match[1]}, or give more text."
    )
  if match := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
    return (
      f"vocab_size={vocab_size} cannot hold every character of these texts."
      f" Raise it to at least {match[1]}, or lower character_coverage (0.9995,"
      " say) so that rare characters are spelt in bytes."
    )
  if "!sentences_.empty()" in message or "is empty" in message:
    return "texts holds no text to train a tokenizer on."
  return f"sentencepiece could not train a tokenizer: {message}"
