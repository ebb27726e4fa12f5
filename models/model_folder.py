# SPDX-License-Identifier: Apache-2.0
"""Which files of a model's folder may be opened: regular ones, inside it.

An index or a link from a stranger must not make us read other files of the
machine, nor wait for ever on a pipe.
"""

import os
import pathlib
import re
import stat
from typing import BinaryIO

_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")


def safe_file(directory: str | pathlib.Path, name: str) -> pathlib.Path:
  """The path of a file in a model's folder, after checking that it may be read.

  A link may point to another file of the folder. In the Hugging Face hub cache,
  `models--ORG--NAME/snapshots/REVISION/`, every file is a link into
  `models--ORG--NAME/blobs/`, which is allowed as well.

  Args:
    directory: The model's folder.
    name: The file's name, without a folder.

  Returns:
    `directory / name`, its links not followed, so that it keeps its suffix.

  Raises:
    FileNotFoundError: No such file, or a link to none.
    ValueError: A name with a folder in it or odd characters, something other
      than a regular file, or a link that leaves the folder.
  """
  directory = pathlib.Path(directory)
  if not _PLAIN_NAME.fullmatch(name) or name in (".", ".."):
    raise ValueError(
      f"name={name[:300]!a} is refused in {directory}: a file of a model is"
      " named by letters, digits, '.', '_' and '-' alone, without a folder."
    )
  path = directory / name
  try:
    root = pathlib.Path(os.path.realpath(directory, strict=True))
    target = pathlib.Path(os.path.realpath(path, strict=True))
  except FileNotFoundError as error:
    raise FileNotFoundError(
      f"{path} does not exist, or is a link to a file that does not exist."
      " Is the download complete?"
    ) from error
  except OSError as error:  # Links in a circle, or a file as the folder.
    raise ValueError(f"{path} cannot be read: {error}") from error
  if not any(target.is_relative_to(home) for home in _homes(root)):
    raise ValueError(
      f"{path} is a link to {target}, outside its folder, which is refused."
      " If you trust that file, copy it into the folder in the link's place"
      " (cp --dereference), or name the folder that it is in."
    )
  _check_regular(path, os.stat(target).st_mode)
  return path


def _homes(root: pathlib.Path) -> list[pathlib.Path]:
  """The folders, without links, in which the files of `root` may lie."""
  snapshots, repository = root.parent, root.parent.parent
  cached = snapshots.name == "snapshots"
  if cached and repository.name.startswith("models--"):
    return [root, repository / "blobs"]
  return [root]


def open_regular(path: str | pathlib.Path) -> BinaryIO:
  """Opens a regular file to read bytes, and never waits for a pipe.

  Raises:
    FileNotFoundError: No such file.
    ValueError: A folder, a pipe, a device or a socket.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    raise ValueError(f"{path} is a folder; name a file.")
  # Without O_NONBLOCK, opening a pipe waits for somebody to write.
  file = open(path, "rb", opener=_open_without_waiting)
  try:
    _check_regular(path, os.fstat(file.fileno()).st_mode)
  except ValueError:
    file.close()
    raise
  return file


def _open_without_waiting(path: str, flags: int) -> int:
  return os.open(path, flags | os.O_NONBLOCK)


def _check_regular(path: pathlib.Path, mode: int) -> None:
  if not stat.S_ISREG(mode):
    raise ValueError(
      f"{path} is not a regular file (its mode is {stat.filemode(mode)}),"
      " so it is not read."
    )


def read_capped(path: str | pathlib.Path, *, max_bytes: int) -> bytes:
  """The bytes of a regular file of at most `max_bytes`.

  Raises:
    FileNotFoundError: No such file.
    ValueError: Not a regular file, or a larger one.
  """
  with open_regular(path) as file:
    data = file.read(max_bytes + 1)
  if len(data) > max_bytes:
    raise ValueError(
      f"{path} is larger than the {max_bytes:,} bytes that such a file may"
      " have."
    )
  return data
