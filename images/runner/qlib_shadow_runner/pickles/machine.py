"""Executes the opcodes of a pickle, as Python's own unpickler does, but only notes what was to be made.

Each opcode takes a time and leaves an amount of memory in proportion to its own bytes: nothing is hashed,
nothing is compared, the memo has no gaps, and what would be called is a note. Only the opcodes are known that
Python 3 writes since version 2 of the format; persistent ids, the registry of extensions and buffers from
outside are not among them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.pickles.nodes import Made, Named, Pairs, Unrecognised

if TYPE_CHECKING:
    from collections.abc import Callable

STOP: Final = ord(".")
MEMOIZE: Final = 0x94
GET: Final = ord("h")
LONG_GET: Final = ord("j")
SHORT_BYTES: Final = ord("C")
PAIR: Final = 0x86
REDUCE: Final = ord("R")
NEWEST: Final = 5
"""The newest version of the format that is known."""
NO_PICKLE: Final = "it is not a whole pickle"


class Machine:
    """The stack, the marks and the memo of one pickle."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []

    def read(self) -> object:
        """Return what the pickle describes."""
        try:
            self._read_to_stop()
            return self.stack.pop()
        except KeyError:
            raise Unrecognised(f"{NO_PICKLE}, or one of another kind than a recorder writes") from None
        except (IndexError, ValueError, struct.error, OverflowError):
            raise Unrecognised(NO_PICKLE) from None

    def _read_to_stop(self) -> None:
        """Act on one opcode after the other; those of positions, most of all opcodes, are acted on here."""
        data, stack, memo, actions = self.data, self.stack, self.memo, ACTIONS
        push, pop, at = stack.append, stack.pop, 0
        while (code := data[at]) != STOP:
            at += 1
            if code == MEMOIZE:
                memo.append(stack[-1])
            elif code == GET:
                push(memo[data[at]])
                at += 1
            elif code == LONG_GET:
                push(memo[int.from_bytes(data[at : at + 4], "little")])
                at += 4
            elif code == SHORT_BYTES:
                begin = at + 1
                at = begin + data[at]
                push(data[begin:at])
            elif code == PAIR:
                second = pop()
                stack[-1] = (stack[-1], second)
            elif code == REDUCE:
                arguments = pop()
                stack[-1] = Made(stack[-1], arguments)
            else:
                self.at = at
                actions[code](self)
                at = self.at

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        begin = self.at
        self.at = end = begin + size
        if size < 0 or end > len(self.data):
            raise Unrecognised(NO_PICKLE)
        return self.data[begin:end]

    def number(self, size: int) -> int:
        """Return the next bytes as a number."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> str:
        """Return the next line."""
        begin = self.at
        end = self.data.index(b"\n", begin)
        self.at = end + 1
        return self.data[begin:end].decode()

    def since_mark(self) -> list[Any]:
        """Return what was put on the stack since the last mark."""
        mark = self.marks.pop()
        found = self.stack[mark:]
        del self.stack[mark:]
        return found


def read_pickle(data: bytes) -> object:
    """Return what a pickle describes."""
    return Machine(data).read()


def _nothing(_machine: Machine) -> None:
    pass


def _version(machine: Machine) -> None:
    if machine.number(1) > NEWEST:
        raise Unrecognised("it is of a newer format than any that is known")


def _skip(size: int) -> Callable[[Machine], None]:
    def act(machine: Machine) -> None:
        machine.take(size)

    return act


def _constant(value: object) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(value)


def _new(kind: Callable[[], object]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(kind())


def _number(size: int) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(machine.number(size))


def _sized_number(size: int) -> Callable[[Machine], None]:
    def act(machine: Machine) -> None:
        machine.stack.append(int.from_bytes(machine.take(machine.number(size)), "little", signed=True))

    return act


def _bytes(size: int) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(machine.take(machine.number(size)))


def _text(size: int) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(machine.take(machine.number(size)).decode())


def _signed_number(machine: Machine) -> None:
    machine.stack.append(int.from_bytes(machine.take(4), "little", signed=True))


def _float(machine: Machine) -> None:
    machine.stack.append(struct.unpack(">d", machine.take(8))[0])


def _mark(machine: Machine) -> None:
    machine.marks.append(len(machine.stack))


def _pop(machine: Machine) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.stack.pop()


def _pop_mark(machine: Machine) -> None:
    machine.since_mark()


def _duplicate(machine: Machine) -> None:
    machine.stack.append(machine.stack[-1])


def _tuple(machine: Machine) -> None:
    machine.stack.append(tuple(machine.since_mark()))


def _tuple_of(count: int) -> Callable[[Machine], None]:
    def act(machine: Machine) -> None:
        stack = machine.stack
        if len(stack) < count:
            raise Unrecognised(NO_PICKLE)
        stack[-count:] = [tuple(stack[-count:])]

    return act


def _frozen(machine: Machine) -> None:
    machine.stack.append(machine.since_mark())


def _append(machine: Machine) -> None:
    item = machine.stack.pop()
    _items_of(machine.stack[-1]).append(item)


def _append_all(machine: Machine) -> None:
    items = machine.since_mark()
    _items_of(machine.stack[-1]).extend(items)


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _pairs_of(machine.stack[-1]).append((key, value))


def _set_items(machine: Machine) -> None:
    pairs = _paired(machine.since_mark())
    _pairs_of(machine.stack[-1]).extend(pairs)


def _paired(items: list[Any]) -> Pairs:
    return Pairs(zip(items[::2], items[1::2], strict=True))


def _items_of(node: object) -> list[Any]:
    """Return where a list's items go; an object that is like a list notes them."""
    if type(node) is list:
        return node
    if type(node) is not Made:
        raise Unrecognised(NO_PICKLE)
    if node.items is None:
        node.items = []
    return node.items


