# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval preference`: each pair by a plain pass, and as in training."""

import dataclasses
import functools
import gzip
import hashlib
import math
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_adapters
import tiny_model_folder
from tiny_preference import WORDS, evaluate, jsonl, make_pairs, write_folders

from ramjax.configs import base
from ramjax.data import group_rows, parse_rows
from ramjax.data.tokenizers import load_tokenizer
from ramjax.models import heads, llama, source_params
from ramjax.models.lora_config import LoraConfig, LoraModule
from ramjax.models.open_model import open_model
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_preference, loaded_model
from ramjax.trainers import reward
from ramjax.trainers.group_data import GroupData
from ramjax.trainers.group_evaluator import GroupEvaluator
from ramjax.trainers.state import init_state

_HH = (
  pathlib.Path(__file__).parents[2].parent
  / "shared/data/hh_rlhf/harmless-base_test.jsonl.gz"
)
_FOLDERS = ("reward", "policy", "other")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  return write_folders(tmp_path_factory.mktemp("preference"))


def _tokenized(folder, records, max_length=64):
  tokenizer = load_tokenizer(folder / "tokenizer.model")
  rows = [parse_rows.parse_preference(record) for record in records]
  groups, _, _ = group_rows.tokenize_group_rows(
    rows,
    template="plain",
    tokenizer=tokenizer,
    max_length=max_length,
    label="",
  )
  return tokenizer, groups


@functools.cache
def _params(folder):
  source = open_model(folder)
  config = dataclasses.replace(source.config, dtype="float32", remat="none")
  params = source_params.load_params(source, tiny_adapters.one_device())
  source.close()
  return params, config


@functools.partial(jax.jit, static_argnums=0)
def _outputs(config, params, tokens):
  """[T, labels] scores or [T, V] log-probabilities of one row."""
  positions = jnp.arange(64)[None]
  hidden = llama.apply(params, config, tokens, positions=positions)[0]
  if config.num_labels:
    return heads.scores(params, hidden)
  return jax.nn.log_softmax(heads.lm_logits(params, config, hidden))


def _plain(folder, records, of):
  """[n, 2] of each answer, in a pass of its own."""
  params, config = _params(folder)
  _, groups = _tokenized(folder, records)
  found = []
  for group in groups:
    for response in group.responses:
      tokens = np.concatenate([group.prompts[0], response])
      padded = np.pad(tokens, (0, 64 - len(tokens)))[None]
      outputs = np.asarray(_outputs(config, params, padded), np.float64)
      found.append(of(outputs[: len(tokens)], tokens, len(response)))
  return np.array(found).reshape(-1, 2)


def _last_score(scores, tokens, num_response):
  del tokens, num_response
  return float(scores[-1, 0])


def _logp(logps, tokens, num_response):
  start = len(tokens) - num_response
  return sum(float(logps[i - 1, tokens[i]]) for i in range(start, len(tokens)))


def _scores(records):
  return np.array([[r["score_chosen"], r["score_rejected"]] for r in records])


def test_a_reward_model_is_right_where_its_head_says_so(
  tmp_path, folders, capsys
):
  data = jsonl(tmp_path, make_pairs())
  found, records = evaluate(data, folders / "reward")
  expected = _plain(folders / "reward", make_pairs(), _last_score)
  np.testing.assert_allclose(_scores(records), expected, atol=1e-5)
  right = expected[:, 0] > expected[:, 1]
  assert 0 < right.sum() < 5
  figures = found["figures"]
  assert figures["scorer"] == "reward" and figures["pairs"] == 5
  assert figures["accuracy, %"] == pytest.approx(20 * right.sum())
  assert figures["mean margin"] == pytest.approx(
    (expected[:, 0] - expected[:, 1]).mean(), abs=1e-5
  )
  shares = {r["subset"]: r for r in found["tables"]["by subset"]}
  assert shares["odd"]["accuracy, %"] == pytest.approx(100 * right[::2].mean())
  assert shares["even"]["accuracy, %"] == pytest.approx(
    100 * right[1::2].mean()
  )
  _, groups = _tokenized(folders / "reward", make_pairs())
  lengths = [[len(r) for r in group.responses] for group in groups]
  assert [
    [r["tokens_chosen"], r["tokens_rejected"]] for r in records
  ] == lengths
  places = [f"pairs.jsonl:{i}" for i in range(1, 6)]
  assert [r["where"] for r in records] == places
  assert [r["subset"] for r in records] == ["odd", "even"] * 2 + ["odd"]
  assert found["inputs"] == {
    str(data): hashlib.sha256(data.read_bytes()).hexdigest()
  }
  identity = found["model_identity"]
  assert (identity["scorer"], identity["template"]) == ("reward", "plain")
  assert identity["max_length"] == 64 and "reference" not in identity
  shown = capsys.readouterr().out
  assert shown.endswith(f"{tmp_path / 'out' / 'evaluation.json'}\n")
  assert "by length" in shown and "mean confidence" in shown


