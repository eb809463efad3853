"""Judges items of the wire against wire.cddl with zcbor: a line `RULE HEX` in, a verdict out.

    wire.py wire.cddl as-said < items      `ok`, or what is wrong
    wire.py wire.cddl changed < items      how many changes of the item are refused, or the one that is not

A change is one scalar made a float, which no rule allows, or one place or member too many. JSON is judged as the CBOR that says
the same, its members in their order. zcbor reads a part of CDDL: no label may be called like a rule, and there are no regular
expressions.
"""

import contextlib
import io
import itertools
import json
import pathlib
import sys

import cbor2
import zcbor

PAGE = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
RULES = zcbor.DataTranslator.from_cddl(PAGE, default_max_qty=100_000).my_types

CHANGES = 60


def refusal(rule, item):
    """What is wrong with it, if anything."""
    try:
        # It prints what it tried; the verdict is all that is asked for.
        with contextlib.redirect_stdout(io.StringIO()):
            RULES[rule].validate_str(cbor2.dumps(item))
    except zcbor.CddlValidationError as error:
        return " ".join(str(error).split())[:300] or "refused"
    return None


def floats(item):
    """The item once for each of its scalars, which is a float there."""
    if isinstance(item, list):
        for at, one in enumerate(item):
            yield from ([*item[:at], changed, *item[at + 1:]] for changed in floats(one))
    elif isinstance(item, dict):
        for name, one in item.items():
            yield from ({**item, name: changed} for changed in floats(one))
    else:
        yield 0.5


def longer(item):
    return {**item, "x": True} if isinstance(item, dict) else [*item, True]


def changes(rule, item):
    tried = [longer(item), *itertools.islice(floats(item), CHANGES)]
    passed = [changed for changed in tried if refusal(rule, changed) is None]
    return f"passes: {passed[0]!r}"[:300] if passed else len(tried)


for line in sys.stdin:
    rule, item = line.split()
    item = bytes.fromhex(item)
    item = json.loads(item) if item.startswith(b"{") else cbor2.loads(item)
    print(changes(rule, item) if sys.argv[2] == "changed" else refusal(rule, item) or "ok")
