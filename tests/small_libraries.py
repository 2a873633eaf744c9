"""Small block libraries for tests of the search, and the search by brute force."""

import itertools
from fractions import Fraction

from hypothesis import strategies as st

SCORE, TIME, SIZE = "metrics.kl_div", "stats.runtime_ms", "stats.parameters"


def library(scores, times, sizes=None):
    """A library from nested lists, layer by variant; sizes are the times if not given."""
    sizes = sizes or times
    return {
        f"layer_{i}": {
            f"v{j}": {"stats": {"runtime_ms": t, "parameters": n}, "metrics": {"kl_div": s}}
            for j, (s, t, n) in enumerate(zip(*layer, strict=True))
        }
        for i, layer in enumerate(zip(scores, times, sizes, strict=True))
    }


def number(entry, key):
    section, name = key.split(".")
    return Fraction(entry[section][name])


def brute_force(library, objective, at_most=None, at_least=None, bigger_is_better=False, different_from=(), least=0):
    """(objective, choice) of every feasible choice, best first; floats may overspend by 1e-9 of the limit."""
    found = []
    for names in itertools.product(*library.values()):
        choice = dict(zip(library, names, strict=True))
        entries = [library[layer][v] for layer, v in choice.items()]
        ok = all(sum(choice[la] != e[la] for la in choice) >= least for e in different_from)
        for limits, sign in ((at_most or {}, 1), (at_least or {}, -1)):
            for key, limit in limits.items():
                spent = [number(e, key) for e in entries]
                whole = all(number(e, key).denominator == 1 for vs in library.values() for e in vs.values())
                slack = 0 if whole and float(limit).is_integer() else abs(Fraction(limit)) / 10**9
                ok = ok and sign * (sum(spent) - Fraction(limit)) <= slack
        if ok:
            found.append((sum(number(e, objective) for e in entries), choice))
    return sorted(found, key=lambda one: -one[0] if bigger_is_better else one[0])


@st.composite
def libraries(draw, max_layers=4, max_variants=4):
    """Libraries with integer, round or arbitrary numbers, so that ties, and layers of unequal variants, are common."""
    integers = st.integers(0, 4)
    rounded = st.integers(0, 40).map(lambda n: n / 10)
    arbitrary = st.floats(0, 10, allow_subnormal=False).map(lambda x: round(x, 6))
    scores = draw(st.sampled_from([integers, rounded, arbitrary, st.integers(-20, 20).map(lambda n: n / 7)]))
    times = draw(st.sampled_from([integers, rounded, arbitrary]))
    widths = draw(st.lists(st.integers(1, max_variants), min_size=1, max_size=max_layers))
    rows = [[[draw(kind) for _ in range(w)] for w in widths] for kind in (scores, times, integers)]
    return library(*rows)