def test_an_implicit_reward_is_the_difference_of_log_probabilities(
  tmp_path, folders
):
  data = jsonl(tmp_path, make_pairs())
  reference = f"--reference={folders / 'other'}"
  found, records = evaluate(data, folders / "policy", reference)
  expected = _plain(folders / "policy", make_pairs(), _logp)
  expected = expected - _plain(folders / "other", make_pairs(), _logp)
  np.testing.assert_allclose(_scores(records), expected, atol=1e-4)
  assert np.abs(expected).min() > 1e-3
  identity = found["model_identity"]
  assert identity["beta"] == 1.0
  assert identity["reference"]["folder"] == str(folders / "other")
  assert identity["reference"]["fingerprint"] != identity["fingerprint"]
  scaled, _ = evaluate(data, folders / "policy", reference, "--beta=0.1")
  assert scaled["figures"]["mean margin"] == pytest.approx(
    found["figures"]["mean margin"] / 10, abs=1e-5
  )


def test_a_model_against_itself_ties_every_pair(tmp_path, folders):
  data = jsonl(tmp_path, make_pairs())
  found, records = evaluate(
    data, folders / "policy", f"--reference={folders / 'policy'}"
  )
  assert not _scores(records).any()
  assert found["figures"]["accuracy, %"] == 50
  assert found["figures"]["mean margin"] == 0
  assert list(found["counted"].values()) == [5]
  (bin_,) = found["tables"]["calibration"]
  assert (bin_["pairs"], bin_["mean confidence"]) == (5, 0.5)


def test_log_probabilities_need_no_reference(tmp_path, folders):
  data = jsonl(tmp_path, make_pairs())
  total, totals = evaluate(data, folders / "policy", "--scorer=logp")
  mean, means = evaluate(data, folders / "policy", "--scorer=mean_logp")
  expected = _plain(folders / "policy", make_pairs(), _logp)
  np.testing.assert_allclose(_scores(totals), expected, atol=1e-4)
  lengths = np.array(
    [[r["tokens_chosen"], r["tokens_rejected"]] for r in means]
  )
  np.testing.assert_allclose(_scores(means), expected / lengths, atol=1e-5)
  for k, side in enumerate(("chosen", "rejected")):
    value = math.exp(-expected[:, k].sum() / lengths[:, k].sum())
    for found in (total, mean):
      assert found["figures"][f"perplexity, {side}"] == pytest.approx(
        value, rel=1e-4
      )


def test_the_figures_are_those_that_training_reports(tmp_path, folders):
  data = jsonl(tmp_path, make_pairs())
  found, _ = evaluate(data, folders / "reward")
  tokenizer, groups = _tokenized(folders / "reward", make_pairs())
  config = base.reward(
    bradley_terry=dict(
      weight=1.0, margin="none", label_smoothing=0.0, centering=0.0
    )
  )
  config.data.batch_size = 4
  params, shape = _params(folders / "reward")
  mesh = tiny_adapters.one_device()
  evaluator = GroupEvaluator(
    config,
    shape,
    GroupData(
      train=[],
      train_rows=[],
      train_row_ids=[],
      weights=[],
      held_out=groups,
      held_out_subsets=[pair["subset"] for pair in make_pairs()],
      held_out_rows=[],
      held_out_records=[],
      tokenizer=tokenizer,
      row_length=128,
      summary={},
    ),
    mesh,
    reward.make_reward_objective(shape, terms=config.loss.terms.to_dict()),
  )
  state = init_state(
    params, optax.sgd(0.0), mesh=mesh, seed=0, with_ema=False, reference={}
  )
  metrics, _ = evaluator.evaluate(state, 0)
  figures = found["figures"]
  for name, value in {
    "accuracy": figures["accuracy, %"] / 100,
    "accuracy_low": figures["accuracy, 95 % from"] / 100,
    "accuracy_high": figures["accuracy, 95 % to"] / 100,
    "margin": figures["mean margin"],
    "chosen": figures["mean score, chosen"],
    "calibration_error": figures["calibration error, share"],
    **{
      f"accuracy/{row['subset']}": row["accuracy, %"] / 100
      for row in found["tables"]["by subset"]
    },
  }.items():
    assert metrics[f"eval/rewards/{name}"] == pytest.approx(value, abs=1e-5)


