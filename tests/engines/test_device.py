"""Choosing a device, and what is said when it is not there."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_agent.engines import device
from edge_agent.engines.device import load_library, onnx_session, release_memory, resolve
from edge_agent.errors import EngineError


@pytest.fixture
def gpu(monkeypatch):
    """A driver that reports a GPU, and libraries that were built for it."""
    monkeypatch.setattr(device, "_driver_sees_gpu", lambda: True)
    libraries = {
        "ctranslate2": SimpleNamespace(get_cuda_device_count=lambda: 1),
        "onnxruntime": SimpleNamespace(get_available_providers=lambda: ["CUDAExecutionProvider"]),
    }
    monkeypatch.setattr(device, "load_library", libraries.__getitem__)
    return libraries


@pytest.mark.parametrize("library", ["ctranslate2", "onnxruntime"])
def test_auto_takes_the_gpu_where_there_is_one(gpu, library):
    assert resolve("auto", library=library) == "cuda"
    assert resolve("cuda", library=library) == "cuda"
    assert resolve("cpu", library=library) == "cpu"


@pytest.mark.parametrize("library", ["ctranslate2", "onnxruntime"])
def test_auto_takes_the_cpu_when_the_driver_reports_no_gpu(monkeypatch, library):
    monkeypatch.setattr(device, "_driver_sees_gpu", lambda: False)
    assert resolve("auto", library=library) == "cpu"


def test_a_gpu_that_is_asked_for_and_absent_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setattr(device, "_driver_sees_gpu", lambda: False)
    with pytest.raises(EngineError, match='reports no GPU; set device = "auto"') as caught:
        resolve("cuda")
    assert caught.value.code == "engine.device.cuda"


def test_a_gpu_with_a_library_for_the_cpu_is_an_error_that_names_the_library(gpu):
    gpu["ctranslate2"].get_cuda_device_count = lambda: 0
    gpu["onnxruntime"].get_available_providers = lambda: ["CPUExecutionProvider"]
    for library in ("ctranslate2", "onnxruntime"):
        assert resolve("auto", library=library) == "cpu"
        with pytest.raises(EngineError, match=f"the installed {library} was built without CUDA"):
            resolve("cuda", library=library)


def test_a_missing_model_and_a_broken_one_are_errors_with_the_remedy(tmp_path: Path):
    with pytest.raises(EngineError, match=r"no model file .*gone\.onnx.*models pull") as caught:
        onnx_session(tmp_path / "gone.onnx")
    assert caught.value.code == "engine.onnx.missing"
    (tmp_path / "broken.onnx").write_bytes(b"not a model" * 100)
    with pytest.raises(EngineError, match=r"cannot load .*broken\.onnx.*models verify") as caught:
        onnx_session(tmp_path / "broken.onnx")
    assert caught.value.code == "engine.onnx.load"


def test_a_library_that_is_not_installed_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(EngineError, match=r"package piper cannot be imported .*install\.sh") as caught:
        load_library("piper")
    assert caught.value.code == "engine.library.missing"


def test_memory_can_be_released_anywhere(monkeypatch):
    release_memory()
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: SimpleNamespace())
    release_memory()
