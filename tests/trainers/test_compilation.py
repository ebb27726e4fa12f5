# SPDX-License-Identifier: Apache-2.0
"""What a run tells JAX's compiler, by platform."""

import jax
import pytest

from ramjax.trainers import compilation


@pytest.fixture
def configure(monkeypatch):
  """Configures as on a platform; returns what was set."""

  def run(platform, devices, folder, level="UNKNOWN"):
    found = {}
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    jax.config.update("jax_optimization_level", level)
    with monkeypatch.context() as patched:
      patched.setattr(jax.config, "update", found.__setitem__)
      compilation.configure(folder)
    return found

  yield run
  jax.config.update("jax_optimization_level", "UNKNOWN")


@pytest.mark.parametrize(
  "platform, devices, kept",
  [("cpu", 1, True), ("cpu", 2, False), ("gpu", 8, True), ("tpu", 4, True)],
)
def test_programs_are_kept_except_those_of_several_cpu_devices(
  configure, tmp_path, platform, devices, kept
):
  found = configure(platform, devices, str(tmp_path / "xla"))
  folder = str(tmp_path / "xla") if kept else None
  assert found.get("jax_compilation_cache_dir") == folder


def test_without_a_folder_none_are_kept(configure):
  assert configure("tpu", 4, "") == {}


def test_collectives_overlap_with_matmuls_on_a_gpu(configure):
  assert configure("gpu", 8, "") == {"jax_optimization_level": "O1"}


def test_a_level_of_the_users_stays(configure):
  assert configure("gpu", 8, "", level="O3") == {}


def test_jax_has_the_level_and_compiles_at_it():
  jax.config.update("jax_optimization_level", "O1")
  try:
    assert jax.jit(lambda x: x + 1)(1) == 2
  finally:
    jax.config.update("jax_optimization_level", "UNKNOWN")