def test_a_reward_model_may_be_adapters_on_a_base(tmp_path, folders):
  source = tiny_model_folder.RandomModel(
    tiny_model_folder.CONFIG, dtype="float32", seed=0
  )
  adapters = LoraConfig((LoraModule("mlp/up", (2, 2), (4.0, 4.0)),))
  run = tmp_path / "run"
  tiny_adapters.write_reward_run(run, folders / "policy", source, adapters)
  shutil.copy(folders / "policy/tokenizer.model", run)
  found, records = evaluate(jsonl(tmp_path, make_pairs()), run)
  expected = _plain(run, make_pairs(), _last_score)
  np.testing.assert_allclose(_scores(records), expected, atol=1e-5)
  assert found["model_identity"]["step"] == 3


def test_pairs_that_are_too_long_are_cut_and_counted(tmp_path, folders):
  pairs = make_pairs()
  long = "word 1 and 2, then word 3 and 4, then " * 2
  # The same for as long as they are kept, and not.
  same = {
    side: [{"role": "assistant", "content": f"{long * 3} {side}"}]
    for side in ("chosen", "rejected")
  }
  pairs[1] |= {"prompt": [{"role": "user", "content": long}]}
  pairs[2] |= same
  found, records = evaluate(
    jsonl(tmp_path, pairs), folders / "reward", "--max-length=40"
  )
  assert list(found["counted"].values()) == [1, 2]
  places = [f"pairs.jsonl:{i}" for i in (1, 2, 4, 5)]
  assert [r["where"] for r in records] == places
  assert found["model_identity"]["max_length"] == 40
  one = jsonl(tmp_path, [pairs[2]])
  assert evaluate(one, folders / "reward") == (None, None)


def test_subsets_are_those_of_the_field_that_is_named(
  tmp_path, folders, capsys
):
  pairs = [
    {**pair, "source": i % 3 or ""} for i, pair in enumerate(make_pairs())
  ]
  data = jsonl(tmp_path, pairs)
  found, _ = evaluate(data, folders / "reward", "--subset-field=source")
  rows = found["tables"]["by subset"]
  assert [(r["subset"], r["pairs"]) for r in rows] == [
    ("(none)", 2),
    ("1", 2),
    ("2", 1),
  ]
  argv = [data, folders / "reward", "--subset-field=topic"]
  assert evaluate(*argv) == (None, None)
  assert "--subset-field=topic: no row of" in capsys.readouterr().err
  bare = jsonl(tmp_path, [{**pair, "subset": None} for pair in make_pairs()])
  found, _ = evaluate(bare, folders / "reward")
  assert "by subset" not in found["tables"]


def test_raw_text_needs_no_template_and_messages_do(tmp_path, folders, capsys):
  texts = [{"prompt": f"{a} ", "chosen": b, "rejected": c} for a, b, c in WORDS]
  argv = ["preference", f"--model={folders / 'reward'}"]
  assert eval_command.main([*argv, f"--data={jsonl(tmp_path, texts)}"]) == 0
  capsys.readouterr()
  data = jsonl(tmp_path, make_pairs())
  assert eval_command.main([*argv, f"--data={data}"]) == 1
  assert "does not say its chat template" in capsys.readouterr().err


