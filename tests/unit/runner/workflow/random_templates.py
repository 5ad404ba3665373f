"""`python random_templates.py SEED COUNT`: fill in random templates, in little memory and time.

A child process, since a template that is not limited ends it: by MemoryError, or killed by the kernel.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from pathlib import Path

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.workflow.filling import FILTERS, TESTS, fill
from qlib_shadow_runner.workflow.templates import LARGEST, Template

MEMORY = 512 << 20
"""Bytes beyond those of the imports."""
SECONDS = 60
"""Of the processor, for one template."""
PARAMETERS = {"codes": [f"SYM{number:04}" for number in range(8000)], "seed": 7, "model": {"num_leaves": 64}}
LEAVES = (
    "codes",
    "seed",
    "model",
    "a",
    "1",
    "0.5",
    "9" * 300,
    "99999",
    "-99999999",
    "'%99999999d'",
    "'x'",
    "range(99999)",
)
IN_A_LOOP = 0.7
OPERATORS = ("+", "-", "*", "/", "//", "==", "<", "in", "and", "or")


def expression(source: random.Random, depth: int) -> str:
    """Return an expression that the grammar has, with numbers and lists that are far too large."""
    if depth == 0:
        return source.choice(LEAVES)
    one, two, three = (expression(source, depth - 1) for _ in range(3))
    listed = f"{one}," * min(source.choice((1, 2, 500)), max(1, 20_000 // len(one)))
    return source.choice(
        (
            f"({one} {source.choice(OPERATORS)} {two})",
            f"[{listed}]",
            f"({one} | {source.choice(sorted(FILTERS))})",
            f"({one} | round({two}))",
            f"({one} is {source.choice(sorted(TESTS - {'divisibleby'}))})",
            f"({one} is divisibleby({two}))",
            f"({one} if {two} else {three})",
            f"{one}[:]",
        )
    )


def template(source: random.Random) -> str:
    """Return a template of conditions and outputs, most of them in loops."""
    found = []
    for _ in range(source.randrange(1, 4)):
        begin, end = source.choice((("{{ ", " }}"), ("{% if ", " %}{% endif %}")))
        body = (begin + expression(source, source.randrange(1, 5)) + end) * source.choice((1, 1, 100))
        loop = f"{{% for a in {expression(source, source.randrange(2))} %}}", "{% endfor %}"
        before, after = loop if source.random() < IN_A_LOOP else ("", "")
        found.append(before + body[: LARGEST // 3] + after)
    return "".join(found)


def main(seed: int, count: int) -> None:
    """Fill in so many templates; the last number that is printed is the one at fault."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for number in range(seed, seed + count):
        text = template(random.Random(number))
        limit = int(time.process_time()) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        try:
            fill(Template("t", text), PARAMETERS)
        except StageError as error:
            if error.reason is not Reason.INVALID_WORKFLOW or "MemoryError" in error.message:
                raise


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
