# SPDX-License-Identifier: Apache-2.0
"""Only regular files inside a model's folder are opened."""

import os

import pytest

from ramjax.models import model_folder


def _write(path, text="x"):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(text)
  return path


def test_a_regular_file_is_found(tmp_path):
  _write(tmp_path / "config.json")
  assert model_folder.safe_file(tmp_path, "config.json") == (
    tmp_path / "config.json"
  )


@pytest.mark.parametrize(
  "name",
  ["../config.json", "/etc/passwd", "a/b", "..", ".", "", "a\0b", "a b", "é"],
)
def test_path_traversal_in_a_name_is_refused(tmp_path, name):
  with pytest.raises(ValueError, match=r"is refused in .*letters, digits"):
    model_folder.safe_file(tmp_path, name)


def test_a_missing_file_is_not_found(tmp_path):
  (tmp_path / "dangling").symlink_to("nothing")
  for name in ("config.json", "dangling"):
    with pytest.raises(FileNotFoundError, match="download complete"):
      model_folder.safe_file(tmp_path, name)


def test_a_symlink_inside_the_folder_is_followed(tmp_path):
  _write(tmp_path / "real.json")
  (tmp_path / "config.json").symlink_to("real.json")
  path = model_folder.safe_file(tmp_path, "config.json")
  assert path.name == "config.json" and path.read_text() == "x"


def test_a_folder_that_is_itself_a_link_is_accepted(tmp_path):
  _write(tmp_path / "real" / "config.json")
  (tmp_path / "link").symlink_to("real")
  path = model_folder.safe_file(tmp_path / "link", "config.json")
  assert path == tmp_path / "link" / "config.json" and path.read_text() == "x"


def test_a_symlink_out_of_the_folder_is_refused_with_advice(tmp_path):
  _write(tmp_path / "secret")
  (tmp_path / "model").mkdir()
  (tmp_path / "model" / "config.json").symlink_to(tmp_path / "secret")
  with pytest.raises(ValueError, match=r"link to .*secret, outside.*copy it"):
    model_folder.safe_file(tmp_path / "model", "config.json")


def test_a_sibling_whose_name_begins_alike_is_outside(tmp_path):
  _write(tmp_path / "model-2" / "config.json")
  (tmp_path / "model").mkdir()
  (tmp_path / "model" / "config.json").symlink_to("../model-2/config.json")
  with pytest.raises(ValueError, match="outside its folder"):
    model_folder.safe_file(tmp_path / "model", "config.json")


def _hub_cache(tmp_path, *, repository="models--org--name", kind="snapshots"):
  root = tmp_path / repository
  _write(root / "blobs" / "0a1b")
  snapshot = root / kind / "rev"
  snapshot.mkdir(parents=True)
  (snapshot / "config.json").symlink_to("../../blobs/0a1b")
  return snapshot


def test_the_hub_cache_layout_is_accepted(tmp_path):
  snapshot = _hub_cache(tmp_path)
  path = model_folder.safe_file(snapshot, "config.json")
  assert path == snapshot / "config.json"


@pytest.mark.parametrize(
  "layout", [{"repository": "name"}, {"kind": "revisions"}]
)
def test_what_only_resembles_the_hub_cache_is_refused(tmp_path, layout):
  snapshot = _hub_cache(tmp_path, **layout)
  with pytest.raises(ValueError, match="outside its folder"):
    model_folder.safe_file(snapshot, "config.json")


def test_the_hub_cache_may_not_link_into_another_repository(tmp_path):
  snapshot = _hub_cache(tmp_path)
  other = _hub_cache(tmp_path, repository="models--org--other")
  (snapshot / "a").symlink_to(other.parents[1] / "blobs" / "0a1b")
  (snapshot / "b").symlink_to("../../../secret")
  _write(tmp_path / "secret")
  for name in ("a", "b"):
    with pytest.raises(ValueError, match="outside its folder"):
      model_folder.safe_file(snapshot, name)


def test_a_blobs_folder_that_is_a_link_out_is_refused(tmp_path):
  snapshot = _hub_cache(tmp_path)
  blobs = snapshot.parents[1] / "blobs"
  blobs.rename(tmp_path / "elsewhere")
  blobs.symlink_to(tmp_path / "elsewhere")
  with pytest.raises(ValueError, match="outside its folder"):
    model_folder.safe_file(snapshot, "config.json")


def test_links_in_a_circle_are_refused(tmp_path):
  (tmp_path / "a").symlink_to("b")
  (tmp_path / "b").symlink_to("a")
  with pytest.raises(ValueError, match="cannot be read"):
    model_folder.safe_file(tmp_path, "a")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "folder").mkdir()
  for name in ("pipe", "folder"):
    with pytest.raises(ValueError, match="not a regular file"):
      model_folder.safe_file(tmp_path, name)
  with pytest.raises(ValueError, match="not a regular file"):
    model_folder.open_regular(tmp_path / "pipe")
  with pytest.raises(ValueError, match="is a folder"):
    model_folder.open_regular(tmp_path / "folder")


def test_a_file_is_read_up_to_its_cap(tmp_path):
  path = _write(tmp_path / "f", "abc")
  assert model_folder.read_capped(path, max_bytes=3) == b"abc"
  with pytest.raises(ValueError, match="larger than the 2 bytes"):
    model_folder.read_capped(path, max_bytes=2)
