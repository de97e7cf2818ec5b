# SPDX-License-Identifier: Apache-2.0
"""Scripts of completion for bash, zsh and fish, from a table of commands and arguments.

Knows the shells' syntax and nothing of guard's commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

Choices = tuple[str, ...] | Literal["files"] | None
"""What a value may be: some words, files, () for anything; None takes no value."""


class Argument(NamedTuple):
    """An option with its spellings, or with none an argument by position."""

    names: tuple[str, ...]
    metavar: str
    help: str
    choices: Choices
    many: bool


class Words(NamedTuple):
    """A command, what it does, and what may stand after it.

    With ``takes_command`` the words after ``--`` are a command line of their own.
    """

    name: str
    summary: str
    arguments: tuple[Argument, ...]
    takes_command: bool

    @property
    def options(self) -> list[Argument]:
        """The arguments that begin with '-'."""
        return [each for each in self.arguments if each.names]

    @property
    def positions(self) -> list[Argument]:
        """The others, in their order."""
        return [each for each in self.arguments if not each.names]


def bash(commands: Sequence[Words]) -> str:
    """For bash 4.2 or newer; needs no bash-completion."""
    return "\n".join(_bash(commands)) + "\n"


def _bash(commands: Sequence[Words]) -> Iterator[str]:
    names = " ".join(each.name for each in commands)
    yield "# Completion of guard's command line for bash, made by: guard completion bash"
    yield "_guard() {"
    yield "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} choices= at"
    yield "    COMPREPLY=()"
    yield "    # '=' is a word of its own here: --format=json is three words."
    yield "    if [[ $cur == = ]]; then"
    yield "        cur="
    yield "    elif [[ $prev == = ]]; then"
    yield "        prev=${COMP_WORDS[COMP_CWORD - 2]}"
    yield "    fi"
    yield "    if ((COMP_CWORD == 1)); then"
    yield f"        mapfile -t COMPREPLY < <(compgen -W '{names} --help --version' -- \"$cur\")"
    yield "        return"
    yield "    fi"
    yield "    case ${COMP_WORDS[1]} in"
    for command in commands:
        yield f"    {command.name})"
        if command.takes_command:
            yield "        for ((at = 2; at < COMP_CWORD; at++)); do"
            yield "            if [[ ${COMP_WORDS[at]} == -- ]]; then"
            yield "                compopt -o default 2>/dev/null"
            yield "                ((at + 1 < COMP_CWORD)) ||"
            yield '                    mapfile -t COMPREPLY < <(compgen -c -- "$cur")'
            yield "                return"
            yield "            fi"
            yield "        done"
        valued = [each for each in command.options if each.choices is not None]
        if valued:
            yield "        case $prev in"
            for option in valued:
                yield f"        {' | '.join(option.names)})"
                yield from _bash_words(option.choices, " " * 12)
                yield "            return"
                yield "            ;;"
            yield "        esac"
        spellings = " ".join(name for each in command.options for name in each.names)
        yield "        if [[ $cur == -* ]]; then"
        yield from _bash_words(tuple(spellings.split()), " " * 12)
        yield "        else"
        yield from _bash_words(_of_positions(command), " " * 12)
        yield "        fi"
        yield "        ;;"
    yield "    esac"
    yield "}"
    yield "complete -F _guard guard"


def _bash_words(choices: Choices, indent: str) -> Iterator[str]:
    if choices == "files":
        yield f"{indent}compopt -o default 2>/dev/null"
    elif choices:
        words = " ".join(choices)
        yield f"{indent}mapfile -t COMPREPLY < <(compgen -W '{words}' -- \"$cur\")"
    else:
        yield f"{indent}:"


def _of_positions(command: Words) -> Choices:
    """What may stand where no option stands: files, if at any of the positions."""
    choices = [each.choices for each in command.positions]
    if "files" in choices:
        return "files"
    return tuple(word for each in choices if isinstance(each, tuple) for word in each)


def zsh(commands: Sequence[Words]) -> str:
    """For zsh's completion system: a file of the name _guard in fpath, or sourced."""
    return "\n".join(_zsh(commands)) + "\n"


def _zsh(commands: Sequence[Words]) -> Iterator[str]:
    yield "#compdef guard"
    yield "# Completion of guard's command line for zsh, made by: guard completion zsh"
    yield "_guard() {"
    yield "  local -a commands=("
    for command in commands:
        yield f"    {_quoted(command.name + ':' + _escaped(command.summary, ':'))}"
    yield "  )"
    yield "  if ((CURRENT == 2)); then"
    yield "    _describe command commands"
    yield "    return"
    yield "  fi"
    yield "  local command=$words[2] at"
    yield "  shift words"
    yield "  ((CURRENT--))"
    yield "  case $command in"
    for command in commands:
        yield f"  {command.name})"
        if command.takes_command:
            yield "    at=$words[(i)--]"
            yield "    if ((at < CURRENT)); then"
            yield "      shift $at words"
            yield "      ((CURRENT -= at))"
            yield "      _normal"
            yield "      return"
            yield "    fi"
        yield "    _arguments \\"
        specs = [_quoted(spec) for each in command.arguments for spec in _zsh_specs(each)]
        yield " \\\n".join(f"      {spec}" for spec in specs)
        yield "    ;;"
    yield "  esac"
    yield "}"
    yield 'if [[ $funcstack[1] == _guard ]]; then _guard "$@"; else compdef _guard guard; fi'


def _zsh_specs(argument: Argument) -> Iterator[str]:
    told = _escaped(argument.help, "[]:")
    value = ""
    if argument.choices is not None:
        value = f":{_escaped(argument.metavar, ':')}:"
        if argument.choices == "files":
            value += "_files"
        elif argument.choices:
            value += f"({' '.join(argument.choices)})"
    if not argument.names:
        yield f"{'*' if argument.many else ''}{value or ':'}"
    others = " ".join(argument.names)
    for name in argument.names:
        joint = "=" if value and name.startswith("--") else ""
        yield f"({others}){name}{joint}[{told}]{value}"


def fish(commands: Sequence[Words]) -> str:
    """For fish 3.0 or newer."""
    return "\n".join(_fish(commands)) + "\n"


def _fish(commands: Sequence[Words]) -> Iterator[str]:
    yield "# Completion of guard's command line for fish, made by: guard completion fish"
    yield "complete -c guard -f"
    first = "-n __fish_use_subcommand"
    for command in commands:
        yield f"complete -c guard {first} -a {command.name} -d {_quoted(command.summary)}"
    for command in commands:
        after = f"-n '__fish_seen_subcommand_from {command.name}'"
        for argument in command.arguments:
            line = f"complete -c guard {after}"
            for name in argument.names:
                line += f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}"
            if argument.choices == "files":
                line += " -r -F" if argument.names else " -F"
            elif argument.choices:
                line += f"{' -x' if argument.names else ''} -a '{' '.join(argument.choices)}'"
            elif argument.choices == () and argument.names:
                line += " -x"
            if argument.names or argument.choices:
                yield f"{line} -d {_quoted(argument.help)}"


def _escaped(text: str, special: str) -> str:
    return "".join(f"\\{char}" if char in special or char == "\\" else char for char in text)


def _quoted(text: str) -> str:
    """Text in single quotes, in a way that all three shells read."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


SCRIPTS: dict[str, Callable[[Sequence[Words]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
