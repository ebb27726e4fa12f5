# SPDX-License-Identifier: Apache-2.0
"""Files are read whole or refused by name, however hostile they are."""

import dataclasses
import datetime
import gzip
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ramjax.data import parse_rows, read, strict_json
from ramjax.data.rows import RowError

ROW = {"messages": [{"role": "user", "content": "é"}], "n": [1, None, 2.5]}


def _write(path, content):
  data = content.encode() if isinstance(content, str) else content
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
  return path


def _values(path):
  return [record.value for record in read.read_records(path)]


def _errors(path):
  """Returns place and reason of each record that cannot be read."""
  return [
    (record.where, str(record.value))
    for record in read.read_records(path)
    if isinstance(record.value, read.RecordError)
  ]


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_jsonl_gives_its_records_with_their_lines(tmp_path, end, mark):
  line = json.dumps(ROW, ensure_ascii=False).encode()
  # A raw U+2028 is legal inside a JSON string, and ends no line.
  data = mark + line + b'\r\n\n  \n"\xe2\x80\xa8"\n' + line
  path = _write(tmp_path / f"a.jsonl{end}", data)
  records = list(read.read_records(path))
  name = path.name
  assert [record.where for record in records] == [
    f"{name}:1",
    f"{name}:4",
    f"{name}:5",
  ]
  assert [record.value for record in records] == [ROW, "\u2028", ROW]
  assert records[0].raw == line.decode()


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_json_array_gives_its_records_with_their_rows(tmp_path, end, mark):
  path = _write(
    tmp_path / f"a.json{end}", mark + json.dumps([ROW, 3, ROW], indent=1)
  )
  records = list(read.read_records(path))
  assert [record.value for record in records] == [ROW, 3, ROW]
  assert records[2].where == f"{path.name}: row 3"
  assert json.loads(records[2].raw) == ROW


def test_empty_files_and_arrays_have_no_records(tmp_path):
  assert _values(_write(tmp_path / "a.jsonl", "")) == []
  assert _values(_write(tmp_path / "b.json", " [ ] \n")) == []


BAD_VALUES = [
  ('{"a": NaN}', "NaN is not JSON"),
  ('{"a": -Infinity}', "-Infinity is not JSON"),
  ('{"a": 1e999}', "1e999 overflows"),
  ('{"a": ' + "9" * 5000 + "}", "an integer of 5000 digits"),
  ('{"role": "user", "x": 1, "role": "system"}', "key 'role' stands twice"),
  ('{"m": [{"b": 1, "b": 1}]}', "key 'b' stands twice"),
  ('{"\\u001b\\ud800": 1, "\\u001b\\ud800": 1}', r"key '\\x1b\\ud800' stands"),
  ("[" * 65 + "]" * 65, "nested more than 64 levels"),
  ('{"a":' * 65 + "1" + "}" * 65, "nested more than 64 levels"),
]


@pytest.mark.parametrize(("value", "reason"), BAD_VALUES)
def test_what_python_would_let_pass_is_an_error(tmp_path, value, reason):
  path = _write(tmp_path / "a.jsonl", f'{{"a": 1}}\n{value}\n{{"a": 2}}\n')
  [(where, message)] = _errors(path)
  assert where == "a.jsonl:2" and message.isprintable()
  assert reason.replace("\\\\", "\\") in message
  assert {"a": 2} in _values(path)
  # In an array, too, the records around it stay readable.
  path = _write(tmp_path / "a.json", f'[{{"a": 1}}, {value}, {{"a": 2}}]')
  [(where, message)] = _errors(path)
  assert where == "a.json: row 2" and message.isprintable()
  assert {"a": 2} in _values(path)


def test_nesting_is_counted_in_levels_not_in_brackets(tmp_path):
  deepest = "[" * 63 + "[], []" + "]" * 63
  wide = "[" + ",".join(["[[]]"] * 200) + "]"
  path = _write(tmp_path / "a.jsonl", f"{deepest}\n{wide}\n")
  assert _errors(path) == []


