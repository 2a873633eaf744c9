"""Tessera: data-versioned, reproducible experiments in LLM compression and theoretical neuroscience."""