def _pairs_of(node: object) -> Pairs:
    """Return where a dictionary's pairs go; an object that is like a dictionary notes them."""
    if type(node) is Pairs:
        return node
    if type(node) is not Made:
        raise Unrecognised(NO_PICKLE)
    if node.pairs is None:
        node.pairs = Pairs()
    return node.pairs


def _put(size: int) -> Callable[[Machine], None]:
    def act(machine: Machine) -> None:
        if machine.number(size) != len(machine.memo):  # Python numbers what it keeps without gaps
            raise Unrecognised(NO_PICKLE)
        machine.memo.append(machine.stack[-1])

    return act


def _global_lines(machine: Machine) -> None:
    module, name = machine.line(), machine.line()
    machine.stack.append(Named(f"{module}.{name}"))


def _global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise Unrecognised(NO_PICKLE)
    machine.stack.append(Named(f"{module}.{name}"))


def _make(machine: Machine) -> None:
    arguments = machine.stack.pop()
    machine.stack[-1] = Made(machine.stack[-1], arguments)


def _make_named(machine: Machine) -> None:
    named, arguments, maker = (machine.stack.pop() for _ in range(3))
    machine.stack.append(Made(maker, arguments, named))


def _build(machine: Machine) -> None:
    state, node = machine.stack.pop(), machine.stack[-1]
    if type(node) is not Made:
        raise Unrecognised("it puts a state into what has none")
    node.state = state


ACTIONS: Final[dict[int, Callable[[Machine], None]]] = {
    ord(code): action
    for code, action in {
        "\x80": _version, "\x95": _skip(8),
        "N": _constant(None), ")": _constant(()), "\x88": _constant(value=True),
        "\x89": _constant(value=False),
        "]": _new(list), "}": _new(Pairs), "\x8f": _new(list),
        "K": _number(1), "M": _number(2), "J": _signed_number, "\x8a": _sized_number(1),
        "\x8b": _sized_number(4), "G": _float,
        "\x8c": _text(1), "X": _text(4), "\x8d": _text(8),
        "B": _bytes(4), "\x8e": _bytes(8), "\x96": _bytes(8),
        "(": _mark, "0": _pop, "1": _pop_mark, "2": _duplicate,
        "t": _tuple, "\x85": _tuple_of(1), "\x87": _tuple_of(3), "\x91": _frozen,
        "a": _append, "e": _append_all, "\x90": _append_all, "s": _set_item, "u": _set_items,
        "q": _put(1), "r": _put(4), "c": _global_lines, "\x93": _global,
        "\x81": _make, "\x92": _make_named, "b": _build,
    }.items()
}  # fmt: skip
"""The action of each opcode that is not acted on above; sets are kept as lists."""
