"""How a command ends early: by a signal, or because another of its processes is gone.

The first signal is an exception in the main thread, or, while training steps run, a flag that is
looked at when the step is done. A thread reads signals from a pipe, so that it hears them while
the main thread waits for another process: it passes them on to the processes that were started
here, and ends all of them at a second signal, or when the time is up. Nothing communicates in a
handler.
Imports no torch.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from lifting.errors import ProcessError
from lifting.experiment.folder import BEST, CHECKPOINTS, FINISHED, newest_weights

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
LIMIT_SECONDS = 25.0  # from the first signal to the end, come what may
TWICE_SECONDS = 0.1  # `timeout` and its like send one signal to a process and to its group
GRACE_SECONDS = 5.0  # for this process to end by itself, once another is gone
LEAVE_SECONDS = 2.0  # for those that were started here, once this one is done
PARENT_VARIABLE = "LIFTING_FIRST_PROCESS"
_FAILED = 2


class Interrupted(BaseException):
    """A signal asked for the end. No ``Exception``, so that nobody takes it for a failure.

    Args:
        signum: The signal.
        agreed: All processes of the run leave at the same step.
    """

    def __init__(self, signum: int, *, agreed: bool = False) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.agreed = agreed

    @property
    def status(self) -> int:
        """Exit status: 130 for SIGINT, 143 for the others."""
        return _status(self.signum)


class Interruption:
    """What this process knows of its end.

    Attributes:
        signum: The first signal, None before.
        deferred: Training steps run, at the end of which the signal is looked at.
        words: The command, as it was typed.
        resume: What continues a training, but for the run's folder; None for other commands.
        predict: What answers with what a training has learnt so far.
        kept: Whether answers so far of a lifting are kept, with which it goes on.
        run: Folder of the training's run, once it is there.
        waiting: Whether other processes are needed to go on.
    """

    def __init__(self) -> None:
        self._active = self._program = False
        self._begin("lifting")

    def _begin(self, words: str) -> None:
        self.signum: int | None = None
        self.deferred = False
        self.words = words
        self.resume: str | None = None
        self.predict = "lifting predict"
        self.kept = False
        self.run: Path | None = None
        self.waiting = False
        self._children: list[subprocess.Popen[bytes]] = []
        self._lost = threading.Event()
        self._loss = ""
        self._told = threading.Lock()
        self._raised = False

    @contextlib.contextmanager
    def handled(self, words: str, *, program: bool = False) -> Iterator[None]:
        """Catch the signals meanwhile; those that are ignored stay so, as under ``nohup``.

        Args:
            words: The command.
            program: It is all that this process does.
        """
        if self._active or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._begin(words)
        self._active, self._program = True, program
        wanted = [one for one in SIGNALS if signal.getsignal(one) != signal.SIG_IGN]
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        thread = threading.Thread(target=self._listen, args=(reader,), daemon=True)
        thread.start()
        before = {one: signal.signal(one, self._handle) for one in wanted}
        pipe_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        try:
            yield
        finally:
            self._active = False
            signal.set_wakeup_fd(pipe_before)
            for one, handler in before.items():
                signal.signal(one, handler)
            os.write(writer, b"\0")
            thread.join()
            os.close(reader)
            os.close(writer)

    def defer(self, deferred: bool) -> None:
        """Say whether training steps begin or have ended; then a signal is raised at once."""
        self.deferred = deferred

    def check(self, *, agreed: int = 0) -> None:
        """Look whether a signal came.

        Args:
            agreed: The signal that all processes agreed on, 0 for none.

        Raises:
            Interrupted: It did.
        """
        signum = (agreed or self.signum) if self._active else 0  # else what an earlier one left
        if signum:
            self.signum, self._raised = signum, True
            raise Interrupted(signum, agreed=bool(agreed))

    def message(self) -> str:
        """What was stopped, and how to go on."""
        name = signal.Signals(self.signum or signal.SIGTERM).name
        return f"stopped by {name}; {self.how_to_go_on()}"

    def how_to_go_on(self) -> str:
        """The command to type, and what it does."""
        if self.kept:
            again = " --resume" * ("--resume" not in self.words.split())
            return f"go on with `{self.words}{again}`"
        if self.resume is None or self.run is None:
            return f"start again with `{self.words}`"
        folder, weights = self.run / CHECKPOINTS, newest_weights(self.run)
        if (folder / FINISHED).is_file():
            done = "the training is done, its test is not: go on"
        elif weights is not None:
            done = "go on from the last whole epoch"
        else:
            done = "no epoch was whole, there are no weights to use yet: go on from the start"
        use = "" if weights is None else f"; {self._use_of(folder, weights)}"
        return f"{done} with `{self.resume} {self.run}`{use}"

    def _use_of(self, folder: Path, weights: Path) -> str:
        """How to use the weights that a training leaves, and whose they are."""
        stage = "the last stage" if weights.parent == folder else f"stage '{weights.parent.name}'"
        kind = "best" if weights.stem == BEST else "newest"
        return f"`{self.predict}` answers with the {kind} weights of {stage}, {weights}"

    def watch_child(self, number: int, child: subprocess.Popen[bytes]) -> None:
        """Watch a process that was started for this run.

        Args:
            number: Its rank.
            child: The process.
        """
        self._children.append(child)
        threading.Thread(target=self._guard, args=(number, child), daemon=True).start()

    def watch_parent(self) -> None:
        """Watch the process that started this one, while this one waits for others."""
        first = os.environ.get(PARENT_VARIABLE)
        if first is not None:
            threading.Thread(target=self._guard_parent, args=(int(first),), daemon=True).start()

    def lost_process(self) -> ProcessError | None:
        """The error to raise when another process does not answer: it may be gone.

        A process that is neither the first nor was started by it is ended by the first one.
        """
        return ProcessError(self._loss) if self._lost.wait(2 * GRACE_SECONDS) else None

    def leave(self, status: int, message: str, *, common: bool = True) -> int:
        """Say the last word on the standard error, and end the other processes.

        This one ends here, too, if it is one of several, whose groups would wait for one another
        in torch's own clean-up, or if a signal came: a logger that was interrupted as it ended
        would try it again.

        Args:
            status: Exit status.
            message: The last word.
            common: It is that of all processes, of which the first says it once.

        Returns:
            The status, where this process is not ended here.
        """
        if not common or self._speaks():
            sys.stderr.write(f"{message}\n")
        stopped = self._program and self.signum is not None
        if stopped or self._children or PARENT_VARIABLE in os.environ:
            sys.stdout.flush()
            sys.stderr.flush()
            self._end_children(LEAVE_SECONDS)
            os._exit(status)
        return status

    def join(self) -> None:
        """Wait until the processes that were started here are done, too."""
        for child in self._children:
            child.wait()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signum
        if not (self.deferred or self._raised):
            self._raised = True
            raise Interrupted(self.signum)

    def _listen(self, pipe: int) -> None:
        """Hear the signals, also while the main thread cannot."""
        first: float | None = None
        while True:
            limit = None if first is None else max(0.0, first + LIMIT_SECONDS - time.monotonic())
            if not select.select([pipe], [], [], limit)[0]:
                self._end(_status(self.signum), self.message())
            for signum in os.read(pipe, 64):
                if signum == 0:
                    return
                if signum not in SIGNALS:
                    continue
                if first is None:
                    first, self.signum = time.monotonic(), self.signum or signum
                    for child in self._children:
                        child.send_signal(signum)
                elif PARENT_VARIABLE not in os.environ and (
                    time.monotonic() - first > TWICE_SECONDS
                ):
                    self._end(_status(self.signum), self.message())

    def _guard(self, number: int, child: subprocess.Popen[bytes]) -> None:
        status = child.wait()
        if status == 0 or self.signum is not None:
            return
        signum = abs(status) if status < 0 else status - 128
        if signum in SIGNALS:
            os.kill(os.getpid(), signum)
            return
        how = f"was killed ({signal.Signals(-status).name})" if status < 0 else f"exits {status}"
        self._lose(f"process {number} of the run, which {how}")

    def _guard_parent(self, first: int) -> None:
        while os.getppid() == first or not self.waiting:
            time.sleep(0.5)
        self._lose("the first process of the run")

    def _lose(self, what: str) -> None:
        """Another process is gone: the main thread may see it, and else is ended."""
        self._loss = (
            f"expected all processes of the run to go on, got the loss of {what}; if it says "
            f"nothing above, look for a lack of memory; {self.how_to_go_on()}"
        )
        self._lost.set()
        time.sleep(GRACE_SECONDS)
        self._end(_FAILED, f"error: {self._loss}")

    def _speaks(self) -> bool:
        first = os.environ.get("LOCAL_RANK", "0") == "0"
        return (first or self._lost.is_set()) and self._told.acquire(blocking=False)

    def _end(self, status: int, message: str) -> None:
        """End this process and those that it started, whatever its main thread does."""
        if self._speaks():
            with contextlib.suppress(OSError):
                os.write(2, f"{message}\n".encode())
        self._end_children(0.0)
        os._exit(status)

    def _end_children(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for child in self._children:
            try:
                child.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()

    def _forget(self) -> None:
        """In a forked process, such as a loader's: its end is its parent's business."""
        if self._active:
            signal.set_wakeup_fd(-1)
            for one in SIGNALS:
                if signal.getsignal(one) == self._handle:
                    usual = signal.SIG_IGN if one == signal.SIGINT else signal.SIG_DFL
                    signal.signal(one, usual)


def _status(signum: int | None) -> int:
    return 128 + (signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM)


interruption = Interruption()
os.register_at_fork(after_in_child=interruption._forget)
