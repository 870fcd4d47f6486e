"""The gateway with clients that others wrote, and the same requests to a server that others wrote."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import traceback
import uuid

import requests
import stix2
import stix2validator
import taxii2client.v21 as taxii
from taxii2client.exceptions import TAXIIServiceException

import patterns
from daemon import Daemon
from table import check, end, results, same

API = os.environ["TEARLINE_API"]
PASS = os.environ["TEARLINE_PASS"]
GREEN = os.environ["TEARLINE_PASS_GREEN"]
MEDIA = "application/taxii+json;version=2.1"
MEDALLION, WORK, PROGRAM = sys.argv[1:4]
WAIT_S = 60

def indicator(n):
    return {
        "type": "indicator", "spec_version": "2.1", "id": f"indicator--{uuid.UUID(int=n, version=4)}",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
        "pattern": "[domain-name:value = 'example.com']", "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z", "indicator_types": ["malicious-activity"], "name": f"indicator {n}", "description": "Made for this",
        "object_marking_refs": [stix2.TLP_AMBER["id"]],
    }


def collection(password=PASS):
    server = taxii.Server(API + "/taxii2/", user="tearline", password=password)
    [found] = server.default.collections
    return found


def envelope(objects):
    return json.dumps({"objects": objects})


def pages(function, **filters):
    return [one for page in taxii.as_pages(function, **filters) for one in page.get("objects", [])]


@check("taxii2-client", "discovery, API root, collections")
def discovery():
    server = taxii.Server(API + "/taxii2/", user="anybody", password=PASS)
    same((server.title, len(server.api_roots)), ("Tearline", 1))
    same(server.default.versions, [MEDIA])
    found = collection()
    same((found.title, found.can_read, found.can_write), ("home", True, True))


@check("taxii2-client", "add 250 objects, status")
def add():
    status = collection().add_objects(envelope([indicator(n) for n in range(250)]))
    same((status.status, status.success_count, len(status.successes)), ("complete", 250, 250))
    root = taxii.Server(API + "/taxii2/", user="tearline", password=PASS).default
    same(root.get_status(status.id)._raw, status._raw)


@check("taxii2-client", "add again: nothing changes")
def again():
    before = collection().get_manifest(limit=1000)["objects"]
    same(collection().add_objects(envelope([indicator(n) for n in range(250)])).success_count, 250)
    same(collection().get_manifest(limit=1000)["objects"], before)


@check("taxii2-client", "pages of 60, and of the server's own size")
def paging():
    wanted = [indicator(n)["id"] for n in range(250)]
    for per_request in (60, 7, 0):
        found = pages(collection().get_objects, per_request=per_request, type="indicator")
        same([one["id"] for one in found], wanted)
        found = pages(collection().get_manifest, per_request=per_request, type="indicator")
        same([one["id"] for one in found], wanted)


@check("taxii2-client", "one object, its versions, filters")
def one_object():
    here, one = collection(), indicator(3)
    [found] = here.get_object(one["id"])["objects"]
    same(found, one)
    same(here.object_versions(one["id"])["versions"], [one["modified"]])
    same(len(here.get_objects(id=[one["id"], indicator(4)["id"]])["objects"]), 2)
    same(here.get_objects(type="malware"), {})
    [row] = here.get_manifest(id=one["id"])["objects"]
    same(len(here.get_objects(added_after=row["date_added"], limit=1000, type="indicator")["objects"]), 246)


@check("taxii2-client", "delete is a recall")
def delete():
    here, one = collection(), indicator(249)
    here.delete_object(one["id"])
    try:
        here.get_object(one["id"])
        raise AssertionError("it is still there")
    except requests.HTTPError as error:
        same(error.response.status_code, 404)


@check("taxii2-client", "a pass that does not hold, and a narrow one")
def passes():
    try:
        taxii.Server(API + "/taxii2/", user="tearline", password="x").title
        raise AssertionError("it was let in")
    except requests.HTTPError as error:
        same(error.response.status_code, 401)
    narrow = collection(GREEN)
    same((narrow.can_read, narrow.can_write), (True, False))
    same([one["type"] for one in narrow.get_objects()["objects"]], ["vehicle"])
    try:
        narrow.add_objects(envelope([indicator(999)]))
        raise AssertionError("it was written")
    except (requests.HTTPError, TAXIIServiceException):
        pass


@check("stix2", "TAXIICollectionSink and Source")
def store():
    sink, source = stix2.TAXIICollectionSink(collection()), stix2.TAXIICollectionSource(collection())
    one = stix2.Indicator(name="By a sink", description="Made for this", indicator_types=["unknown"], pattern="[ipv4-addr:value = '198.51.100.1']", pattern_type="stix",
                          object_marking_refs=[stix2.TLP_GREEN])
    sink.add(one)
    found = source.get(one.id)
    same((found.name, found.created), (one.name, one.created))
    [found] = source.query([stix2.Filter("id", "=", one.id)])
    same(found.id, one.id)
    same(len(source.all_versions(one.id)), 1)


def of_stix(objects):
    """Those of types that STIX has: the library knows no others without their definitions."""
    return [one for one in objects if "extensions" not in one]


@check("stix2", "every object of STIX's own types parses")
def parse():
    found = of_stix(pages(collection().get_objects, per_request=1000))
    for one in found:
        stix2.parse(one, allow_custom=False)
    return f"({len(found)})"


def strictly(bundle):
    """Checks as strictly as the validator can, but for names of relationships beyond those that STIX suggests."""
    options = stix2validator.ValidationOptions(strict=True, disabled="202")
    outcome = stix2validator.validate_instance(bundle, options)
    if not outcome.is_valid:
        raise AssertionError([str(error) for error in outcome.errors])
    return f"({len(bundle['objects'])})"


@check("stix2-validator", "strict: every object of a collection")
def valid():
    found = pages(collection().get_objects, per_request=1000)
    return strictly({"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": found})


@check("stix2-validator", "strict: an export of every kind of record")
def valid_kinds():
    with open(f"{WORK}/kinds.json") as file:
        return strictly(json.load(file))


@check("stix2-matcher", "its own test vectors match here as there")
def matcher():
    agreed, other, wrong = patterns.agreement(PROGRAM, WORK)
    if wrong:
        raise AssertionError("\n".join(wrong))
    return f"({agreed}; {other} known to differ)"


@check("schemathesis", "the OpenAPI, with what it makes of it")
def openapi():
    described = requests.get(API + "/api/openapi.json", auth=("tearline", PASS))
    with open(f"{WORK}/openapi.json", "w") as file:
        file.write(described.text)
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    token = base64.b64encode(f"tearline:{PASS}".encode()).decode()
    done = subprocess.run(
        [shutil.which("schemathesis", path=os.path.dirname(sys.executable)), "run", f"{WORK}/openapi.json",
         "--url", API, "--checks", checks, "--exclude-path", "/api/events", "--max-examples", "25", "--seed", "1",
         "--phases", "examples,coverage,fuzzing", "--rate-limit", "100/s", "--request-timeout", "30",
         "-H", f"Authorization: Basic {token}"],
        capture_output=True, text=True, cwd=WORK)
    if done.returncode != 0:
        raise AssertionError(done.stdout[-8000:] + done.stderr[-2000:])
    cases = re.search(r"(\d+) generated", done.stdout)
    return f"({cases[1]} requests)" if cases else ""


def promtool():
    """What Prometheus says of our metrics and alert rules; Debian has it, PyPI does not."""
    if shutil.which("promtool") is None:
        results.append(("promtool", "-", "metrics and alert rules", "SKIPPED: there is no promtool (Debian: prometheus)"))
        return
    said = subprocess.run(["promtool", "--version"], capture_output=True, text=True)
    version = (said.stdout + said.stderr).split()[2]
    metrics = requests.get(API + "/metrics", auth=("tearline", PASS)).text
    for name, command, text in [
        ("metrics", ["promtool", "check", "metrics"], metrics),
        ("alert rules", ["promtool", "check", "rules", "docs/alerts.yml"], ""),
    ]:
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        results.append(("promtool", version, name, "pass" if done.returncode == 0 else "FAIL"))
        if done.returncode != 0:
            print(done.stdout, done.stderr, file=sys.stderr)


def compare(theirs, ours, there):
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            requests.get(there + "/taxii2/", auth=("tearline", PASS), headers={"Accept": MEDIA})
            break
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    objects = [indicator(n) for n in range(1000, 1025)]
    ids = ",".join(one["id"] for one in objects)
    send = {"Accept": MEDIA, "Content-Type": MEDIA}
    asked = [
        ("POST", "objects/", {}, send, envelope(objects)),
        ("POST", "objects/", {}, {**send, "Content-Type": "application/json"}, envelope(objects)),
        ("POST", "objects/", {}, {**send, "Accept": "text/html"}, envelope(objects)),
        ("GET", "", {}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"match[id]": ids}, {"Accept": "application/json"}, None),
        ("GET", "objects/", {"match[id]": ids}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"match[id]": ids, "limit": 10}, {"Accept": MEDIA}, None),
        ("GET", "manifest/", {"match[id]": ids, "limit": 10}, {"Accept": MEDIA}, None),
        ("GET", "manifest/", {"match[id]": ids, "match[version]": "all"}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"match[id]": ids, "match[type]": "malware"}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"match[id]": ids, "match[version]": "2026-01-01T00:00:00.000Z"}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"match[id]": ids, "match[spec_version]": "2.1"}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"match[id]": ids, "added_after": "2037-01-01T00:00:00.000000Z"}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"limit": "x"}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"limit": "0"}, {"Accept": MEDIA}, None),
        ("GET", "objects/", {"next": "x"}, {"Accept": MEDIA}, None),
        ("GET", f"objects/{objects[0]['id']}/", {}, {"Accept": MEDIA}, None),
        ("GET", f"objects/{objects[0]['id']}/versions/", {}, {"Accept": MEDIA}, None),
        ("GET", "objects/indicator--00000000-0000-4000-8000-ffffffffffff/", {}, {"Accept": MEDIA}, None),
    ]
    other = []
    for request in asked:
        answers = [answer(url, *request) for url in (theirs, ours)]
        if answers[0] != answers[1]:
            other.append((request[:3], *answers))
    if other:
        raise AssertionError("\n".join(map(str, other)))


def speed(base, salt):
    """Objects a second of one request of many, and of pages of 100 of what came in then."""
    objects = [indicator(salt * 10_000 + n) for n in range(1_000)]
    body, send = envelope(objects), {"Accept": MEDIA, "Content-Type": MEDIA}
    began = time.monotonic()
    same(requests.post(base + "objects/", data=body, headers=send, auth=("tearline", PASS)).status_code, 202)
    posted, seen, more = time.monotonic() - began, 0, {}
    began = time.monotonic()
    while True:
        page = requests.get(base + "objects/", params={"limit": 100, "match[type]": "indicator", **more}, headers=send, auth=("tearline", PASS)).json()
        seen += len(page["objects"])
        if not page.get("more"):
            break
        more = {"next": page["next"]}
    paged = time.monotonic() - began
    return f"{len(objects) / posted:.0f} and {seen / paged:.0f}"


def answer(base, method, path, parameters, headers, body):
    """What must be the same in both answers; ids of their own and times are left out."""
    found = requests.request(method, base + path, params=parameters, headers=headers, data=body, auth=("tearline", PASS))
    said = [found.status_code, found.headers["Content-Type"].replace(" ", "")]
    if found.status_code >= 400:
        return said[:1]
    whole = found.json()
    said.append(sorted(name for name in whole if name != "more" or whole[name]))
    said.append([one["id"] for one in whole.get("objects", [])])
    said.append(whole.get("versions"))
    said += [whole.get(name) for name in ("success_count", "failure_count", "can_read", "can_write")]
    said.append("X-TAXII-Date-Added-First" in found.headers)
    return said


def to_and_from(there, title):
    """What we push there comes back by a pull, once."""
    password = f"{WORK}/password"
    with open(os.open(password, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(PASS)
    where = [there + "/taxii2/", "--collection", title, "--compartment", "home", "--user", "tearline",
             "--password-file", password]
    with Daemon(PROGRAM, f"{WORK}/push") as here:
        pulled = here("taxii", "pull", *where, "--limit", "100")
        same((pulled["created"], pulled["rejected"], pulled["whole"]), (1_025, 0, True))
        same(here("taxii", "pull", *where)["created"], 0)
        for name, label in (("Green", "TLP:GREEN"), ("Amber", "TLP:AMBER")):
            here("record", "new", "--kind", "organisation", "--set", f"name={name}", "--label", label)
        push = ["taxii", "push", *where, "--purpose", "Security"]
        same(here(*push)["taken"], 1)
        same(here(*push)["taken"], 0)
    with Daemon(PROGRAM, f"{WORK}/pull") as another:
        same(another("taxii", "pull", *where)["created"], 1_026)
        same(len(another("search", "Green")["records"]), 1)
        same(len(another("search", "Amber")["records"]), 0)


@check("medallion", "the same requests get the same answers; pull, push")
def medallion():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = f"http://127.0.0.1:{port}"
    title, cid = "A collection", "52892447-4d7e-4f70-b94d-d7f22742ff63"
    data = {
        "/discovery": {"title": title, "default": f"{there}/mesh/", "api_roots": [f"{there}/mesh/"]},
        "mesh": {
            "information": {"title": title, "versions": [MEDIA], "max_content_length": 9765625},
            "status": [],
            "collections": [{"id": cid, "title": title, "can_read": True, "can_write": True,
                             "media_types": ["application/stix+json;version=2.1"], "objects": [], "manifest": []}],
        },
    }
    config = {
        "backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend",
                    "filename": f"{WORK}/medallion-data.json"},
        "users": {"tearline": PASS},
        "taxii": {"max_page_size": 100},
    }
    with open(f"{WORK}/medallion-data.json", "w") as file:
        json.dump(data, file)
    with open(f"{WORK}/medallion.json", "w") as file:
        json.dump(config, file)
    with open(f"{WORK}/medallion.log", "w") as log:
        server = subprocess.Popen([MEDALLION, "--port", str(port), f"{WORK}/medallion.json"], stdout=log, stderr=log)
    try:
        compare(f"{there}/mesh/collections/{cid}/", collection().url, there)
        ours, theirs = speed(collection().url, 1), speed(f"{there}/mesh/collections/{cid}/", 2)
        to_and_from(there, title)
        return f"(objects/s in and out: {ours}, there {theirs})"
    finally:
        server.terminate()
        server.wait()


def opentaxii():
    """Another server as a peer: what we push there is there."""
    name, python = "what we push is there, and a pull comes by it", os.environ["TEARLINE_OPENTAXII"]
    if not python:
        results.append(("opentaxii", "-", name, "SKIPPED: pip cannot install it"))
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    home, password = f"{WORK}/opentaxii", f"{WORK}/opentaxii-password"
    os.mkdir(home)
    with open(os.open(password, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write("secret")
    where = [f"http://127.0.0.1:{port}/taxii2/", "--collection", "Inbox", "--compartment", "home", "--user", "tearline",
             "--password-file", password]
    with open(f"{WORK}/opentaxii.log", "w") as log:
        server = subprocess.Popen([python, "tests/conformance/opentaxii_server.py", home, port, "secret"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                requests.get(where[0])
                break
            except requests.ConnectionError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise
                time.sleep(0.1)
        with Daemon(PROGRAM, f"{WORK}/opentaxii-a") as here:
            for n in range(40):
                here("record", "new", "--kind", "organisation", "--set", f"name=Org {n}", "--label", "TLP:GREEN")
            push = ["taxii", "push", *where, "--purpose", "Security"]
            same((here(*push)["taken"], here(*push)["taken"]), (40, 0))
        with Daemon(PROGRAM, f"{WORK}/opentaxii-b") as there:
            _, document = there.run("taxii", "pull", *where, "--limit", "10")
            same((document["data"]["read"], document["data"]["whole"]), (40, True))
            # 0.9.3 gives the type as spec_version, and so its objects are refused.
            same({one["reason"] for one in document["data"]["problems"]},
                 {'its spec_version is "identity"; 2.1 and 2.0 are understood'})
        results.append(("opentaxii", "0.9.3", name, "pass (40; its spec_version is wrong)"))
    except Exception:
        results.append(("opentaxii", "0.9.3", name, "FAIL"))
        traceback.print_exc()
    finally:
        server.terminate()
        server.wait()


def gdal():
    """What QGIS reads OGC API Features with; Debian has it, PyPI does not."""
    name = "OGC API Features: layers and features"
    if shutil.which("ogrinfo") is None:
        results.append(("gdal", "-", name, "SKIPPED: there is no ogrinfo (Debian: gdal-bin)"))
        return
    said = subprocess.run(["ogrinfo", "--version"], capture_output=True, text=True).stdout
    version = said.split(",")[0].removeprefix("GDAL ")
    found = subprocess.run(
        ["ogrinfo", "-ro", "-al", f"OAPIF:{API}/ogc/"], capture_output=True, text=True,
        env={**os.environ, "GDAL_HTTP_AUTH": "BASIC", "GDAL_HTTP_USERPWD": f"tearline:{PASS}"})
    good = "POINT (14.5 13.1)" in found.stdout and "Feature Count: 1" in found.stdout
    results.append(("gdal", version, name, "pass" if good else "FAIL"))
    if not good:
        print(found.stdout, found.stderr, file=sys.stderr)


opentaxii()
gdal()
promtool()
# Their checks run when it is taken in.
import formats  # noqa: E402,F401

end()
