import torch

from lifting.geometry.bundle_system import Arrow, Unknowns, conjugate_gradients


def arrow(groups=6, size=3, cameras=5):
    """A positive matrix with the pattern of an arrow, and the same written out."""
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randn(8, cameras + size, generator=generator).double() for _ in range(groups)]
    square = sum(row[:, :cameras].mT @ row[:, :cameras] for row in rows)
    coupling = torch.stack([row[:, cameras:].mT @ row[:, :cameras] for row in rows])
    blocks = torch.stack([row[:, cameras:].mT @ row[:, cameras:] for row in rows])
    flat = coupling.flatten(0, 1)
    dense = torch.cat(
        (torch.cat((square, flat.mT), dim=1), torch.cat((flat, torch.block_diag(*blocks)), dim=1))
    )
    return Arrow(square, coupling, blocks), dense


def vector(seed, groups=6, size=3, cameras=5):
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn(cameras + groups * size, generator=generator).double()
    return Unknowns(flat[:cameras], flat[cameras:].reshape(groups, size)), flat


def joined(found):
    return torch.cat((found.cameras, found.groups.flatten()))


def test_products_and_solutions_are_those_of_the_dense_matrix():
    matrix, dense = arrow()
    aim, flat = vector(1)
    torch.testing.assert_close(joined(matrix.times(aim)), dense @ flat)
    found = matrix.factorised().solve(aim)
    torch.testing.assert_close(joined(found), torch.linalg.solve(dense, flat))
    damped = matrix.damped(torch.tensor(0.3, dtype=torch.float64))
    wanted = dense + 0.3 * torch.diag(dense.diagonal())
    torch.testing.assert_close(joined(damped.times(aim)), wanted @ flat)


def test_conjugate_gradients_solve_what_couples_groups():
    matrix, dense = arrow()
    band = torch.randn(18, 18, generator=torch.Generator().manual_seed(2)).double()
    band = 0.2 * band @ band.mT
    dense[5:, 5:] += band
    aim, flat = vector(1)

    def times(x):
        plain = matrix.times(x)
        return Unknowns(plain.cameras, plain.groups + (band @ x.groups.flatten()).reshape(6, 3))

    wanted = torch.linalg.solve(dense, flat)
    errors = [
        float((joined(conjugate_gradients(times, matrix.factorised(), aim, n)) - wanted).norm())
        for n in (1, 60)
    ]
    assert errors[1] < 1e-3 * wanted.norm() < errors[0]


def test_without_cameras_the_groups_are_solved_alone():
    matrix, dense = arrow(cameras=0)
    aim, flat = vector(1, cameras=0)
    found = matrix.factorised().solve(aim)
    torch.testing.assert_close(joined(found), torch.linalg.solve(dense, flat))
