# SPDX-License-Identifier: Apache-2.0
"""A file that is replaced: whole, or as it was."""

import pytest

from ramjax.evals import replaced_file


def test_a_file_is_whole_or_as_it_was(tmp_path):
  path = tmp_path / "rows"
  path.write_text("before")

  def texts():
    yield "half"
    raise ValueError("no more")

  with pytest.raises(ValueError, match="no more"):
    replaced_file.replace_file(path, texts())
  assert path.read_text() == "before"
  replaced_file.replace_file(path, ["a\n", "é\n"])
  assert path.read_bytes() == "a\né\n".encode()
