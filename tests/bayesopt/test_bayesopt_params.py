"""The sections of params.yaml: suites that are laid over the defaults."""

import pytest

from tessera.bayesopt.params import BayesoptParams
from tessera.common import params

DEFAULTS = {
    "functions": ["branin", "levy4"],
    "samplers": {"bop": {"edges": "hard"}, "sobol": {"sampler": "sobol"}},
    "reference": "bop",
    "seeds": 5,
    "evaluations": 6,
    "noise": 0.0,
    "schedule": {"workers": 4, "spread": 0.5},
    "lag": {"sampler": "bop", "function": "levy4", "lags": [1, 4]},
    "block": 2,
}


def check(defaults: dict, suites: dict) -> BayesoptParams:
    content = {"defaults": defaults, "suites": suites, "studies": {}}
    return params.check(BayesoptParams, content, [("params.yaml", content)])


def test_a_suite_states_what_differs_from_the_defaults() -> None:
    differences = {
        "noise": 0.1,
        "schedule": {"workers": 1},
        "samplers": {"sobol": None, "random": {"method": "random"}},
    }
    suites = check(DEFAULTS, {"same": {}, "other": differences}).suites
    assert suites["same"] == check(DEFAULTS, {}).defaults
    other = suites["other"].model_dump(exclude_unset=True)
    assert other == DEFAULTS | {
        "noise": 0.1,
        "schedule": {"workers": 1, "spread": 0.5},
        "samplers": {"bop": {"edges": "hard"}, "random": {"method": "random"}},
    }


def test_a_fault_of_the_defaults_is_named_once() -> None:
    with pytest.raises(ValueError, match=r"\Aparams\.yaml: defaults\.seeds = 0; [^\n]*\Z"):
        check(DEFAULTS | {"seeds": 0}, {"one": {}, "two": {}})


def test_a_fault_of_a_suite_is_named_there() -> None:
    with pytest.raises(ValueError, match=r"\Aparams\.yaml: suites\.two\.seeds = 0; [^\n]*\Z"):
        check(DEFAULTS, {"one": {}, "two": {"seeds": 0}})
    with pytest.raises(ValueError, match=r"suites\.one: reference = 'bop' is not a sampler; expected one of sobol"):
        check(DEFAULTS, {"one": {"samplers": {"bop": None}}})
