"""Small networks in Flax's linen, whose parameters are a plain tree.

Linen, not nnx: a model is a pure function of (parameters, input), so ``jax.vmap`` over a stack of
parameters trains many seeds at once, and per-sample gradients need no splitting of objects.
Normalisation is by group, never by batch: a sample's gradient must not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nfl_pruning.errors import InvalidArgumentError
from nfl_pruning.kernels.convolution import convolve, max_pool
from nfl_pruning.registry import Registry

Shape = tuple[int, ...]

conv = partial(nn.Conv, conv_general_dilated=convolve)


class Logistic(nn.Module):
    """Multinomial logistic regression; its features are the input."""

    n_classes: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """(batch, d) -> logits (batch, classes), features (batch, d)."""
        return nn.Dense(self.n_classes)(x), x


class MLP(nn.Module):
    """Fully connected network with ReLU; its features are the last hidden layer."""

    n_classes: int
    widths: Shape = (128, 128)

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """(batch, d) -> logits (batch, classes), features (batch, last width)."""
        for width in self.widths:
            x = nn.relu(nn.Dense(width, kernel_init=nn.initializers.he_normal())(x))
        return nn.Dense(self.n_classes)(x), x


def as_images(x: Array, shape: Shape) -> Array:
    """Flat rows as images of shape (batch, height, width, channels)."""
    return x.reshape((len(x), *shape, 1) if len(shape) == 2 else (len(x), *shape))


class CNN(nn.Module):
    """Two convolutions with pooling and one hidden layer, which gives the features."""

    n_classes: int
    shape: Shape
    widths: Shape = (16, 32)
    hidden: int = 64

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """(batch, d) -> logits (batch, classes), features (batch, hidden)."""
        x = as_images(x, self.shape)
        for width in self.widths:
            x = conv(width, (3, 3), kernel_init=nn.initializers.he_normal())(x)
            x = nn.relu(max_pool(x))  # the same as pooling after ReLU, on a quarter of the entries
        x = nn.relu(nn.Dense(self.hidden)(x.reshape(len(x), -1)))
        return nn.Dense(self.n_classes)(x), x


class ResNet(nn.Module):
    """A small residual network; its features are the spatial means of the last stage."""

    n_classes: int
    shape: Shape
    widths: Shape = (16, 32, 64)

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """(batch, d) -> logits (batch, classes), features (batch, last width)."""
        x = conv(self.widths[0], (3, 3), use_bias=False)(as_images(x, self.shape))
        for stage, width in enumerate(self.widths):
            strides = (1, 1) if stage == 0 else (2, 2)
            y = nn.relu(nn.GroupNorm(num_groups=4)(x))
            skip = x
            if x.shape[-1] != width or strides != (1, 1):
                skip = nn.Conv(width, (1, 1), strides, use_bias=False)(y)
            y = nn.Conv(width, (3, 3), strides, use_bias=False)(y)
            y = nn.relu(nn.GroupNorm(num_groups=4)(y))
            x = skip + nn.Conv(width, (3, 3), use_bias=False)(y)
        features = jnp.mean(nn.relu(nn.GroupNorm(num_groups=4)(x)), axis=(1, 2))
        return nn.Dense(self.n_classes)(features), features


MODELS: Registry[Callable[[int, Shape], nn.Module]] = Registry("model")
MODELS.add("logistic", lambda n_classes, shape: Logistic(n_classes))
MODELS.add("mlp", lambda n_classes, shape: MLP(n_classes))
MODELS.add("cnn", lambda n_classes, shape: CNN(n_classes, shape))
MODELS.add("resnet", lambda n_classes, shape: ResNet(n_classes, shape))


def is_dense(model: nn.Module) -> bool:
    """Whether the model has no convolutions, so that stacking seeds pays on a processor, too."""
    return isinstance(model, (Logistic, MLP))


def make_model(name: str, n_classes: int, shape: Shape) -> nn.Module:
    """A registered model for inputs of ``shape`` (before flattening).

    Raises:
        InvalidArgumentError: the name is unknown, or a convolutional model gets a table.
    """
    build = MODELS[name]
    if name in ("cnn", "resnet") and len(shape) not in (2, 3):
        raise InvalidArgumentError(
            f"model {name} needs images of shape (height, width[, channels]); got {shape}."
        )
    return build(n_classes, shape)
