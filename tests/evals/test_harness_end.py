# SPDX-License-Identifier: Apache-2.0
"""Ends of generated texts: in letters, and as special tokens by name."""

import numpy as np
import pytest
import tiny_exported

from ramjax.data.tokenizers import load_tokenizer
from ramjax.evals.harness_end import TextEnd

_HEADER = ("<|start_header_id|>", "<|end_header_id|>")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  root = tmp_path_factory.mktemp("end")
  return load_tokenizer(tiny_exported.export(root, "llama3"))


def _ids(tokenizer, *parts):
  ids = []
  for part in parts:
    special = tokenizer.specials.get(part)
    ids += (
      tokenizer.encode(part, at_start=False) if special is None else [special]
    )
  return np.array(ids, np.int32)


@pytest.mark.parametrize(
  "parts, until, text, kept",
  [
    (["one ", "<|eot_id|>", " two"], ["<|eot_id|>"], "one ", 2),
    (["one ", "<|eot_id|>", " two"], ["never", "<|eot_id|>"], "one ", 2),
    (["one ", "<|eot_id|>", " two"], ["<|im_end|>"], "one  two", None),
    (["one <|eot_id|>", " two"], ["<|eot_id|>"], "one ", 1),
    # Tokens are no part of the text, but what is between them is.
    (
      ["one ", _HEADER[0], "user", _HEADER[1], " two"],
      [f"{_HEADER[0]}user{_HEADER[1]}"],
      "one user",
      4,
    ),
    (["one ", *_HEADER, " two"], ["".join(_HEADER)], "one ", 3),
    (["one ", *_HEADER, " two"], [f"{_HEADER[0]}user"], "one  two", None),
    (["one ", "<|eot_id|>", " two"], ["e  t"], "on", 3),
    (["one ", "<|eot_id|>", " two"], [], "one  two", None),
  ],
)
def test_a_text_ends_where_its_end_is_whole(
  tokenizer, parts, until, text, kept
):
  end = TextEnd(tokenizer, until)
  ids = _ids(tokenizer, *parts)
  assert end.text(ids) == text
  cut = end.cut(ids)
  if kept is None:
    assert cut is None
    return
  # Within the last of the parts that are kept, and at once.
  least, most = (
    len(_ids(tokenizer, *parts[:count])) for count in (kept - 1, kept)
  )
  assert cut is not None and least < cut <= most
  assert end.cut(ids[: cut - 1]) is None
  assert end.text(ids[:cut]) == text