BROKEN_LINES = [
  (b'{"a": 1', "not valid JSON: Expecting ',' delimiter at column 8"),
  (b'{"a": 1} {"a": 2}', "not valid JSON: Extra data at column 9"),
  (b"{'a': 1}", "not valid JSON"),
  (b'{"a": "\x01"}', "not valid JSON: Invalid control character"),
  (b'{"a": "\xff"}', "not UTF-8: byte 0xff at offset 7"),
  (b'{"a": "\xed\xa0\xbd"}', "not UTF-8: byte 0xed"),  # A raw surrogate.
  ('{"a": 1}'.encode("utf-16"), "not UTF-8: byte 0xff at offset 0"),
  (b"\xef\xbb\xbf{}", "not valid JSON"),  # A mark that is not at the start.
  (b"\x00\x00", "not valid JSON"),
  (b"[" * 100_000, "nested more than 64 levels"),
  (b'{"a":' * 100_000, "nested more than 64 levels"),
]


@pytest.mark.parametrize(("line", "reason"), BROKEN_LINES)
def test_a_broken_line_leaves_the_others_readable(tmp_path, line, reason):
  # UTF-16 holds a newline byte in no ASCII text, so it is one line here.
  path = _write(tmp_path / "a.jsonl", b'{"a": 1}\n' + line + b'\n{"a": 2}')
  [(where, message)] = _errors(path)
  assert where == "a.jsonl:2"
  assert reason in message
  assert _values(path)[0] == {"a": 1} and _values(path)[-1] == {"a": 2}


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ('[{"a": 1},\n {"a": 2,}]', "row 2 breaks the JSON array: .* line 2 col"),
    ('[{"a": 1}\n {"a": 2}]', r"row 1 .*Expecting ',' or '\]' at line 2"),
    ('[{"a": 1},]', "row 2 .*Expecting value at line 1 column 11"),
    ('[{"a": 1}', r"row 1 .*Expecting ',' or '\]'"),
    ("[1] []", "Extra data after the array"),
    ("[", "row 1 .*Expecting value"),
    ("[" * 100_000, "row 1 .*nested more than 64"),
    ('{"a": 1}\n{"a": 2}', 'one object a line, name it ".jsonl"'),
    ("", "must hold one array"),
    (b'[{"a":\n"\xff"}]', "not UTF-8: byte 0xff at line 2"),
  ],
)
def test_a_broken_array_is_one_error_that_says_where(tmp_path, text, reason):
  path = _write(tmp_path / "a.json", text)
  with pytest.raises(read.DataError, match=f"(?s){reason}") as caught:
    _values(path)
  assert str(path) in str(caught.value)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_an_overlong_line_is_skipped_in_pieces(tmp_path, end, monkeypatch):
  monkeypatch.setattr(read, "MAX_LINE_BYTES", 100)
  exact = json.dumps("x" * 98)
  assert len(exact) == 100
  path = _write(
    tmp_path / f"a.jsonl{end}", f"{exact}\n{json.dumps('y' * 99)}\n{exact}"
  )
  [(where, message)] = _errors(path)
  assert where == f"{path.name}:2"
  assert "longer than 100 bytes" in message
  assert _values(path)[2] == "x" * 98
  # An overlong last line without an end, and one that never ends.
  _write(path, exact + "\n" + "[" * 5000)
  assert len(_errors(path)) == 1
  monkeypatch.setattr(read, "MAX_SKIPPED_BYTES", 1000)
  with pytest.raises(read.DataError, match="no JSONL file"):
    _values(path)


def test_a_gzip_bomb_is_not_expanded_in_memory(tmp_path, monkeypatch):
  # 16 MiB of one line, from 16 KiB: read in pieces, then given up.
  path = tmp_path / "a.jsonl.gz"
  path.write_bytes(gzip.compress(b" " * (16 << 20)))
  monkeypatch.setattr(read, "MAX_SKIPPED_BYTES", 4 << 20)
  with pytest.raises(read.DataError, match="no JSONL file"):
    _values(path)
  monkeypatch.setattr(read, "MAX_JSON_BYTES", 1 << 20)
  with pytest.raises(read.DataError, match="convert it to JSONL"):
    _values(path.rename(tmp_path / "a.json.gz"))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz"])
