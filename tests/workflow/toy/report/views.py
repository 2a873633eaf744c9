"""The study's experiments in MLflow, and what is worth comparing in them."""

from tessera.common.views import View, curves

EXPERIMENTS = {"toy/walks": "Random walks, one run per set."}
VIEWS = (View("toy/walks", "Distance by set", (curves("distance", "distance"),)),)
