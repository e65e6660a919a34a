"""What a store of blobs knows of them, without their bytes: quotas, offsets, and when each of them goes."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import attrs

from rtmcore.limits import (
    DAY,
    MEDIA_ALL_BYTES,
    MEDIA_APP_BYTES,
    MEDIA_DAYS,
    MEDIA_UNFINISHED,
    MEDIA_UNFINISHED_SECONDS,
)
from rtmcore.service.blobs.commands import (
    Blob,
    BlobKey,
    BlobRefusal,
    BlobTrouble,
    CreateBlob,
    ReadBlob,
    WriteBlob,
)

_MICROSECONDS: Final = 1_000_000

_Of = TypeVar("_Of")

UNKNOWN: Final = BlobRefusal(BlobTrouble.UNKNOWN)


@attrs.frozen
class BlobCaps:
    """How much a store may hold, and for how long.

    Attributes:
        file_days: Days that a complete blob is kept.
        unfinished_uploads: Unfinished blobs of one user.
        app_files_bytes: Bytes of the blobs of one app, unfinished ones with all that was announced.
        all_files_bytes: Bytes of all blobs.
    """

    file_days: int = MEDIA_DAYS
    unfinished_uploads: int = MEDIA_UNFINISHED
    app_files_bytes: int = MEDIA_APP_BYTES
    all_files_bytes: int = MEDIA_ALL_BYTES


def blob_caps_of(limits: Mapping[str, int]) -> BlobCaps:
    """The caps of a store whose server is configured to other limits.

    Args:
        limits: By the names of `rtmcore.service.capacity.FIGURES`; those that are no matter of a store are left out.
    """
    known = [each.name for each in attrs.fields(BlobCaps)]
    return BlobCaps(**{name: limits[name] for name in known if name in limits})


class BlobCatalog:
    """The blobs of a store. It has no lock: callers from several threads bring their own.

    Args:
        caps: How much it may hold.
    """

    def __init__(self, caps: BlobCaps) -> None:
        self.caps = caps
        self._blobs: dict[BlobKey, Blob] = {}
        self._apps: dict[str, int] = {}
        self._unfinished: dict[tuple[str, str], int] = {}
        self._total = 0

    def __len__(self) -> int:
        return len(self._blobs)

    @property
    def total(self) -> int:
        """Bytes of all blobs, unfinished ones with all that was announced."""
        return self._total

    def create(self, command: CreateBlob, wall: int) -> Blob | BlobRefusal:
        """Take in a blob that begins, or refuse it; its bytes are reserved."""
        caps = self.caps
        if self._unfinished.get((command.key.app, command.user), 0) >= caps.unfinished_uploads:
            return BlobRefusal(BlobTrouble.TOO_MANY)
        of_app = self._apps.get(command.key.app, 0)
        if of_app + command.size > caps.app_files_bytes or self._total + command.size > caps.all_files_bytes:
            return BlobRefusal(BlobTrouble.NO_SPACE)
        if command.key in self._blobs:
            return BlobRefusal(BlobTrouble.BROKEN)
        blob = Blob(
            key=command.key,
            user=command.user,
            kind=command.kind,
            size=command.size,
            name=command.name,
            type=command.type,
            sha256=command.sha256,
            offset=0,
            complete=False,
            expires=unfinished_until(wall),
        )
        self.put(blob)
        return blob

    def put(self, blob: Blob) -> None:
        """Take in a blob as it is, in place of what was known of it."""
        self.remove(blob.key)
        self._blobs[blob.key] = blob
        self._apps[blob.key.app] = self._apps.get(blob.key.app, 0) + blob.size
        self._total += blob.size
        if not blob.complete:
            owner = (blob.key.app, blob.user)
            self._unfinished[owner] = self._unfinished.get(owner, 0) + 1

    def find(self, key: BlobKey, wall: int) -> Blob | BlobRefusal:
        """What is known of a blob that has not expired."""
        blob = self._blobs.get(key)
        return UNKNOWN if blob is None or blob.expires <= wall else blob

    def judge_write(self, command: WriteBlob, wall: int) -> Blob | BlobRefusal:
        """The blob that may be written to, or the refusal."""
        blob = self.find(command.key, wall)
        if isinstance(blob, BlobRefusal):
            return blob
        fits = command.offset == blob.offset and command.offset + len(command.data) <= blob.size
        return blob if fits and not blob.complete else BlobRefusal(BlobTrouble.OFFSET)

    def judge_finish(self, key: BlobKey, wall: int) -> Blob | BlobRefusal:
        """The blob whose bytes are all written, or the refusal."""
        blob = self.find(key, wall)
        if isinstance(blob, BlobRefusal):
            return blob
        return blob if blob.offset == blob.size else BlobRefusal(BlobTrouble.OFFSET)

    def judge_read(self, command: ReadBlob, wall: int) -> Blob | BlobRefusal:
        """The blob that may be read from, or the refusal."""
        blob = self.find(command.key, wall)
        if isinstance(blob, BlobRefusal):
            return blob
        fits = command.offset >= 0 and command.offset + command.size <= blob.size
        return blob if blob.complete and fits else UNKNOWN

    def wrote(self, key: BlobKey, offset: int, wall: int) -> None:
        """Bytes were written, up to an offset."""
        blob = self._blobs.get(key)
        if blob is not None:
            self._blobs[key] = attrs.evolve(blob, offset=offset, expires=unfinished_until(wall))

    def completed(self, blob: Blob, sha256: str, wall: int) -> Blob:
        """What a blob is when it is complete; `put` it."""
        expires = wall + self.caps.file_days * DAY * _MICROSECONDS
        return attrs.evolve(blob, sha256=sha256, offset=blob.size, complete=True, expires=expires)

    def remove(self, key: BlobKey) -> bool:
        """Forget a blob; whether there was one."""
        blob = self._blobs.pop(key, None)
        if blob is None:
            return False
        self._total -= blob.size
        _take(self._apps, key.app, blob.size)
        if not blob.complete:
            _take(self._unfinished, (key.app, blob.user), 1)
        return True

    def expired(self, wall: int) -> list[BlobKey]:
        """The blobs that have expired."""
        return [key for key, blob in self._blobs.items() if blob.expires <= wall]

    def blobs(self) -> Iterable[Blob]:
        """All of them."""
        return self._blobs.values()


def unfinished_until(wall: int) -> int:
    """When an unfinished blob goes whose last byte came at a time; both in microseconds since 1970."""
    return wall + int(MEDIA_UNFINISHED_SECONDS * _MICROSECONDS)


def _take(sums: dict[_Of, int], key: _Of, by: int) -> None:
    sums[key] -= by
    if not sums[key]:
        del sums[key]
