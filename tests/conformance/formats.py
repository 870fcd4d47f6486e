"""Files and feeds, written and read by programs that others wrote."""

import asyncio
import json
import random
import re
import sys
import xml.etree.ElementTree as ElementTree

import pyais
import pytak
from misp_stix_converter import ExternalSTIX2toMISPParser, MISPtoSTIX21Parser
from mrz.checker.td3 import TD3CodeChecker
from mrz.generator.td3 import TD3CodeGenerator
from pymisp import MISPEvent, MISPObject, MISPOrganisation

from daemon import Daemon
from table import check, same

WORK, PROGRAM = sys.argv[2:4]
AT = 1767312000


def write(name, text):
    path = f"{WORK}/{name}"
    with open(path, "w") as file:
        file.write(text)
    return path


def event():
    """An event with attributes of one value and of two, an object, and tags."""
    made = MISPEvent()
    made.info, made.distribution, made.timestamp = "Pickups at the ford", 3, AT
    made.uuid, made.analysis, made.threat_level_id = "57c4445b-c548-4654-af0b-4be3950d2101", 2, 3
    made.set_date("2026-01-02")
    made.Orgc = MISPOrganisation()
    made.Orgc.from_dict(name="Guard", uuid="57c4445b-c548-4654-af0b-4be3950d2102", id="7")
    made.add_tag("tlp:green")
    made.add_attribute("ip-dst", "198.51.100.7", timestamp=AT)
    made.add_attribute("filename|md5", "a.exe|0749bae92ca336a02c83d126e04ec628", timestamp=AT)
    made.add_attribute("phone-number", "+227 20 12 34 56", timestamp=AT)
    vehicle = MISPObject("vehicle")
    vehicle.add_attribute("license-plate-number", "NE 1234", timestamp=AT)
    vehicle.add_attribute("make", "Toyota", timestamp=AT)
    made.add_object(vehicle)
    return made


@check("pymisp", "an event goes in, and out in a feed as it came")
def feed():
    made = event()
    # The library leaves the time of what it changed to a server.
    sent = {**json.loads(made.to_json()), "timestamp": str(AT)}
    with Daemon(PROGRAM, f"{WORK}/misp") as tearline:
        tearline("import", write("event.json", json.dumps(sent)), "--format", "misp", "--compartment", "home", "--label", "TLP:GREEN")
        tearline("record", "new", "--kind", "person", "--set", "name=Ada Example", "--label", "TLP:RED")
        tearline("record", "new", "--kind", "location", "--set", "latitude=13.1", "--set", "longitude=14.5")
        tearline("export", "--format", "misp-feed", "--out", f"{WORK}/feed")
    with open(f"{WORK}/feed/manifest.json") as file:
        manifest = json.load(file)
    with open(f"{WORK}/feed/hashes.csv") as file:
        listed = {tuple(line.split(",")) for line in file.read().split()}
    same(len(manifest), 3)
    hashes = set()
    for name, entry in manifest.items():
        read = MISPEvent()
        read.load_file(f"{WORK}/feed/{name}.json")
        same(read.uuid, name)
        theirs = read.manifest[name]
        same({field: str(entry[field]) for field in ("info", "date", "analysis", "threat_level_id", "timestamp")},
             {field: str(theirs[field]) for field in ("info", "date", "analysis", "threat_level_id", "timestamp")})
        same(entry["Orgc"]["uuid"], theirs["Orgc"]["uuid"])
        hashes |= {(one, name) for one in read.attributes_hashes("md5")}
        if name == made.uuid:
            with open(f"{WORK}/feed/{name}.json") as file:
                same(json.load(file)["Event"], sent)
        elif read.info.startswith("person"):
            same((str(read.distribution), [tag.name for tag in read.tags]), ("0", ["tlp:red"]))
    same(listed, hashes)
    return f"({len(manifest)} events)"


@check("misp-stix", "its STIX of an event goes in, and out as it came")
def its_stix():
    parser = MISPtoSTIX21Parser()
    parser.parse_misp_event(event())
    wanted = {one["id"]: one for one in json.loads(parser.bundle.serialize())["objects"]}
    with Daemon(PROGRAM, f"{WORK}/misp-stix") as tearline:
        path = write("misp-stix.json", parser.bundle.serialize())
        tearline("import", path, "--format", "stix", "--compartment", "home")
        tearline("export", "--format", "stix", "--out", f"{WORK}/misp-stix-out.json")
    with open(f"{WORK}/misp-stix-out.json") as file:
        same({one["id"]: one for one in json.load(file)["objects"]}, wanted)
    return f"({len(wanted)} objects)"


@check("misp-stix", "reads an export of every kind of record")
def our_stix():
    parser = ExternalSTIX2toMISPParser()
    parser.parse_stix_content(f"{WORK}/kinds.json")
    parser.parse_stix_bundle(single_event=True)
    made = parser.misp_event
    return f"({len(made.attributes)} attributes, {len(made.objects)} objects)"


