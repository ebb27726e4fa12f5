# SPDX-License-Identifier: Apache-2.0
"""Every record becomes a row, stops the load, or is counted and set aside."""

import hashlib
import json
import pathlib

import pytest

from ramjax.data import load, parse_rows, task_pairs, tasks
from ramjax.data.read import DataError
from ramjax.data.rows import ChatRow, Message, PreferenceRow, TextRow

SHARED = pathlib.Path(__file__).parents[2].parent / "shared" / "data"


def _write(path, *lines):
  path.write_text(
    "\n".join(
      line if isinstance(line, str) else json.dumps(line) for line in lines
    ),
    encoding="utf-8",
  )
  return str(path)


def _load(path, **kwargs):
  return load.load_rows(path, parse=parse_rows.parse_sft, **kwargs)


def test_rows_come_with_the_records_they_came_from(tmp_path):
  records = [{"text": "a", "id": 1}, {"prompt": "b", "completion": "c"}]
  path = _write(tmp_path / "a.jsonl", records[0], "", records[1])
  loaded = _load(path)
  assert loaded.rows == [TextRow("", "a"), TextRow("b", "c")]
  assert loaded.records == records
  assert (loaded.num_read, loaded.num_quarantined) == (2, 0)


def test_the_fingerprint_is_the_hash_of_the_file(tmp_path):
  path = _write(tmp_path / "a.jsonl", {"text": "a"})
  expected = hashlib.sha256(b'{"text": "a"}').hexdigest()
  assert _load(path).fingerprint == expected
  assert _load(_write(tmp_path / "b.jsonl", {"text": "a"}, "")).fingerprint != (
    expected
  )


@pytest.mark.parametrize(
  ("line", "reason"),
  [
    ({"text": ""}, "text is empty"),
    ('{"text": ', "not valid JSON"),
    ("[1]", "the record is a list, not an object"),
  ],
)
def test_the_first_bad_row_stops_with_its_place_and_both_remedies(
  tmp_path, line, reason
):
  path = _write(tmp_path / "a.jsonl", {"text": "a"}, "", line, {"text": "b"})
  with pytest.raises(DataError) as caught:
    _load(path)
  message = str(caught.value)
  for part in (path, "a.jsonl:3", reason, "Mend", "data.max_bad_share"):
    assert part in message


def test_bad_rows_are_set_aside_and_counted(tmp_path):
  long = {"text": 5, "pad": "x" * 5000}
  lines = [{"text": "a"}, '{"text": "\\ud800"}', '{"t": ', long, {"text": "b"}]
  path = _write(tmp_path / "a.jsonl", *lines)
  quarantine = tmp_path / "new" / "bad.jsonl"
  # Three of five: the share itself is still allowed.
  loaded = _load(path, max_bad_share=0.6, quarantine_path=quarantine)
  assert loaded.rows == [TextRow("", "a"), TextRow("", "b")]
  assert loaded.records == [{"text": "a"}, {"text": "b"}]
  assert (loaded.num_read, loaded.num_quarantined) == (5, 3)
  kept = [json.loads(line) for line in quarantine.read_text().splitlines()]
  assert [bad["where"] for bad in kept] == [
    "a.jsonl:2",
    "a.jsonl:3",
    "a.jsonl:4",
  ]
  assert [bad["raw"] for bad in kept] == [
    lines[1],
    lines[2].strip(),
    json.dumps(long)[:2000],
  ]
  assert "lone surrogate" in kept[0]["reason"]


def test_more_bad_rows_than_allowed_stop_with_three_reasons(tmp_path):
  lines = [{"text": "a"}] * 6 + [{"text": n} for n in range(4)]
  path = _write(tmp_path / "a.jsonl", *lines)
  quarantine = tmp_path / "bad.jsonl"
  with pytest.raises(DataError) as caught:
    _load(path, max_bad_share=0.39, quarantine_path=quarantine)
  message = str(caught.value)
  assert "4 of 10 records are bad" in message and str(quarantine) in message
  assert message.count("not a string") == 3
  assert len(quarantine.read_text().splitlines()) == 4


def test_an_allowed_share_is_not_lost_to_rounding(tmp_path):
  # 0.29 * 100 is 28.999999999999996 in floating point.
  lines = [{"text": "a"}] * 71 + [{"text": 1}] * 29
  path = _write(tmp_path / "a.jsonl", *lines)
  loaded = _load(
    path, max_bad_share=0.29, quarantine_path=tmp_path / "bad.jsonl"
  )
  assert loaded.num_quarantined == 29


