# SPDX-License-Identifier: Apache-2.0
"""Verdicts kept on disk: nothing judged twice, nothing lost."""

import collections
import re
import threading
import time

import pytest
import tiny_endpoint
import tiny_judge
from tiny_endpoint import Reply, TinyEndpoint

from ramjax.evals import judged_pairs
from ramjax.evals.http_engine import HttpEngine
from ramjax.evals.http_retries import RetryPolicy
from ramjax.evals.judged_pairs import JudgedPairs, VerdictFile
from ramjax.evals.pair_readers import LogprobReader
from ramjax.evals.pairwise_judge import Look, Pair, PairJudge, PairVerdict

_QUICK = RetryPolicy(most=2, first_wait_s=0.01, longest_asked_wait_s=0.05)
_PAIRS = [Pair(f"task {i:02}", "a" * 5, "b" * (3 + i % 5)) for i in range(20)]
_PAIRS = [p for p in _PAIRS if len(p.output_2) != 5]


def _run(server, folder, pairs=_PAIRS, *, chunk=1000, model="j", **options):
  engine = HttpEngine(
    server.url,
    "j",
    retries=_QUICK,
    logprobs=False,
    timeout_s=options.pop("timeout_s", 600.0),
    concurrency=4,
  )
  judge = PairJudge(LogprobReader(engine), tiny_judge.PROMPT)
  with VerdictFile(folder / "v.jsonl") as file:
    return judged_pairs.judge_pairs(
      judge, pairs, file, model={"name": model}, chunk=chunk, **options
    )


def _asked(server):
  return collections.Counter(
    tiny_judge.shown(asked)[0] for asked in server.asked
  )


def test_a_second_run_asks_nothing_and_says_the_same(tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    first = _run(server, tmp_path)
    assert len(server.asked) == len(_PAIRS)
    again = _run(server, tmp_path)
    assert len(server.asked) == len(_PAIRS)
  assert list(again.verdicts) == list(first.verdicts)
  assert (first.num_found, again.num_found) == (0, len(_PAIRS))
  assert first.invalid_share == first.num_failed == 0


@pytest.mark.parametrize("chunk", [3, 1000])
def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path, chunk):
  """It is killed over and over, each time after two more verdicts."""

  class Killed(Exception):
    pass

  def after_two(start):
    def tell(done):
      if done >= start + 2:
        raise Killed

    return tell

  with TinyEndpoint(tiny_judge.act) as server:
    (tmp_path / "whole").mkdir()
    whole = _run(server, tmp_path / "whole")
    server.asked.clear()
    kept = kills = 0
    while kept < len(_PAIRS):
      try:
        got = _run(server, tmp_path, chunk=chunk, progress=after_two(kept))
      except Killed:
        kills += 1
      lines = (tmp_path / "v.jsonl").read_bytes().splitlines()
      assert len(lines) >= min(kept + 2, len(_PAIRS))
      assert len(set(lines)) == len(lines)
      kept = len(lines)
    assert kills > 3
    got = _run(server, tmp_path)
    assert got.num_found == len(_PAIRS)
  assert list(got.verdicts) == list(whole.verdicts)


