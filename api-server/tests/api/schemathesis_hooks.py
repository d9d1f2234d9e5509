"""What schemathesis has to know of the API beside its OpenAPI document. No check is switched off; one is made stricter."""
import re

import schemathesis

# A watch is no JSON document and ends when its time is up. Watches have tests of their own (watch.rs); what goes with them only,
# is refused without them.
WATCH = ("watch", "allowWatchBookmarks", "sendInitialEvents", "timeoutSeconds")

# Grammar and rules between fields and objects, which JSON Schema cannot say and the descriptions do. A request that fits the
# schema may be refused with 400 for one of these, and for nothing else.
BY_WORDS = [
    # Selectors have a grammar, and a continue token is the server's own word.
    r"(.*\.)?(labelSelector|fieldSelector|selector(\.\w+)?|continue)",
    # Of the query: what goes with what.
    r"marker|force|fieldManager|prune|maxDeletes|revision|afterRevision|atomic|applySet",
    # A name must not have the form of a UUID, and cannot change; there is one ClusterPolicy.
    r"metadata\.name",
    # Objects that have to be there, and are not; an object that would be in itself, or that is named twice.
    r"(\[\d+\]\.)?host|spec\.(host|device|pool|parent|link)Ref(\.name)?|spec\.(hosts|members)(\[\d+\])?|spec\.failureDomains?(\[\d+\])?",
    # Kinds, and verbs of a kind.
    r"kind|verb|spec\.protectKinds\[\d+\]",
    # Instants: neither in the future nor too long ago.
    r"(\[\d+\]\.)?observedAt|spec\.expiresAt",
    # Fields that go with some values of others only.
    r"spec\.(schedulable|approvedReturn|identity|endpoint\.(scheme|certificateSha256|system))",
    r"spec\.(runningGuests|allowOffVm|formerLeader|stoppedGuests|steadySeconds|returnsFrom|evidence|fencing|method|cause)",
    r"(.*\.)?(returnToService\.(approval|powerOn)|limits\.(maxDownPermille|holdExpirySeconds|perFailureDomain\[\d+\]\.type))",
    r"(.*\.)?(evidence\.levels\.\w+|fencing\.order)",
]


@schemathesis.hook
def before_call(context, case, kwargs):
    query = case.query or {}
    for name in WATCH:
        query.pop(name, None)
    # A revision that nobody has written is waited for and then 504, as documented; there is always a first one.
    if re.fullmatch(r"\+?[0-9]+", str(query.get("resourceVersion", ""))):
        query["resourceVersion"] = 1
    # Which parameter goes with which of the media types of PATCH OpenAPI cannot say.
    if case.media_type == "application/merge-patch+json":
        query.pop("force", None)
    elif case.method == "PATCH" and not query.get("fieldManager"):
        query["fieldManager"] = "schemathesis"


@schemathesis.check
def a_request_that_fits_is_refused_by_words_only(ctx, response, case):
    """In place of `positive_data_acceptance`, for which each 400 is one too many."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code != 400:
        return
    error = response.json()["errors"][0]
    if error["code"] == "cloud-manager.resource-version-required" and case.method == "PUT":
        return
    causes = error.get("causes", [])
    # A part of an object may be sent where there is none yet: then it is not enough.
    partial = case.method == "PATCH" or case.path in ("/v1/apply", "/v1/diff")
    other = [
        cause["field"]
        for cause in causes
        if not (partial and cause["reason"] == "Required") and not any(re.fullmatch(words, cause["field"]) for words in BY_WORDS)
    ]
    assert causes and not other, f"{other or error['code']}: {error['detail']}"


@schemathesis.check
def an_error_is_json_with_the_id_of_its_request(ctx, response, case):
    if response.status_code < 400 or case.method == "HEAD":
        return
    sent = response.headers["x-openstack-request-id"][0]
    if case.path == "/healthcheck":
        return
    body = response.json()
    assert body["error"]["code"] == response.status_code and body["error"]["message"]
    if response.status_code != 401:
        assert body["errors"][0]["request_id"] == sent, body
