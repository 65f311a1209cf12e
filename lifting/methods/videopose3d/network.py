"""The temporal convolutional network, in two forms of the same weights."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from lifting.errors import ShapeError, check_shape
from lifting.methods.videopose3d.config import Config
from lifting.nn.dropout import Dropout
from lifting.nn.expected_error import ErrorHead, Lifted
from lifting.nn.inputs import Seen, numbers_of


class TemporalBlock(nn.Module):
    """A convolution over time and one over channels, around a shortcut.

    Args:
        channels: Width.
        width: Odd width of the convolution over time.
        dilation: Frames between its taps in the dilated form: all earlier widths multiplied.
        dropout: Probability of dropping a value.
    """

    def __init__(self, channels: int, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.dilation = dilation
        self.over_time = nn.Conv1d(channels, channels, width, bias=False)
        self.after_time = _activation(channels, dropout)
        self.over_channels = nn.Conv1d(channels, channels, 1, bias=False)
        self.after_channels = _activation(channels, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Slide over the frames.

        Args:
            x: ``(batch, channels, frames)``.

        Returns:
            ``(batch, channels, frames')``, ``(width - 1) * dilation`` frames fewer.
        """
        edge = self.width // 2 * self.dilation
        shortcut = x[..., edge : x.shape[-1] - edge]
        moved = functional.conv1d(x, self.over_time.weight, dilation=self.dilation)
        return shortcut + self.after_channels(self.over_channels(self.after_time(moved)))

    def strided(self, x: Tensor) -> Tensor:
        """Take each group of ``width`` frames to one.

        Args:
            x: ``(samples, channels)``, the frames of a window one after another.

        Returns:
            ``(samples / width, channels)``.
        """
        shortcut = x[self.width // 2 :: self.width]
        moved = self.after_time(_grouped(x, self.over_time))
        return shortcut + self.after_channels(_grouped(moved, self.over_channels))


class TemporalNetwork(nn.Module):
    """Lifts keypoints over time with a receptive field of all filter widths multiplied.

    Args:
        joints: Joints of both poses.
        config: Filter widths, channels, dropout, input, and whether errors are stated.

    Source: Pavllo et al. 2019, section 3 and appendix A.5 (the strided form).
    """

    def __init__(self, joints: int, config: Config) -> None:
        super().__init__()
        first, *rest = config.filter_widths
        self.joints = joints
        self.receptive_field = config.receptive_field
        numbers = numbers_of(config.input, joints)
        self.expand = nn.Conv1d(numbers, config.channels, first, bias=False)
        self.after_expand = _activation(config.channels, config.dropout)
        blocks, dilation = [], first
        for width in rest:
            blocks.append(TemporalBlock(config.channels, width, dilation, config.dropout))
            dilation *= width
        self.blocks = nn.ModuleList(blocks)
        self.shrink = nn.Conv1d(config.channels, 3 * joints, 1)
        self.error_head = ErrorHead(config.channels, joints) if config.expected_error else None

    def forward(self, seen: Seen) -> Lifted:
        """Slide over the frames: the dilated form.

        Args:
            seen: Of ``batch frames``, at least ``receptive_field`` frames.

        Returns:
            Poses ``(batch, frames - receptive_field + 1, joints, 3)``, before the root is
            subtracted.

        Raises:
            ShapeError: There are too few frames.
        """
        check_shape("keypoints", seen.joints, "batch frames joints channels", joints=self.joints)
        if seen.joints.shape[1] < self.receptive_field:
            raise ShapeError(
                f"expected at least {self.receptive_field} frames, got keypoints of shape "
                f"{tuple(seen.joints.shape)}; repeat the edge frames"
            )
        x = rearrange(seen.flat(), "batch frames numbers -> batch numbers frames")
        x = self.after_expand(self.expand(x))
        for block in self.blocks:
            x = block(x)
        pose = rearrange(
            self.shrink(x), "batch (joints axes) frames -> batch frames joints axes", axes=3
        )
        return Lifted(
            pose, self._log_error(rearrange(x, "batch channels frames -> batch frames channels"))
        )

    def middle(self, seen: Seen) -> Lifted:
        """Answer the middle frame only: the strided form, which computes nothing in vain.

        In evaluation it equals the dilated form; in training its batch statistics are over the
        values in use.

        Args:
            seen: Of ``batch receptive_field`` frames.

        Returns:
            Poses ``(batch, 1, joints, 3)``, before the root is subtracted.

        Raises:
            ShapeError: The window has another length.
        """
        check_shape("keypoints", seen.joints, "batch frames joints channels", joints=self.joints)
        if seen.joints.shape[1] != self.receptive_field:
            raise ShapeError(
                f"expected windows of {self.receptive_field} frames, got keypoints of shape "
                f"{tuple(seen.joints.shape)}; set data.frames to the product of the filter widths"
            )
        x = seen.flat().flatten(0, 1)  # (batch frames, numbers)
        x = self.after_expand(_grouped(x, self.expand))
        for block in self.blocks:
            x = block.strided(x)  # type: ignore[operator]
        pose = rearrange(
            _grouped(x, self.shrink), "batch (joints axes) -> batch 1 joints axes", axes=3
        )
        return Lifted(pose, self._log_error(x[:, None]))

    def _log_error(self, features: Tensor) -> Tensor | None:
        """Stated errors, ``(batch, frames, joints)``, from ``(batch, frames, channels)``."""
        return None if self.error_head is None else self.error_head(features)

    def set_norm_momentum(self, momentum: float) -> None:
        """Set the momentum of every batch normalisation."""
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm1d):
                layer.momentum = momentum


def repeat_edges(values: Tensor, count: int) -> Tensor:
    """Repeat the first and last frame, ``count`` times each.

    Args:
        values: ``(batch, frames, ...)``.
        count: Frames to add at either end.
    """
    shape = (-1, count, *(-1,) * (values.ndim - 2))
    return torch.cat((values[:, :1].expand(shape), values, values[:, -1:].expand(shape)), 1)


def _grouped(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """A convolution whose stride is its width, as one matrix product over groups of frames."""
    width = layer.kernel_size[0]
    weight = layer.weight.transpose(1, 2).flatten(1)  # (outputs, width inputs)
    return functional.linear(x.reshape(-1, width * x.shape[1]), weight, layer.bias)


def _activation(channels: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU(inplace=True), Dropout(dropout))
