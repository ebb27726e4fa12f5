# SPDX-License-Identifier: Apache-2.0
"""Run folders: what we write Orbax reads, and what Orbax writes we read."""

import json
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ramjax.models import (
  llama,
  sharding,
  source_params,
  tensors,
  weights,
)
from ramjax.models.run_folder import RunFolder
from ramjax.models.run_writer import RunWriter
from ramjax.models.tensors import TensorError

_NAMES = ("1", "2_70b", "3_2", "mistral", "qwen2", "qwen2_untied")
_HEADS = ("llama_reward", "qwen2_3_labels")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  """Most tensors span several blocks; 1500 bytes leave partial last chunks."""
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 1500)


def _write(folder, source, step=0):
  folder.mkdir()
  writer = RunWriter(folder, source.config, source.specs, step=step)
  tensors.copy(source, writer)
  return folder


def _restored(path, config, dtype="float32"):
  """What Orbax itself reads, on one device."""
  shapes, _ = llama.abstract_params(config)
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  target = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, np.dtype(dtype), sharding=sharding),
    shapes,
  )
  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore(path, target)


def _check_equal(params, expected):
  jax.tree.map(np.testing.assert_array_equal, jax.device_get(params), expected)


def _params(source, golden_maker):
  """The independent reference, where it knows the shape."""
  return golden_maker.params_from_hf(source.arrays, source.config)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["3", "qwen2", "llama_reward"])
def test_what_is_written_reads_back_to_the_byte(
  tiny, source_of, tmp_path, name, dtype
):
  source = source_of(name, dtype)
  folder = RunFolder(_write(tmp_path / "run", source))
  assert folder.config == source.config and folder.step == 0
  assert tiny.read_bytes(folder) == tiny.read_bytes(source)
  folder.close()


def test_every_shape_reads_back_in_blocks_of_any_rows(source_of, tmp_path):
  for name in (*_NAMES, *_HEADS):
    source = source_of(name)
    folder = RunFolder(_write(tmp_path / name, source))
    for key, spec in source.specs.items():
      for start, stop in ((0, 1), (1, spec.shape[0]), (0, spec.shape[0])):
        np.testing.assert_array_equal(
          folder.rows(key, start, stop), source.arrays[key][start:stop]
        )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_orbax_restores_what_is_written(
  golden_maker, source_of, tmp_path, dtype
):
  source = source_of("3", dtype)
  run = _write(tmp_path / "run", source, step=3)
  restored = _restored(run / "checkpoints/3/params", source.config, dtype)
  _check_equal(restored, _params(source, golden_maker))


def test_orbax_restores_tensors_of_zeros(source_of, tmp_path):
  source = source_of("qwen2")
  for name, array in source.arrays.items():
    if name.endswith("bias"):
      array[:] = 0
  run = _write(tmp_path / "run", source)
  restored = _restored(run / "checkpoints/0/params", source.config)
  for kernel in ("query", "key", "value"):
    bias = restored["layers"]["attention"][kernel]["bias"]
    np.testing.assert_array_equal(bias, np.zeros(bias.shape))


@pytest.mark.parametrize("fsdp,tensor", [(8, 1), (4, 2)])
def test_training_loads_what_is_written(
  golden_maker, source_of, tmp_path, fsdp, tensor
):
  source = source_of("3_2")
  run = _write(tmp_path / "run", source)
  config = weights.load_config(run)
  assert config == source.config
  mesh = sharding.make_mesh({"fsdp": fsdp, "tensor": tensor})
  params = source_params.load_params(RunFolder(run), mesh)
  _check_equal(params, _params(source, golden_maker))


def test_the_newer_orbax_interface_reads_it(golden_maker, source_of, tmp_path):
  from orbax.checkpoint import v1

  source = source_of("3")
  run = _write(tmp_path / "run", source)
  item = run / "checkpoints/0/params"
  shapes, _ = llama.abstract_params(source.config)
  device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  target = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), shapes
  )
  _check_equal(v1.load(item, target), _params(source, golden_maker))


def _train_like(run, config, params, item="params", step=7):
  """Saves as the trainers do."""
  run.mkdir(exist_ok=True)
  weights.save_config(run, config)
  path = run / "checkpoints" / str(step) / item
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(path, params)
  return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory, shapes):
  """A run of two sharded checkpoints, the second with an average."""
  config = shapes["3_2"]
  run = tmp_path_factory.mktemp("trained") / "run"
  layout = llama.param_shardings(config, sharding.make_mesh({"fsdp": 8}))
  declared, _ = llama.abstract_params(config)
  rng = np.random.default_rng(0)

  def draw(shape):
    return rng.standard_normal(shape.shape).astype(np.float32)

  params = [
    jax.device_put(jax.tree.map(draw, declared), layout) for _ in range(3)
  ]
  _train_like(run, config, params[0], step=7)
  _train_like(run, config, params[1], step=30)
  _train_like(run, config, params[2], item="average", step=30)
  return run, config, jax.device_get(params)


@pytest.mark.parametrize(
  "options,which,step",
  [({}, 1, 30), ({"step": 7}, 0, 7), ({"average": True}, 2, 30)],
)
def test_what_training_saves_is_read(
  golden_maker, trained, options, which, step
):
  run, config, params = trained
  assert json.loads((run / "checkpoints/7/params/_METADATA").read_text())[
    "use_ocdbt"
  ]
  folder = RunFolder(run, **options)
  assert folder.step == step and folder.config == config
  state = {
    name: folder.rows(name, 0, spec.shape[0])
    for name, spec in folder.specs.items()
  }
  _check_equal(params[which], golden_maker.params_from_hf(state, config))
  name = "model.layers.1.mlp.down_proj.weight"
  np.testing.assert_array_equal(folder.rows(name, 3, 9), state[name][3:9])


