# SPDX-License-Identifier: Apache-2.0
"""A file that is replaced whole, or not at all."""

import os
import pathlib
from collections.abc import Iterable


def replace_file(path: pathlib.Path, texts: Iterable[str]) -> None:
  """Writes texts, one after another, to a file that is whole or not there.

  Args:
    path: In a folder that exists; a file of that name is replaced at the end.
    texts: Written as UTF-8.
  """
  partial = path.with_name(f".{path.name}.partial")
  with partial.open("w", encoding="utf-8") as file:
    file.writelines(texts)
  os.replace(partial, path)
