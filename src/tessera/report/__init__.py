"""What the studies found, as tables, figures and runs: reads result files, computes nothing of the science itself."""