@check("pyais", "what it encodes is read as it reads it")
def ais():
    draws, sentences, wanted = random.Random(1), [], {}
    for n in range(300):
        mmsi = 366_000_000 + n
        said = {"msg_type": draws.choice([1, 2, 3, 18]), "mmsi": str(mmsi), "lat": draws.uniform(-90, 90),
                "lon": draws.uniform(-180, 180), "speed": draws.uniform(0, 60), "course": draws.uniform(0, 359)}
        lines = pyais.encode_dict(said, radio_channel="A")
        sentences += lines
        read = pyais.decode(*lines)
        wanted[str(mmsi)] = (read.lat, read.lon, read.speed, read.course)
    with Daemon(PROGRAM, f"{WORK}/ais") as tearline:
        tearline("import", write("feed.nmea", "\n".join(sentences) + "\n"), "--format", "ais", "--compartment", "home")
        tearline("export", "--format", "stix", "--out", f"{WORK}/ais.json")
    with open(f"{WORK}/ais.json") as file:
        objects = json.load(file)["objects"]
    ships = {one["id"]: one["mmsi"] for one in objects if "mmsi" in one}
    found = {ships[one["sighting_of_ref"]]: one for one in objects if one["type"] == "sighting"}
    same(found.keys(), wanted.keys())
    for mmsi, (latitude, longitude, knots, course) in wanted.items():
        one = found[mmsi]
        # A speed is kept to the decimetre a second.
        for is_, said, within in [(one["latitude"], latitude, 1e-5), (one["longitude"], longitude, 1e-5),
                                  (one["course"], course, 1e-6), (one["speed_m_s"] / 1852 * 3600, knots, 0.1)]:
            if abs(is_ - said) > within:
                raise AssertionError(f"{mmsi}: {is_} {said}")
    return f"({len(wanted)} positions)"


@check("mrz", "its zones are read, and a wrong digit is doubted where it doubts")
def zones():
    draws, count = random.Random(1), 0
    with Daemon(PROGRAM, f"{WORK}/mrz") as tearline:
        for n in range(24):
            number = f"AB{draws.randrange(10**7):07}"
            born, until = f"{draws.randrange(70, 99)}0{draws.randrange(1, 10)}12", "300102"
            zone = str(TD3CodeGenerator("P", "NER", "Example", "Ada Mariama", number, "NER", born, "F", until, ""))
            if n % 2:
                # A digit that is checked becomes another.
                at = draws.choice([zone.index(number) + 4, zone.index("NER" + born) + 5])
                zone = zone[:at] + str((int(zone[at]) + 1) % 10) + zone[at + 1:]
            made = tearline("record", "new", "--kind", "travel-document", "--mrz", write("zone.txt", zone))
            fields = tearline("record", "show", made["record"])["fields"]
            good = bool(TD3CodeChecker(zone))
            same(not made.get("doubts"), good)
            if good:
                same((fields["number"], fields["issuing_state"], fields["expiry"], fields["sex"]),
                     (number, "NER", "2030-01-02", "F"))
                same(re.sub("-", "", fields["date_of_birth"])[2:], born)
            count += 1
    return f"({count} zones)"


class Reader(pytak.RXWorker):
    """What pytak reads of a connection."""

    async def handle_data(self, data):
        raise NotImplementedError


@check("pytak", "its reader takes what is sent, with what it writes itself")
def cot():
    places = {f"Ford {n}": (13 + n / 10, 14.5) for n in range(3)}

    async def serve():
        events, done = [], asyncio.Event()

        async def take(stream, _):
            reader = Reader(asyncio.Queue(), {}, stream)
            while event := await reader.readcot():
                events.append(ElementTree.fromstring(event))
            done.set()

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        to = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with Daemon(PROGRAM, f"{WORK}/cot") as tearline:
            for name, (latitude, longitude) in places.items():
                tearline("record", "new", "--kind", "location", "--label", "TLP:GREEN", "--set", f"name={name}",
                         "--set", f"latitude={latitude}", "--set", f"longitude={longitude}")
            send = ["cot", "send", to, "--compartment", "home", "--purpose", "Security"]
            said = await asyncio.to_thread(tearline, *send)
        await asyncio.wait_for(done.wait(), 60)
        server.close()
        same(said["sent"], len(events))
        return events

    theirs = ElementTree.fromstring(pytak.gen_cot(lat="1", lon="2", uid="u", cot_type="a-f-G"))
    for event in (events := asyncio.run(serve())):
        same(sorted(event.attrib), sorted(theirs.attrib))
        point, [latitude, longitude] = event.find("point"), places[event.find("detail/contact").get("callsign")]
        same(sorted(point.attrib), sorted(theirs.find("point").attrib))
        for is_, said in ((point.get("lat"), latitude), (point.get("lon"), longitude)):
            if not 0 < abs(float(is_) - said) < 0.01:
                raise AssertionError(f"{is_} {said}")
    same(len(events), len(places))
    return f"({len(events)} events)"


@check("pytak", "events that it writes are read")
def cot_in():
    places = {f"unit {n}": (draws.uniform(-90, 90), draws.uniform(-180, 180)) for draws in [random.Random(2)] for n in range(50)}
    events = [pytak.gen_cot(lat=str(lat), lon=str(lon), uid=uid, cot_type="a-f-G-U-C", ce="10").decode()
              for uid, (lat, lon) in places.items()]
    hello = pytak.hello_event("nobody").decode()
    with Daemon(PROGRAM, f"{WORK}/cot-in") as tearline:
        path = write("theirs.cot", "\n".join([hello, *events]))
        said = tearline("import", path, "--format", "cot", "--compartment", "home")
        tearline("export", "--format", "stix", "--out", f"{WORK}/cot-in.json")
    same((said["created"], said["passed_over"], said["rejected"]), (len(places), 1, 0))
    with open(f"{WORK}/cot-in.json") as file:
        found = {one["x_cot_uid"]: one for one in json.load(file)["objects"] if one["type"] == "sighting"}
    same(found.keys(), places.keys())
    for uid, (latitude, longitude) in places.items():
        one = found[uid]
        same(one["precision"], 10)
        # It writes four digits.
        if abs(one["latitude"] - latitude) > 1e-4 or abs(one["longitude"] - longitude) > 1e-4:
            raise AssertionError(f"{uid}: {one} {latitude} {longitude}")
    return f"({len(places)} events)"
