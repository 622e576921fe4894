"""install.sh without installing anything: its words, its refusals, its choices, and the lists of engines.

The script runs its `main` only when it is executed, so a test can source it and call one function.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "install.sh"
Ended = subprocess.CompletedProcess[str]
DEBIAN = 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder first on PATH, for commands that answer as another machine's would."""
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with what install.sh reads, and nothing done yet."""
    folder = tmp_path / "clone"
    folder.mkdir()
    shutil.copy(SCRIPT, folder)
    shutil.copytree(ROOT / "engines", folder / "engines")
    (folder / "build").mkdir()  # where the lock notes who holds it
    return folder


@pytest.fixture
def call(tmp_path: Path, tools: Path, clone: Path) -> Callable[[str], Ended]:
    """Source install.sh on a machine of the test's making, run some lines of bash, and give back how they ended."""
    (tmp_path / "os-release").write_text(DEBIAN)
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 16000000 kB\n")
    answer_with(tools, "apt-get", "exit 0")
    answer_with(tools, "nvidia-smi", "exit 9")
    answer_with(tools, "uname", '[ "$1" = -m ] && echo x86_64 || echo Linux')
    head = f'source "{clone}/install.sh"; OS_RELEASE="{tmp_path}/os-release"; MEM_INFO="{tmp_path}/meminfo"'
    return lambda lines: bash("-c", f"{head}\n{lines}", tools=tools)


def answer_with(tools: Path, name: str, body: str) -> None:
    (tools / name).write_text(f"#!/bin/sh\n{body}\n")
    (tools / name).chmod(0o755)


def bash(*arguments: str, tools: Path | None = None) -> Ended:
    path = os.environ["PATH"] if tools is None else f"{tools}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", *arguments],
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "engines" / f"{name}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


# The script as text


@pytest.mark.parametrize("script", ["install.sh", ".ci/run"])
def test_bash_accepts_it(script: str) -> None:
    checked = bash("-n", str(ROOT / script))
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    checked = subprocess.run(
        ["shellcheck", SCRIPT, ROOT / ".ci/run"], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.stdout == ""


@pytest.mark.parametrize("script", ["install.sh", ".ci/run"])
def test_it_can_be_executed(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


def test_ci_runs_the_tests_command_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ['exec bash "$(dirname -- "$0")/../install.sh" test']


def test_pip_asks_the_index_that_the_user_configured() -> None:
    assert not re.search(r"--(extra-)?index-url|PIP_(EXTRA_)?INDEX_URL", SCRIPT.read_text())


# What it says


def test_help_names_every_option() -> None:
    told = bash(str(SCRIPT), "--help")
    assert told.returncode == 0
    for word in ("--cpu", "--gpu", "--profile", "--dry-run", "demo", "test", "embedded", "install.log"):
        assert word in told.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fast"], "'--fast' is not known"),
        (["--cpu", "--gpu"], "--cpu and --gpu exclude each other"),
        (["demo", "test"], "demo and test exclude each other"),
        (["--profile"], "--profile wants a name"),
        (["--profile", "huge"], "there is no profile 'huge'"),
        (["--cpu", "--profile=gpu"], "--profile gpu does not go with --cpu"),
    ],
)
def test_wrong_usage_is_refused_with_the_way_out(arguments: list[str], sentence: str) -> None:
    refused = bash(str(SCRIPT), *arguments)
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert "--help" in refused.stderr
    assert refused.stdout == ""


# Whom it refuses


def test_another_system_is_refused(call, tools: Path) -> None:
    answer_with(tools, "uname", '[ "$1" = -m ] && echo arm64 || echo Darwin')
    refused = call("check_platform")
    assert refused.returncode == 1
    assert "this is Darwin; edge-agent runs on Linux" in refused.stderr


