# SPDX-License-Identifier: Apache-2.0
"""The ledger: only added to, never misread, and what changed since."""

import json
import os
import pathlib

import pytest

from ramjax.tools import bench, bench_ledger, bench_table
from ramjax.tools.bench_ledger import Figure

_ROOT = pathlib.Path(__file__).parents[2]
_REPORT = {
  "target": "attention",
  "date": "2026-08-01T12:00:00+00:00",
  "code": {"commit": "0123456789abcdef", "modified": False},
  "machine": {"load": 0.1, "usable_cores": 2},
  "device_name": "a CPU, 2 cores",
  "versions": {"jax": "0.10.2"},
}


def _entry(value=8.0, *, size="small", unit="ms", **report):
  figures = {"forward": Figure(value, unit, 2.0)}
  return bench_ledger.entry({**_REPORT, **report}, size, figures)


def test_an_entry_says_what_was_measured_where_and_from_which_code():
  assert _entry(code={"commit": None, "modified": None}) == {
    "date": "2026-08-01T12:00:00+00:00",
    "commit": None,
    "modified": None,
    "target": "attention",
    "size": "small",
    "device": "a CPU, 2 cores",
    "busy": False,
    "versions": {"jax": "0.10.2"},
    "figures": {"forward": {"value": 8.0, "unit": "ms", "floor": 2.0}},
  }
  assert _entry(machine={"load": 1.5, "usable_cores": 2})["busy"]


def test_entries_come_back_in_order_and_earlier_bytes_are_left_alone(tmp_path):
  path = tmp_path / "ledger.jsonl"
  assert bench_ledger.read(path) == []
  before = b""
  for value in (1.0, 2.0, 3.0):
    bench_ledger.append(path, _entry(value))
    data = path.read_bytes()
    assert data.startswith(before) and data.count(b"\n") == value
    before = data
  found = [e["figures"]["forward"]["value"] for e in bench_ledger.read(path)]
  assert found == [1.0, 2.0, 3.0]


def test_an_entry_is_one_write_at_the_end(tmp_path, monkeypatch):
  opened, written = [], []
  open_, write = os.open, os.write
  monkeypatch.setattr(
    os,
    "open",
    lambda path, flags, mode=0o777: (
      opened.append(flags) or open_(path, flags, mode)
    ),
  )
  monkeypatch.setattr(
    os, "write", lambda to, data: written.append(data) or write(to, data)
  )
  bench_ledger.append(tmp_path / "ledger.jsonl", _entry())
  (flags,), (data,) = opened, written
  assert flags & os.O_APPEND and not flags & os.O_TRUNC
  assert json.loads(data) == _entry() and data.endswith(b"\n")


def _without(name):
  return json.dumps({k: v for k, v in _entry().items() if k != name})


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ("{", "line 2: it is no JSON"),
    ("", "line 2: it is no JSON"),
    ("[]", "line 2: it is no object"),
    (_without("figures"), "line 2: 'figures' is missing"),
    (_without("commit"), "line 2: 'commit' is missing"),
    (
      json.dumps({**_entry(), "busy": "no"}),
      "line 2: 'busy' is missing, or of another kind",
    ),
    (
      json.dumps({**_entry(), "figures": {"forward": {"value": 1.0}}}),
      "line 2: the figure 'forward' is not a value, a unit and a floor",
    ),
  ],
)
def test_a_corrupt_line_is_refused_by_its_number_and_nothing_is_lost(
  tmp_path, capsys, line, message
):
  path = tmp_path / "ledger.jsonl"
  good = json.dumps(_entry())
  path.write_text(f"{good}\n{line}\n{good}\n")
  before = path.read_bytes()
  with pytest.raises(ValueError, match=message.replace("(", r"\(")):
    bench_ledger.append(path, _entry())
  assert path.read_bytes() == before
  assert bench_ledger.main([str(path)]) == 1
  assert f"{path}, {message}" in capsys.readouterr().err


