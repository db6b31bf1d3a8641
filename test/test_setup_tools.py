"""What `make setup` says when the machine lacks something, and the executables it writes."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from sentryfuse_core.config import Config, load_yaml

ROOT = Path(__file__).resolve().parent.parent


def load(name: str) -> ModuleType:
    """A module of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


setup_env = load("setup_env")
make_scripts = load("make_scripts")


def test_machine_is_accepted_when_nothing_is_missing() -> None:
    setup_env.check_machine()


@pytest.mark.parametrize(
    ("owner", "name", "value", "told"),
    [
        (shutil, "which", lambda tool: None if tool == "g++" else "/bin/true", r"^g\+\+ .*build-essential"),
        (shutil, "which", lambda tool: None if tool == "make" else "/bin/true", "^make .*build-essential"),
        (sysconfig, "get_paths", lambda: {"include": "/nowhere"}, "apt install python3-dev"),
        (platform, "machine", lambda: "aarch64", r"this is aarch64.*ROS 2 distribution"),
        (sys, "version_info", (3, 9), r"3\.10 to 3\.14.*PYTHON="),
        (sys, "version_info", (3, 15), r"3\.10 to 3\.14.*PYTHON="),
    ],
)
def test_machine_is_refused_with_the_remedy_when_something_is_missing(
    owner: ModuleType, name: str, value: object, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, value)
    with pytest.raises(setup_env.SetupError, match=told):
        setup_env.check_machine()


def test_machine_is_refused_with_the_remedy_when_venv_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(setup_env.SetupError, match=r"ensurepip.*apt install python3-venv"):
        setup_env.check_machine()


def test_digest_changes_when_a_file_or_its_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_env, "ROOT", tmp_path)
    (tmp_path / "msg").mkdir()
    (tmp_path / "msg" / "A.msg").write_text("int8 a\n")
    seen = {setup_env.digest(("msg",))}
    (tmp_path / "msg" / "A.msg").write_text("int8 b\n")
    seen.add(setup_env.digest(("msg",)))
    (tmp_path / "msg" / "A.msg").rename(tmp_path / "msg" / "B.msg")
    seen.add(setup_env.digest(("msg",)))
    assert len(seen) == 3


def test_failed_step_names_the_log_and_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_env, "LOG", tmp_path / "setup.log")
    script = "print('ERROR: no index'); raise SystemExit(3)"
    with pytest.raises(setup_env.SetupError, match=r"install failed \(ERROR: no index\).*setup\.log"):
        setup_env.step("install", [sys.executable, "-c", script])
    assert "ERROR: no index" in (tmp_path / "setup.log").read_text()


def test_failed_step_names_the_network_when_the_index_was_not_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "LOG", tmp_path / "setup.log")
    script = (
        "print('WARNING: Retrying (Retry(total=0)) after connection broken by ...')\n"
        "print('ERROR: No matching distribution found for numpy==2.4.6')\n"
        "raise SystemExit(1)"
    )
    with pytest.raises(setup_env.SetupError, match=r"index was not reached; look at the network"):
        setup_env.step("install", [sys.executable, "-c", script])


@pytest.mark.parametrize("fresh", [True, False])
def test_setup_builds_the_messages_anew_when_the_environment_is(
    fresh: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "ROOT", tmp_path)
    monkeypatch.setattr(setup_env, "VENV", tmp_path)
    monkeypatch.setattr(setup_env, "step", lambda *_: None)
    monkeypatch.setattr(setup_env, "repair_cmake_files", lambda: None)
    monkeypatch.setattr(setup_env, "run_python", lambda _: str(tmp_path))
    built = tmp_path / "build" / "colcon" / "sentryfuse"
    built.mkdir(parents=True)
    setup_env.install_wheels(fresh=fresh)
    assert built.exists() != fresh


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the checkout, with a .venv of other wheels and another package."""
    monkeypatch.setattr(setup_env, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(setup_env, "LOG", tmp_path / "build" / "setup.log")
    monkeypatch.setattr(setup_env, "wanted", lambda: {"interpreter": "i", "wheels": "w", "package": "p"})
    monkeypatch.setattr(setup_env, "torch_build", lambda: "torch")
    setup_env.write_stamp({"interpreter": "i", "wheels": "old", "package": "old"})
    return tmp_path


def interrupted(**_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize(("where", "kept"), [("install_wheels", ["i"]), ("install_package", ["i", "w"])])
def test_setup_forgets_what_was_there_when_interrupted_while_it_changes_it(
    where: str,
    kept: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(setup_env, "install_wheels", lambda **_: None)
    monkeypatch.setattr(setup_env, where, interrupted)
    assert setup_env.main() == 130
    assert capsys.readouterr().err == "\nsetup: interrupted; `make setup` again completes it\n"
    assert [part for part in setup_env.read_stamp().values() if part] == kept


def test_setup_names_the_path_and_the_remedy_when_it_cannot_write_there(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "build").touch()
    assert setup_env.main() == 2
    told = capsys.readouterr().err
    assert told.startswith(f"setup: {checkout / 'build'}: ")
    assert told.endswith("check the path, its rights and free space\n")


@pytest.mark.parametrize("folder", ["", "with space", "long" * 60])
def test_scripts_run_their_functions_when_written_from_pyproject(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / folder / "python"
    python.parent.mkdir(exist_ok=True)
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    pyproject = tmp_path / "pyproject.toml"
    pyproject.write_text('[project.scripts]\nhello = "greeting:main"\n')
    (tmp_path / "greeting.py").write_text(
        "import sys\ndef main():\n    print('hi', *sys.argv[1:])\n    return 3\n"
    )
    (script,) = make_scripts.write_scripts(pyproject, tmp_path / "scripts")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run([script, "a b"], env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (3, "hi a b\n")


def test_executables_are_the_nodes_and_the_command(tmp_path: Path) -> None:
    written = make_scripts.write_scripts(ROOT / "pyproject.toml", tmp_path / "scripts")
    names = {path.name for path in written}
    assert names == {"sentryfuse", "fusion_node", "fault_injector_node", "player_node"}


def test_parameter_file_has_every_default_of_the_configuration() -> None:
    written = load("write_params")
    text = (ROOT / "config" / "sentryfuse.yaml").read_text(encoding="utf-8")
    assert text == written.parameter_file(), "run: .venv/bin/python tools/write_params.py"
    table = (ROOT / "docs" / "ros_api.md").read_text(encoding="utf-8")
    assert table == written.page(), "run: .venv/bin/python tools/write_params.py"
    assert load_yaml(ROOT / "config" / "sentryfuse.yaml") == Config()


def test_ros2_tests_end_with_status_2_and_the_remedy_when_the_overlay_lacks_a_package(tmp_path: Path) -> None:
    def told(overlay: str) -> str:
        command = [sys.executable, ROOT / "tools" / "test_ros2.py", overlay]
        done = subprocess.run(command, check=False, text=True, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        return done.stderr

    assert "make test-ros2 OVERLAY=" in told("")
    assert f"OVERLAY={tmp_path} has no setup.sh" in told(str(tmp_path))
    # An overlay that has a launch, and nothing else of what is needed.
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "__init__.py").touch()
    (tmp_path / "setup.sh").write_text('export PYTHONPATH="$COLCON_CURRENT_PREFIX:$PYTHONPATH"\n')
    assert "cannot import launch_ros" in told(str(tmp_path))
