"""Keystone as its users and its administrator see it: logins of any scope, application credentials, the catalogue."""
import datetime
import os

from . import lab

SERVICE = "cloud-manager"
PASSWORD = "labpass"
DOMAIN = {"user_domain_name": "Default"}
PROJECT = {**DOMAIN, "project_name": "admin", "project_domain_name": "Default"}
SCOPES = {"project": PROJECT, "system": {**DOMAIN, "system_scope": "all"}, "domain": {**DOMAIN, "domain_name": "Default"},
          "none": {**DOMAIN, "unscoped": True}}
PREFIX = "e2e-"


class Logins:
    """Counts the logins of a session that is made with it; a hook of `requests`, so that the client is as it comes."""

    def __init__(self):
        # Here, as below, because the lab may have to be installed first.
        import requests

        self.count, self.requests = 0, requests.Session()
        self.requests.hooks["response"].append(self._answered)

    def _answered(self, answer, *_, **__):
        if answer.request.method == "POST" and answer.request.path_url.endswith("/auth/tokens"):
            self.count += 1


def session(user="admin", scope="project", url=None, project=None, logins=None, **more):
    """A session of keystoneauth."""
    from keystoneauth1 import session as sessions
    from keystoneauth1.identity import v3

    how = dict(SCOPES[scope])
    if project:
        how["project_name"] = project
    auth = v3.Password(url or lab.environment()["OS_AUTH_URL"], username=user, password=PASSWORD, **how)
    return sessions.Session(auth=auth, session=logins and logins.requests, timeout=90, **more)


def token(user="admin", scope="project", url=None, project=None):
    return session(user, scope, url, project).get_token()


def with_credential(made, **more):
    """A session of an application credential."""
    from keystoneauth1 import session as sessions
    from keystoneauth1.identity import v3

    auth = v3.ApplicationCredential(lab.environment()["OS_AUTH_URL"], application_credential_id=made["id"], application_credential_secret=made["secret"])
    return sessions.Session(auth=auth, timeout=90, **more)


class Keystone:
    """What the administrator does; `clean` takes it back."""

    def __init__(self):
        self.admin = session()
        self.url = lab.environment()["OS_AUTH_URL"]
        self.region = lab.environment()["OS_REGION_NAME"]

    def _ask(self, method, path, **more):
        return self.admin.request(self.url + path, method, **more)

    def _id(self, kind, **by):
        """The first object of a kind with this name or type."""
        query = "&".join(f"{k}={v}" for k, v in by.items())
        return self._ask("GET", f"/{kind}?{query}").json()[kind][0]["id"]

    def system_role(self, user, role):
        """Gives a user a role on the whole cloud."""
        self._ask("PUT", f"/system/users/{self._id('users', name=user)}/roles/{self._id('roles', name=role)}")

    def domain_role(self, user, role):
        self._ask("PUT", f"/domains/default/users/{self._id('users', name=user)}/roles/{self._id('roles', name=role)}")

    def credential(self, name, rules=None, seconds=None):
        """An application credential of the administrator, for some requests only, or for a while."""
        wanted = {"name": PREFIX + name}
        if rules is not None:
            wanted["access_rules"] = rules
        if seconds is not None:
            end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
            wanted["expires_at"] = end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        made = self._ask("POST", f"/users/{self.admin.get_user_id()}/application_credentials", json={"application_credential": wanted})
        return made.json()["application_credential"]

    def revoke(self, revoked):
        self._ask("DELETE", "/auth/tokens", headers={"X-Subject-Token": revoked})

    def endpoint(self, url):
        """Has the catalogue say that this service is here."""
        service = self._id("services", type=SERVICE)
        for old in self._ask("GET", f"/endpoints?service_id={service}").json()["endpoints"]:
            self._ask("PATCH", f"/endpoints/{old['id']}", json={"endpoint": {"url": url}})

    def clean(self):
        for service in self._ask("GET", f"/services?type={SERVICE}").json()["services"]:
            self._ask("DELETE", f"/services/{service['id']}")
        mine = f"/users/{self.admin.get_user_id()}"
        for made in self._ask("GET", f"{mine}/application_credentials").json()["application_credentials"]:
            if made["name"].startswith(PREFIX):
                self._ask("DELETE", f"{mine}/application_credentials/{made['id']}")
        for rule in self._ask("GET", f"{mine}/access_rules").json()["access_rules"]:
            if rule["service"] == SERVICE:
                self._ask("DELETE", f"{mine}/access_rules/{rule['id']}")


def osc_environment():
    """The environment of a person at the command line of OpenStack."""
    return {**lab.environment(), "PATH": "/usr/bin:" + os.environ.get("PATH", "")}
