# SPDX-License-Identifier: Apache-2.0
"""The rules of the tree: who imports whom, how large a file may be, names.

Read from the source with `ast`; nothing is imported.
"""

import ast
import functools
import gc
import os
import pathlib
import subprocess
import sys
import tomllib

import pytest

_ROOT = pathlib.Path(__file__).parents[1]

# Folder -> the folders of ours it may import, besides itself.
_MAY_IMPORT = {
  "losses": set(),
  "models": set(),
  "data": set(),
  "configs": set(),
  "evals": {"losses", "models", "data"},
  "trainers": {"losses", "models", "data", "evals"},
  "tools": {"losses", "models", "data", "evals", "trainers", "configs"},
}
_MODULES = sorted(p for f in _MAY_IMPORT for p in (_ROOT / f).glob("*.py"))
_TESTS = sorted((_ROOT / "tests").rglob("*.py"))
# Tests of more than one module, or of none; each is named for its claim.
_TESTS_WITHOUT_A_MODULE = {
  "test_add_a_loss.py",
  "test_architecture.py",
  "test_configs.py",
  "test_configs_run.py",
  "test_docs.py",
  "test_packaging.py",
  "data/test_task_answers.py",
  "data/test_tokenizer_json_refusals.py",
  "losses/test_golden_vectors.py",
  "losses/test_mutations.py",
  "losses/test_pairwise_agreement.py",
  "losses/test_policy_agreement.py",
  "losses/test_reward_agreement.py",
  "losses/test_unpaired_agreement.py",
  "models/test_attention_backends.py",
  "models/test_attention_gpu.py",
  "models/test_attention_tpu.py",
  "models/test_hf_agreement.py",
  "tools/test_eval_alpaca_judged.py",
  "tools/test_eval_judged_commands.py",
  "tools/test_launch_manifests.py",
  "tools/test_launch_stand_ins.py",
  "tools/test_plan_gpu.py",
  "tools/test_plan_tpu.py",
  "models/test_hf_parity.py",
  "models/test_sampler_agreement.py",
  "models/test_sampler_refusals.py",
  "trainers/test_checkpoint_kills.py",
  "trainers/test_damage.py",
  "trainers/test_failing_processes.py",
  "trainers/test_invariance.py",
  "trainers/test_lost_hosts.py",
  "trainers/test_secrets.py",
  "trainers/test_several_processes.py",
  "trainers/test_resume.py",
  "trainers/test_resume_answers.py",
  "trainers/test_resume_online.py",
  "trainers/test_rounds_refusals.py",
  "models/test_peft_agreement.py",
  "models/test_source_params_processes.py",
  "trainers/test_sft_loss.py",
}
_BANNED_NAMES = {"utils", "common", "misc", "helpers", "lib"}


def _name(path: pathlib.Path) -> str:
  return path.relative_to(_ROOT).as_posix()


@functools.cache
def _tree(path: pathlib.Path) -> ast.Module:
  text = path.read_text("utf-8")
  # Python 3.11 fails in ast.parse if a collection inside it runs finalizers.
  gc.disable()
  try:
    return ast.parse(text)
  finally:
    gc.enable()


def _exists(module: str) -> bool:
  """Whether `ramjax.a.b` is a file or folder of the tree."""
  path = _ROOT.joinpath(*module.split(".")[1:])
  return path.is_dir() or path.with_suffix(".py").is_file()


def _imports(path: pathlib.Path, *, top_level_only: bool = False) -> set[str]:
  """Dotted names a file imports; `from a import b` gives a.b for a module b."""
  found = set()
  tree = _tree(path)
  for node in tree.body if top_level_only else ast.walk(tree):
    if isinstance(node, ast.Import):
      found.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      base = "." * node.level + (node.module or "")
      for alias in node.names:
        full = f"{base}.{alias.name}"
        is_module = base.split(".")[0] == "ramjax" and _exists(full)
        found.add(full if is_module else base)
  return found


def _folders_imported(path: pathlib.Path) -> set[str]:
  own = (m.split(".") for m in _imports(path))
  return {m[1] for m in own if m[0] == "ramjax" and len(m) > 1}


@pytest.mark.parametrize("folder", _MAY_IMPORT)
def test_imports_point_one_way(folder):
  allowed = _MAY_IMPORT[folder] | {folder}
  wrong = {
    _name(path): sorted(_folders_imported(path) - allowed)
    for path in _MODULES
    if path.parent.name == folder and _folders_imported(path) - allowed
  }
  assert not wrong, f"{folder} may import only {sorted(allowed)}"


def test_own_imports_are_absolute_and_begin_with_ramjax():
  for path in _MODULES:
    tops = {m.split(".")[0] for m in _imports(path)}
    assert "" not in tops, f"{_name(path)}: relative import"
    assert not tops & set(_MAY_IMPORT), f"{_name(path)}: import ramjax.FOLDER"


def test_only_models_import_flax():
  users = {
    path.parent.name
    for path in _MODULES
    if any(m.split(".")[0] == "flax" for m in _imports(path))
  }
  assert users == {"models"}


def test_losses_import_only_jax():
  allowed = {"jax", "jaxtyping", "beartype", "ramjax", *sys.stdlib_module_names}
  for path in _MODULES:
    if path.parent.name == "losses":
      tops = {m.split(".")[0] for m in _imports(path)}
      assert tops <= allowed, _name(path)


def test_no_module_imports_itself_through_others():
  graph = {
    f"ramjax.{p.parent.name}.{p.stem}": _imports(p, top_level_only=True)
    for p in _MODULES
  }
  done: set[str] = set()

  def visit(module: str, trail: tuple[str, ...]) -> None:
    assert module not in trail, " -> ".join([*trail, module])
    if module in graph and module not in done:
      for other in graph[module]:
        visit(other, (*trail, module))
      done.add(module)

  for module in graph:
    visit(module, ())


