"""Shape aliases: what a signature says about a tensor, readable by people and plain to checkers.

``*batch`` stands for any leading axes. Millimetres, pixels and the camera frame (x right, y down,
z forward) unless a docstring says otherwise.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

Pose2D = Annotated[Tensor, "*batch joints 2"]
Pose3D = Annotated[Tensor, "*batch joints 3"]
PerJoint = Annotated[Tensor, "*batch joints"]
Points2D = Annotated[Tensor, "*batch 2"]
Points3D = Annotated[Tensor, "*batch 3"]
RotationMatrix = Annotated[Tensor, "*batch 3 3"]
Quaternion = Annotated[Tensor, "*batch 4"]
Intrinsics = Annotated[Tensor, "*batch 9"]
ImageSize = Annotated[Tensor, "*batch 2"]
PerSample = Annotated[Tensor, "batch"]
