"""Runs OpenTAXII on a port, with one collection that its one account may read and write."""

import json
import os
import subprocess
import sys

WORK, PORT, PASSWORD = sys.argv[1:4]
CONFIG = f"""
domain: "127.0.0.1:{PORT}"
support_basic_auth: yes
auth_api:
  class: opentaxii.auth.sqldb.SQLDatabaseAPI
  parameters: {{db_connection: "sqlite:///{WORK}/auth.db", create_tables: yes, secret: conformance}}
taxii1: null
taxii2:
  title: peer
  description: peer
  contact: nobody
  max_content_length: 20000
  public_discovery: true
  allow_custom_properties: true
  persistence_api:
    class: opentaxii.persistence.sqldb.Taxii2SQLDatabaseAPI
    parameters: {{db_connection: "sqlite:///{WORK}/data.db", create_tables: yes}}
logging: {{opentaxii: info, root: info}}
"""

with open(f"{WORK}/config.yml", "w") as file:
    file.write(CONFIG)
os.environ["OPENTAXII_CONFIG"] = f"{WORK}/config.yml"


def command(name, *arguments):
    path = os.path.join(os.path.dirname(sys.executable), name)
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout


command("opentaxii-add-api-root", "-t", "mesh", "-d", "mesh", "--default")
root = command("opentaxii-add-collection", "--help").split("{")[1].split("}")[0]
command("opentaxii-add-collection", "-r", root, "-t", "Inbox", "-d", "Inbox", "--public", "--public-write")
command("opentaxii-create-account", "-u", "tearline", "-p", PASSWORD)
# 0.9.3 answers with ids that it cannot write as JSON.
json.JSONEncoder.default = lambda _, value: str(value)
from opentaxii.http import app  # noqa: E402

app.run(port=int(PORT))
