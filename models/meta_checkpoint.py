# SPDX-License-Identifier: Apache-2.0
"""Meta's original checkpoint folders as a source of tensors.

`params.json` and `consolidated.00.pth`, `consolidated.01.pth` and so on. The
files are Python pickles, the one format here that can hold code, so PyTorch
reads them in its restricted mode and maps what they hold; nothing else does.
"""

import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ramjax.models import (
  hf_names,
  json_fields,
  meta_params,
  meta_shards,
  model_folder,
  tensors,
)
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_folder import FLOAT_DTYPES
from ramjax.models.tensors import TensorError, TensorSpec

_SHARD = re.compile(r"consolidated\.([0-9]{2})\.pth")
# Before it, weights_only could be made to run code: CVE-2025-32434.
_OLDEST_TORCH = (2, 6)
_EMBEDDING, _LM_HEAD = "model.embed_tokens.weight", "lm_head.weight"

Shard = Mapping[str, np.ndarray]


def load_pth(path: pathlib.Path) -> Shard:
  """The tensors of a `.pth` file, as read-only views of the mapped file.

  Raises:
    ValueError: PyTorch is missing or too old; as a TensorError, the file holds
      anything but plain tensors by name.
  """
  try:
    import torch  # pyright: ignore[reportMissingImports]
  except ImportError as error:
    raise ValueError(
      f"{path} can be read by PyTorch alone, which is not installed: pip"
      " install torch. It is needed for this conversion only."
    ) from error
  release = tuple(int(n) for n in torch.__version__.split(".")[:2])
  if release < _OLDEST_TORCH:
    raise ValueError(
      f"PyTorch {torch.__version__} can be made to run code by a file that it"
      " reads with weights_only (CVE-2025-32434): pip install 'torch>=2.6'."
    )
  try:
    held = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
  except Exception as error:  # Whatever a damaged pickle makes Python raise.
    # PyTorch's own message advises to switch the protection off.
    asked = re.search(r"GLOBAL (\S+)", str(error))
    raise TensorError(
      f"{path} is refused: "
      + (
        f"it asks for {asked[1][:80]!a}, and a file of weights has no use for"
        " anything but tensors. Loading it otherwise could run its code."
        if asked
        else "it is damaged, or no file that torch.save of PyTorch 1.6 or"
        " newer wrote. Is the download complete?"
      )
    ) from error
  if not isinstance(held, dict):
    raise TensorError(
      f"{path} holds a {type(held).__name__}; weights are a dict of tensors."
    )
  found = {}
  for name, tensor in held.items():
    if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
      raise TensorError(
        f"{path}: entry {str(name)[:80]!a} is a {type(tensor).__name__}; only"
        " tensors by name are read."
      )
    dtype = str(tensor.dtype).removeprefix("torch.")
    if (
      dtype not in FLOAT_DTYPES
      or tensor.layout != torch.strided
      or not tensor.is_contiguous()  # A view may repeat a few bytes for ever.
      or tensor.device.type != "cpu"
    ):
      raise TensorError(
        f"{path}: tensor {name[:80]!a} is {dtype} ({tensor.layout}, on"
        f" {tensor.device.type}); weights must be plain arrays of one of"
        f" {', '.join(FLOAT_DTYPES)}."
      )
    tensor = tensor.detach()
    if dtype == "bfloat16":  # Which PyTorch does not hand to NumPy.
      array = tensor.view(torch.int16).numpy().view(dtype)
    else:
      array = tensor.numpy()
    array.flags.writeable = False
    found[name] = array
  return found


