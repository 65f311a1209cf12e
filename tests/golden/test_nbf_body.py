"""3DNBF's body against reference numbers: forward kinematics and skinning of Gaussian kernels."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from lifting.body.ellipsoid import EllipsoidBody
from lifting.body.kernel_body import skin_kernels
from lifting.geometry.kinematics import pose_chain
from lifting.geometry.rotation import axis_angle_to_matrix

# Written by this project's own code at the version that first passed the reference numbers; guards
# table, layout and skinning against silent change.
FROZEN = Path(__file__).parent / "data" / "nbf_body.npz"
EXACT = {"rtol": 1e-9, "atol": 1e-9}


def read():
    folder = os.environ.get("LIFTING_GOLDEN")
    if folder is None:
        pytest.skip("set LIFTING_GOLDEN to the folder that holds nbf/")
    with np.load(Path(folder) / "nbf" / "lbs.npz", allow_pickle=False) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def posed(g):
    chain = pose_chain(g["local_rotations"], g["rest_joints"], g["parents"].tolist())
    return chain._replace(joints=chain.joints + g["translation"][:, None])


@pytest.mark.golden
def test_forward_kinematics():
    g = read()
    turned = axis_angle_to_matrix(g["axis_angles"])
    torch.testing.assert_close(turned, g["local_rotations"], **EXACT)
    chain = posed(g)
    torch.testing.assert_close(chain.rotations, g["global_rotations"], **EXACT)
    torch.testing.assert_close(chain.joints, g["posed_joints"], **EXACT)


@pytest.mark.golden
def test_skinning_blends_means_and_inverse_covariances():
    g = read()
    precisions = torch.linalg.inv(g["rest_covs"])
    found = skin_kernels(
        g["rest_means"], precisions, g["skin_weights"], posed(g), g["rest_joints"]
    )
    torch.testing.assert_close(found.means, g["posed_means"], **EXACT)
    torch.testing.assert_close(found.precisions, g["posed_precisions"], rtol=1e-9, atol=1e-7)
    covariances = torch.linalg.inv(found.precisions)
    torch.testing.assert_close(covariances, g["posed_covs"], rtol=1e-7, atol=1e-12)


def frozen_case():
    """Two people of unlike shape and pose, all joints bent."""
    steps = torch.arange(2 * 17 * 3, dtype=torch.float32).view(2, 17, 3)
    betas = torch.sin(torch.arange(2 * 14, dtype=torch.float32).view(2, 14))
    place = torch.tensor(((100.0, -50.0, 4000.0), (0.0, 300.0, 2500.0)))
    return axis_angle_to_matrix(0.5 * torch.sin(steps)), betas, place


@pytest.mark.golden
@pytest.mark.parametrize("blend", [False, True])
def test_own_frozen_output(blend):
    kernels = EllipsoidBody("light", blend=blend).kernels(*frozen_case())
    with np.load(FROZEN, allow_pickle=False) as arrays:
        for name in ("means", "precisions"):
            wanted = torch.from_numpy(arrays[f"{name}_{'blend' if blend else 'rigid'}"])
            found = getattr(kernels, name)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3 * float(wanted.std()))
