"""The files of an issued report as they are stored: its `usage.xls`, and the report itself.

The xls is kept as bytes, because it must never change. The report is kept too, as data: xlsx and
csv are drawn from it when somebody wants them. Of a month with sessions in every hour, the xls has
90 KB; compressed with the report it has 16 KB, and an xlsx beside it would have 40 KB more.
"""

import lzma
from typing import Any, Final

import msgspec

from interaction_usage.issued.errors import DamagedReportError
from interaction_usage.reports.model import Day, Days, Hours, Report
from rollups.local_time import HourRun

#: Measured on a month's xls: 14.3 KB in 4 ms; the default preset gives 13.3 KB in 45 ms.
_PRESET: Final = 0


class Files(msgspec.Struct):
    """What an issued report is shown from."""

    xls: bytes
    report: Any  #: a Report as MessagePack has it


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Files).decode


def pack(report: Report, xls: bytes) -> bytes:
    """Return the files, compressed."""
    content = _encode(Files(xls, msgspec.to_builtins(report, enc_hook=_stored)))
    return lzma.compress(content, preset=_PRESET)


def xls_in(files: bytes) -> bytes:
    """Return the bytes of the xls. Raises DamagedReportError."""
    return _unpacked(files).xls


def report_in(files: bytes) -> Report:
    """Return the report itself. Raises DamagedReportError."""
    try:
        return msgspec.convert(_unpacked(files).report, Report, strict=False, dec_hook=_read)
    except msgspec.ValidationError as error:
        raise DamagedReportError(f"the stored report is damaged ({error})") from None


def _unpacked(files: bytes) -> Files:
    try:
        return _decode(lzma.decompress(files))
    except (lzma.LZMAError, msgspec.DecodeError) as error:
        raise DamagedReportError(f"the stored report is damaged ({error})") from None


def _stored(value: Any) -> Any:
    if isinstance(value, Days):
        return list(value)
    if isinstance(value, Hours):
        return {"runs": value.runs, "peaks": {name: [*each] for name, each in value.peaks.items()}}
    raise TypeError(f"no way to store a {type(value).__name__}")


def _read(kind: type, value: Any) -> Any:
    if kind is Days:
        return Days.of(msgspec.convert(value, list[Day], strict=False))
    if kind is Hours:
        return Hours([HourRun(*run) for run in value["runs"]], value["peaks"])
    raise TypeError(f"no way to read a {kind.__name__}")
