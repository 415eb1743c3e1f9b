"""Latent spaces: where z lives, and what the decoder reads of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lvmbench.errors import Refusal
from lvmbench.kernels.sticks import log_stick_weights

ENUMERABLE = 4096
"""The largest number of latent values that are summed over."""
STEPS = 10
"""The most steps that latents are shared out among where their number is not given."""


@dataclass(frozen=True)
class LatentSpace:
    """Where z lives, and how it is made up; z is one tensor in any case.

    Arguments:
        event_shape: The shape ``*z``.
        support: ``real``, ``binary``, or ``one_hot`` in the last dimension.
        layers: The sizes of the layers of a hierarchy, side by side in the last dimension; the decoder reads
            the first alone.
        steps: The most steps that a sequence has, the first dimension of z, ``(T, Z)``; 0 where z is none.
        context: The size of the context of a step: what there is of the steps before it.
        shown: How many of the first values of the context the decoder reads beside a step.
        sticks: Whether z, a real vector, has the logits of the fractions by which a stick is broken; the
            decoder reads the weights of the pieces, one more than there are fractions, which add up to one.

    >>> LatentSpace((3,), "binary").size, LatentSpace((2, 5), "one_hot").size, LatentSpace((2,)).size
    (8, 25, None)
    >>> hierarchy = LatentSpace.layered(32, 8)
    >>> hierarchy.event_shape, hierarchy.visible.event_shape, hierarchy.read(torch.zeros(5, 7, 40)).shape
    ((40,), (32,), torch.Size([5, 7, 32]))
    >>> LatentSpace((10, 4), steps=10, context=6, shown=3).visible.event_shape
    (7,)
    >>> LatentSpace((3,), sticks=True).read(torch.zeros(3))
    tensor([0.5000, 0.2500, 0.1250, 0.1250])
    """

    event_shape: tuple[int, ...]
    support: str = "real"
    layers: tuple[int, ...] = ()
    steps: int = 0
    context: int = 0
    shown: int = 0
    sticks: bool = False

    def __post_init__(self) -> None:
        whole = self.event_shape[-1] if self.event_shape else 0
        if self.layers and (sum(self.layers) != whole or min(self.layers) < 1 or self.support == "one_hot"):
            raise ValueError(
                f"layers {self.layers} do not make up z of shape {self.event_shape} and support "
                f"'{self.support}'; they are positive sizes that add up to the last dimension, of another "
                "support than one_hot"
            )
        stepped = len(self.event_shape) == 2 and self.event_shape[0] == self.steps and not self.layers
        if self.steps and not stepped:
            raise ValueError(
                f"{self.steps} steps do not make up z of shape {self.event_shape}; they are the first of its "
                "two dimensions, without layers"
            )
        if not 0 <= self.shown <= self.context or (self.context and not self.steps):
            raise ValueError(
                f"of a context of {self.context} values the decoder cannot read {self.shown}; it reads some, "
                "or none, and steps alone have a context"
            )
        flat = len(self.event_shape) == 1 and not self.layers and not self.steps
        if self.sticks and not (flat and self.support == "real"):
            raise ValueError(
                f"sticks are not made of z of shape {self.event_shape} and support '{self.support}', layers "
                f"{self.layers} and {self.steps} steps; their fractions are a real vector, without either"
            )

    @classmethod
    def layered(cls, *layers: int, support: str = "real") -> LatentSpace:
        """Vectors of layers of these sizes; the decoder reads the first."""
        return cls((sum(layers),), support, layers)

    @property
    def visible(self) -> LatentSpace:
        """The space that the decoder is built for: that of what `read` gives, or of one step with what is
        shown of its context.
        """
        if self.sticks:
            return LatentSpace((self.event_shape[0] + 1,))
        if self.steps:
            return LatentSpace((self.event_shape[1] + self.shown,), self.support)
        shape = (*self.event_shape[:-1], self.layers[0]) if self.layers else self.event_shape
        return LatentSpace(shape, self.support)

    @property
    def count(self) -> int:
        """How many latents there are, of steps in each."""
        return math.prod(self.event_shape[1:] if self.steps else self.event_shape)

    def along(self, x: Tensor) -> LatentSpace:
        """The same with as many steps as there are of x ``(B, T, *frame)``, where it has steps."""
        if not self.steps:
            return self
        return replace(self, event_shape=(x.shape[1], self.event_shape[1]), steps=x.shape[1])

    def read(self, z: Tensor) -> Tensor:
        """What the decoder sees of z, ``(..., *z)``: the first of its layers, the weights of its sticks,
        or all of it where it has neither.
        """
        if self.sticks:
            return log_stick_weights(z).exp()
        return z[..., : self.layers[0]] if self.layers else z

    def split(self, z: Tensor) -> tuple[Tensor, ...]:
        """The layers of z, ``(..., *z)``, the one that the decoder reads first; or its steps; or z alone."""
        if not self.layers:
            return z.unbind(-len(self.event_shape)) if self.steps else (z,)
        layers: tuple[Tensor, ...] = z.split(self.layers, -1)
        return layers

    @property
    def size(self) -> int | None:
        """The number of its values, or ``None`` where they are not finitely many."""
        if self.support == "real":
            return None
        choices, groups = self._digits
        return int(choices**groups)

    def vector(self, name: str) -> int:
        """The number of latents, for a component that is over vectors.

        Raises `Refusal`, with its name, for other shapes.
        """
        if len(self.event_shape) != 1:
            raise Refusal(f"{name} is over a vector of latents; the prior's are of shape {self.event_shape}")
        return self.event_shape[0]

    def shares(self, name: str, steps: int | None) -> tuple[int, ...]:
        """The equal numbers of latents that each step reads, for a component that is over vectors;
        where their number is not given, of the most steps up to `STEPS` that come out even.

        Raises `Refusal`, with its name, for other shapes, and for steps that do not come out even.

        >>> LatentSpace((32,)).shares("draw", 4), LatentSpace((32,)).shares("draw", None)
        ((8, 8, 8, 8), (4, 4, 4, 4, 4, 4, 4, 4))
        """
        size = self.vector(name)
        even = [count for count in range(1, size + 1) if size % count == 0]
        steps = max(count for count in even if count <= STEPS) if steps is None else steps
        if steps not in even:
            raise Refusal(
                f"{name} shares {size} latents out among {steps} steps, which does not come out even; take "
                f"steps={', '.join(map(str, even))}, or another latent size"
            )
        return (size // steps,) * steps

    @property
    def enumerable(self) -> bool:
        """Whether its values are few enough to sum over; those of steps are not of one shape."""
        return self.size is not None and self.size <= ENUMERABLE and not self.steps

    def values(self, like: Tensor) -> Tensor:
        """Every value, ``(N, *z)``, in the type and on the device of another tensor.

        >>> LatentSpace((2,), "binary").values(torch.zeros(()))
        tensor([[0., 0.],
                [1., 0.],
                [0., 1.],
                [1., 1.]])
        """
        if self.size is None:
            raise ValueError(f"a latent space of support '{self.support}' has no finite list of values")
        choices, groups = self._digits
        power = choices ** torch.arange(groups, device=like.device)
        digits = torch.arange(self.size, device=like.device).unsqueeze(1) // power % choices  # (N, groups)
        if self.support == "one_hot":  # torch's own one_hot waits for the device
            digits = digits.unsqueeze(-1) == torch.arange(choices, device=like.device)
        return digits.to(like.dtype).reshape(-1, *self.event_shape)

    @property
    def _digits(self) -> tuple[int, int]:
        """How many choices each independent unit has, and how many units there are."""
        grouped = self.support == "one_hot"
        units = self.event_shape[:-1] if grouped else self.event_shape
        return self.event_shape[-1] if grouped else 2, math.prod(units)
