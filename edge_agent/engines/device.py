"""Where a model runs: the CPU or a CUDA device, and onnxruntime sessions bounded for a box of two cores."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from edge_agent.errors import EngineError

Device = Literal["auto", "cpu", "cuda"]
Resolved = Literal["cpu", "cuda"]
Library = Literal["ctranslate2", "onnxruntime"]


class OnnxSession(Protocol):
    """What the engines use of an `onnxruntime.InferenceSession`."""

    def run(self, output_names: None, input_feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the model: every output, in the order of the file."""
        ...

    def get_providers(self) -> list[str]:
        """The execution providers in use, the preferred one first."""
        ...


_ERRORS_ONLY = 3  # onnxruntime's severity scale: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal


def resolve(device: Device, *, library: Library = "onnxruntime") -> Resolved:
    """The device that `library` will use.

    Args:
        device: "auto" takes CUDA where the driver sees a GPU and the library was built for it.
        library: whose CUDA support decides.

    Raises:
        EngineError: `device.cuda` when CUDA was asked for and is not there.
    """
    if device == "cpu":
        return "cpu"
    reason = _cuda_refusal(library)
    if reason is None:
        return "cuda"
    if device == "auto":
        return "cpu"
    raise EngineError(
        "device.cuda",
        f'device = "cuda" was asked for, but {reason}; set device = "auto" or "cpu", or set up the GPU profile.',
    )


def onnx_session(
    model: Path, *, device: Device = "cpu", threads: int = 1, fixed_shapes: bool = False, name: str | None = None
) -> OnnxSession:
    """A session that keeps to its threads and its memory.

    Idle threads sleep instead of spinning (a spinning pool takes a core from the other processes of the house), and
    the memory arena grows by what is asked for, not in powers of two.

    Args:
        model: the file.
        device: where to run it.
        threads: threads inside one operator.
        fixed_shapes: whether every run has the same input shapes, so that one memory plan serves them all.
        name: what to call the model in errors, where the path says nothing.

    Raises:
        EngineError: `device.cuda` when CUDA was asked for and cannot be used, `onnx.missing` when there is no such
            file, `onnx.load` when onnxruntime refuses the model.
    """
    resolved = resolve(device, library="onnxruntime")
    shown = name or str(model)
    if not model.is_file():
        raise EngineError(
            "onnx.missing", f"There is no model file {shown}; run `edge-agent models pull` to fetch the models."
        )
    onnxruntime = load_library("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERRORS_ONLY
    options.enable_mem_pattern = fixed_shapes
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = [("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})]
    if resolved == "cuda":
        onnxruntime.preload_dlls()
        cuda = {"arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"}
        providers.insert(0, ("CUDAExecutionProvider", cuda))
    try:
        session: OnnxSession = onnxruntime.InferenceSession(str(model), sess_options=options, providers=providers)
    except Exception as error:  # onnxruntime raises a class of its own for each status code
        raise EngineError(
            "onnx.load",
            f"onnxruntime cannot load {shown} ({first_line(error)}); run `edge-agent models verify` and pull it again.",
        ) from error
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise EngineError(
            "device.cuda",
            "onnxruntime found the GPU but could not start its CUDA provider, which needs CUDA and cuDNN libraries; "
            'run ./install.sh --gpu again or set device = "auto".',
        )
    return session


def load_library(name: str) -> ModuleType:
    """Import a model library by name.

    Raises:
        EngineError: `library.missing` when it is not installed or its native part does not load.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EngineError(
            "library.missing", f"The package {name} cannot be imported ({first_line(error)}); run ./install.sh."
        ) from error


def release_memory() -> None:
    """Hand memory that a load left free back to the system (glibc; elsewhere it does nothing)."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library: nothing to trim
        return
    trim(0)


def _cuda_refusal(library: Library) -> str | None:
    """Why `library` cannot use CUDA here, or None when it can."""
    if not _driver_sees_gpu():
        return "the NVIDIA driver reports no GPU"
    if library == "ctranslate2":
        usable = load_library("ctranslate2").get_cuda_device_count() > 0
    else:
        usable = "CUDAExecutionProvider" in load_library("onnxruntime").get_available_providers()
    return None if usable else f"the installed {library} was built without CUDA"


def _driver_sees_gpu() -> bool:
    """Ask the driver itself: it answers in a millisecond, and without a library that costs memory."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def first_line(error: BaseException) -> str:
    """The first line of a library's message, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
