"""How large a file may be: judged by its header, its size or its brackets before it is parsed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from lifting.errors import ConfigError, DataError

_MEGABYTE = 1024**2


@dataclass(frozen=True)
class Size:
    """The largest file that is read.

    Attributes:
        megabytes: Of the file, of all files of a folder, or of what an archive expands to.
        frames: Of the video; grows with ``megabytes`` where :meth:`of` sets that.
    """

    megabytes: float = 256.0
    frames: int = 500_000

    @classmethod
    def of(cls, megabytes: float | None) -> Size:
        """The limits for ``--max-size``; None leaves them as they are.

        Args:
            megabytes: Above zero; the frames grow in proportion.

        Raises:
            ConfigError: It is not above zero.
        """
        usual = cls()
        if megabytes is None:
            return usual
        if not (math.isfinite(megabytes) and 0 < megabytes <= 2**30):
            raise ConfigError(
                f"expected megabytes above zero, got {megabytes:g}; correct --max-size"
            )
        frames = max(math.ceil(usual.frames * megabytes / usual.megabytes), usual.frames)
        return cls(megabytes, frames)

    @property
    def bytes(self) -> int:
        """The limit in bytes."""
        return math.ceil(self.megabytes * _MEGABYTE)

    def check_bytes(self, path: Path, size: int) -> None:
        """Refuse what is larger than allowed.

        Args:
            path: The file or folder, for messages.
            size: Its bytes.

        Raises:
            DataError: It is larger.
        """
        if size > self.bytes:
            raise DataError(
                f"expected at most {self.megabytes:g} MB in {path}, got {size / _MEGABYTE:.0f} MB;"
                f" cut it into parts, or give --max-size {math.ceil(size / _MEGABYTE)} (max_bytes "
                "in a data section)"
            )

    def check_frames(self, path: Path, frames: int) -> None:
        """Refuse more frames than allowed.

        Args:
            path: The file or folder, for messages.
            frames: What it claims to have.

        Raises:
            DataError: There are more.
        """
        if frames > self.frames:
            needed = math.ceil(Size.megabytes * frames / Size.frames)
            raise DataError(
                f"expected at most {self.frames} frames in {path}, got {frames}; cut it into "
                f"parts, or give --max-size {needed} if the file is right"
            )
