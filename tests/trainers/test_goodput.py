# SPDX-License-Identifier: Apache-2.0
"""Every second of a run is counted once, under one name."""

import json

import pytest

from ramjax.trainers import goodput as goodput_lib
from ramjax.trainers.goodput import Goodput


class _Clock:
  """A clock that a test moves on."""

  def __init__(self, now=1000.0):
    self.now = now

  def __call__(self):
    return self.now


def _line(**changes):
  """A record as a process writes it, with some of its values replaced."""
  record = {
    "started": 1.0,
    "at": 2.0,
    "step": 3,
    "finished": False,
    "seconds": {"step": 1.0},
  }
  return json.dumps(record | changes)


def _steps(goodput, clock, first, last, seconds=1.0):
  for step in range(first, last + 1):
    clock.now += seconds
    goodput.step_done(step)


def test_the_phases_add_up_to_the_time_of_the_process(tmp_path):
  clock = _Clock()
  goodput = Goodput(tmp_path, clock=clock)
  clock.now += 5  # initialisation
  goodput.begin(0)
  with goodput.phase(goodput_lib.COMPILE):
    clock.now += 10
  _steps(goodput, clock, 1, 6)
  with goodput.phase(goodput_lib.EVALUATION):
    clock.now += 3
    with goodput.phase(goodput_lib.CHECKPOINT):
      clock.now += 2
    clock.now += 1
  _steps(goodput, clock, 7, 10)
  totals = goodput.totals()
  assert totals == {
    "initialisation": 5,
    "compile": 10,
    "step": 10,
    "evaluation": 4,
    "checkpoint": 2,
  }
  assert sum(totals.values()) == clock.now - 1000


def test_a_phase_can_turn_out_to_be_another_when_it_ends():
  clock = _Clock()
  goodput = Goodput(None, clock=clock)
  goodput.begin(0)
  with goodput.phase(goodput_lib.DATA) as phase:
    clock.now += 7
    phase.name = goodput_lib.ROLLOUT
  assert goodput.totals()["rollout"] == 7
  assert goodput.totals().get("data", 0) == 0


def test_a_phase_that_fails_is_over():
  clock = _Clock()
  goodput = Goodput(None, clock=clock)
  goodput.begin(0)
  with pytest.raises(OSError):
    with goodput.phase(goodput_lib.CHECKPOINT):
      clock.now += 1
      raise OSError
  clock.now += 2
  assert goodput.totals()["checkpoint"] == 1
  assert goodput.totals()["step"] == 2


def _killed_run(tmp_path, clock):
  """Ten steps, all told; then nothing is heard of the process any more."""
  goodput = Goodput(tmp_path, clock=clock)
  clock.now += 2
  goodput.begin(0)
  _steps(goodput, clock, 1, 5)
  goodput.write()
  _steps(goodput, clock, 6, 10)
  goodput.write()


def test_the_account_goes_on_after_a_kill(tmp_path):
  clock = _Clock()
  _killed_run(tmp_path, clock)
  clock.now += 50
  goodput = Goodput(tmp_path, clock=clock)
  clock.now += 3
  goodput.begin(6)  # The last checkpoint.
  _steps(goodput, clock, 7, 12)
  assert goodput.totals() == {
    "initialisation": 2 + 3,
    "step": 10 + 2,
    "down": 50,
    "replayed": 4,
  }
  assert goodput.described() == (
    "goodput 16.9 % of 71.0 s in 2 starts: down 70.4 %, initialisation 7.0 %,"
    " replayed 5.6 %"
  )


def test_only_what_a_process_came_to_last_counts(tmp_path):
  clock = _Clock()
  _killed_run(tmp_path, clock)
  lines = (tmp_path / "goodput.jsonl").read_text().splitlines()
  assert [json.loads(line)["step"] for line in lines] == [5, 10]
  assert Goodput(tmp_path, clock=clock).totals()["step"] == 10


def test_a_run_that_had_finished_was_not_down(tmp_path):
  clock = _Clock()
  goodput = Goodput(tmp_path, clock=clock)
  goodput.begin(0)
  _steps(goodput, clock, 1, 3)
  goodput.write(finished=True)
  clock.now += 86_400
  assert "down" not in Goodput(tmp_path, clock=clock).totals()


@pytest.mark.parametrize(
  "torn", ['{"started": 1', '{"started": 1000.0, "at": 5']
)
def test_a_line_that_a_kill_tore_is_left_out_and_closed(tmp_path, torn):
  clock = _Clock()
  _killed_run(tmp_path, clock)
  path = tmp_path / "goodput.jsonl"
  with path.open("a") as file:
    file.write(torn)
  goodput = Goodput(tmp_path, clock=clock)
  goodput.begin(10)
  _steps(goodput, clock, 11, 11)
  goodput.write()
  assert Goodput(tmp_path, clock=clock).totals()["step"] == 11
  assert path.read_text().splitlines()[2] == torn


@pytest.mark.parametrize(
  "line",
  [
    "7",
    "[]",
    "{}",
    '{"started": 1.0}',
    _line(started="1"),
    _line(at=float("nan")),
    _line(step=None),
    _line(finished=0),
    _line(seconds=[]),
    _line(seconds={"step": "long"}),
  ],
)
def test_a_line_that_is_no_record_is_passed_over_and_said_once(
  tmp_path, capsys, line
):
  clock = _Clock()
  _killed_run(tmp_path, clock)
  with (tmp_path / "goodput.jsonl").open("a") as file:
    file.write(line + "\n")
  assert Goodput(tmp_path, clock=clock).totals()["step"] == 10
  said = capsys.readouterr().err
  assert said.count("goodput.jsonl: passed over 1 line(s)") == 1


def test_bytes_that_are_no_text_are_passed_over(tmp_path):
  clock = _Clock()
  _killed_run(tmp_path, clock)
  with (tmp_path / "goodput.jsonl").open("ab") as file:
    file.write(b"\xff\xfe{\n")
  assert Goodput(tmp_path, clock=clock).totals()["step"] == 10


def test_the_furthest_step_is_that_of_any_process(tmp_path):
  assert goodput_lib.furthest_step(tmp_path) == 0
  clock = _Clock()
  _killed_run(tmp_path, clock)
  goodput = Goodput(tmp_path, clock=clock)
  clock.now += 1
  goodput.begin(6)
  goodput.write()
  assert goodput_lib.furthest_step(tmp_path) == 10


def test_nothing_is_kept_without_a_folder_and_a_clock_that_falls_is_no_time():
  clock = _Clock()
  goodput = Goodput(None, clock=clock)
  clock.now -= 100
  goodput.begin(0)
  clock.now += 1
  goodput.write()
  assert goodput.totals() == {"initialisation": 0, "step": 1}


@pytest.mark.parametrize(
  "seconds,text",
  [(119.0, "119.0 s"), (720.0, "12.0 min"), (9000.0, "2.5 h")],
)
def test_the_time_is_told_in_its_unit(seconds, text):
  clock = _Clock()
  goodput = Goodput(None, clock=clock)
  goodput.begin(0)
  clock.now += seconds
  assert goodput.described() == f"goodput 100.0 % of {text}"