def test_an_old_quarantine_does_not_outlive_its_file(tmp_path):
  quarantine = tmp_path / "bad.jsonl"
  quarantine.write_text("old")
  path = _write(tmp_path / "a.jsonl", {"text": "a"})
  _load(path, max_bad_share=0.5, quarantine_path=quarantine)
  assert quarantine.read_text() == ""


def test_a_source_without_a_good_row_is_refused(tmp_path):
  with pytest.raises(DataError, match="no good record of 0 read"):
    _load(_write(tmp_path / "a.jsonl"))
  path = _write(tmp_path / "b.jsonl", {"text": ""})
  with pytest.raises(DataError, match="no good record of 1 read"):
    _load(path, max_bad_share=1.0, quarantine_path=tmp_path / "bad.jsonl")


def test_damage_to_a_file_is_never_set_aside(tmp_path):
  path = _write(tmp_path / "a.json", '[{"text": "a"}, {"text": "b"}')
  with pytest.raises(DataError, match="breaks the JSON array"):
    _load(path, max_bad_share=0.9, quarantine_path=tmp_path / "bad.jsonl")


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_outside_the_unit_interval_are_refused(tmp_path, share):
  with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
    _load("a.jsonl", max_bad_share=share, quarantine_path=tmp_path / "b.jsonl")


def test_bad_rows_are_never_dropped_without_a_quarantine():
  with pytest.raises(ValueError, match="needs a quarantine_path"):
    _load("a.jsonl", max_bad_share=0.1)


def test_an_error_of_the_parser_is_no_bad_row(tmp_path):
  def broken(record):
    raise KeyError("bug")

  with pytest.raises(KeyError, match="bug"):
    load.load_rows(_write(tmp_path / "a.jsonl", {"text": "a"}), parse=broken)


@pytest.mark.parametrize(
  ("path", "error", "reason"),
  [
    ("no.jsonl", FileNotFoundError, "does not exist"),
    ("*.jsonl", FileNotFoundError, "patterns are not expanded"),
    (".", DataError, "is a directory"),
    ("hf:some/name", DataError, "none of the known suffixes"),
    ("tfds:x", DataError, "tfds:NAME/CONFIG:SPLIT"),
    ("tfds:x/y:train", DataError, "data_dir=DIR"),
    ("tfds:x/y:train?data_dir=", DataError, "data_dir=DIR"),
    ("tfds:../y:train?data_dir=/tmp", DataError, "must be NAME"),
    ("tfds:x:train?data_dir=gs://a/b", DataError, "must be a local directory"),
    ("tasks:", DataError, "tasks:NUM"),
    ("tasks:3", DataError, "seed=SEED"),
    ("tasks:-3?seed=0", DataError, "tasks:NUM"),
    ("tasks:3?seed=0&x=1", DataError, "tasks:NUM"),
    ("tasks:3?seed=0&kinds=", DataError, "kinds=KIND"),
    ("tasks:3?seed=0&kinds=no_such", ValueError, "not a task kind"),
    ("tasks:3?seed=0&wrong=2", DataError, "wrong=0.SHARE"),
    ("tasks:3?seed=0&wrong=0.5&kinds=has_word", DataError, "tasks:NUM"),
    ("tasks:3?seed=0&kinds=no_such&wrong=0.5", ValueError, "not a task kind"),
    ("tasks:0?seed=0", DataError, "no good record of 0 read"),
    ("task_pairs:", DataError, "task_pairs:NUM"),
    ("task_pairs:3?seed=", DataError, "such as task_pairs:1000"),
    ("task_pairs:0?seed=0", DataError, "no good record of 0 read"),
    ("task_pairs:1?seed=0", DataError, "fits no row format"),
  ],
)
def test_what_is_no_source_is_refused(
  tmp_path, monkeypatch, path, error, reason
):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(error, match=reason):
    _load(path)