class MetaCheckpoint:
  """The tensors of Meta's folder, named and laid out as Hugging Face does.

  Attributes:
    path: The folder.
    config: The model's shape.
    release: The release that settled what `params.json` does not say, or None.
    specs: Every tensor in the order of the layers.
  """

  path: pathlib.Path
  config: LlamaConfig
  release: str | None
  specs: Mapping[str, TensorSpec]

  def __init__(
    self,
    path: str | pathlib.Path,
    *,
    release: str | None = None,
    max_positions: int | None = None,
    load_shard: Callable[[pathlib.Path], Shard] = load_pth,
  ):
    """Maps every shard, and checks every name, shape and dtype.

    Args:
      path: A folder with `params.json` and `consolidated.NN.pth`.
      release: As for `meta_params.describe`.
      max_positions: As for `meta_params.describe`.
      load_shard: Reads one file.

    Raises:
      FileNotFoundError: A file is missing.
      ValueError: Something is not supported, or, as a TensorError, the tensors
        are not those that `params.json` describes.
    """
    self.path = pathlib.Path(path)
    params = self.path / meta_params.FILE_NAME
    raw = meta_params.read(self.path)
    width = json_fields.integer(raw, "dim", params)
    shards = [
      {
        name: array
        for name, array in load_shard(file).items()
        if name not in meta_shards.BUFFERS
      }
      for file in shard_files(self.path)
    ]
    try:
      self.config, self.release = meta_params.describe(
        raw,
        vocab_size=meta_shards.vocab_size(
          _part(shards, meta_shards.EMBEDDING), len(shards), width
        ),
        mlp_width=_part(shards, meta_shards.FIRST_MLP)[0] * len(shards),
        has_head=meta_shards.HEAD in shards[0],
        path=params,
        release=release,
        max_positions=max_positions,
      )
      self._joined = self._join(shards)
    except TensorError as error:
      raise TensorError(f"{self.path}: {error}") from error
    self.specs = {
      name: TensorSpec(shape, str(self._joined[name].groups[0][0].dtype))
      for name, shape in hf_names.hf_shapes(self.config).items()
    }

  def rows(self, name: str, start: int, stop: int) -> np.ndarray:
    """Rows of a tensor, joined from the shards that hold them.

    Raises:
      TensorError: Shards that must agree do not.
    """
    try:
      return self._joined[name].rows(start, stop)
    except TensorError as error:
      raise TensorError(f"{self.path}: {error}") from error

  def close(self) -> None:
    """Lets go of the files."""
    self._joined = {}

  def _join(self, shards: Sequence[Shard]) -> dict[str, meta_shards.Joined]:
    config = self.config
    shapes = hf_names.hf_shapes(config)
    tied = config.tie_embeddings and meta_shards.HEAD in shards[0]
    if tied:
      shapes[_LM_HEAD] = shapes[_EMBEDDING]
    known = {meta_shards.stored_as(name).name for name in shapes}
    for number, shard in enumerate(shards):
      unknown = sorted(shard.keys() - known)
      if unknown:
        raise TensorError(
          f"tensor {unknown[0][:80]!a} of shard {number:02d} is not part of"
          f" the model that {meta_params.FILE_NAME} describes ({len(unknown)}"
          " such)."
        )
    joined = {
      name: meta_shards.join(name, shards, shape, config.head_dim)
      for name, shape in shapes.items()
    }
    if tied:
      _check_tied(joined[_EMBEDDING], joined.pop(_LM_HEAD), shapes[_EMBEDDING])
    return joined


def shard_files(path: pathlib.Path) -> list[pathlib.Path]:
  """The files `consolidated.00.pth` and on, in order, checked to be regular.

  Raises:
    FileNotFoundError: There are none, or one in between is missing.
    ValueError: A link out of the folder.
  """
  numbers = sorted(
    int(match[1])
    for entry in path.iterdir()
    if (match := _SHARD.fullmatch(entry.name))
  )
  for expected in range(max(len(numbers), 1)):
    if expected >= len(numbers) or numbers[expected] != expected:
      raise FileNotFoundError(
        f"{path / f'consolidated.{expected:02d}.pth'} does not exist: a"
        " checkpoint of Meta's is consolidated.00.pth, and on to the last"
        f" shard; {len(numbers)} are there."
      )
  return [
    model_folder.safe_file(path, f"consolidated.{number:02d}.pth")
    for number in numbers
  ]


def _part(shards: Sequence[Shard], name: str) -> tuple[int, ...]:
  """The shape of a matrix in the first shard."""
  if name not in shards[0] or shards[0][name].ndim != 2:
    raise TensorError(
      f"tensor {name!r} is missing from shard 00, or no matrix."
    )
  return shards[0][name].shape


def _check_tied(
  embedding: meta_shards.Joined, head: meta_shards.Joined, shape
) -> None:
  """A head saved although it is tied must be the embedding, to the byte."""
  spec = TensorSpec(shape, str(embedding.groups[0][0].dtype))
  for start, stop in tensors.blocks(spec):
    rows = embedding.rows(start, stop)
    if head.rows(start, stop).tobytes() != rows.tobytes():
      raise TensorError(
        f"{meta_shards.HEAD!r} is not {meta_shards.EMBEDDING!r}, and the"
        " release ties the two. Name the release that it is (--release)."
      )