@pytest.mark.parametrize("path", _MODULES, ids=_name)
def test_no_file_is_longer_than_500_lines(path):
  assert len(path.read_text("utf-8").splitlines()) <= 500


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
  """Lines of a function, its docstring not counted."""
  assert function.end_lineno is not None
  lines = function.end_lineno - function.lineno + 1
  if ast.get_docstring(function) is not None:
    docstring = function.body[0]
    assert docstring.end_lineno is not None
    lines -= docstring.end_lineno - docstring.lineno + 1
  return lines


def test_no_function_is_longer_than_80_lines():
  long = {
    f"{_name(path)}:{node.name}": _length(node)
    for path in _MODULES
    for node in ast.walk(_tree(path))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    and _length(node) > 80
  }
  assert not long


def test_no_file_is_named_for_what_did_not_fit_elsewhere():
  for path in [*_MODULES, *_TESTS]:
    assert not set(path.stem.split("_")) & _BANNED_NAMES, _name(path)


def test_every_file_begins_with_its_license_and_says_what_it_is_for():
  for path in [*_MODULES, *_TESTS]:
    first = path.read_text("utf-8").partition("\n")[0]
    assert first == "# SPDX-License-Identifier: Apache-2.0", _name(path)
    assert ast.get_docstring(_tree(path)), f"{_name(path)}: no docstring"


def test_package_files_hold_a_docstring_and_nothing_else():
  for folder in _MAY_IMPORT:
    tree = _tree(_ROOT / folder / "__init__.py")
    assert ast.get_docstring(tree) and len(tree.body) == 1, folder


# The flag that lets transformers run a model's own Python. In two pieces, so
# that no file of the project contains it.
_REMOTE_CODE = "trust_remote" + "_code"


def _runs_foreign_code(node: ast.AST) -> bool:
  """Whether `node` unpickles, or lets a checkpoint bring its own code."""
  if isinstance(node, ast.keyword):
    allows = not (
      isinstance(node.value, ast.Constant) and node.value.value is False
    )
    return node.arg == _REMOTE_CODE or (node.arg == "allow_pickle" and allows)
  names = {"pickle", "cPickle", "cloudpickle", "dill", "joblib"}
  if isinstance(node, ast.Import):
    return any(alias.name.split(".")[0] in names for alias in node.names)
  if isinstance(node, ast.ImportFrom):
    return (node.module or "").split(".")[0] in names
  return isinstance(node, ast.Name) and node.id == _REMOTE_CODE


def test_no_pickle_and_no_remote_code():
  for path in [*_MODULES, *_TESTS]:
    lines = [
      getattr(n, "lineno", 0)
      for n in ast.walk(_tree(path))
      if _runs_foreign_code(n)
    ]
    assert not lines, f"{_name(path)}: {lines}"


def test_no_file_mentions_the_flag_for_remote_code():
  # Of what Git tracks or would: code, configs, docs, data.
  listed = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd=_ROOT,
    capture_output=True,
    check=False,
  )
  if listed.returncode:
    pytest.skip("not a Git checkout")
  paths = [_ROOT / os.fsdecode(p) for p in listed.stdout.split(b"\0") if p]
  assert len(paths) > 100
  found = [
    _name(path)
    for path in paths
    if path.is_file() and _REMOTE_CODE.encode() in path.read_bytes()
  ]
  assert not found


@pytest.mark.parametrize(
  "code,runs",
  [
    ("import pickle", True),
    ("from pickle import loads", True),
    ("np.load(f, allow_pickle=True)", True),
    ("np.load(f, allow_pickle=flag)", True),
    ("np.load(f, allow_pickle=False)", False),
    (f"load(f, {_REMOTE_CODE}=False)", True),
    ("import json", False),
  ],
)
def test_the_search_for_foreign_code_finds_it(code, runs):
  assert any(_runs_foreign_code(n) for n in ast.walk(ast.parse(code))) == runs


def test_every_test_file_mirrors_a_module():
  orphans = []
  for path in (_ROOT / "tests").rglob("test_*.py"):
    name = path.relative_to(_ROOT / "tests").as_posix()
    module = _ROOT / path.parent.relative_to(_ROOT / "tests")
    module /= path.name.removeprefix("test_")
    if not module.is_file() and name not in _TESTS_WITHOUT_A_MODULE:
      orphans.append(name)
  assert not orphans


def test_tests_without_a_module_exist():
  for name in _TESTS_WITHOUT_A_MODULE:
    assert (_ROOT / "tests" / name).is_file(), f"{name}: take it off the list"


def test_folders_package_list_and_links_agree():
  with (_ROOT / "pyproject.toml").open("rb") as file:
    setuptools = tomllib.load(file)["tool"]["setuptools"]
  folders = {p.parent.name for p in _ROOT.glob("*/__init__.py")}
  assert folders == set(_MAY_IMPORT)
  packages = {f"ramjax.{folder}" for folder in folders}
  assert set(setuptools["packages"]) == packages
  assert setuptools["package-dir"] == {f"ramjax.{f}": f for f in folders}
  links = _ROOT / ".pkgroot" / "ramjax"
  assert {p.name for p in links.iterdir()} == folders
  for folder in folders:
    assert (links / folder).is_symlink()
    assert (links / folder).resolve() == (_ROOT / folder).resolve()


def test_package_folders_are_flat():
  for folder in _MAY_IMPORT:
    nested = [p for p in (_ROOT / folder).glob("*/**/*.py")]
    assert not nested, f"{folder}: a nested package is missing from the wheel"
    assert (_ROOT / folder / "py.typed").is_file()