def test_blocks_of_large_trained_tensors_are_read_one_by_one(
  trained, monkeypatch
):
  from ramjax.models import run_folder

  run, _, params = trained
  monkeypatch.setattr(run_folder, "_WHOLE_BYTES", 0)
  folder = RunFolder(run, step=7)
  kernel = params[0]["layers"]["mlp"]["down"]["kernel"][1]
  rows = folder.rows("model.layers.1.mlp.down_proj.weight", 3, 9)
  np.testing.assert_array_equal(rows, kernel.T[3:9])


def test_other_orbax_format_is_read(tmp_path, shapes, fresh, config):
  # Without OCDBT, a file per chunk: what Orbax wrote before 2024.
  run = tmp_path / "run"
  run.mkdir()
  weights.save_config(run, config)
  path = run / "checkpoints/0/params"
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
  with ocp.Checkpointer(handler) as checkpointer:
    checkpointer.save(path, fresh[0])
  assert not json.loads((path / "_METADATA").read_text())["use_ocdbt"]
  folder = RunFolder(run)
  np.testing.assert_array_equal(
    folder.rows("model.layers.2.mlp.up_proj.weight", 0, 48),
    fresh[0]["layers"]["mlp"]["up"]["kernel"][2].T,
  )


def test_missing_step_average_and_folder_are_refused(trained, tmp_path):
  run, _, _ = trained
  with pytest.raises(FileNotFoundError, match="no checkpoint of step 8"):
    RunFolder(run, step=8)
  with pytest.raises(FileNotFoundError, match="average"):
    RunFolder(run, step=7, average=True)
  with pytest.raises(FileNotFoundError, match="training run"):
    RunFolder(tmp_path)


def _edit_model_file(run, **fields):
  path = run / weights.MODEL_FILE
  path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
  "changes",
  [{"mlp_width": 46}, {"num_layers": 1}, {"num_layers": 3}, {"width": 16}],
)
def test_arrays_of_another_shape_are_refused(source_of, tmp_path, changes):
  run = _write(tmp_path / "run", source_of("3"))
  _edit_model_file(run, **changes)
  with pytest.raises(TensorError, match=r"not that of model\.json"):
    RunFolder(run)


def test_array_that_is_missing_is_refused_by_name(source_of, tmp_path):
  run = _write(tmp_path / "run", source_of("3"))
  _edit_model_file(run, num_labels=1)
  with pytest.raises(TensorError, match="parameter score/kernel"):
    RunFolder(run)


def test_field_of_another_version_is_refused(source_of, tmp_path):
  run = _write(tmp_path / "run", source_of("3"))
  _edit_model_file(run, future=1)
  with pytest.raises(ValueError, match=r"model\.json: .*'future'"):
    RunFolder(run)


def test_chunk_that_was_lost_is_not_read_as_zeros(source_of, tmp_path):
  run = _write(tmp_path / "run", source_of("3"))
  item = run / "checkpoints/0/params"
  (lost,) = (item / "layers.mlp.up.kernel").glob("1.0.0")
  lost.unlink()
  folder = RunFolder(run)
  with pytest.raises(ValueError, match=r"layers\.mlp\.up\.kernel"):
    folder.rows("model.layers.1.mlp.up_proj.weight", 0, 48)


def test_integers_are_no_weights(source_of, tmp_path):
  run = _write(tmp_path / "run", source_of("3"))
  path = run / "checkpoints/0/params/final_norm.scale/.zarray"
  path.write_text(path.read_text().replace("<f4", "<i4"))
  with pytest.raises(TensorError, match="final_norm/scale is int32"):
    RunFolder(run)


def test_layers_of_two_dtypes_cannot_be_stacked(source_of, tmp_path):
  source = source_of("3")
  name = "model.layers.1.mlp.up_proj.weight"
  source.specs[name] = source.specs[name]._replace(dtype="bfloat16")
  with pytest.raises(TensorError, match=r"choose one\s+dtype.*--dtype"):
    RunWriter(tmp_path, source.config, source.specs)


@pytest.mark.parametrize(
  "rows",
  [
    np.zeros((49, 32), np.float32),
    np.zeros((1, 31), np.float32),
    np.zeros((1, 32), np.float16),
  ],
)
def test_rows_that_do_not_belong_are_refused(source_of, tmp_path, rows):
  source = source_of("3")
  writer = RunWriter(tmp_path, source.config, source.specs)
  with pytest.raises(TensorError, match="are not the next of tensor"):
    writer.append("model.layers.0.mlp.up_proj.weight", rows)


def test_unfinished_checkpoint_is_none(source_of, tmp_path):
  source = source_of("3")
  writer = RunWriter(tmp_path, source.config, source.specs)
  writer.append("model.norm.weight", source.arrays["model.norm.weight"])
  with pytest.raises(TensorError, match="was not written to its end"):
    writer.close()
  assert not list(pathlib.Path(tmp_path).rglob("_METADATA"))


def test_no_file_holds_more_than_a_block(source_of, tmp_path):
  run = _write(tmp_path / "run", source_of("3"))
  chunks = [p for p in (run / "checkpoints").rglob("*.*.*") if p.is_file()]
  assert len(chunks) > 50
  # A chunk is padded to the size of the largest block, never to two.
  assert max(p.stat().st_size for p in chunks) <= 1500
