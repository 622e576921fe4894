"""The one compiled file: atomic words in shared memory. Everything else about the package is in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "edge_agent.ring._atomics",
            ["edge_agent/ring/_atomics.c"],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
        )
    ]
)
