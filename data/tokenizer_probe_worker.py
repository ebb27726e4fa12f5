# SPDX-License-Identifier: Apache-2.0
"""The program that tries a stranger's tokenizer, in a process of its own.

`tokenizer_probe.py` starts it with limits on memory and time. It loads the
tokenizer, encodes and decodes a few texts, and writes one line of JSON.
"""

import json
import pathlib
import sys

from ramjax.data import tokenizers

# Short, long, without spaces, of one letter, of many scripts, of no letters.
_TEXTS = (
  "Hello there",
  "a" * 2000,
  " " * 2000,
  "\n\t\r\x00" * 500,
  "word 123 " * 500,
  "é漢字😀\u200d\u00a0\ufffd" * 200,
  "'\"({[<|>]})\\/" * 200,
)


def main() -> None:
  """Tries the tokenizer at the path given as the only argument."""
  try:
    tokenizer = tokenizers.load_tokenizer(pathlib.Path(sys.argv[1]))
    for text in _TEXTS:
      for at_start in (True, False):
        tokenizer.decode(tokenizer.encode(text, at_start=at_start))
  except (OSError, ValueError) as error:
    answer = {"refused": str(error)}
  else:
    answer = {"vocab_size": tokenizer.vocab_size}
  sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
  main()
