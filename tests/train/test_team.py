"""Which errors mean that another process is gone."""

import pytest
import torch

from ramekin.errors import DataError, ResourceError
from ramekin.train.team import connection

GLOO = "[/src/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:9: Connection reset by peer"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(GLOO),
        torch.distributed.DistBackendError("NCCL error in: x.cpp:1, remote process exited"),
        torch.distributed.DistNetworkError("The client socket has timed out"),
    ],
    ids=["gloo", "nccl", "store"],
)
def test_a_lost_connection_is_told(error: RuntimeError) -> None:
    with pytest.raises(ResourceError, match="another process of the run has ended") as caught, connection():
        raise error
    assert caught.value.got == str(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        torch.OutOfMemoryError("CUDA out of memory"),
        DataError("no rows"),
        ValueError(GLOO),
    ],
    ids=["shapes", "memory", "ours", "value"],
)
def test_any_other_error_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, connection():
        raise error
    assert caught.value is error
