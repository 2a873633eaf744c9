"""Adapters to other packages, installed by the extra `peers`: a sampler for Optuna, an edge filter for BoTorch."""
