# SPDX-License-Identifier: Apache-2.0
"""A model that scores answers: what stops it is said, with the place or the option."""

import shutil

import jax
import numpy as np
import pytest
from tiny_preference import evaluate, jsonl, make_pairs, write_folders

from ramjax.data import train_tokenizer
from ramjax.evals import response_scorers
from ramjax.evals.padded_rows import Row
from ramjax.tools import loaded_model, scoring_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  return write_folders(tmp_path_factory.mktemp("preference"))


def test_a_row_that_cannot_be_scored_is_named_before_loading(
  folders, monkeypatch
):
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  opened = scoring_model.open_model(folders / "policy", template="plain")
  scoring = scoring_model.Scoring(
    kind="logp",
    beta=1.0,
    model=opened,
    reference=None,
    max_length=64,
    batch_size=1,
  )
  good = Row(np.array([1, 5], np.int32), np.array([False, True]))
  bad = good._replace(mask=np.array([True, False]))
  places = ["pairs.jsonl:7, chosen", "pairs.jsonl:7, rejected"]
  with pytest.raises(ValueError, match="l:7, rejected has no token to predict"):
    scoring.score([good, bad], places)


def test_a_reference_that_reads_other_tokens_is_refused(
  tmp_path, folders, capsys
):
  other = shutil.copytree(folders / "other", tmp_path / "other")
  (other / "tokenizer.model").unlink()
  train_tokenizer.train_sentencepiece(
    ["quite other letters: xyz", "and 1 2 3 4 5 6 7 8 9 0"] * 9,
    path=other / "tokenizer.model",
    vocab_size=290,
  )
  data = jsonl(tmp_path, make_pairs())
  argv = [data, folders / "policy", f"--reference={other}"]
  assert evaluate(*argv) == (None, None)
  assert "encodes the data differently than" in capsys.readouterr().err


def test_a_batch_without_room_names_the_options_that_make_it_smaller(
  tmp_path, folders, capsys, monkeypatch
):
  def no_room(*unused):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

  monkeypatch.setattr(response_scorers, "_last_scores", no_room)
  assert evaluate(jsonl(tmp_path, make_pairs()), folders / "reward") == (
    None,
    None,
  )
  assert "lower --batch-size or --max-length" in capsys.readouterr().err