def test_what_is_in_the_file_is_asked_once_whenever_the_kill_comes(tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    _run(server, tmp_path)
    path = tmp_path / "v.jsonl"
    data = path.read_bytes()
    whole = data.splitlines(keepends=True)
    # Torn inside its third line, as by a kill while it is written.
    cut = len(whole[0]) + len(whole[1]) + 9
    path.write_bytes(data[:cut])
    server.asked.clear()
    got = _run(server, tmp_path)
    assert len(server.asked) == len(_PAIRS) - 2
  assert got.num_found == 2
  assert sorted(path.read_bytes().splitlines(keepends=True)) == sorted(whole)


def test_equal_pairs_are_asked_about_once(tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    got = _run(server, tmp_path, [_PAIRS[0]] * 3)
    assert len(server.asked) == 1
  assert len(got.verdicts) == 3 and len(set(map(repr, got.verdicts))) == 1


def test_another_judge_has_verdicts_of_its_own(tmp_path):
  with TinyEndpoint(tiny_judge.act) as server:
    _run(server, tmp_path)
    got = _run(server, tmp_path, model="other")
    assert len(server.asked) == 2 * len(_PAIRS)
  assert got.num_found == 0


def test_a_reference_is_part_of_the_key_and_its_absence_changes_none():
  pair = Pair("i", "a", "b")
  keys = [
    judged_pairs.verdict_key({"prompt": "p"}, each)
    for each in (pair, Pair("i", "a", "b", "r"), Pair("i", "a", "b", ""))
  ]
  assert len(set(keys)) == 3
  # As files have it that were written before there were references.
  assert keys[0] == (
    "c3fbffc316e00b5012c4683994669b5a5f97f0c2713dfc7bbd1e46e607132954"
  )


def test_failures_that_pass_leave_no_trace(tmp_path):
  """Errors, garbage, a stall and a rate limit, each before an answer."""
  lock = threading.Lock()
  seen = collections.Counter()
  done = threading.Event()

  def act(number, asked):
    task = tiny_judge.shown(asked)[0]
    with lock:
      seen[task] += 1
      again = seen[task] > 1
    kind = int(task[-2:]) % 5
    if not again and kind == 0:
      return tiny_endpoint.reply({"error": "oops"}, 500)
    if not again and kind == 1:
      return Reply(b'{"choices": [{"mess')
    if not again and kind == 3:
      return tiny_endpoint.reply({}, 429, Retry_After="0.01")
    if not again and kind == 4:
      done.wait(20)
    return tiny_judge.act(number, asked)

  with TinyEndpoint(act) as server:
    got = _run(server, tmp_path, timeout_s=2.0)
    done.set()
  assert got.num_failed == 0 and got.invalid_share == 0
  # Every pair met a failure, and each of the four kinds.
  assert all(number >= 2 for number in seen.values())
  assert {int(task[-2:]) % 5 for task in seen} == {0, 1, 3, 4}


def _down_for(*tasks):
  def act(number, asked):
    if tiny_judge.shown(asked)[0] in tasks:
      return Reply(b"<html>bad gateway", 502)
    return tiny_judge.act(number, asked)

  return act


def test_what_fails_to_the_end_is_counted_and_asked_again_next_time(tmp_path):
  with TinyEndpoint(_down_for("task 03", "task 06")) as server:
    got = _run(server, tmp_path)
    assert _asked(server)["task 03"] == 3  # Once, and two repetitions.
  failed = [
    p.instruction for p, v in zip(_PAIRS, got.verdicts, strict=True) if v.failed
  ]
  assert failed == ["task 03", "task 06"]
  assert got.num_failed == 2
  assert got.invalid_share == pytest.approx(2 / len(_PAIRS))
  with TinyEndpoint(tiny_judge.act) as server:
    again = _run(server, tmp_path)
    assert set(_asked(server)) == {"task 03", "task 06"}
  assert again.invalid_share == 0


@pytest.mark.parametrize(
  "kind,problem",
  [
    ("garbage", "no usable answer: not valid JSON"),
    ("no logprobs", "top_logprobs is not a list"),
    ("rate", "status 429"),
    ("stall", "no answer within 2 s"),
  ],
)
def test_whatever_goes_on_failing_costs_its_own_pair_alone(
  tmp_path, kind, problem
):
  over = threading.Event()

  def act(number, asked):
    if tiny_judge.shown(asked)[0] != "task 03":
      return tiny_judge.act(number, asked)
    if kind == "stall":
      over.wait(20)
    if kind == "rate":
      return tiny_endpoint.reply({}, 429, Retry_After="0")
    if kind == "no logprobs":
      return tiny_endpoint.reply(tiny_endpoint.answer())
    return Reply(b"\x00garbage")

  with TinyEndpoint(act) as server:
    patience = 2.0 if kind == "stall" else 60.0
    got = _run(server, tmp_path, timeout_s=patience)
    over.set()
  (failed,) = [v for v in got.verdicts if v.preference is None]
  assert failed.failed and re.search(problem, failed.problem)
  assert "(3 attempts)" in failed.problem and got.num_failed == 1
  with pytest.raises(ValueError, match=problem):
    judged_pairs.require_valid(got, 0.0)


def test_a_server_that_is_down_is_not_asked_about_the_rest(tmp_path):
  tasks = {pair.instruction for pair in _PAIRS} - {"task 00"}
  with TinyEndpoint(_down_for(*tasks)) as server:
    with pytest.raises(
      ValueError, match=r"no answer about 3 pairs.*status 502"
    ):
      _run(server, tmp_path, most_failed=2)
    assert len(_asked(server)) < len(_PAIRS)
  # What was answered is kept.
  assert len((tmp_path / "v.jsonl").read_text().splitlines()) == 1


def test_verdicts_that_cannot_be_read_are_kept_and_not_asked_again(tmp_path):
  def act(number, asked):
    return tiny_endpoint.reply(tiny_judge.top([("hm", -0.1)]))

  with TinyEndpoint(act) as server:
    got = _run(server, tmp_path)
    assert got.invalid_share == 1 and got.num_failed == 0
    _run(server, tmp_path)
    assert len(server.asked) == len(_PAIRS)


def _with_share(invalid, total):
  bad = PairVerdict(None, "no verdict could be read")
  return JudgedPairs(
    [bad] * invalid + [PairVerdict(1.5)] * (total - invalid), 0, 0
  )


def test_the_share_without_verdict_fails_a_run_past_its_limit():
  judged_pairs.require_valid(_with_share(1, 10), 0.1)
  with pytest.raises(ValueError, match=r"2 of 10 pairs .* no verdict could be"):
    judged_pairs.require_valid(_with_share(2, 10), 0.1)


def test_verdicts_come_back_as_they_were(tmp_path):
  verdict = PairVerdict(
    1.25,
    looks=(Look(True, 1.25, [["m", -0.5]]), Look(False, None, ["é"], "why")),
    num_requests=2,
    num_prompt_tokens=7,
    num_tokens=3,
  )
  path = tmp_path / "v.jsonl"
  with VerdictFile(path) as file:
    file.add("k", verdict)
  with VerdictFile(path) as file:
    assert file.get("k") == verdict and file.get("other") is None


@pytest.mark.parametrize(
  "line",
  [
    b"{}",
    b"[1]",
    b"{" * 10,
    b'{"key": "k", "preference": 3.0, "problem": "", "looks": [],'
    b' "num_requests": 1, "num_prompt_tokens": 0, "num_tokens": 0}',
    b'{"key": "k", "preference": 1.0, "problem": "", "looks": [],'
    b' "num_requests": true, "num_prompt_tokens": 0, "num_tokens": 0}',
    b"\xff",
  ],
)
def test_a_damaged_line_is_an_error_that_names_it(tmp_path, line):
  path = tmp_path / "v.jsonl"
  with VerdictFile(path) as file:
    file.add("k", PairVerdict(1.5))
  with path.open("ab") as raw:
    raw.write(line + b"\n")
  with pytest.raises(ValueError, match="line 2 is no verdict"):
    VerdictFile(path)


def test_two_runs_do_not_write_one_file(tmp_path):
  with VerdictFile(tmp_path / "v.jsonl"):
    with pytest.raises(ValueError, match="written by another process"):
      VerdictFile(tmp_path / "v.jsonl")


def test_verdicts_are_on_disk_while_the_run_goes_on(tmp_path):
  held = threading.Event()

  def act(number, asked):
    if tiny_judge.shown(asked)[0] == _PAIRS[-1].instruction:
      held.wait(300)
    return tiny_judge.act(number, asked)

  with TinyEndpoint(act) as server:
    thread = threading.Thread(target=_run, args=(server, tmp_path))
    thread.start()
    path, end = tmp_path / "v.jsonl", time.monotonic() + 300
    while time.monotonic() < end and (
      not path.exists() or path.read_bytes().count(b"\n") < len(_PAIRS) - 1
    ):
      time.sleep(0.01)
    there = path.read_bytes().count(b"\n")
    held.set()
    thread.join()
  assert there == len(_PAIRS) - 1
