"""Adapters to other packages, which the extra `peers` brings: a sampler for Optuna, a filter of edges for BoTorch."""