def test_a_last_line_without_its_end_is_not_added_to(tmp_path):
  path = tmp_path / "ledger.jsonl"
  good = json.dumps(_entry())
  path.write_text(f"{good}\n{good}")  # Whole JSON, and yet cut off.
  with pytest.raises(ValueError, match=r"line 2: it was not written to its"):
    bench_ledger.append(path, _entry())
  assert path.read_text() == f"{good}\n{good}"


def test_a_disk_that_takes_half_a_line_is_said(tmp_path, monkeypatch):
  monkeypatch.setattr(os, "write", lambda to, data: 10)
  with pytest.raises(OSError, match=r"only 10 of .* take the unfinished"):
    bench_ledger.append(tmp_path / "ledger.jsonl", _entry())


def test_no_figure_is_kept_that_is_no_number(tmp_path):
  path = tmp_path / "ledger.jsonl"
  with pytest.raises(ValueError):
    bench_ledger.append(path, _entry(float("nan")))
  assert not path.exists()


def test_changes_are_from_the_entry_before_of_the_same_device_and_size():
  entries = [
    _entry(8.0),
    _entry(4.0, device_name="an accelerator"),
    _entry(1.0, size="tiny"),
    _entry(10.0),
    _entry(1.0, machine={"load": 9.0, "usable_cores": 2}),
    _entry(9.0),
    _entry(9.0, unit="s"),
    _entry(3.0, target="logps"),
  ]
  lines = bench_ledger.lines(entries)
  targets = [line.split()[0] for line in lines if line.endswith("change")]
  assert targets == ["attention", "logps"]
  rows = [line.split() for line in lines if line.startswith("  forward")]
  # The busy one, 1.0, is compared with one before and nothing with it.
  changes = [" ".join(row[4:]) for row in rows]
  assert changes == ["", "", "", "+25.0 %", "-90.0 %", "-10.0 %", "", ""]
  assert rows[0][1:4] == ["8.00", "ms", "2.00"]
  busy = [line for line in lines if "BUSY" in line]
  assert len(busy) == 1 and busy[0].startswith("2026-08-01T12:00:00+00:00")
  assert max(len(one) for e in lines for one in e.splitlines()) <= (
    bench_table.WIDTH
  )


def test_a_figure_without_floor_and_a_tree_with_changes_are_shown():
  entry = _entry(code={"commit": "0123456789abcdef", "modified": True})
  entry["figures"]["forward"]["floor"] = None
  heading, row = bench_ledger.lines([entry])[2:4]
  assert "012345678 and changes; small; a CPU, 2 cores" in heading
  assert row.split() == ["forward", "8.00", "ms", "-"]


def test_the_command_shows_one_target_or_all(tmp_path, capsys):
  path = tmp_path / "ledger.jsonl"
  for target in ("attention", "logps"):
    bench_ledger.append(path, _entry(target=target))
  assert bench.main(["ledger", str(path)]) == 0
  both = capsys.readouterr().out
  assert "attention" in both and "logps" in both
  assert bench.main(["ledger", str(path), "--target=logps"]) == 0
  assert "attention" not in capsys.readouterr().out
  assert bench.main(["ledger", str(path), "--target=sft"]) == 1
  assert "has attention, logps" in capsys.readouterr().err


def test_an_empty_ledger_and_none_are_told_apart(tmp_path, capsys):
  path = tmp_path / "ledger.jsonl"
  assert bench_ledger.main([str(path)]) == 1
  assert "is not a file" in capsys.readouterr().err
  path.touch()
  assert bench_ledger.main([str(path)]) == 0
  assert "nothing yet" in capsys.readouterr().out


def test_the_ledger_of_the_checkout_can_be_read():
  assert (_ROOT / bench_ledger.PATH).is_file()
  bench_ledger.read(_ROOT / bench_ledger.PATH)
