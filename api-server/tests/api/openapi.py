"""Lints an OpenAPI document: against the official meta schema of 3.1, and its examples against their schemas. Argument: its file."""
import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
wrong = [f"{'/'.join(map(str, error.path))}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]

registry = Registry().with_resource("urn:document", Resource.from_contents(document, default_specification=DRAFT202012))
examples = 0


def absolute(schema):
    """The schema with its references from outside the document."""
    if isinstance(schema, dict):
        return {k: "urn:document" + v if k == "$ref" and isinstance(v, str) and v.startswith("#") else absolute(v) for k, v in schema.items()}
    return [absolute(item) for item in schema] if isinstance(schema, list) else schema


def check(where, schema, values):
    global examples
    for value in values:
        examples += 1
        wrong.extend(f"{where}: {error.message}" for error in Draft202012Validator(absolute(schema), registry=registry).iter_errors(value))


def walk(where, node):
    """Looks at each schema with a default or examples of its own."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            walk(f"{where}/{index}", item)
    if not isinstance(node, dict):
        return
    if not where.endswith("/properties"):
        check(f"{where} (example)", node, node["examples"] if isinstance(node.get("examples"), list) else [])
        check(f"{where} (default)", node, [node["default"]] if "default" in node else [])
    for key, value in node.items():
        walk(f"{where}/{key}", value)


for name, schema in document["components"]["schemas"].items():
    Draft202012Validator.check_schema(schema)
for part in ("schemas", "parameters", "headers", "responses"):
    walk(part, document["components"][part])
walk("paths", document["paths"])
for line in wrong:
    print(line)
print(f"{len(document['components']['schemas'])} schemas, {examples} examples and defaults, {len(wrong)} wrong")
sys.exit(1 if wrong else 0)
