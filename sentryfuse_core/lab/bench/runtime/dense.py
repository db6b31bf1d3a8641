"""The reference: the same network with dense attention of every token to every token, at full width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from sentryfuse_core.model.fusion import TrunkLayer
from sentryfuse_core.model.network import SentryFuseNet
from sentryfuse_core.model.shape import ModelShape
from sentryfuse_core.model.sparsity import Dense, Segment
from sentryfuse_core.preprocess.tensors import ModelInput

__all__ = ["KINDS", "TorchAttention", "blind", "dense_network", "dense_shape"]

KINDS = ("dense", "dense, nn.MultiheadAttention")  # scaled_dot_product_attention, and torch's own layer


class TorchAttention(nn.Module):
    """nn.MultiheadAttention where SentryAttend stands."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, tokens: Tensor, segments: Sequence[Segment], *, width: int | None = None) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        del segments, width
        mixed: Tensor = self.attend(tokens, tokens, tokens, need_weights=False)[0]
        return mixed


def dense_shape(shape: ModelShape) -> ModelShape:
    """Sizes of the reference: a key and a value of its own for every head and every token, and one width."""
    plain = replace(shape, kv_heads=shape.heads, pool=1, canvas_pool=1)
    return replace(plain, widths=(1.0,), audio_widths=(1.0,), trunk_widths=(), camera_halved=())


def dense_network(network: SentryFuseNet, kind: str = KINDS[0]) -> SentryFuseNet:
    """The reference of `network`, for inference.

    What both have (encoders, feed-forward parts, head) is copied from it; the rest of the attention is
    random, which is all the same to its latency and memory.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        dense = SentryFuseNet(dense_shape(network.shape), network.geometry)
        for layer in dense.modules():
            if isinstance(layer, TrunkLayer):
                if kind == KINDS[0]:
                    layer.attend.sparsity = Dense()  # a stride of 1 means the same, but copies the tokens
                else:
                    layer.attend = TorchAttention(  # type: ignore[assignment]
                        network.shape.dim, network.shape.heads
                    )
    own = dense.state_dict()
    shared = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if name in own and own[name].shape == tensor.shape
    }
    dense.load_state_dict(shared, strict=False)
    return dense.requires_grad_(requires_grad=False).eval()


def blind(inputs: ModelInput) -> ModelInput:
    """The same input with a camera that sees nothing: zeros, as a network that needs all sensors is fed."""
    if inputs.camera is None or inputs.camera_position is None:
        return inputs
    return replace(
        inputs,
        camera=torch.zeros_like(inputs.camera),
        camera_position=torch.zeros_like(inputs.camera_position),
        camera_seen=None,
    )
