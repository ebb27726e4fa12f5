# SPDX-License-Identifier: Apache-2.0
"""A model's folder is opened with its tokenizer and template, or refused."""

import dataclasses
import json
import shutil

import jax
import pytest
import tiny_model_folder

from ramjax.data import jinja_templates
from ramjax.data.rows import Message
from ramjax.evals.engine import ChatRequest
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools.local_model import open_local

_PROMPT = (Message("user", "word 1"),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models") / "hf"
  tiny_model_folder.write(folder)
  return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models") / "run"
  tiny_model_folder.write(folder, as_run=True)
  (folder / "manifest.json").write_text(
    json.dumps({"template": {"name": "alpaca"}})
  )
  return folder


def test_a_run_is_spoken_to_as_it_was_trained(run):
  model = open_local(run)
  assert model.template == "alpaca"
  model.source.close()
  model = open_local(run, template="plain")
  assert model.template == "plain"
  model.source.close()


def test_a_hugging_face_folder_is_spoken_to_as_its_template_spells(
  folder, tmp_path
):
  tiny_model_folder.write(tmp_path / "hf")
  (tmp_path / "hf" / "chat_template.jinja").write_text(
    jinja_templates.jinja_template("mistral")
  )
  model = open_local(tmp_path / "hf")
  assert model.template == "mistral"
  model.source.close()
  with pytest.raises(ValueError, match=r"does not say.*--template: alpaca, c"):
    open_local(folder)


@pytest.mark.parametrize(
  "text,problem",
  [
    ("{{ 'all the same' }}", "spells like none of ours"),
    ("x" * 10_000_000, "cannot be tried"),
  ],
  ids=["another", "endless"],
)
def test_a_foreign_template_is_not_guessed_at(tmp_path, text, problem):
  tiny_model_folder.write(tmp_path / "hf")
  (tmp_path / "hf" / "chat_template.jinja").write_text(text)
  with pytest.raises(ValueError, match=rf"{problem}.*name one with --template"):
    open_local(tmp_path / "hf")


def test_the_identity_is_of_the_weights_and_not_of_the_place(folder, tmp_path):
  def identity(folder, template="plain"):
    model = open_local(folder, template=template)
    found = model.identity()
    model.source.close()
    return found

  tiny_model_folder.write(tmp_path / "same")
  tiny_model_folder.write(tmp_path / "other", seed=1)
  assert identity(folder) == identity(tmp_path / "same")
  assert identity(folder) != identity(tmp_path / "other")
  assert identity(folder) != identity(folder, "alpaca")


def test_a_prompt_without_room_is_named(folder):
  model = open_local(folder, template="plain")
  model.check_room([_PROMPT] * 3, max_tokens=8)
  long = (Message("user", "word " * 40),)
  with pytest.raises(ValueError, match=r"prompt 2 has \d+ tokens.*the 64 pos"):
    model.check_room([_PROMPT, long], max_tokens=8)
  with pytest.raises(ValueError, match="prompt 1 has"):
    model.check_room([_PROMPT], max_tokens=64)
  model.source.close()


def test_the_engine_answers(folder):
  model = open_local(folder, template="plain")
  options = SamplingOptions(max_tokens=4, temperature=0)
  with model.engine(num_slots=2) as engine:
    answers = engine.complete([ChatRequest(_PROMPT, options)] * 2)
  model.source.close()
  assert all(1 <= got.num_tokens <= 4 for got in answers)
  assert jax.device_count() > 1  # So the parameters were split.


def test_a_checkpoint_that_came_since_is_not_taken_for_the_one_opened(tmp_path):
  tiny_model_folder.write(tmp_path / "run", as_run=True)
  tiny_model_folder.write(tmp_path / "later", as_run=True, seed=1)
  model = open_local(tmp_path / "run", template="plain")
  (checkpoint,) = (tmp_path / "later" / "checkpoints").iterdir()
  later = str(int(checkpoint.name) + 1)
  shutil.copytree(checkpoint, tmp_path / "run" / "checkpoints" / later)
  with pytest.raises(ValueError, match="another model than a moment ago"):
    with model.engine(num_slots=2):
      pass
  model.source.close()


def test_what_cannot_answer_is_refused(folder, tmp_path):
  classifier = dataclasses.replace(tiny_model_folder.CONFIG, num_labels=1)
  tiny_model_folder.write(tmp_path / "scores", classifier)
  with pytest.raises(ValueError, match=r"a classifier \(num_labels=1\)"):
    open_local(tmp_path / "scores", template="plain")
  small = dataclasses.replace(tiny_model_folder.CONFIG, vocab_size=288)
  tiny_model_folder.write(tmp_path / "small", small)
  with pytest.raises(ValueError, match="has 300 tokens and the model 288"):
    open_local(tmp_path / "small", template="plain")
  (tmp_path / "small" / "tokenizer.model").unlink()
  with pytest.raises(FileNotFoundError, match="put the model's tokenizer"):
    open_local(tmp_path / "small", template="plain")
  with pytest.raises(ValueError, match=r"no special token '<.eot_id.>'"):
    open_local(folder, template="llama3")
  with pytest.raises(ValueError, match="has no steps"):
    open_local(folder, step=3, template="plain")
  with pytest.raises(FileNotFoundError, match="holds no model"):
    open_local(tmp_path, template="plain")