def test_damaged_gzip_raises_instead_of_ending_early(tmp_path, name):
  lines = "\n".join(json.dumps(f"row {i}") for i in range(1000))
  whole = gzip.compress(lines.encode())
  path = tmp_path / name
  for damaged in (
    whole[:-9],
    whole[:200] + b"\x00" * 50 + whole[250:],
    lines.encode(),
    whole + b"junk",
  ):
    path.write_bytes(damaged)
    with pytest.raises(read.DataError, match="damaged gzip"):
      _values(path)


def test_parquet_gives_plain_dicts_and_lists(tmp_path):
  path = tmp_path / "a.parquet"
  rows = [{**ROW, "label": True}, {"messages": [], "n": None, "label": None}]
  pq.write_table(pa.Table.from_pylist(rows), path)
  records = list(read.read_records(path))
  assert [record.value for record in records] == rows
  assert [record.where for record in records] == [
    "a.parquet: row 1",
    "a.parquet: row 2",
  ]


def test_parquet_rows_without_a_value_leave_the_others_readable(tmp_path):
  path = tmp_path / "a.parquet"
  bad = pa.StringArray.from_buffers(
    2,
    pa.py_buffer(b"\x00\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00"),
    pa.py_buffer(b"ok\xff"),
  )
  pq.write_table(pa.table({"text": bad}), path)
  assert _values(path)[0] == {"text": "ok"}
  [(where, message)] = _errors(path)
  assert where == "a.parquet: row 2" and "utf-8" in message


def test_parquet_dates_reach_the_parser_as_no_string(tmp_path):
  path = tmp_path / "a.parquet"
  pq.write_table(pa.table({"text": [datetime.date(2020, 1, 1)]}), path)
  with pytest.raises(RowError, match="text is of type date"):
    parse_rows.parse_sft(_values(path)[0])


def test_damaged_or_ambiguous_parquet_is_refused(tmp_path, monkeypatch):
  path = tmp_path / "a.parquet"
  path.write_bytes(b"PAR1 is not enough")
  with pytest.raises(read.DataError, match="damaged or unsupported Parquet"):
    _values(path)
  table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
  pq.write_table(table, path)
  with pytest.raises(read.DataError, match=r"columns \['text'\] stand twice"):
    _values(path)
  pq.write_table(pa.table({"text": ["a" * 1000]}), path)
  monkeypatch.setattr(read, "MAX_ROW_GROUP_BYTES", 10)
  with pytest.raises(read.DataError, match="smaller row groups"):
    _values(path)


def test_truncated_parquet_pages_raise(tmp_path):
  path = tmp_path / "a.parquet"
  texts = [str(random.Random(i).random()) for i in range(500)]
  pq.write_table(pa.table({"text": texts}), path, use_dictionary=False)
  data = bytearray(path.read_bytes())
  data[4:40] = b"\xff" * 36
  path.write_bytes(data)
  with pytest.raises(read.DataError, match="damaged or unsupported Parquet"):
    _values(path)


