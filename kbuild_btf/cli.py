# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The command line: finds the verb and imports nothing but its module."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO, cast

from .errors import Error

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

PROGRAM = "kbuild-btf"
DESCRIPTION = "BTF for kernels, encoded while they compile."

VERBS = {
    "encode": "encode the DWARF of one ELF file as BTF",
    "link": "combine the BTF of all objects of a linked kernel or module",
    "dump": "show BTF: raw listing, C declarations, or the layout of a type",
    "diff": "compare two BTFs by meaning",
    "report": "what is known of a kernel's BTF, as one page",
    "explain": "why a function is in the BTF or not, how definitions of a type differ",
    "check": "will these BPF programs load and attach on these kernels?",
    "verify": "check BTF by its DWARF and the kernel's rules, and modules against their vmlinux",
    "min-core": "the smallest BTF that given BPF programs need",
    "cache": "size and statistics of the cache; keep it to its limit",
    "demo": "build a small kernel, change a file, build again",
    "doctor": "what is missing on this machine, and how to get it",
    "bugreport": "pack what it takes to see a failure of encode or link again, for a bug report",
    "make": "run make in a kernel tree with BTF encoded while it compiles",
    "env": "print the variables that switch kbuild-btf on for make",
    "help": "show what a verb does, and its options",
}

# diff(1) and its kind: 1 says that something differs, so trouble is 2.
TROUBLE = {"check": 2, "diff": 2, "verify": 2}

# As a shell says that a program was ended by SIGPIPE or SIGINT.
_BROKEN_PIPE, _INTERRUPTED = 141, 130

# What a write to a file that is open already can fail with. Such errors name no file.
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


class Command(Protocol):
    """What a module in ``commands`` offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


class Parser(argparse.ArgumentParser):
    """Errors take one line, which says where there is more."""

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """As it is in argparse, but that what cannot be written is an error."""
        print(self.format_help(), end="", file=file)

    def error(self, message: str) -> NoReturn:
        """End the program with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """End the program because of words that no argument takes."""
        option = next((word for word in words if word.startswith("-")), "")
        if option:
            name = option.partition("=")[0]
            self.error(f"no option {name}" + _meant(name, self._option_string_actions))
        # Objects behind an option, for example: there can be thousands.
        more = f" and {len(words) - 3} more" if len(words) > 3 else ""
        self.error(f"too many arguments: {' '.join(words[:3])}{more}")


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that takes longer than the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from . import __version__

        print(f"{PROGRAM} {__version__}")
        parser.exit()


def parsers(*verbs: str, alone: bool = False) -> tuple[Parser, dict[str, Parser]]:
    """The parser, and that of each verb: of ``verbs`` with the arguments, of others without, or not
    at all if ``verbs`` are ``alone``."""
    top = Parser(prog=PROGRAM, description=DESCRIPTION)
    top.add_argument("-V", "--version", action=_Version, nargs=0, help="show the version")
    chosen = top.add_subparsers(title="verbs", metavar="VERB")
    by_verb = {}
    for name, text in VERBS.items():
        if alone and name not in verbs:
            continue
        description = text[0].upper() + text[1:] + "."
        by_verb[name] = chosen.add_parser(name, help=text, description=description)
        if name in verbs:
            _command(name).add_arguments(by_verb[name])
    return top, by_verb


def no_verb(word: str) -> str:
    """What is said of a word that is no verb."""
    return f"no verb {word}" + _meant(word, VERBS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. Never a traceback for what a user can cause."""
    argv = sys.argv[1:] if argv is None else argv
    # Options that take a value exist only behind the verb, so the first plain word is it.
    verb = next((word for word in argv if not word.startswith("-")), "")
    # Python has None for streams that were closed, as `2>&-` does.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    try:
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        try:
            return _run(argv, verb)
        finally:
            # What cannot be written is an error now, and not a complaint of Python at its end.
            sys.stdout.flush()
    except Error as error:
        return _fail(error, verb)
    except ImportError as error:
        hint = "the installation is incomplete: kbuild-btf doctor says what is missing"
        return _fail(Error(str(error), hint=hint), verb)
    except RecursionError:
        return _fail(
            Error("types lead to each other in a circle, or too deep: it is damaged"), verb
        )
    except BrokenPipeError:
        _discard(sys.stdout)
        return _BROKEN_PIPE
    except OSError as error:
        where = str(error.filename or "")
        if not where and error.errno in _WRITE_ERRORS:
            _discard(sys.stdout)
            where = "standard output"
        return _fail(Error(error.strerror or str(error), where), verb)
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _discard(sys.stderr)


def _run(argv: Sequence[str], verb: str) -> int:
    # Behind the verb nothing asks for the others.
    top, by_verb = parsers(verb, alone=argv[:1] == [verb])
    if verb and verb not in VERBS:
        top.error(no_verb(verb))
    args, rest = top.parse_known_args(argv)
    if rest:
        by_verb.get(verb, top).refuse(rest)
    if not verb:
        top.print_help()
        return 2
    return _command(verb).run(args)


def _command(verb: str) -> Command:
    return cast(Command, import_module(f".commands.{verb.replace('-', '_')}", __package__))


def _meant(word: str, known: Iterable[str]) -> str:
    """The question whether something that is known was meant; empty when nothing is like it."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _fail(error: Error, verb: str) -> int:
    with contextlib.suppress(OSError):
        print(f"{PROGRAM}: {error}", file=sys.stderr)
    return TROUBLE.get(verb, 1)


def _discard(stream: TextIO) -> None:
    """Nobody reads it, or it cannot be written: Python is not to try again when it ends, and not to
    make an exit status of that."""
    with contextlib.suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
