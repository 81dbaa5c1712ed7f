"""Benchmarks: what an arm costs, and how near it stays to full compute."""
