import pytest
import torch

from lifting.nn.threads import torch_threads


def test_the_number_before_comes_back_whatever_happens():
    before = torch.get_num_threads()

    @torch_threads(1)
    def threads():
        return torch.get_num_threads()

    torch.set_num_threads(3)
    try:
        assert threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="stop"), torch_threads(1):
            raise ValueError("stop")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