def test_a_missing_file_names_the_absolute_path(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  expected = str(tmp_path / "no" / "a.jsonl")
  with pytest.raises(FileNotFoundError, match=expected):
    read.read_records("no/a.jsonl")
  with pytest.raises(FileNotFoundError, match="patterns are not expanded"):
    read.read_records("*.jsonl")


def test_what_is_no_readable_file_is_refused_at_once(tmp_path):
  with pytest.raises(read.DataError, match="is a directory: name one file"):
    read.read_records(tmp_path)
  for name in ("a.csv", "a", "a.gz", "a.jsonl.zst", "jsonl"):
    with pytest.raises(read.DataError, match=r"\.jsonl, \.jsonl\.gz, \.json,"):
      read.read_records(_write(tmp_path / name, "{}"))


def test_deep_nesting_is_found_whatever_stack_is_in_use(tmp_path):
  # Shallow enough for Python's own decoder, so only the count can tell.
  path = _write(tmp_path / "a.jsonl", "[" * 200 + "]" * 200)
  [(_, message)] = _errors(path)
  assert str(strict_json.MAX_DEPTH) in message


def _mutate_value(value, rng: random.Random):
  """Puts a stranger somewhere in a record that stays JSON."""
  strangers = [None, True, 0, 2.5, "", " ", "\ud800", "user", [], {}, [[]]]
  if not isinstance(value, dict | list) or not value or rng.random() < 0.2:
    return rng.choice(strangers)
  keys = list(value) if isinstance(value, dict) else range(len(value))
  copied = value.copy()
  at = rng.choice(list(keys))
  if rng.random() < 0.2:
    del copied[at]
  else:
    copied[at] = _mutate_value(copied[at], rng)
  return copied


def _mutate_bytes(line: bytes, rng: random.Random) -> bytes:
  data = bytearray(line)
  tokens = [b'"', b"{", b"[", b"}", b",", b"null", b"NaN", b"\\ud800", b"\xff"]
  tokens += [b"1e999", b"\n", b'"role"', b'"system"', b'""', b"\\", b"\x00"]
  for _ in range(rng.randrange(1, 4)):
    at = rng.randrange(len(data) + 1)
    match rng.randrange(4):
      case 0:
        data[at : at + rng.randrange(1, 12)] = b""
      case 1:
        data[at:at] = rng.choice(tokens)
      case 2:
        data[at : at + 1] = bytes([rng.randrange(256)])
      case _:
        data[at:at] = data[at : at + rng.randrange(1, 30)]
  return bytes(data)


ASK = {"role": "user", "content": "Say \U0001f600 or \u00e9"}
GOOD = {"role": "assistant", "content": "yes"}
BAD = {"role": "assistant", "content": "no"}


@pytest.mark.parametrize(
  ("parse", "seeds"),
  [
    (
      parse_rows.parse_sft,
      [
        {"messages": [{"role": "system", "content": "s"}, ASK, GOOD], "id": 1},
        {"prompt": "a", "completion": "b"},
        {"instruction": "a", "input": "", "output": "b"},
      ],
    ),
    (
      parse_rows.parse_preference,
      [
        {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]},
        {"chosen": [ASK, GOOD], "rejected": [ASK, BAD]},
        {"chosen": "x\n\nAssistant: y", "rejected": "x\n\nAssistant: z"},
      ],
    ),
    (
      parse_rows.parse_unpaired,
      [{"prompt": [ASK], "completion": [GOOD], "label": True}],
    ),
  ],
)
def test_every_mutated_line_is_a_row_or_a_typed_error(tmp_path, parse, seeds):
  rng = random.Random(0)
  lines = []
  for _ in range(1500):
    seed = rng.choice(seeds)
    lines.append(_mutate_bytes(json.dumps(seed).encode(), rng))
    lines.append(json.dumps(_mutate_value(seed, rng)).encode())
  path = _write(tmp_path / "a.jsonl", b"\n".join(lines))
  outcomes = {"row": 0, "no row": 0, "no JSON": 0}
  for record in read.read_records(path):
    if isinstance(record.value, read.RecordError):
      assert str(record.value).isprintable()
      outcomes["no JSON"] += 1
      continue
    try:
      row = parse(record.value)
    except RowError as error:
      assert str(error).isprintable()
      outcomes["no row"] += 1
    else:
      # What came through can be encoded: it holds no surrogate.
      json.dumps(dataclasses.asdict(row), ensure_ascii=False).encode()
      outcomes["row"] += 1
  # Each outcome occurs, so the mutations reach every layer.
  assert min(outcomes.values()) > 20, outcomes
