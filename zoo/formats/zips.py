"""Zip files that nobody vouches for: their list of members, and one member, with limits that zipfile does not set."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
import zlib
from typing import BinaryIO, cast

from zoo.errors import FormatError
from zoo.formats.pickles import shown

MAX_DIRECTORY = 8 << 20  # bytes of a zip's list of members: about 80,000 tensors
_PIECE = 1 << 20


class _Guarded(io.RawIOBase):
    """A mapped file that refuses large reads: zipfile takes a zip's own word for the size of its directory."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.data.tell(), io.SEEK_END: len(self.data)}[whence]
        if not 0 <= place <= len(self.data):
            raise OSError("a position outside the file")
        self.data.seek(place)
        return place

    def tell(self) -> int:
        return self.data.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        left = len(self.data) - self.data.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its list of members has more than {MAX_DIRECTORY} bytes")
        return self.data.read(wanted)


def members(data: mmap.mmap, where: str) -> list[zipfile.ZipInfo]:
    """Returns what a zip file says that it holds.

    Raises:
        FormatError: the zip is damaged.
    """
    try:
        with zipfile.ZipFile(cast(BinaryIO, _Guarded(data))) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, IndexError, OSError, struct.error) as error:
        raise FormatError(f"{where}: damaged zip ({shown(str(error))}); fetch the file again") from None


def start_of(data: mmap.mmap, member: zipfile.ZipInfo, where: str) -> int:
    """Returns where a member's bytes begin.

    Raises:
        FormatError: it is not where the zip says.
    """
    offset = member.header_offset
    header = data[offset : offset + 30] if 0 <= offset <= len(data) else b""
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise FormatError(f"{where}: member {shown(member.filename)!r} is not where the zip says; fetch the file again")
    name, extra = struct.unpack("<HH", header[26:30])
    return offset + 30 + int(name) + int(extra)


def unpack(data: mmap.mmap, member: zipfile.ZipInfo, where: str, limit: int, out: BinaryIO) -> None:
    """Writes a stored or deflated member.

    Args:
        data: the zip file.
        member: one of `members`.
        where: the file's name, for messages.
        limit: bytes that it may have.
        out: where to.

    Raises:
        FormatError: it is larger than that or than it says, is cut, or its checksum is wrong.
    """
    name = shown(member.filename)
    start, size = start_of(data, member, where), member.file_size
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FormatError(f"{where}: member {name!r} is encrypted or compressed in a way that is not read")
    if size > limit or start + member.compress_size > len(data):
        raise FormatError(f"{where}: member {name!r} is cut, or has {size} bytes, more than {limit}; refused")
    inflater = zlib.decompressobj(-15) if member.compress_type == zipfile.ZIP_DEFLATED else None
    checksum = written = 0
    try:
        for at in range(start, start + member.compress_size, _PIECE):
            piece = data[at : min(at + _PIECE, start + member.compress_size)]
            while piece:
                made = piece if inflater is None else inflater.decompress(piece, _PIECE)
                piece = b"" if inflater is None else inflater.unconsumed_tail
                written += len(made)
                if written > size:
                    raise FormatError(f"{where}: member {name!r} is larger than it says; refused")
                checksum = zlib.crc32(made, checksum)
                out.write(made)
        if inflater is not None:
            made = inflater.flush()
            written += len(made)
            checksum = zlib.crc32(made, checksum)
            out.write(made)
    except zlib.error as error:
        raise FormatError(f"{where}: member {name!r} is damaged ({error}); fetch the file again") from None
    if written != size or checksum != member.CRC:
        raise FormatError(f"{where}: member {name!r} is damaged; fetch the file again")