def test_another_distribution_is_refused_with_what_is_needed(call, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('ID=fedora\nPRETTY_NAME="Fedora Linux 42"\n')
    refused = call("check_platform")
    assert refused.returncode == 1
    assert "this is Fedora Linux 42" in refused.stderr
    assert "Python 3.11 or newer" in refused.stderr


def test_a_relative_of_debian_is_welcome(call, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('ID=linuxmint\nID_LIKE="ubuntu debian"\n')
    assert call("check_platform").returncode == 0


def test_an_unsupported_processor_is_refused(call, tools: Path) -> None:
    answer_with(tools, "uname", '[ "$1" = -m ] && echo riscv64 || echo Linux')
    refused = call("check_platform")
    assert "this processor is riscv64" in refused.stderr


def test_a_full_disk_is_refused_before_anything_is_fetched(call, tools: Path) -> None:
    answer_with(tools, "df", 'printf "Filesystem\\nsda 9000 8000 1000 89%% /\\n"')
    refused = call("ACCEL=cpu; check_disk")
    assert refused.returncode == 1
    assert "has 1000 MB free and 3000 MB are needed" in refused.stderr


def test_an_old_release_is_refused_with_its_python(call, tools: Path) -> None:
    answer_with(tools, "apt-cache", '[ "$2" = python3 ] && echo "  Candidate: 3.9.2-3" || true')
    refused = call("python_from_apt")
    assert refused.returncode == 1
    assert "Python 3.11 or newer is needed" in refused.stderr
    assert "offers 3.9" in refused.stderr


def test_apt_brings_python_with_venv_and_headers(call, tools: Path) -> None:
    answer_with(tools, "apt-cache", 'echo "  Candidate: 3.11.2-1+b1"')
    chosen = call('python_from_apt; echo "$PYTHON ${PYTHON_PACKAGES[*]}"')
    assert chosen.stdout == "/usr/bin/python3 python3 python3-venv python3-dev\n"


def test_an_old_or_unfit_python_is_passed_over(call, tools: Path) -> None:
    answer_with(tools, "old", "exit 0")
    assert call(f'python_fit "{tools}/old"').stdout == ""


# What it chooses


def test_without_a_card_it_is_cpu(call) -> None:
    assert call('choose_accel; echo "$ACCEL: $ACCEL_WHY"').stdout == "cpu: no NVIDIA driver shows a card\n"


def test_a_card_and_its_compiler_make_it_gpu(call, tools: Path) -> None:
    answer_with(tools, "nvidia-smi", 'echo "NVIDIA L4, 8.9, 23034"')
    answer_with(tools, "nvcc", "exit 0")
    chosen = call('choose_accel; choose_profile; echo "$ACCEL $PROFILE: $PROFILE_WHY"')
    assert chosen.stdout == "gpu gpu: the card has 22 GB\n"


def test_a_card_without_its_compiler_says_so(call, tools: Path) -> None:
    answer_with(tools, "nvidia-smi", 'echo "NVIDIA L4, 8.9, 23034"')
    chosen = call('find_nvcc() { :; }; choose_accel; echo "$ACCEL: $ACCEL_WHY"')
    assert chosen.stdout.startswith("cpu: there is a card (NVIDIA L4, 8.9, 23034), but not CUDA's compiler nvcc")
    refused = call("find_nvcc() { :; }; ACCEL=gpu; choose_accel")
    assert refused.returncode == 1
    assert "CUDA's compiler nvcc is not here; install the CUDA toolkit 12" in refused.stderr


def test_a_card_on_arm_is_not_used(call, tools: Path) -> None:
    answer_with(tools, "uname", '[ "$1" = -m ] && echo aarch64 || echo Linux')
    assert call('choose_accel; echo "$ACCEL"').stdout == "cpu\n"
    assert "published for x86_64 only" in call("ACCEL=gpu; choose_accel").stderr


@pytest.mark.parametrize(
    ("cores", "memory_kb", "profile"), [(2, 32_000_000, "embedded"), (8, 4_000_000, "embedded"), (8, 16_000_000, "cpu")]
)
def test_the_hardware_chooses_the_profile(call, tmp_path: Path, cores: int, memory_kb: int, profile: str) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal: {memory_kb} kB\n")
    chosen = call(f'cores() {{ echo {cores}; }}; ACCEL=cpu; choose_profile; echo "$PROFILE: $PROFILE_WHY"')
    assert chosen.stdout.startswith(f"{profile}: {cores} processor cores and {memory_kb // 1024 // 1024} GB of memory")


def test_the_build_takes_no_more_jobs_than_memory_allows(call, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable: 3300000 kB\n")
    assert call("cores() { echo 8; }; build_jobs").stdout == "2"
    (tmp_path / "meminfo").write_text("MemAvailable: 900000 kB\n")
    assert call("cores() { echo 8; }; build_jobs").stdout == "1"


def test_another_processor_or_version_is_another_build(call, tmp_path: Path) -> None:
    keys = []
    for flags in ("sse4_2 avx2", "sse4_2 avx2 avx512f"):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nmodel name : A\nflags : {flags}\ncpu MHz : 2445.1\n")
        keys.append(call(f'ACCEL=cpu; CPU_INFO="{tmp_path}/cpuinfo"; llama_inputs | digest').stdout)
    assert len(set(keys)) == 2
    (tmp_path / "cpuinfo").write_text("processor : 1\nmodel name : A\nflags : sse4_2 avx2\ncpu MHz : 3000.0\n")
    assert call(f'ACCEL=cpu; CPU_INFO="{tmp_path}/cpuinfo"; llama_inputs | digest').stdout == keys[0]


@pytest.mark.parametrize("accel", ["cpu", "gpu"])
def test_a_dry_run_tells_the_plan_and_leaves_no_trace(call, clone: Path, tmp_path: Path, accel: str) -> None:
    before = sorted(clone.rglob("*"))
    told = call(f'export XDG_CACHE_HOME="{tmp_path}/cache"; main --dry-run --{accel}')
    assert told.returncode == 0, told.stderr
    assert f"engines: {accel} (as asked for with --{accel}" in told.stdout
    assert ("GGML_CUDA=ON" in told.stdout) == (accel == "gpu")
    for name, version in pins(accel).items():
        assert f"{name}=={version}" in told.stdout
    assert sorted(clone.rglob("*")) == before
    assert not (tmp_path / "cache").exists()


# Steps


def test_a_step_that_ended_well_is_not_done_again(call, clone: Path) -> None:
    lines = 'work() { echo working; }; step one one.1 "No." work'
    first, second = call(lines), call(lines)
    assert re.fullmatch(r"\[1/6\] one\n      done in \d+\.\d s\n", first.stdout)
    assert second.stdout == "[1/6] one: done before\n"
    assert (clone / "install.log").read_text().count("working") == 1


def test_a_step_that_fails_shows_the_log_and_the_remedy_and_leaves_no_stamp(call, clone: Path) -> None:
    failed = call('work() { echo "Failure in name resolution"; false; echo late; }; step one one.1 "Mend it." work')
    assert failed.returncode == 1
    assert "    Failure in name resolution" in failed.stderr
    assert "late" not in failed.stderr
    assert "The network or the package index did not answer" in failed.stderr
    assert "Mend it. Then run ./install.sh again" in failed.stderr
    assert not list(clone.rglob("one.*"))


def test_a_stopped_step_takes_its_children_along(call, clone: Path) -> None:
    stopped = call("""
        trap 'on_signal TERM' TERM
        work() { sleep 300 & echo $! >"$ROOT/child"; kill -TERM $$; wait; }
        step one one.1 "No." work
    """)
    assert stopped.returncode == -15
    assert "it goes on from the step that was under way" in stopped.stderr
    assert not list(clone.rglob("one.*"))
    child = Path("/proc", (clone / "child").read_text().strip(), "stat")
    assert not child.exists() or child.read_text().rsplit(")", 1)[1].split()[0] in "ZX"


def test_a_second_install_in_the_same_clone_is_refused(call, clone: Path) -> None:
    refused = call('exec 8<"$ROOT/install.sh"; flock 8; main --cpu')
    assert refused.returncode == 1
    assert "another install.sh is at work" in refused.stderr
    assert not (clone / ".venv").exists()


def test_a_step_left_behind_by_a_killed_script_is_stopped(call, clone: Path) -> None:
    killed = call("""
        take_lock
        work() { sleep 300 & echo $! >"$ROOT/child"; kill -KILL $$; wait; }
        step one one.1 "No." work
    """)
    assert killed.returncode == -9
    assert call("take_lock; echo free").stdout == "free\n"
    child = Path("/proc", (clone / "child").read_text().strip(), "stat")
    assert not child.exists() or child.read_text().rsplit(")", 1)[1].split()[0] in "ZX"


# The lists of engines


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_every_line_of_an_engine_list_is_one_pinned_package(name: str) -> None:
    lines = (ROOT / "engines" / f"{name}.txt").read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9]+(\.[0-9]+)*", line) for line in packages)
    assert len(pins(name)) == len(packages)


def test_each_list_has_exactly_one_onnxruntime() -> None:
    assert [name for name in pins("cpu") if name.startswith("onnxruntime")] == ["onnxruntime"]
    assert [name for name in pins("gpu") if name.startswith("onnxruntime")] == ["onnxruntime-gpu"]


def test_a_cpu_machine_gets_no_torch_and_no_cuda() -> None:
    assert not [name for name in pins("cpu") if re.match(r"torch|triton|nvidia|cuda|onnxruntime-gpu", name)]


def test_both_lists_agree_on_everything_else() -> None:
    cpu, gpu = pins("cpu"), pins("gpu")
    del cpu["onnxruntime"], gpu["onnxruntime-gpu"], gpu["torch"]
    assert cpu == gpu
