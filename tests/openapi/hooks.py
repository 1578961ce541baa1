"""What schemathesis has to know of plugd beside its OpenAPI document."""

import io
import json
import os
import zipfile

import schemathesis
from hypothesis import strategies as st

# Integers up to this one are exact in what carries JSON within plugd.
EXACT = 2**53
# Levels that JSON may be nested.
DEPTH = 30


def archive(description):
    """A package of the plugin that the test installed, so that an update with it is valid."""
    manifest = json.loads(os.environ["PLUGD_MANIFEST"]) | {"description": description}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as package:
        package.writestr("manifest.json", json.dumps(manifest))
    return data.getvalue()


# To the document any string of bytes is an archive.
schemathesis.openapi.media_type("application/zip", st.sampled_from([archive("one"), archive("two")]))


@schemathesis.serializer("application/zip")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("text/html")
def page(context, response):
    return response.text


@schemathesis.deserializer("application/zip")
def package(context, response):
    assert response.content.startswith(b"PK"), "not an archive"
    return response.content.decode("latin-1")


def is_exact(value, depth=DEPTH):
    """Is it JSON that plugd carries? A schema can't say so: there, 2**53 + 1 is a number like any other."""
    if isinstance(value, dict):
        return depth > 0 and all(is_exact(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(is_exact(item, depth - 1) for item in value)
    return not isinstance(value, int) or abs(value) <= EXACT


def lists(value, key):
    """The objects of a list in an object, whatever it is."""
    items = value.get(key) if isinstance(value, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def is_consistent(provider):
    """Are ids unique, and do toolsets name tools that there are? A schema can't say so either."""
    tools = [tool.get("id") for tool in lists(provider, "tools")]
    toolsets = lists(provider, "toolsets")
    references = [toolset.get("tools") or [] for toolset in toolsets]
    each_once = [tools, [toolset.get("id") for toolset in toolsets], *references]
    are_unique = all(len(ids) == len({str(one) for one in ids}) for ids in each_once if isinstance(ids, list))
    return are_unique and all(one in tools for ids in references if isinstance(ids, list) for one in ids)


@schemathesis.hook
def filter_case(context, case):
    body = case.body
    if not isinstance(body, dict):
        return True
    if body.get("mode") == "supervised" and "url" in body:
        # There is nothing to fetch a package from.
        return False
    manifest = body.get("manifest", body)
    return is_exact(body) and all(is_consistent(provider) for provider in lists(manifest, "capabilities"))
