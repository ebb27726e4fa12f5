# SPDX-License-Identifier: Apache-2.0
"""Reads a prepared TFDS dataset by index, without TensorFlow or a network.

The dataset is opened from its directory, not by name: looking a name up in
TFDS imports the code that built the dataset, which may import TensorFlow.
"""

import hashlib
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from ramjax.data import strict_json
from ramjax.data.read import DataError
from ramjax.data.strict_json import RecordError

# In datasets of `tfds_rows`: a record's other keys, as one JSON object.
EXTRA_FEATURE = "extra_json"

# TFDS imports whatever module features.json names, so names are checked first.
_FEATURES = frozenset(
  "tensorflow_datasets.core.features." + name
  for name in (
    "class_label_feature.ClassLabel",
    "features_dict.FeaturesDict",
    "scalar.Scalar",
    "sequence_feature.Sequence",
    "tensor_feature.Tensor",
    "text_feature.Text",
  )
)
_MAX_INFO_BYTES = 16 << 20


class PreparedSource:
  """A split of a prepared dataset: a random-access sequence of records."""

  def __init__(self, identity: str, builder: Any, split: str):
    self._identity = identity
    self._features = builder.info.features
    self._source = builder.as_data_source(split=split)
    self._files = [
      pathlib.Path(builder.data_path) / "features.json",
      *map(pathlib.Path, builder.info.splits[split].filepaths),
    ]

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> dict[str, Any]:
    """Returns a record as plain dicts, lists, strings and numbers.

    Raises:
      IndexError: `index` is negative or no less than the length.
      RecordError: It is damaged, or its text is not UTF-8.
    """
    if not 0 <= index < len(self):
      raise IndexError(f"index={index} must lie in [0, {len(self)})")
    try:
      record = _plain(self._features, self._source[index])
    # Reading damaged bytes fails in as many ways as TFDS has layers.
    except Exception as error:
      reason = " ".join(str(error).split())[:300]
      raise RecordError(
        f"cannot be decoded ({reason}): prepare it again"
      ) from error
    if isinstance(extra := record.pop(EXTRA_FEATURE, None), str):
      return {**_decode_extra(extra), **record}
    return record

  def fingerprint(self) -> str:
    """Returns a SHA-256 of the dataset's identity and of its split's files."""
    digest = hashlib.sha256(self._identity.encode())
    for path in self._files:
      with open(path, "rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def open_source(name: str, split: str, data_dir: str) -> PreparedSource:
  """Opens a split of a dataset that TFDS prepared in array_record format.

  Args:
    name: "NAME/CONFIG", "NAME" or either with "/VERSION" behind it; without a
      version, the newest one there is.
    split: Such as "train", or a part of one, "train[:90%]".
    data_dir: The local directory that it was prepared in.

  Raises:
    FileNotFoundError: There is no such prepared dataset.
    DataError: It cannot be read: of another format, without such a split,
      with features that no row format has, or damaged.
  """
  directory = _dataset_dir(name, data_dir)
  _check_features(directory)
  import tensorflow_datasets as tfds

  try:
    builder = tfds.builder_from_directory(directory)
    splits = list(builder.info.splits)
    if re.split(r"[\[+]", split, maxsplit=1)[0] not in splits:
      raise DataError(
        f"{directory}: split={split!r} is none of its splits,"
        f" {', '.join(splits) or 'of which it has none'}: name one, or a part"
        " of one such as train[:90%]."
      )
    return PreparedSource(f"{builder.info.full_name}:{split}", builder, split)
  except (DataError, FileNotFoundError):
    raise
  except NotImplementedError as error:
    raise DataError(
      f"{directory}: prepared as {builder.info.file_format}, which cannot be"
      " read by index: prepare it again with file_format='array_record'."
    ) from error
  # A damaged dataset_info.json fails in as many ways as TFDS has layers.
  except Exception as error:
    reason = " ".join(str(error).split())[:300]
    raise DataError(
      f"{directory}: cannot be opened with split={split!r} ({reason}): check the"
      " split, or prepare the dataset again."
    ) from error


def _dataset_dir(name: str, data_dir: str) -> pathlib.Path:
  """Returns the directory of the dataset's named or newest version."""
  if not re.fullmatch(r"\w[\w.\-]*(/\w[\w.\-]*){0,2}", name):
    raise DataError(
      f"name={name!r} must be NAME, NAME/CONFIG or either with /VERSION."
    )
  if "://" in data_dir:
    raise DataError(
      f"data_dir={data_dir!r} must be a local directory: mount or copy it."
    )
  root = pathlib.Path(data_dir) / name
  if (root / "dataset_info.json").is_file():
    return root
  versions = []
  if root.is_dir():
    for entry in root.iterdir():
      if re.fullmatch(r"\d+\.\d+\.\d+", entry.name):
        versions.append(tuple(map(int, entry.name.split("."))))
  if not versions:
    raise FileNotFoundError(
      f"data_dir={data_dir!r} holds no prepared dataset {name!r}: looked for"
      f" {root.absolute()}/VERSION/dataset_info.json. Prepare it there, with"
      " `ramjax prepare` or TFDS."
    )
  return root / ".".join(map(str, max(versions)))


def _check_features(directory: pathlib.Path) -> None:
  """Refuses features.json files that TFDS must not be shown."""
  path = directory / "features.json"
  if not path.is_file():
    raise FileNotFoundError(
      f"{path.absolute()} does not exist: the dataset is not prepared, or by a"
      " TFDS before 4.0; prepare it again."
    )
  with open(path, "rb") as stream:
    data = stream.read(_MAX_INFO_BYTES + 1)
  try:
    if len(data) > _MAX_INFO_BYTES:
      raise ValueError(f"larger than {_MAX_INFO_BYTES} bytes")
    text = data.decode("utf-8").strip()
    value, end = strict_json.StrictDecoder().decode(text, 0)
    if isinstance(value, RecordError):
      raise value
    if end < len(text):
      raise ValueError("extra data behind the JSON value")
  except ValueError as error:
    raise DataError(f"{path}: not valid: {error}: prepare it again.") from error
  pending = [value]
  while pending:
    item = pending.pop()
    if isinstance(item, dict):
      for key, child in item.items():
        names_class = key in ("pythonClassName", "python_class_name", "type")
        if names_class and isinstance(child, str) and child not in _FEATURES:
          raise DataError(
            f"{path}: the feature class {child[:80]!a} has no place in a row"
            " format: prepare rows from texts, numbers, lists and dicts."
          )
        pending.append(child)
    elif isinstance(item, list):
      pending.extend(item)


def _decode_extra(text: str) -> Mapping[str, Any]:
  """Decodes the extra keys of a record that `tfds_rows` wrote."""
  try:
    value, end = strict_json.StrictDecoder().decode(text, 0)
  except json.JSONDecodeError as error:
    value, end = RecordError(str(error)), len(text)
  if isinstance(value, dict) and end == len(text):
    return value
  raise RecordError(f"{EXTRA_FEATURE} is no JSON object: prepare it again")


def _plain(feature: Any, value: Any) -> Any:
  """Converts a decoded TFDS example to what JSON would hold."""
  import tensorflow_datasets as tfds

  if isinstance(feature, tfds.features.FeaturesDict):
    return {key: _plain(feature[key], value[key]) for key in feature}
  if isinstance(feature, tfds.features.Sequence):
    inner = feature.feature
    if isinstance(inner, tfds.features.FeaturesDict):
      # TFDS turns a list of dicts into a dict of lists.
      columns = [value[key] for key in inner]
      value = [
        dict(zip(inner, cells, strict=True))
        for cells in zip(*columns, strict=True)
      ]
    return [_plain(inner, item) for item in value]
  if hasattr(value, "tolist"):
    value = value.tolist()
  return _decode_bytes(value)


def _decode_bytes(value: Any) -> Any:
  if isinstance(value, bytes):
    return value.decode("utf-8")
  if isinstance(value, list):
    return [_decode_bytes(item) for item in value]
  return value
