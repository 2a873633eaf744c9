"""Child processes that end with all they have started: with the parent that began them, and when they are told to."""

import contextlib
import ctypes
import os
import resource
import signal
import sys

import psutil

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # of <linux/prctl.h>


#: What the watching half waits for.
SIGNALS = (signal.SIGTERM, signal.SIGCHLD)


def supervise(parent: int) -> None:
    """Split a freshly forked child: one half returns and works, the other watches it and never returns.

    The watching half keeps the process id that the parent knows, and ends the way the working half does. When that has
    ended, when SIGTERM comes or, on Linux, when the parent dies in whatever way, it kills all that the working half has
    started, sessions of their own included.

    parent is the parent's process id. For multiprocessing's children, or in subprocess's preexec_fn. The thread that
    forks must outlive the child: to the kernel it is the parent.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until they are waited for
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()  # a terminal's Ctrl-C is for the parent alone
    worker = os.fork()
    if not worker:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        return
    try:
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # or readers of the worker's pipes would wait for this process too
        _prctl(_SET_CHILD_SUBREAPER, 1)  # orphans among the descendants become children of this process
        _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        status = None
        while status is None and os.getppid() == parent and signal.sigwait(SIGNALS) == signal.SIGCHLD:
            status = _reaped(worker)
        _kill_descendants()
        _end_as(status)
    finally:
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _reaped(worker: int) -> int | None:
    """The worker's status, if it is among the children that have ended."""
    found = None
    with contextlib.suppress(ChildProcessError):  # none is left
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            found = ended[1] if ended[0] == worker else found
    return found


def _kill_descendants() -> None:
    """Children of those that are killed become children of this process, so it goes on until there are none."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _end_as(status: int | None) -> None:
    """End with the worker's exit status, or by the signal that ended it; by SIGTERM if it was this process's turn."""
    code = -signal.SIGTERM if status is None else os.waitstatus_to_exitcode(status)
    if code >= 0:
        os._exit(code)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the worker has dumped its own
    with contextlib.suppress(OSError):  # SIGKILL has no handler
        signal.signal(-code, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    os.kill(os.getpid(), -code)
