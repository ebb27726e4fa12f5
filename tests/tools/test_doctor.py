# SPDX-License-Identifier: Apache-2.0
"""`ramjax doctor`: exit statuses, what it prints, and mistakes."""

import json

import pytest
import tiny_audit

from ramjax.tools import doctor

_CONFIG = """
from ramjax.configs import base

def get_config():
  config = base.{tree}
  config.data.sources.main = base.source("rows.jsonl")
  config.data.max_length = 64
  config.tokenizer.path = {tokenizer!r}
  config.model.preset = "tiny"
  config.model.vocab_size = 300
  return config
"""
_TREES = {
  "sft": "sft()",
  "preference": "preference(dpo=dict(weight=1.0, beta=0.1))",
}
_QUARANTINE = "--config.data.max_bad_share=0.5"


def _chats(num):
  return [
    {
      "messages": [
        {"role": "user", "content": f"question {i}"},
        {"role": "assistant", "content": f"answer {i}"},
      ]
    }
    for i in range(num)
  ]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  return tiny_audit.train(tmp_path_factory.mktemp("tokenizer")).path


@pytest.fixture
def run(tokenizer, tmp_path):
  """Writes rows and a config, runs the command, returns its status."""

  def call(rows, *flags, algorithm="sft"):
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = tmp_path / "mine.py"
    tree = _TREES[algorithm]
    config.write_text(_CONFIG.format(tree=tree, tokenizer=str(tokenizer)))
    path = f"--config.data.sources.main.path={data}"
    # A later override of the same field counts.
    return doctor.main([f"--config={config}", path, *flags])

  return call


def test_help_names_the_flags_and_the_exit_statuses(capsys):
  assert doctor.main(["--help"]) == 0
  out = capsys.readouterr().out
  for part in ("--config=FILE", "--html", "--rows", "--json", "3 warnings"):
    assert part in out


def test_help_of_a_config_lists_its_fields(run, capsys):
  assert run(_chats(3), "--help") == 0
  assert "max_length: 64" in capsys.readouterr().out


def test_clean_data_exit_with_zero(run, capsys):
  assert run(_chats(8)) == 0
  out = capsys.readouterr().out
  assert "verdict: nothing found (exit status 0)" in out
  assert "main row 3" in out and "main row 4" not in out
  assert "\x1b" not in out


def test_supervised_tokens_stand_in_brackets(run, capsys):
  run(_chats(8), "--rows=1")
  out = capsys.readouterr().out
  assert "<s>User: question 0" in out
  assert "Assistant:[+ answer 0</s>+]" in out
  assert "1 BOS, 1 EOS" in out


def test_warnings_exit_with_three(run, capsys):
  assert run([*_chats(8), *_chats(1)]) == 3
  out = capsys.readouterr().out
  assert "WARNING duplicate_rows: 1 of 9 (11.1%)" in out
  assert "See main row 9." in out
  assert "verdict: warnings (exit status 3)" in out


def test_errors_exit_with_four(run, tmp_path, capsys):
  held_out = tmp_path / "held_out.jsonl"
  # The very prompt would be left out of training; this is almost it.
  held_out.write_text(json.dumps(_chats(1)[0]).replace("question", "Question "))
  flag = f"--config.data.sources.main.eval_path={held_out}"
  assert run(_chats(8), flag) == 4
  out = capsys.readouterr().out
  assert "ERROR held_out_prompts" in out and "exit status 4" in out


def test_notes_exit_with_zero(run, capsys):
  rows = [*_chats(199), {"wrong": 1}]
  assert run(rows, _QUARANTINE) == 0
  out = capsys.readouterr().out
  assert "NOTE quarantined: 1 of 200" in out
  assert "set aside: main rows.jsonl:200: " in out
  assert "notes only" in out


def test_pairs_are_shown_with_both_answers(run, capsys):
  rows = [
    {"prompt": f"q {i}:", "chosen": " good" * (1 + i % 2), "rejected": " bad" * (2 - i % 2)}
    for i in range(8)
  ]  # fmt: skip
  assert run(rows, "--rows=1", algorithm="preference") == 0
  out = capsys.readouterr().out
  assert "chosen:\n    [+ good</s>+]" in out
  assert "rejected:\n    [+ bad bad</s>+]" in out
  assert "Chosen is longer: 50.0%" in out


def test_json_holds_findings_and_counts(run, capsys):
  assert run([*_chats(8), *_chats(1)], "--json") == 3
  tree = json.loads(capsys.readouterr().out)
  assert tree["exit_status"] == 3 and tree["algorithm"] == "sft"
  (finding,) = tree["findings"]
  assert finding["name"] == "duplicate_rows"
  assert finding["severity"] == "warning"
  assert (finding["count"], finding["total"]) == (1, 9)
  assert finding["examples"] == [{"source": "main", "kind": "row", "number": 9}]
  assert tree["sources"]["main"]["rows_read"] == 9


def test_a_page_is_written_beside_the_text(run, tmp_path, capsys):
  out = tmp_path / "data.html"
  assert run(_chats(8), f"--html={out}") == 0
  assert "<h1>mine</h1>" in out.read_text("utf-8")
  assert capsys.readouterr().out.endswith(f"{out}\n")


def test_nothing_but_the_page_is_written(run, tmp_path):
  run(_chats(8), f"--html={tmp_path / 'data.html'}")
  names = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
  assert names == {"data.html", "mine.py", "rows.jsonl"}


@pytest.mark.parametrize(
  "flags,message",
  [
    (["--config.data.sources.main.path=no.jsonl"], "no.jsonl"),
    (["--config.algorithm=ppo2"], "algorithm='ppo2' is not one of"),
    (["--config.algorithm=ppo"], "algorithm='ppo' samples its answers"),
    (["--config.data.template=none"], "template='none'"),
    (["--config.tokenizer.path=no.model"], "no.model"),
    (["--config.model.preset=llama9"], "preset 'llama9'"),
    (["--config.model.vocab_size=200"], "the tokenizer has"),
    (["--html=no/folder/x.html"], "does not exist. Make it first"),
    (["--rows=-1"], "rows"),
    (["--workdir=x"], "workdir"),
    (["--config.data.max_length=3"], "max_length=3 leaves no room"),
  ],
)
def test_a_mistake_is_named_without_a_traceback(flags, message, run, capsys):
  assert run(_chats(8), *flags) == 1
  err = capsys.readouterr().err
  assert err.startswith("ramjax doctor: ") and message in err
  assert "Traceback" not in err


@pytest.mark.parametrize("row", [{"wrong": 1}, {"prompt": "a", "chosen": "b"}])
def test_a_wrong_row_format_is_named(row, run, capsys):
  assert run([*_chats(2), row]) == 1
  err = capsys.readouterr().err
  assert "rows.jsonl:3" in err and "messages" in err


def test_no_config_is_named(capsys):
  assert doctor.main([]) == 1
  assert "--config is missing" in capsys.readouterr().err


def test_a_config_that_does_not_exist_is_named(capsys):
  assert doctor.main(["--config=nowhere.py"]) == 1
  assert "'nowhere.py' does not exist" in capsys.readouterr().err


def test_a_folder_is_no_place_for_the_page(run, tmp_path, capsys):
  assert run(_chats(3), f"--html={tmp_path}") == 1
  assert "is a folder: name a file" in capsys.readouterr().err


def test_the_page_is_refused_before_the_data_is_read(run, capsys):
  assert run([{"wrong": 1}], "--html=no/folder/x.html") == 1
  assert "no/folder" in capsys.readouterr().err
