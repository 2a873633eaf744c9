"""What tests of exchanged subblocks share."""

import pytest


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def setting(request, parent, variants):
    """A parent, and the modules of all variants of all layers by (layer, subblock, variant)."""
    from exchanges import modules_of

    return modules_of(parent(request.param), variants)
