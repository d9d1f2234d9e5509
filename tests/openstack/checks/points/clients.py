"""Three clients of others, as they come from Debian."""
import json

from .. import keystone
from ..common import HOST
from ..wait import check, until
from .objects import all_names

TASKS = 7


def _refused(what, call, error):
    """The exception that a call ends with."""
    try:
        call()
    except error as seen:
        return seen
    return check(False, f"{what} was let through")


def keystoneauth_as_it_comes(c):
    from keystoneauth1 import adapter, exceptions

    session = keystone.session()
    client = adapter.Adapter(session, service_type=keystone.SERVICE, interface="public", region_name=c.keystone.region, min_version="1", max_version="1.latest")
    found = session.get_all_version_data(service_type=keystone.SERVICE, interface="public")[c.keystone.region]["public"][keystone.SERVICE]
    check([(v["version"], v["min_microversion"], v["status"]) for v in found] == [("1.0", "1.0", "CURRENT")], f"all versions: {found}")
    check(client.get("/hosts", microversion="latest").status_code == 200, "no answer at the latest microversion")
    told = _refused("a microversion that is not spoken", lambda: client.get("/hosts", microversion="1.999"), exceptions.NotAcceptable)
    check("1.999" in str(told), f"keystoneauth shows {told}")
    rack = {"metadata": {"name": "by-keystoneauth"}, "spec": {"type": "Rack"}}
    check(client.post("/failuredomains", json=rack).status_code == 201, "not created")
    for what, call, error, words in (
        ("the second of a name", lambda: client.post("/failuredomains", json=rack), exceptions.Conflict, "FailureDomain/by-keystoneauth exists already"),
        ("what is not there", lambda: client.get("/failuredomains/none"), exceptions.NotFound, "FailureDomain/none does not exist"),
        ("an unknown parameter", lambda: client.get("/failuredomains?limits=1"), exceptions.BadRequest, "limits"),
        ("a wrong method", lambda: client.put("/info", json={}), exceptions.MethodNotAllowed, "PUT is not possible on /v1/info"),
    ):
        told = _refused(what, call, error)
        check(words in str(told) and (told.request_id or "").startswith("req-"), f"{what}: keystoneauth shows {told}, {told.request_id}")
    lines = client.get("/failuredomains?watch=1&timeoutSeconds=1", stream=True).iter_lines()
    kinds = [json.loads(line)["type"] for line in lines]
    check("ADDED" in kinds and kinds[-1] == "BOOKMARK", f"a watch of a second told {set(kinds)}")
    check(client.delete("/failuredomains/by-keystoneauth").status_code == 204, "not deleted")


def _connection(c):
    import openstack

    login = {"auth_url": c.keystone.url, "username": "admin", "password": keystone.PASSWORD, "project_name": "admin", "user_domain_name": "Default",
             "project_domain_name": "Default"}
    return openstack.connect(load_yaml_config=False, load_envvars=False, region_name=c.keystone.region, app_name="e2e", **login)


def _resources():
    from openstack import resource

    class Task(resource.Resource):
        base_path, resources_key, allow_list = "/tasks", "tasks", True
        state = resource.Body("state")

    class FailureDomain(resource.Resource):
        base_path, resources_key = "/failuredomains", "items"
        allow_list = allow_fetch = allow_create = allow_delete = True
        metadata, spec = resource.Body("metadata", type=dict), resource.Body("spec", type=dict)
    return Task, FailureDomain


def openstacksdk_as_it_comes(c):
    from openstack import exceptions

    connection = _connection(c)
    connection.add_service(keystone.SERVICE)
    client = connection.cloud_manager
    check(client.get_endpoint().rstrip("/") == f"{c.url}/v1", f"openstacksdk takes {client.get_endpoint()} for the API")
    names = [o["metadata"]["name"] for o in client.get("/hosts").json()["items"]]
    check(HOST in names, f"openstacksdk lists {names}")
    check(client.get("/hosts", microversion="1.0").headers["OpenStack-API-Version"] == "cloud-manager 1.0", "no microversion through openstacksdk")
    Task, FailureDomain = _resources()
    rack = {"metadata": {"name": "by-openstacksdk"}, "spec": {"type": "Rack"}}
    client._create(FailureDomain, **rack)
    client._get(FailureDomain, "by-openstacksdk")
    for what, call, error, words in (
        ("the second of a name", lambda: client._create(FailureDomain, **rack), exceptions.ConflictException, "FailureDomain/by-openstacksdk exists already"),
        ("what is not there", lambda: client._get(FailureDomain, "none"), exceptions.ResourceNotFound, "FailureDomain/none does not exist"),
        ("an unknown kind", lambda: exceptions.raise_from_response(client.get("/flavors")), exceptions.ResourceNotFound, "flavors"),
        ("an unknown parameter", lambda: exceptions.raise_from_response(client.get("/hosts?limits=1")), exceptions.BadRequestException, "limits"),
    ):
        told = _refused(what, call, error)
        check(words in str(told), f"{what}: openstacksdk shows {told}")
    there = all_names(c, "failuredomains")
    listed = [o.metadata["name"] for o in client._list(FailureDomain)]
    check(listed == there and len(there) > 1_000, f"openstacksdk lists {len(listed)} objects in pages of 500, there are {len(there)}")
    client._delete(FailureDomain, "by-openstacksdk", ignore_missing=False)
    _refused("what is deleted", lambda: client._delete(FailureDomain, "by-openstacksdk", ignore_missing=False), exceptions.ResourceNotFound)
    for _ in range(TASKS - len(all_names(c, "tasks"))):
        task = c.admin.post(f"/v1/hosts/{HOST}/actions/enable").gives(202).json()["task_id"]
        state = lambda task: c.admin.get(f"/v1/tasks/{task}").json()["state"]
        until("the task is over", 60, lambda: ((s := state(task)) == "SUCCESS", s), 0.2)
    there = all_names(c, "tasks")
    check(len(there) >= TASKS, f"only {len(there)} tasks")
    for more in ({}, {"limit": 3}, {"limit": len(there)}):
        listed = [task.id for task in client._list(Task, **more)]
        check(listed == there, f"openstacksdk lists the tasks {listed} with {more}, there are {there}")


def openstackclient_as_it_comes(c):
    listed = {row["Type"]: row["Endpoints"] for row in c.openstack("catalog", "list")}
    check(any(e["url"] == c.url for e in listed[keystone.SERVICE]), f"openstack catalog list shows {listed.get(keystone.SERVICE)}")
    (version,) = c.openstack("versions", "show", "--service", keystone.SERVICE)
    shown = {name: version[name] for name in ("Version", "Status", "Endpoint", "Min Microversion")}
    wanted = {"Version": "1.0", "Status": "CURRENT", "Endpoint": f"{c.url}/v1/", "Min Microversion": "1.0"}
    check(shown == wanted, f"openstack versions show shows {shown}, want {wanted}")
    token = c.openstack("token", "issue")["id"]
    c.anyone.get("/v1/hosts", token=token).gives(200)