def test_tasks_are_rows_with_what_verifies_them():
  loaded = _load("tasks:7?seed=3")
  expected = tasks.generate_tasks(num_tasks=7, seed=3)
  assert loaded.records == [tasks.task_record(task) for task in expected]
  assert loaded.rows[0] == ChatRow(
    (
      Message("user", expected[0].prompt),
      Message("assistant", expected[0].response, supervised=True),
    )
  )
  for record, task in zip(loaded.records, expected, strict=True):
    assert tasks.verify_response(record["task"], task.response)
  assert loaded.fingerprint == _load("tasks:7?seed=3").fingerprint
  assert loaded.fingerprint != _load("tasks:7?seed=4").fingerprint


def test_tasks_may_be_of_some_kinds_only():
  loaded = _load("tasks:4?seed=3&kinds=has_word+copy_words")
  kinds = [record["task"]["kind"] for record in loaded.records]
  assert kinds == ["has_word", "copy_words"] * 2
  assert loaded.fingerprint != _load("tasks:4?seed=3").fingerprint


def test_a_share_of_tasks_may_show_a_wrong_answer():
  loaded = _load("tasks:400?seed=3&wrong=0.3")
  right = _load("tasks:400?seed=3")
  verdicts = []
  for record, clean in zip(loaded.records, right.records, strict=True):
    assert record["prompt"] == clean["prompt"]
    assert record["task"] == clean["task"]
    answer = record["completion"][0]["content"]
    verdicts.append(tasks.verify_response(record["task"], answer))
  # Binomial, 400 draws: five standard errors.
  assert abs(verdicts.count(False) / 400 - 0.3) < 0.12
  some = _load("tasks:4?seed=3&kinds=has_word+copy_words&wrong=0.999")
  assert [r["task"]["kind"] for r in some.records] == [
    "has_word", "copy_words",
  ] * 2  # fmt: skip
  for record in some.records:
    answer = record["completion"][0]["content"]
    assert not tasks.verify_response(record["task"], answer)


def test_task_pairs_are_preference_rows():
  def load_pairs(path):
    return load.load_rows(path, parse=parse_rows.parse_preference)

  loaded = load_pairs("task_pairs:7?seed=3")
  assert loaded.records == task_pairs.generate_pairs(num_pairs=7, seed=3)
  chosen = [
    tasks.task_record(t) for t in tasks.generate_tasks(num_tasks=7, seed=3)
  ]
  for row, record in zip(loaded.rows, chosen, strict=True):
    assert row.chosen[0].content == record["completion"][0]["content"]
    assert not tasks.verify_response(record["task"], row.rejected[0].content)
  same, other = (
    load_pairs("task_pairs:7?seed=3"),
    load_pairs("task_pairs:7?seed=4"),
  )
  assert loaded.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
  ("name", "num_read", "num_bad"),
  # Some published answers are empty: one of the first 2,000, four of all.
  [("alpaca_2000.json", 2000, 1), ("alpaca_random_9k.json.gz", 9229, 4)],
)
def test_published_alpaca_rows_load(tmp_path, name, num_read, num_bad):
  path = SHARED / "alpaca" / name
  if not path.exists():
    pytest.skip(f"{path} is not here")
  with pytest.raises(DataError, match=r"row \d+: output is empty"):
    _load(str(path))
  loaded = _load(
    str(path), max_bad_share=0.001, quarantine_path=tmp_path / "bad.jsonl"
  )
  assert (loaded.num_read, loaded.num_quarantined) == (num_read, num_bad)
  for row, record in zip(loaded.rows, loaded.records, strict=True):
    assert isinstance(row, ChatRow)
    assert row.messages[0].content.startswith(record["instruction"])
    assert row.messages[1].content == record["output"]


def test_published_preference_transcripts_load(tmp_path):
  path = SHARED / "hh_rlhf" / "harmless-base_test.jsonl.gz"
  if not path.exists():
    pytest.skip(f"{path} is not here")
  loaded = load.load_rows(
    str(path),
    parse=parse_rows.parse_preference,
    max_bad_share=0.002,
    quarantine_path=tmp_path / "bad.jsonl",
  )
  # Four of the pairs hold an empty answer.
  assert (loaded.num_read, loaded.num_quarantined) == (2312, 4)
  for row, record in zip(loaded.rows, loaded.records, strict=True):
    assert isinstance(row, PreferenceRow) and isinstance(row.prompt, str)
    assert row.prompt.endswith("\n\nAssistant:")
    for answer, field in ((row.chosen, "chosen"), (row.rejected, "rejected")):
      assert isinstance(answer, str) and "\n\nHuman:" not in answer
      assert row.prompt + answer == record[field]
