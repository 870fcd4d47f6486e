"""The reference matcher of STIX patterns has tests of its own; they ask us instead, and must hold."""

import collections
import importlib
import inspect
import json
import pkgutil
import tempfile

import stix2matcher.test.v21 as vectors

from daemon import Daemon

# Where the matcher of the reference answers otherwise, by test: how many vectors, and why. One more or one less
# is a failure.
OTHERWISE = {
    "test_basic_ops_bool_match": (1, "times before 1970 are refused here"),
    "test_basic_ops_bool_nomatch": (1, "times before 1970 are refused here"),
    "test_basic_ops_float_match": (1, "times before 1970 are refused here"),
    "test_basic_ops_float_nomatch": (2, "times before 1970 are refused here"),
    "test_basic_ops_int_match": (1, "times before 1970 are refused here"),
    "test_basic_ops_int_nomatch": (2, "times before 1970 are refused here"),
    "test_ts_match": (2, "times before 1970 are refused here"),
    "test_ts_nomatch": (2, "times before 1970 are refused here"),
    "test_basic_ops_set_err": (3, "a set of several types is refused there, and matches nothing here"),
    "test_ts_json_error": (6, "a time that cannot be read is an error there, and matches nothing here"),
    "test_temp_qual_nomatch": (2, "START that is not before STOP is refused here"),
    "test_binary_match": (7, "properties named _bin and _hex are texts here"),
    "test_binary_nomatch": (4, "properties named _bin and _hex are texts here"),
    "test_match_referenced_sco_only": (1, "a record that no observed-data refers to is an observation by itself here"),
    "test_unicode_normalization_like_match": (6, "texts are not normalised here"),
    "test_unicode_normalization_regex_match": (6, "texts are not normalised here"),
}


def cases():
    """Modules with their cases: name, pattern, whether it matches."""
    for found in pkgutil.iter_modules(vectors.__path__):
        module = importlib.import_module(f"{vectors.__name__}.{found.name}")
        if not hasattr(module, "_observations"):
            continue
        yield module, [(name, pattern) for name, function in inspect.getmembers(module, inspect.isfunction)
                       for pattern in arguments(name, function)]


def arguments(name, function):
    """The patterns that a test is called with."""
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    if not name.startswith("test_") or len(marks) != 1 or marks[0].args[0] != "pattern":
        return []
    return marks[0].args[1]


def agreement(program, work):
    """How many vectors agree; those that do not and should."""
    agreed, other = 0, collections.defaultdict(list)
    for module, found in cases():
        home = tempfile.mkdtemp(dir=work)
        with Daemon(program, f"{home}/home") as tearline:
            objects = [one for bundle in module._observations for one in bundle["objects"]]
            bundle = f"{home}/bundle.json"
            with open(bundle, "w") as file:
                json.dump({"type": "bundle", "id": "bundle--c2a23389-17c9-4247-8aa2-d2ffde3de334", "objects": objects}, file)
            # Some have ids that are none, and stay out.
            code, document = tearline.run("import", bundle, "--compartment", "home")
            if code not in (0, 7):
                raise AssertionError(document)
            for name, pattern in found:
                reference, ours = said_by_reference(module, pattern), said_by_us(tearline, pattern)
                if ours == reference:
                    agreed += 1
                else:
                    other[name].append(f"{name}: {pattern}: reference {reference}, ours {ours}")
    names = other.keys() | OTHERWISE.keys()
    wrong = [one for name in names if len(other[name]) != OTHERWISE.get(name, (0,))[0]
             for one in (other[name] or [f"{name}: agrees now"])]
    return agreed, sum(map(len, other.values())), wrong


def said_by_reference(module, pattern):
    from stix2matcher.matcher import match
    try:
        return bool(match(pattern, module._observations, stix_version="2.1"))
    except Exception:
        return "refused"


def said_by_us(tearline, pattern):
    code, document = tearline.run("search", "--pattern", pattern)
    if code == 2:
        return "refused"
    if code != 0:
        return document
    return bool(document["data"]["records"])
