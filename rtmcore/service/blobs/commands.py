"""The seam between a node and its store of blobs: commands in, answers out, all values.

Commands that name one blob are carried out in order of issue, others in any order. Each but `SweepBlobs` is answered
exactly once, now or later, by a `BlobAnswer` with its number.
"""

from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeAlias

import attrs

FILE: Final = "file"
IMAGE: Final = "image"
KINDS: Final = (FILE, IMAGE)
"""What a blob may be."""


class BlobKey(NamedTuple):
    """Which blob is meant; nobody of another app can name it."""

    app: str
    id: str


@attrs.frozen
class Blob:
    """What is known of a blob.

    Attributes:
        key: Its app and id.
        user: Who uploads it, or has uploaded it.
        kind: `FILE` or `IMAGE`.
        size: Bytes when it is complete, at least 1.
        name: What it is called; never a part of a path. Empty where the uploader gave none.
        type: Its media type, one that is safe to serve.
        sha256: 64 hexadecimal digits; of an unfinished one empty where the uploader told none.
        offset: Bytes that are written, from its beginning.
        complete: Whether it can be downloaded: all is written, checked and synced.
        expires: When it goes, in microseconds since 1970.
    """

    key: BlobKey
    user: str
    kind: str
    size: int
    name: str = attrs.field(repr=False)
    type: str
    sha256: str
    offset: int
    complete: bool
    expires: int


# --- Commands -------------------------------------------------------------------------------------------------


@attrs.frozen
class CreateBlob:
    """Begin an upload. Answered by its `Blob`, once that is on the disk, or a `BlobRefusal`."""

    number: int
    key: BlobKey
    """The id is new, unpredictable, and made of letters, digits, hyphens and underscores."""
    user: str
    kind: str
    size: int
    sha256: str
    name: str = attrs.field(repr=False)
    type: str


@attrs.frozen
class FindBlob:
    """Ask for what is known. Answered by a `Blob` or a `BlobRefusal`, behind the writes that were issued before."""

    number: int
    key: BlobKey


@attrs.frozen
class WriteBlob:
    """Append bytes to an unfinished blob. Answered by `BlobWritten` once the file has them, or a `BlobRefusal`.

    After a refusal with `NO_SPACE` nothing of the blob is left.
    """

    number: int
    key: BlobKey
    offset: int
    """Where they belong: behind all that was written."""
    data: bytes = attrs.field(repr=False)


@attrs.frozen
class FinishBlob:
    """Check the hash of a blob whose bytes are all written, and make it last.

    Answered by the complete `Blob`, once it would survive a loss of power, or a `BlobRefusal`: with `CHECKSUM`
    nothing of the blob is left.
    """

    number: int
    key: BlobKey


@attrs.frozen
class ReadBlob:
    """Read bytes of a complete blob. Answered by `BlobBytes`, or a `BlobRefusal` where it has gone."""

    number: int
    key: BlobKey
    offset: int
    size: int


@attrs.frozen
class RemoveBlob:
    """Forget a blob, finished or not. Answered by `BlobRemoved`, also where there was none."""

    number: int
    key: BlobKey


@attrs.frozen
class SweepBlobs:
    """Forget what has expired. Not answered."""


BlobCommand: TypeAlias = CreateBlob | FindBlob | WriteBlob | FinishBlob | ReadBlob | RemoveBlob | SweepBlobs

# --- Answers --------------------------------------------------------------------------------------------------


class BlobTrouble(Enum):
    """Why a store refuses."""

    UNKNOWN = "there is no such blob"
    OFFSET = "the bytes do not belong there"
    CHECKSUM = "the bytes are not those that were announced"
    NO_SPACE = "there is no space for it"
    TOO_MANY = "the user has too many unfinished uploads"
    BROKEN = "the disk cannot be used"


@attrs.frozen
class BlobRefusal:
    """A command was not carried out."""

    trouble: BlobTrouble


@attrs.frozen
class BlobWritten:
    """The file has the bytes.

    Attributes:
        offset: Bytes that are written, from the blob's beginning.
    """

    offset: int


@attrs.frozen
class BlobBytes:
    """Bytes of a blob, as many as were asked for."""

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class BlobRemoved:
    """Nothing of the blob is left."""


BlobValue: TypeAlias = Blob | BlobRefusal | BlobWritten | BlobBytes | BlobRemoved


@attrs.define
class BlobAnswer:
    """The answer to a command."""

    number: int
    value: BlobValue


class BlobPort(Protocol):
    """The side of a store that one node sees. Nothing here ever waits for a disk."""

    def submit(self, command: BlobCommand, wall: int) -> None:
        """Hand a command in. Its answer comes as an output, now or later.

        Args:
            command: The command.
            wall: Microseconds since 1970.
        """

    def next_output(self) -> BlobAnswer | None:
        """The next answer, or None."""
