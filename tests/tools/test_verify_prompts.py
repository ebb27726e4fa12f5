# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.verify_prompts."""

import numpy as np
import pytest

from ramjax.data import train_tokenizer
from ramjax.tools import verify_prompts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  """A folder with a tokenizer of 300 tokens."""
  folder = tmp_path_factory.mktemp("model")
  texts = ["the cat sat on the mat", "a dog ran to the cat", "1 + 2 = 3"] * 20
  train_tokenizer.train_sentencepiece(
    texts, path=folder / "tokenizer.model", vocab_size=300
  )
  return folder


def test_fixed_prompts_are_the_same_each_time_and_below_the_vocabulary():
  prompts = verify_prompts.fixed_prompts(7)
  assert [prompt.shape for prompt in prompts] == [(32,)] * 4
  assert {int(id_) for prompt in prompts for id_ in prompt} == set(range(7))
  again = verify_prompts.fixed_prompts(7)
  assert all(map(np.array_equal, prompts, again))


def test_every_line_with_text_is_a_prompt_behind_bos(model, tmp_path):
  file = tmp_path / "prompts.txt"
  file.write_text("the cat\n\n   \na dog ran\n")
  first, second = verify_prompts.text_prompts(file, model, 300)
  assert first[0] == second[0] == 1
  assert len(first) > 1 and first.tolist() != second.tolist()


@pytest.mark.parametrize(
  ("text", "vocab_size", "message"),
  [
    (b"\n \n", 300, "has no text"),
    (b"\xff\xfe", 300, "is not UTF-8"),
    (b"the cat", 3, "has only 3 tokens"),
    (b"cat " * 4000, 300, "at most 2,048 are compared"),
  ],
)
def test_prompts_that_cannot_be_used_are_refused(
  model, tmp_path, text, vocab_size, message
):
  file = tmp_path / "prompts.txt"
  file.write_bytes(text)
  with pytest.raises(ValueError, match=message):
    verify_prompts.text_prompts(file, model, vocab_size)


def test_a_model_without_tokenizer_has_no_text_prompts(tmp_path):
  file = tmp_path / "prompts.txt"
  file.write_text("the cat")
  with pytest.raises(ValueError, match="needs a tokenizer"):
    verify_prompts.text_prompts(file, tmp_path, 300)
