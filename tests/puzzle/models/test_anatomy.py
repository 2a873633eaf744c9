"""Which norms of a layer serve one subblock alone, with and without weights."""

import pytest
import torch
from torch import nn

from tessera.puzzle.models import anatomy, skeleton

D = 8


class Layer(nn.Module):
    """Attention and FFN are linear maps, which stand where a family's are; norms have biases."""

    norms: tuple[str, ...] = ()

    def __init__(self):
        super().__init__()
        self.self_attn, self.mlp = nn.Linear(D, D), nn.Linear(D, D)
        for name in self.norms:
            norm = nn.LayerNorm(D)
            nn.init.normal_(norm.bias)
            setattr(self, name, norm)


class Before(Layer):
    norms = "first", "second"

    def forward(self, hidden_states):
        x = hidden_states + self.self_attn(self.first(hidden_states))
        return x + self.mlp(self.second(x))


class Behind(Layer):
    norms = "first", "second"

    def forward(self, hidden_states):
        x = hidden_states + self.first(self.self_attn(hidden_states))
        return x + self.second(self.mlp(x))


class Scaled(Layer):
    """What a norm returns is not what the subblock is given."""

    norms = "first", "second"

    def forward(self, hidden_states):
        x = hidden_states + self.self_attn(2 * self.first(hidden_states))
        return x + 0.5 * self.second(3 * self.mlp(x))


class Shared(Layer):
    norms = ("both",)

    def forward(self, hidden_states):
        x = self.both(hidden_states)
        return hidden_states + self.self_attn(x) + self.mlp(x)


class OnTheStream(Layer):
    norms = "first", "second"

    def forward(self, hidden_states):
        x = self.first(hidden_states + self.self_attn(hidden_states))
        return self.second(x + self.mlp(x))


class Bare(Layer):
    def forward(self, hidden_states):
        x = hidden_states + self.self_attn(hidden_states)
        return x + self.mlp(x)


@pytest.mark.parametrize(
    ("kind", "attention", "ffn", "altered"),
    [
        (Before, ("first",), ("second",), False),
        (Behind, ("first",), ("second",), True),
        (Scaled, ("first",), ("second",), None),
        (Shared, (), (), False),
        (OnTheStream, (), (), None),
        (Bare, (), (), False),
    ],
)
def test_norms_of_a_subblock_alone(kind, attention, ffn, altered):
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 2 * D).view(1, 2, D)
    run = anatomy.anatomy(kind(), ((), {}), x, 0)
    with torch.device("meta"):
        shape = skeleton.anatomy(kind(), 0, D)
    for parts in (run, shape):
        assert (parts["attention"].norms, parts["ffn"].norms) == (attention, ffn)
    if altered is not None:
        assert run["attention"].altered == run["ffn"].altered == altered


def test_what_was_recorded_for_inference_serves():
    with torch.inference_mode():
        x = torch.ones(1, 2, D)
        assert anatomy.anatomy(Before(), ((), {}), x, 0)["ffn"].norms == ("second",)


def test_a_layer_that_cannot_be_called_is_refused():
    class Asking(Before):
        def forward(self, hidden_states, mask):
            return super().forward(hidden_states + mask)

    with torch.device("meta"), pytest.raises(ValueError, match="Asking: its parts cannot be found without weights"):
        skeleton.anatomy(Asking(), 0, D)
