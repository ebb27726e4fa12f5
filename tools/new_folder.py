# SPDX-License-Identifier: Apache-2.0
"""A folder that appears complete or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def new_folder(target: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields an empty folder beside `target`, renamed to it at the end.

  An exception removes it. A kill leaves `.NAME.partial-RANDOM`, which nobody takes
  for the target.

  Raises:
    ValueError: `target` exists and is not an empty folder.
  """
  check_new(target)
  target = pathlib.Path(os.path.abspath(target))
  try:
    target.parent.mkdir(parents=True, exist_ok=True)
  except FileExistsError as error:
    raise ValueError(
      f"{error.filename} is a file, so {target} cannot be made in it."
    ) from error
  name = tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent)
  partial = pathlib.Path(name)
  partial.chmod(0o777 & ~_umask())
  try:
    yield partial
    # What has the target's name must survive a power cut whole.
    for path in (*partial.rglob("*"), partial):
      _sync(path)
    # Replaces an empty folder in one step.
    os.replace(partial, target)
    _sync(target.parent)
  except BaseException:
    shutil.rmtree(partial, ignore_errors=True)
    raise


def _umask() -> int:
  """The mode bits that new files of this process do not get."""
  mask = os.umask(0o077)
  os.umask(mask)
  return mask


def _sync(path: pathlib.Path) -> None:
  """Waits until a file or a folder is on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def check_new(target: pathlib.Path) -> None:
  """Refuses a target that is there, for work that takes long before writing.

  Raises:
    ValueError: `target` exists and is not an empty folder.
  """
  target = pathlib.Path(os.path.abspath(target))
  if target.is_symlink() or (
    target.exists() and not (target.is_dir() and not any(target.iterdir()))
  ):
    raise ValueError(
      f"{target} exists already. Name a folder that does not exist: nothing is"
      " overwritten."
    )


def check_space(target: pathlib.Path, num_bytes: int) -> None:
  """Refuses to start what the disk cannot hold.

  Raises:
    ValueError: Less than `num_bytes` are free where `target` will be.
  """
  existing = pathlib.Path(os.path.abspath(target))
  while not existing.exists():
    existing = existing.parent
  free = shutil.disk_usage(existing).free
  if free < num_bytes:
    raise ValueError(
      f"{target} needs {num_bytes / 1e6:,.1f} MB and {existing} has"
      f" {free / 1e6:,.1f} MB free."
    )
