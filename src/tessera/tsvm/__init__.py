"""Temporal support vector machine: spike times with the largest dynamical margin, certified in continuous time.

Our formulation of a dynamical margin, motivated by Rubin and Sompolinsky (2022, arXiv:2205.14544).
"""

from tessera.tsvm.estimator import TemporalSVM

__all__ = ["TemporalSVM"]
