# SPDX-License-Identifier: Apache-2.0
"""Config and manifest: written beside the run, and held against the next."""

import json

import pytest

from ramjax.trainers import provenance


def _config(learning_rate=0.1, allow=False):
  return {
    "optim": {"learning_rate": learning_rate},
    "data": {"sources": {"main": {"path": "rows.jsonl"}}},
    "run": {"allow_config_change": allow},
  }


def _manifest(data_sha256="aa"):
  return provenance.build_manifest(
    data={"main": {"path": "rows.jsonl", "sha256": data_sha256}},
    tokenizer_digest="bb",
    template="plain",
    template_digest="cc",
    num_parameters=7,
    initial_weights={"random_seed": 0},
  )


def _claim(workdir, config=None, manifest=None):
  provenance.claim_workdir(
    workdir, config or _config(), manifest or _manifest()
  )


def _written(workdir):
  """Config and manifest, as they are on disk."""
  return tuple(
    json.loads((workdir / name).read_text())
    for name in ("config.json", "manifest.json")
  )


def test_both_files_hold_what_made_the_run(tmp_path):
  _claim(tmp_path / "new")
  config, manifest = _written(tmp_path / "new")
  assert config == _config()
  assert manifest["data"]["main"]["sha256"] == "aa"
  assert manifest["tokenizer_sha256"] == "bb"
  assert manifest["template"] == {"name": "plain", "sha256": "cc"}
  assert manifest["devices"]["count"] == 8
  assert manifest["libraries"]["jax"]


def test_the_same_config_and_data_continue(tmp_path):
  _claim(tmp_path)
  # By which command a run goes on is no part of what it is.
  again = {**_manifest(), "command": ["the same", "started again"]}
  _claim(tmp_path, manifest=again)
  assert _written(tmp_path) == (_config(), again)


def test_a_changed_field_is_refused_by_name_with_both_values(tmp_path):
  _claim(tmp_path)
  with pytest.raises(
    ValueError, match=r"optim\.learning_rate: 0\.1 there, 0\.2 now"
  ):
    _claim(tmp_path, _config(learning_rate=0.2))


def test_a_refused_claim_leaves_the_files_alone(tmp_path):
  _claim(tmp_path)
  before = (tmp_path / "config.json").read_text()
  with pytest.raises(ValueError):
    _claim(tmp_path, _config(learning_rate=0.2))
  assert (tmp_path / "config.json").read_text() == before


def test_changed_data_under_the_same_path_is_refused(tmp_path):
  _claim(tmp_path)
  with pytest.raises(ValueError, match=r"data\.main\.sha256: 'aa' there"):
    _claim(tmp_path, manifest=_manifest(data_sha256="dd"))


@pytest.mark.parametrize("role", ["critic", "reward_model"])
def test_another_model_under_the_same_name_is_refused(tmp_path, role):
  def manifest(fingerprint):
    return {**_manifest(), role: {"folder": "x", "fingerprint": fingerprint}}

  _claim(tmp_path, manifest=manifest("aa"))
  _claim(tmp_path, manifest=manifest("aa"))
  with pytest.raises(
    ValueError, match=rf"{role}\.fingerprint: 'aa' there, 'bb' now"
  ):
    _claim(tmp_path, manifest=manifest("bb"))
  with pytest.raises(ValueError, match=rf"{role}\.folder: 'x' there"):
    _claim(tmp_path, manifest=_manifest())


def test_how_a_run_is_watched_may_change(tmp_path):
  config = _config()
  config["run"] |= {"tracebacks": False, "log_every": 10}
  _claim(tmp_path, config)
  config["run"] |= {"tracebacks": True, "log_every": 1}
  provenance.refuse_other_config(tmp_path, config)
  _claim(tmp_path, config)
  written, _ = _written(tmp_path)
  assert written["run"]["tracebacks"] is True
  assert written["run"]["log_every"] == 1


def test_another_config_is_refused_before_there_is_any_data(tmp_path):
  _claim(tmp_path)
  with pytest.raises(ValueError, match=r"optim\.learning_rate"):
    provenance.refuse_other_config(tmp_path, _config(learning_rate=0.2))


def test_a_new_field_of_a_later_version_is_named(tmp_path):
  _claim(tmp_path)
  config = _config()
  config["optim"]["momentum"] = 0.9
  with pytest.raises(ValueError, match=r"momentum: '\(absent\)' there, 0\.9"):
    _claim(tmp_path, config)


def test_a_change_that_was_allowed_is_recorded(tmp_path):
  _claim(tmp_path)
  _claim(tmp_path, _config(learning_rate=0.2, allow=True))
  config, _ = _written(tmp_path)
  assert config["optim"]["learning_rate"] == 0.2


def test_allowing_a_change_is_itself_no_change(tmp_path):
  _claim(tmp_path, _config(allow=True))
  assert _written(tmp_path)[0] == _config(allow=True)
  _claim(tmp_path, _config(allow=False))
  assert _written(tmp_path)[0] == _config(allow=False)


def test_the_environment_is_not_in_the_manifest(monkeypatch):
  monkeypatch.setenv("WANDB_API_KEY", "planted-secret")
  assert "planted-secret" not in json.dumps(_manifest())


def test_a_process_with_another_config_is_refused_by_the_fields_name(
  tmp_path, monkeypatch
):
  first = _config(learning_rate=0.2)
  monkeypatch.setattr(provenance.processes, "first_tells", lambda make: first)
  with pytest.raises(
    ValueError, match=r"process 0 .*\n  optim.learning_rate: 0.2 there, 0.1 now"
  ):
    provenance.refuse_other_config(tmp_path, _config(learning_rate=0.1))


def test_a_process_with_other_data_is_refused(tmp_path, monkeypatch):
  first = _manifest(data_sha256="aa")
  monkeypatch.setattr(provenance.processes, "first_tells", lambda make: first)
  with pytest.raises(ValueError, match=r"data\.main\.sha256: 'aa' there"):
    _claim(tmp_path, manifest=_manifest(data_sha256="dd"))


def test_a_folder_that_only_the_first_process_sees_is_refused(
  tmp_path, monkeypatch
):
  manifest = _manifest()
  common = {name: manifest.get(name) for name in provenance._COMMON}
  told = iter([common, "what process 0 wrote elsewhere"])
  monkeypatch.setattr(
    provenance.processes, "first_tells", lambda make: next(told)
  )
  monkeypatch.setattr(provenance.processes, "_SHARED_SECONDS", 0)
  with pytest.raises(ValueError, match="another folder here than on process 0"):
    _claim(tmp_path)
