# SPDX-License-Identifier: Apache-2.0
"""A folder is there complete, or not at all."""

import shutil
from collections import namedtuple

import pytest

from ramjax.tools import new_folder


def _names(path):
  return sorted(p.name for p in path.iterdir())


def test_folder_appears_at_the_end(tmp_path):
  target = tmp_path / "deep" / "new"
  with new_folder.new_folder(target) as folder:
    (folder / "file").write_text("x")
    assert not target.exists()
    assert folder.name.startswith(".new.partial-")
  assert _names(tmp_path / "deep") == ["new"] and _names(target) == ["file"]


def test_empty_folder_is_replaced(tmp_path):
  target = tmp_path / "new"
  target.mkdir()
  with new_folder.new_folder(target) as folder:
    (folder / "file").write_text("x")
  assert _names(target) == ["file"] and _names(tmp_path) == ["new"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_exception_leaves_nothing(tmp_path, error):
  with pytest.raises(error), new_folder.new_folder(tmp_path / "new") as folder:
    (folder / "file").write_text("x")
    raise error
  assert _names(tmp_path) == []


def test_existing_folder_is_refused_and_untouched(tmp_path):
  target = tmp_path / "new"
  target.mkdir()
  (target / "mine").write_text("x")
  with pytest.raises(ValueError, match="exists already"):
    with new_folder.new_folder(target):
      pytest.fail("entered")
  assert _names(target) == ["mine"] and _names(tmp_path) == ["new"]


def test_file_and_link_are_refused_and_untouched(tmp_path):
  (tmp_path / "file").write_text("x")
  (tmp_path / "link").symlink_to(tmp_path / "nowhere")
  for name in ("file", "link"):
    with pytest.raises(ValueError, match="exists already"):
      with new_folder.new_folder(tmp_path / name):
        pytest.fail("entered")
  assert _names(tmp_path) == ["file", "link"]


def test_target_filled_meanwhile_is_not_overwritten(tmp_path):
  target = tmp_path / "new"
  with pytest.raises(OSError), new_folder.new_folder(target):
    target.mkdir()
    (target / "theirs").write_text("x")
  assert _names(target) == ["theirs"] and _names(tmp_path) == ["new"]


def test_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
  usage = namedtuple("usage", "free")
  asked = []

  def disk_usage(path):
    asked.append(path)
    return usage(free=10**9)

  monkeypatch.setattr(shutil, "disk_usage", disk_usage)
  target = tmp_path / "deep" / "new"
  new_folder.check_space(target, 10**9)
  with pytest.raises(
    ValueError, match=r"needs 2,500\.0 MB and .* has 1,000\.0 MB free"
  ):
    new_folder.check_space(target, 25 * 10**8)
  # The nearest folder that exists.
  assert asked == [tmp_path, tmp_path] and _names(tmp_path) == []
