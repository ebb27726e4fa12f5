# SPDX-License-Identifier: Apache-2.0
"""Tasks of the harness are found by name, or named where there are none."""

import fnmatch
import pathlib
import sys
import types
from typing import Any

import pytest

from ramjax.tools import harness_tasks


class _Manager:
  """As much of the harness's task manager as is asked for."""

  made: list[Any] = []  # noqa: RUF012 - emptied by the fixture.

  def __init__(self, include_path=None, include_defaults=True):
    self.made.append((include_path, include_defaults))
    places = {"zeno": "own/zeno.yaml", "arc_easy": "own/arc.yaml"}
    places = places if include_defaults else {}
    if include_path:
      places |= {"mine": f"{include_path}/mine.yaml", "all": None}
    self.all_tasks = sorted(places)
    self.all_subtasks = [name for name in self.all_tasks if name != "all"]
    # A tag has no file, and names of tasks.
    self.task_index = {
      name: types.SimpleNamespace(
        name=name,
        yaml_path=path,
        cfg=None,
        tags={"mine"} if path is None else set(),
      )
      for name, path in places.items()
    }

  def match_tasks(self, names):
    return [t for t in self.all_tasks if fnmatch.fnmatch(t, names[0])]


@pytest.fixture
def harness(monkeypatch):
  module = types.ModuleType("lm_eval.tasks")
  module.__dict__["TaskManager"] = _Manager
  monkeypatch.setitem(sys.modules, "lm_eval", types.ModuleType("lm_eval"))
  monkeypatch.setitem(sys.modules, "lm_eval.tasks", module)
  loader = types.ModuleType("lm_eval.tasks._yaml_loader")
  loader.__dict__["load_yaml"] = lambda path, **options: {}
  monkeypatch.setitem(sys.modules, loader.__name__, loader)
  monkeypatch.setattr(_Manager, "made", [])


def test_a_folder_that_has_all_spares_the_list_of_all(harness, tmp_path):
  found = harness_tasks.find_tasks(["mine"], tmp_path)
  assert found.names == ["mine"]
  assert found.files == [tmp_path / "mine.yaml"]
  assert _Manager.made == [(str(tmp_path), False)]


@pytest.mark.parametrize(
  "names, expected",
  [
    (["zeno", "mine"], ["zeno", "mine"]),
    (["mine", "a*"], ["mine", "all", "arc_easy"]),
    (["mine", "all"], ["mine", "all"]),
    (["zeno", "all"], ["zeno", "all"]),
    (["m*", "mine"], ["mine"]),
  ],
)
def test_names_keep_their_order_and_patterns_are_filled_in(
  harness, tmp_path, names, expected
):
  found = harness_tasks.find_tasks(names, tmp_path)
  assert found.names == expected
  assert found.files == [tmp_path / "mine.yaml"]
  assert _Manager.made[-1] == (str(tmp_path), True)


def test_its_own_tasks_have_no_files_of_the_users(harness):
  found = harness_tasks.find_tasks(["arc_easy"], None)
  assert (found.names, found.files) == (["arc_easy"], [])
  assert _Manager.made == [(None, True)]


def test_what_is_not_found_is_named_with_what_there_is(harness, tmp_path):
  with pytest.raises(ValueError, match=r"no task 'x', 'nix\*': .*--include-p"):
    harness_tasks.find_tasks(["arc_easy", "x", "nix*"], None)
  with pytest.raises(ValueError, match=r"has: all, mine\.$"):
    harness_tasks.find_tasks(["mein"], tmp_path)


def test_no_name_or_no_folder_is_refused(harness):
  with pytest.raises(ValueError, match="names no task"):
    harness_tasks.find_tasks([], None)
  with pytest.raises(ValueError, match="--include-path=nowhere is no folder"):
    harness_tasks.find_tasks(["mine"], pathlib.Path("nowhere"))


def test_without_the_harness_it_is_told_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
  with pytest.raises(ValueError, match=r"pip install 'ramjax\[harness\]'"):
    harness_tasks.import_harness("lm_eval.tasks")


@pytest.mark.peers
def test_the_harness_has_what_is_asked_of_it(tmp_path):
  pytest.importorskip("lm_eval")
  path = tmp_path / "mine.yaml"
  path.write_text(
    "task: mine\ndataset_path: json\noutput_type: loglikelihood_rolling\n"
  )
  found = harness_tasks.find_tasks(["mine"], tmp_path)
  assert (found.names, found.files) == (["mine"], [path])
  with pytest.raises(ValueError, match=r"'mein'.* has: mine"):
    harness_tasks.find_tasks(["mein"], tmp_path)
