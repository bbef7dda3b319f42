"""The Swagger description that `FakeNeptune` gives the SDK: the calls it answers, and the shapes of its answers."""

from __future__ import annotations

from typing import Any, NamedTuple


class Call(NamedTuple):
    """One call of the API: `service` is `backend` or `leaderboard`; `parameters` are names, with where they go."""

    service: str
    name: str
    method: str
    path: str
    parameters: str = ""
    answer: str = "Answer"


_BACKEND, _LEADERBOARD = "/api/backend/v1", "/api/leaderboard/v1"
_FIELD = "query:experimentId query:attribute"
_PAGE = f"{_FIELD} query:offset query:limit"
_PART = "query:experimentIdentifier query:attribute query:uploadId"

CALLS = (
    Call("backend", "getClientConfig", "GET", f"{_BACKEND}/clients/config", "header:X-Neptune-Api-Token query:alpha"),
    Call("backend", "exchangeApiToken", "GET", f"{_BACKEND}/authorization/oauth-token", "header:X-Neptune-Api-Token"),
    Call("auth", "refreshToken", "POST", "/auth/protocol/openid-connect/token"),
    Call("backend", "getProject", "GET", f"{_BACKEND}/projects2/get", "query:projectIdentifier"),
    Call(
        "backend", "listProjects", "GET", f"{_BACKEND}/projects2",
        "query:limit query:organizationIdentifier query:searchTerm query:userRelation query:sortBy query:sortDirection",
    ),
    Call("backend", "listOrganizations", "GET", f"{_BACKEND}/organizations2", answer="Answers"),
    Call(
        "leaderboard", "createExperiment", "POST", f"{_LEADERBOARD}/experiments",
        "body:experimentCreationParams header:X-Neptune-CliVersion",
    ),
    Call("leaderboard", "getExperiment", "GET", f"{_LEADERBOARD}/experiments", "query:experimentId"),
    Call("leaderboard", "ping", "POST", f"{_LEADERBOARD}/experiments/ping", "query:experimentId"),
    Call(
        "leaderboard", "executeOperations", "POST", f"{_LEADERBOARD}/attributes/operations",
        "query:experimentId body:operations", "Answers",
    ),
    Call("leaderboard", "getExperimentAttributes", "GET", f"{_LEADERBOARD}/attributes", "query:experimentId"),
    Call("leaderboard", "getFloatSeriesValues", "GET", f"{_LEADERBOARD}/attributes/series/float", _PAGE),
    Call("leaderboard", "getStringSeriesValues", "GET", f"{_LEADERBOARD}/attributes/series/string", _PAGE),
    Call("leaderboard", "getImageSeriesValues", "GET", f"{_LEADERBOARD}/attributes/series/image", _PAGE),
    *(
        Call("leaderboard", f"get{kind}Attribute", "GET", f"{_LEADERBOARD}/attributes/{kind.lower()}", _FIELD)
        for kind in ("Float", "Int", "Bool", "String", "Datetime", "File", "FloatSeries", "StringSeries")
    ),
    Call("leaderboard", "getStringSetAttribute", "GET", f"{_LEADERBOARD}/attributes/stringset", _FIELD, "Text"),
    Call(
        "leaderboard", "fileAtomUpload", "POST", f"{_LEADERBOARD}/attributes/storage/file",
        "query:experimentIdentifier query:attribute query:ext",
    ),
    Call(
        "leaderboard", "fileAtomMultipartUploadStart", "POST", f"{_LEADERBOARD}/attributes/storage/file/start",
        "query:experimentIdentifier query:attribute query:ext query:totalLength",
    ),
    Call("leaderboard", "fileAtomMultipartUploadPart", "POST", f"{_LEADERBOARD}/attributes/storage/file/part", _PART),
    Call("leaderboard", "fileAtomMultipartUploadFinish", "POST", f"{_LEADERBOARD}/attributes/storage/file/end", _PART),
    Call("leaderboard", "downloadAttribute", "GET", f"{_LEADERBOARD}/attributes/storage/download", _FIELD),
)  # fmt: skip

# One shape for every answer but sets of strings: the client looks for the names it knows, others are None to it.
_NAMES = (
    "id shortId name type version organizationName projectName projectKey trashed apiUrl applicationUrl pyLibVersions"
    " accessToken refreshToken username attributeName attributeType value last ext size timestampMillis step"
    " totalItemCount uploadId errorDescription enabled apiVersion minChunkSize maxChunkSize maxChunkCount"
    " maxSinglePartSize"
).split()
_KINDS = "float int bool string datetime file floatSeries stringSeries imageSeries".split()


def swagger(service: str) -> dict[str, Any]:
    """The description of one service, as its `swagger.json` says it."""
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        if call.service == service:
            paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {"swagger": "2.0", "info": {"title": service, "version": "1"}, "paths": paths, "definitions": _definitions()}


def _operation(call: Call) -> dict[str, Any]:
    parameters = []
    for place, name in (one.split(":") for one in call.parameters.split()):
        kind: dict[str, Any] = {"schema": {}} if place == "body" else {"type": "string"}
        parameters.append({"name": name, "in": place, "required": False, **kind})
    answer: dict[str, Any] = {"$ref": f"#/definitions/{call.answer.removesuffix('s')}"}
    if call.answer == "Answers":
        answer = {"type": "array", "items": answer}
    responses = {"200": {"description": "done", "schema": answer}}
    return {"operationId": call.name, "tags": ["api"], "parameters": parameters, "responses": responses}


def _definitions() -> dict[str, Any]:
    answer = {"$ref": "#/definitions/Answer"}
    many = {"type": "array", "items": answer}
    nested = dict.fromkeys(["multiPartUpload", "artifacts", *(f"{kind}Properties" for kind in _KINDS)], answer)
    properties = {**{name: {} for name in _NAMES}, **nested, **dict.fromkeys(["entries", "attributes", "values"], many)}
    properties["stringSetProperties"] = {"$ref": "#/definitions/Text"}
    texts = {"values": {"type": "array", "items": {"type": "string"}}}
    return {
        "Answer": {"type": "object", "properties": {**properties, "errors": {"type": "array", "items": {}}}},
        "Text": {"type": "object", "properties": texts},
    }
