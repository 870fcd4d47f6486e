"""Writes a record of every kind, the least and with references, and exports them as STIX."""

import json
import sys

from daemon import Daemon

TIME = "2026-01-01T00:00:00Z"


def records(new):
    person = new("person", name="Doe")
    place = new("location", name="Crossing", latitude=13.1, longitude=14.5)
    alert = new("alert", plate="NE 1234", action_to_take="locate", subject_refs=[person], valid_from=TIME)
    new("organisation", name="Ring")
    new("vehicle", plate="NE 1234", country="NE", owner_refs=[person])
    new("vessel", name="V", imo="9074729")
    new("aircraft", registration="5U-ABC")
    new("container", container_number="CSQU3054383")
    new("travel-document", number="AB123", issuing_state="NER", document_type="passport")
    new("phone", number="+22712345678")
    new("weapon", serial="123")
    new("commodity", name="fuel")
    new("location", country="NE", zone="GreenBorder")
    new("route", points=[{"latitude": 13.1, "longitude": 14.5}, {"latitude": 13.2, "longitude": 14.6, "location_ref": place}])
    new("sighting", sighting_of_ref=person, where_sighted_refs=[place], latitude=13, longitude=14, first_seen=TIME)
    new("sighting", description="A boat without lights", first_seen=TIME)
    new("crossing", time=TIME, direction="entry", subject_refs=[person], location_ref=place)
    new("incident", name="I", latitude=13, longitude=14, persons=3)
    new("seizure", time=TIME, items=[{"description": "fuel", "item_ref": person}])
    new("report", name="Nothing referred to", content="text")
    new("report", name="R", published=TIME, object_refs=[person, place])
    new("note", content="x", object_refs=[person])
    new("opinion", opinion="agree", object_refs=[person])
    new("relationship", relationship_type="same-as", source_ref=person, target_ref=person)
    new("case", name="C")
    new("request", name="Q", questions=["who"])
    new("task", name="T")
    new("assessment", statement="s", probability="likely", analytic_confidence="moderate")
    new("hit", state="candidate", alert_ref=alert, candidate_ref=person)
    new("message", content="hello")
    new("unit", name="U")


def main(program, work):
    with Daemon(program, f"{work}/kinds") as tearline:
        kinds = set()

        def new(kind, **fields):
            kinds.add(kind)
            said = [("--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}")
                    for name, value in fields.items()]
            return tearline("record", "new", "--kind", kind, *[word for pair in said for word in pair])["record"]

        records(new)
        # A location with an area alone.
        ring = [[14, 13], [15, 13], [15, 14], [14, 13]]
        with open(f"{work}/area.geojson", "w") as file:
            json.dump({"type": "Feature", "properties": {"name": "Area"},
                       "geometry": {"type": "Polygon", "coordinates": [ring]}}, file)
        tearline("import", f"{work}/area.geojson", "--compartment", "home")
        tearline("export", "--format", "stix", "--out", f"{work}/kinds.json")
        if len(kinds) != 28:
            raise AssertionError(f"{len(kinds)} kinds")


main(*sys.argv[1:])
