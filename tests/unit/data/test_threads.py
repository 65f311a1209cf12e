import pytest
import torch

from lifting.data.sets.images.reader import one_thread


def test_data_are_prepared_with_one_thread_whatever_happens():
    before = torch.get_num_threads()

    @one_thread()
    def threads():
        return torch.get_num_threads()

    torch.set_num_threads(3)
    try:
        assert threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="stop"), one_thread():
            raise ValueError("stop")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
