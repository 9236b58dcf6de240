#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports files and functions that have grown past what a reader takes in at once.

usage: scripts/check_size.py [--longest]

Limits: 600 lines a file (C, C++, Python, shell), 70 lines a function (C, C++, Python), counted from the first
line of its declaration to its closing brace. --longest lists the ten longest functions as well.
Exit status: 0 nothing over the limits, 1 something is.
"""

import ast
import re
import sys

import source_files

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

# What must not be read as code; newlines inside are kept, so that line numbers stay right.
NOT_CODE = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | ^[ \t]*\#(?:[^\n]*\\\n)*[^\n]*""",
    re.DOTALL | re.MULTILINE | re.VERBOSE)


def blank(match):
    text = match.group(0)
    if text.startswith('"') and len(text) > 1:
        return '""' + "\n" * text.count("\n")
    return " " + "\n" * text.count("\n")


def kind_of_block(head):
    """What the brace after the declaration `head` opens: a scope to look into, a function, or neither."""
    head = head.strip()
    if re.match(r'(inline\s+)?namespace\b|extern\s*""', head):
        return "scope"
    outside = re.sub(r"\[\[.*?\]\]|__attribute__\s*\(\(.*?\)\)", " ", head, flags=re.DOTALL)
    if "(" in outside and not re.search(r"[^=!<>]=[^=]", re.sub(r"\(.*?\)", "", outside, flags=re.DOTALL)):
        return "function"
    if re.search(r"\b(class|struct|union)\b", outside):
        return "scope"
    return "other"


def c_functions(text):
    """Yields (name, first line, lines) of each function defined in C or C++ source text."""
    code = NOT_CODE.sub(blank, text)
    stack = []
    start = 0
    for match in re.finditer(r"[{};]", code):
        at = match.start()
        if match.group(0) == "{":
            inside = any(kind in ("function", "other") for kind, _, _ in stack)
            kind = "other" if inside else kind_of_block(code[start:at])
            first = start + len(code[start:at]) - len(code[start:at].lstrip())
            stack.append((kind, first, code[start:at]))
        elif match.group(0) == "}" and stack:
            kind, first, head = stack.pop()
            if kind == "function":
                names = re.findall(r"\b(?!__attribute__)([A-Za-z_~][\w:~]*)\s*\(", head)
                first_line = code.count("\n", 0, first) + 1
                yield (names[0] if names else "?", first_line,
                       code.count("\n", 0, at) + 2 - first_line)
        start = at + 1


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


def main():
    if len(sys.argv) > 1 and sys.argv[1] != "--longest":
        print(__doc__.strip())
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    problems = 0
    functions = []
    files = source_files.select([".c", ".h", ".cpp", ".hpp", ".cc", ".py", "sh"])
    for path in files:
        text = source_files.read(path)
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            print("%s: %d lines, at most %d" % (path, lines, FILE_LINES_MAX))
            problems += 1
        if path.endswith(".py"):
            found = python_functions(text)
        elif path.endswith((".c", ".h", ".cpp", ".hpp", ".cc")):
            found = c_functions(text)
        else:
            found = ()
        functions += [(length, path, line, name) for name, line, length in found]
    for length, path, line, name in sorted(functions, reverse=True):
        if length > FUNCTION_LINES_MAX:
            print("%s:%d: %s() has %d lines, at most %d" % (path, line, name, length, FUNCTION_LINES_MAX))
            problems += 1
    if "--longest" in sys.argv:
        for length, path, line, name in sorted(functions, reverse=True)[:10]:
            print("%4d  %s:%d %s()" % (length, path, line, name))
    print("sizes: %d files, %d functions, %d problems" % (len(files), len(functions), problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
