"""Lists of names that libraries store as pickles, scanned word by word.

Nothing is unpickled: a pickle is a program, of which only the instructions that build lists,
tuples, texts and whole numbers are known here. Every other one ends the scan.
"""

from __future__ import annotations

import pickletools

from lifting.errors import DataError

_VALUES = {"UNICODE", "BINUNICODE", "STRING", "SHORT_BINSTRING", "INT", "BININT1"}
_PUT, _GET = {"PUT", "BINPUT"}, {"GET", "BINGET"}
_MARK = object()


def read_pickled_names(text: str, where: str) -> object:
    """Lists and tuples of texts and whole numbers.

    Args:
        text: The pickle, of protocol 0 as PyTables stores the columns of a table.
        where: Names the place in messages.

    Raises:
        DataError: It is damaged, or asks for anything else.
    """
    try:
        return _scan(text.encode("latin-1", "replace"))
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"expected plain lists of names in {where}, but they are damaged or unsafe: "
            f"{error!s:.120}; nothing of it was run; export the file again, as csv"
        ) from error


def _scan(data: bytes) -> object:
    stack: list[object] = []
    memo: dict[object, object] = {}
    for instruction, value, _ in pickletools.genops(data):
        name = instruction.name
        if name in _VALUES:
            stack.append(value)
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("LIST", "EMPTY_LIST"):
            stack.append(_since_mark(stack) if name == "LIST" else [])
        elif name == "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else _since_mark(stack)
            target = stack[-1]
            if not isinstance(target, list):
                raise TypeError("it adds to what is no list")
            target.extend(items)
        elif name in _PUT:
            memo[value] = stack[-1]
        elif name in _GET:
            stack.append(memo[value])
        elif name == "STOP":
            return stack.pop()
        else:
            raise ValueError(f"it asks for {name}")
    raise ValueError("it has no end")


def _since_mark(stack: list[object]) -> list[object]:
    """What was put on the stack since the last mark, taken from it."""
    items: list[object] = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]
