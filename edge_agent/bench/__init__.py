"""Benchmarks that an owner runs on their own box."""
