# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The command line: finds the verb and imports nothing but its module."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

from .errors import Error

PROGRAM = "kbuild-btf"

VERBS = {
    "encode": "encode the DWARF of one ELF file as BTF",
    "link": "combine the BTF of all objects of a linked kernel or module",
    "dump": "show BTF: raw listing, C declarations, or the layout of a type",
    "diff": "compare two BTFs by meaning",
    "explain": "why a function is in the BTF or not, how definitions of a type differ",
    "verify": "check BTF by its DWARF and the kernel's rules, and modules against their vmlinux",
    "cache": "size and statistics of the cache; keep it to its limit",
    "demo": "build a small kernel, change a file, build again",
    "doctor": "what is missing on this machine, and how to get it",
    "make": "run make in a kernel tree with BTF encoded while it compiles",
    "env": "print the variables that switch kbuild-btf on for make",
}

# diff(1) and its kind: 1 says that something differs, so trouble is 2.
TROUBLE = {"diff": 2, "verify": 2}


class Command(Protocol):
    """What a module in ``commands`` offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that takes longer than the rest of the start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from . import __version__

        parser.exit(message=f"{PROGRAM} {__version__}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. Never a traceback for what a user can cause."""
    argv = sys.argv[1:] if argv is None else argv
    # Options that take a value exist only behind the verb, so the first plain word is it.
    verb = next((word for word in argv if not word.startswith("-")), "")
    try:
        parser, command = _parser(verb)
        args = parser.parse_args(argv)
        if command is None:
            parser.print_help()
            return 2
        status = command.run(args)
        sys.stdout.flush()
        return status
    except Error as error:
        return _fail(error, verb)
    except ImportError as error:
        hint = "the installation is incomplete: kbuild-btf doctor says what is missing"
        return _fail(Error(str(error), hint=hint), verb)
    except RecursionError:
        return _fail(Error("types refer to themselves in a circle: the BTF is damaged"), verb)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader went away (`| head`): no complaint, not from the exit of Python either.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        return _fail(Error(error.strerror or str(error), str(error.filename or "")), verb)
    except KeyboardInterrupt:
        return 130


def _fail(error: Exception, verb: str) -> int:
    with contextlib.suppress(BrokenPipeError):
        print(f"{PROGRAM}: {error}", file=sys.stderr)
    return TROUBLE.get(verb, 1)


def _parser(verb: str) -> tuple[argparse.ArgumentParser, Command | None]:
    """The parser with the arguments of ``verb`` only, and the module of that verb."""
    parser = _Parser(prog=PROGRAM, description="BTF for kernels, encoded while they compile.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    command: Command | None = None
    for name, text in VERBS.items():
        chosen = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == verb:
            command = cast(Command, import_module(f".commands.{name}", __package__))
            command.add_arguments(chosen)
    return parser, command


if __name__ == "__main__":
    sys.exit(main())
