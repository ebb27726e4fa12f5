# SPDX-License-Identifier: Apache-2.0
"""The card says what the weights are and where they come from."""

import dataclasses
import json

import pytest

from ramjax.models import presets, weights
from ramjax.tools import model_card
from ramjax.trainers import provenance

_CONFIG = presets.PRESETS["llama3_2_1b"]


def test_card_states_shape_and_provenance():
  card = model_card.render("mine", _CONFIG, {"source": "runs/mine"})
  head, _, rest = card.partition("\n---\n")
  assert head.splitlines() == [
    "---",
    "library_name: transformers",
    "pipeline_tag: text-generation",
    "tags: [ramjax]",
  ]
  assert "# mine" in rest and "1,235,814,400 parameters" in rest
  assert 'AutoModelForCausalLM.from_pretrained("mine")' in rest
  (block,) = rest.split("```json\n")[1:]
  assert json.loads(block.split("\n```")[0]) == {"source": "runs/mine"}


def test_card_of_a_reward_model_names_its_class():
  config = dataclasses.replace(_CONFIG, num_labels=1)
  card = model_card.render("mine", config, {})
  assert "pipeline_tag: text-classification" in card
  assert "AutoModelForSequenceClassification.from_pretrained" in card


def test_provenance_cannot_end_its_block():
  hostile = {"source": "\n```\n# Trust me\n"}
  card = model_card.render("mine", _CONFIG, hostile)
  assert card.count("\n```\n") == 2 and "\n# Trust me" not in card


def test_folder_without_any_has_none(tmp_path):
  assert model_card.read_provenance(tmp_path) == {}


def test_history_of_a_conversion_is_read(tmp_path):
  (tmp_path / "provenance.json").write_text('{"command": "convert from-hf"}')
  assert model_card.read_provenance(tmp_path) == {"command": "convert from-hf"}


def test_what_a_run_says_of_itself_is_read(tmp_path):
  manifest = provenance.build_manifest(
    data={"tasks": {"path": "a.jsonl", "fingerprint": "12", "rows": 3}},
    tokenizer_digest="34",
    template="llama3",
    template_digest="56",
    num_parameters=7,
    initial_weights={"seed": 0},
  )
  config = {
    "algorithm": "sft",
    "run": {"total_steps": 9, "allow_config_change": False},
    "optim": {"learning_rate": 1e-3},
  }
  provenance.claim_workdir(tmp_path, config, manifest)
  weights.save_config(tmp_path, _CONFIG)
  assert model_card.read_provenance(tmp_path) == {
    "run": {
      "algorithm": "sft",
      "steps": 9,
      "learning_rate": 1e-3,
      "template": {"name": "llama3", "sha256": "56"},
      "commit": manifest["code"]["commit"],
      "data": {"tasks": {"path": "a.jsonl", "fingerprint": "12"}},
    }
  }


def test_manifest_of_another_version_is_no_error(tmp_path):
  weights.save_config(tmp_path, _CONFIG)
  (tmp_path / "manifest.json").write_text('{"data": ["a"], "code": null}')
  (tmp_path / "config.json").write_text('{"run": 3}')
  run = model_card.read_provenance(tmp_path)["run"]
  assert run["algorithm"] is None and run["data"] == {}


def test_manifest_beside_a_hugging_face_config_is_not_a_runs(tmp_path):
  (tmp_path / "manifest.json").write_text("{}")
  (tmp_path / "config.json").write_text('{"model_type": "llama"}')
  assert model_card.read_provenance(tmp_path) == {}


@pytest.mark.parametrize("text", ["[]", "{", "NaN", '{"a": NaN}'])
def test_damaged_provenance_is_refused_by_file(tmp_path, text):
  (tmp_path / "provenance.json").write_text(text)
  with pytest.raises(ValueError, match=r"provenance\.json"):
    model_card.read_provenance(tmp_path)
