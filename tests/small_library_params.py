"""Parameters of block libraries of tiny parents."""

PARAMS = {
    "jobs": 1,
    "initialisation": "least_squares",
    "selection": "reconstruction",
    "loss": "per_token",
    "ridge": 1e-6,
    "valid_windows": 4,
    "distillation": {"tokens": 640, "batch_windows": 4, "learning_rate": 2e-3},
}
