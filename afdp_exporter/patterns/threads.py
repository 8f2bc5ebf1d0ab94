"""Small matrices are worked on by one thread: with more, a linear algebra library mostly waits for itself."""

from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController

_LIBRARIES = ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """While it lasts, the process's linear algebra runs on the calling thread alone."""
    limit: AbstractContextManager[object] = _LIBRARIES.limit(limits=1, user_api="blas")
    return limit