def test_rows_that_cannot_be_read_are_named_or_set_aside(
  tmp_path, folders, capsys
):
  pairs = make_pairs()
  pairs.insert(2, {**pairs[0], "rejected": pairs[0]["chosen"]})
  data = jsonl(tmp_path, pairs)
  assert evaluate(data, folders / "reward") == (None, None)
  shown = capsys.readouterr().err
  assert "pairs.jsonl:3: chosen and rejected are the same" in shown
  assert "set --max-bad-share above 0" in shown
  found, records = evaluate(data, folders / "reward", "--max-bad-share=0.2")
  assert found["figures"]["pairs"] == 5 and len(records) == 5
  # Each by its own place, and not by that among the rows that are left.
  places = [f"pairs.jsonl:{i}" for i in (1, 2, 4, 5, 6)]
  assert [r["where"] for r in records] == places
  assert list(found["counted"].values()) == [1]
  aside = (tmp_path / "out/quarantine.jsonl").read_text().splitlines()
  assert len(aside) == 1 and "pairs.jsonl:3" in aside[0]
  argv = ["preference", f"--data={data}", f"--model={folders / 'reward'}"]
  assert eval_command.main([*argv, "--max-bad-share=0.2"]) == 1
  assert "--max-bad-share needs --out" in capsys.readouterr().err


_IMPLICIT = "--scorer=implicit"


@pytest.mark.parametrize(
  "argv, message",
  [
    (["--data=nope.jsonl"], "nope.jsonl"),
    (["--data={bad}"], "bad.jsonl:2: .*chosen"),
    (["--data={bad}", "--max-bad-share=0.6"], "--max-bad-share needs --out"),
    (
      ["--data={bad}", "--max-bad-share=0.1", "--out={new}"],
      "1 of 2 records are bad, more than --max-bad-share=0.1.*Mend them, or",
    ),
    (["--subset-field=topic"], "no row of .* has that field"),
    ([_IMPLICIT], "needs --reference=FOLDER"),
    (["--beta=2"], "--beta=2.0 is of an implicit reward"),
    (["--scorer=logp", "--reference={policy}"], "--scorer=logp compares with"),
    (["--scorer=reward", "--beta=2"], "--scorer=reward compares with no refer"),
    (["--reference={reward}"], "has a score head"),
    (["--reference={new}"], "holds no model|does not exist"),
    (["--reference={policy}", "--max-length=65"], "is for 64 positions at"),
  ],
)
def test_a_command_is_checked_without_a_model(tmp_path, folders, argv, message):
  empty, new = tmp_path / "empty", tmp_path / "new"
  empty.mkdir()
  bad = jsonl(tmp_path, [make_pairs()[0], {"prompt": "x"}], "bad.jsonl")
  base = [f"--data={jsonl(tmp_path, make_pairs())}", f"--model={empty}"]
  base += ["--step=1"]
  parsed = eval_preference.parse(
    [*base, f"--out={new}", f"--reference={folders / 'policy'}"]
  )
  assert len(parsed.loaded.rows) == 5
  values = dict(bad=bad, new=new, **{x: folders / x for x in _FOLDERS})
  with pytest.raises((ValueError, OSError), match=message):
    eval_preference.parse([*base, *(x.format(**values) for x in argv)])
  assert not new.exists()


def test_nothing_is_written_over_what_is_read(
  tmp_path, folders, capsys, monkeypatch
):
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  out = tmp_path / "out"
  out.mkdir()
  data = jsonl(out, make_pairs(), "scores.jsonl")
  before = data.read_bytes()
  argv = [f"--data={data}", f"--model={folders / 'reward'}", f"--out={out}"]
  assert eval_command.main(["preference", *argv]) == 1
  assert "scores.jsonl would be written" in capsys.readouterr().err
  assert data.read_bytes() == before


def test_tasks_that_the_project_writes_are_pairs_too(tmp_path, folders, capsys):
  data = "task_pairs:6?seed=1"
  argv = [f"--data={data}", f"--model={folders / 'reward'}"]
  assert eval_command.main(["preference", "--template=plain", *argv]) == 0
  assert f"{data} has the fingerprint" in capsys.readouterr().out


def test_published_pairs_are_scored(tmp_path, folders):
  if not _HH.is_file():
    pytest.skip("needs hh_rlhf of the shared data")
  with gzip.open(_HH, "rt") as file:
    lines = [next(file) for _ in range(40)]
  data = tmp_path / "hh.jsonl"
  data.write_text("".join(lines))
  found, records = evaluate(data, folders / "reward", "--max-bad-share=0.1")
  assert found["figures"]["pairs"] == len(records)
  aside = (tmp_path / "out/quarantine.jsonl").read_text().splitlines()
  same = sum(
    n for rule, n in found["counted"].items() if "the same once" in rule
  )
  assert len(records) + len(aside) + same == 40
  assert 0 < found["figures"]["accuracy, %"] < 100
