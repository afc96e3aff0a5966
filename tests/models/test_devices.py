import pytest
import torch

from graftline.models.devices import is_out_of_memory, seeded, threads_for


def test_draws_follow_seed_and_purpose_and_leave_no_trace() -> None:
    torch.manual_seed(0)
    outside = torch.rand(1)
    torch.manual_seed(0)
    draws = []
    for seed, purpose in ((1, "weights"), (1, "weights"), (2, "weights"), (1, "head")):
        with seeded(seed, purpose):
            draws.append(torch.rand(1).item())
    assert draws[0] == draws[1]
    assert len(set(draws)) == 3
    assert torch.equal(torch.rand(1), outside)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), True),
        (torch.AcceleratorError("CUDA error: out of memory", 2), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("shapes differ"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_lack_of_memory_is_told_from_bugs(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_a_real_lack_of_host_memory_is_recognized() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**58)
    assert is_out_of_memory(caught.value)


def test_small_products_take_one_thread() -> None:
    before = torch.get_num_threads()
    with threads_for(1000):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
