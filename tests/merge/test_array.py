import numpy as np
import pytest
import torch

from ramekin.merge.array import HostDevice, TorchDevice, device_of, namespace
from ramekin.merge.stream import BLOCK, chunk_elements


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_one_set_of_functions_for_both(make) -> None:
    x = make([[-1.0, 2.0], [0.0, -3.0]])
    xp = namespace(x)
    results = [
        xp.abs(x), xp.clip(x, 0.0, None), xp.where(x > 0, x, -x), xp.zeros_like(x), xp.sign(x),
        xp.astype(x > 0, x.dtype), xp.sort(xp.reshape(x, (-1,))), xp.argsort(xp.argsort(x, axis=-1, stable=True), axis=-1),
    ]  # fmt: skip
    assert {type(each) for each in results} == {type(x)}
    assert np.asarray(results[6]).tolist() == [-3, -1, 0, 2]
    assert int(xp.count_nonzero(x)) == 3


def test_the_host_neither_copies_nor_changes() -> None:
    device, values = HostDevice(), np.ones(3, dtype=np.float32)
    assert device.place(values) is values and device.take(values) is values
    assert device.chunk_elements is None
    assert device.take(np.ones(2)).dtype == np.float32  # type: ignore[arg-type]


def test_torch_gets_a_copy_of_its_own() -> None:
    """The memory that was read into is read into again while the device is at work."""
    device, values = TorchDevice("cpu"), np.arange(3, dtype=np.float32)
    placed = device.place(values)
    values[:] = -1
    assert isinstance(placed, torch.Tensor) and placed.tolist() == [0, 1, 2]
    assert device.take(placed).tolist() == [0, 1, 2] and device.take(placed).dtype == np.float32
    assert device.take(torch.ones(2, dtype=torch.float64)).dtype == np.float32  # type: ignore[arg-type]
    assert device.chunk_elements is None


def test_devices_by_name() -> None:
    assert isinstance(device_of("cpu"), HostDevice)
    assert isinstance(device_of("meta"), TorchDevice)
    assert TorchDevice("meta").chunk_elements is not None
    assert TorchDevice("meta").chunk_elements % BLOCK == 0 == chunk_elements(3) % BLOCK  # type: ignore[operator]
