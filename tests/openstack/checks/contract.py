"""What clients of OpenStack try on any service: twenty points, and three clients of others as they come."""
import contextlib
import json
import os
import subprocess
import time
import traceback

from . import keystone, lab
from .common import HOST
from .haproxy import HAProxy, certificate
from .points import clients, identity, manners, network, objects
from .wait import CheckFailed, check, until
from .wire import Wire

# The order is that of the numbers, but for what takes the controller long, and what nothing can come after.
POINTS = [
    (1, manners.the_root_lists_versions_without_a_token),
    (2, manners.the_version_is_told_with_and_without_a_slash),
    (3, identity.without_a_token_it_is_keystones_401),
    (4, identity.an_expired_token_is_401_and_one_new_login_is_enough),
    (5, identity.without_keystone_it_is_503_and_nobody_logs_in_again),
    (6, identity.the_wrong_role_or_scope_is_403_and_every_client_shows_the_sentence),
    (7, manners.every_answer_has_a_request_id_and_a_callers_own_is_only_logged),
    (8, manners.a_version_is_absent_exact_latest_malformed_too_high_or_for_another_service),
    (9, manners.what_is_not_known_is_refused_and_methods_are_told),
    (11, objects.created_twice_is_a_conflict_and_deleted_twice_not_found),
    (12, objects.work_is_accepted_with_a_place_to_look_at),
    (13, objects.versions_guard_writes_and_save_reads),
    (14, objects.times_are_utc_with_a_z),
    (10, objects.loops_of_pages_end_and_limits_are_checked),
    (15, manners.errors_are_json_wherever_they_come_from),
    (16, identity.a_service_token_carries_an_expired_one_with_the_right_role_only),
    (17, identity.access_rules_of_an_application_credential_are_kept),
    ("keystoneauth", clients.keystoneauth_as_it_comes),
    ("openstacksdk", clients.openstacksdk_as_it_comes),
    ("openstackclient", clients.openstackclient_as_it_comes),
    (20, network.the_catalogue_may_name_it_with_and_without_the_version),
    (4, identity.a_revoked_token_is_good_no_longer_than_it_is_remembered),
    (18, network.a_watch_lives_through_a_proxy_that_closes_what_is_silent),
    (19, network.behind_another_proxy_its_headers_are_not_believed),
    (19, network.it_listens_on_ipv6),
    (19, network.it_speaks_tls_itself),
    (19, network.behind_a_proxy_that_ends_tls_links_keep_the_public_endpoint),
    (19, network.behind_a_trusted_proxy_links_keep_https_by_its_headers),
    (15, manners.a_fault_inside_is_json_and_tells_nothing_of_itself),
]
# Tokens of the second Keystone last so many seconds: long enough to be taken once on a busy machine.
BRIEF_SECONDS = 10


class Contract:
    """The program as its clients find it: in the catalogue, behind a proxy, with tokens of all kinds."""

    def __init__(self, ctx, proxy_seconds=network.PROXY_SECONDS):
        self.ctx, self.program, self.url = ctx, ctx.program, ctx.program.url
        self.wire_host, self.wire_port = "127.0.0.1", ctx.program.port
        self.database = os.path.join(ctx.program.data, "cloud-manager.db")
        self.keystone = keystone.Keystone()
        self.anyone, self.admin = Wire(self.url), Wire(self.url, self.keystone.admin.get_token())
        self.certificates = certificate(ctx.program.directory)
        self.proxy = HAProxy(os.path.join(ctx.program.directory, "haproxy"), f"127.0.0.1:{ctx.program.port}", self.certificates, proxy_seconds)

    def begin(self):
        self.program.start()
        names = lambda: [o["metadata"]["name"] for o in self.admin.get("/v1/hosts").json()["items"]]
        until("the host appears from Nova", 60, lambda: (HOST in names(), names()))
        self.proxy.start()
        self.quiet = network.QuietWatch(self.proxy.plain, self.admin.token)
        self.quiet.start()
        self.revoked = keystone.token()
        self.anyone.get("/v1/hosts", token=self.revoked).gives(200)
        self.keystone.revoke(self.revoked)
        self.revoked_at = time.monotonic()
        self.keystone.clean()
        self.keystone.system_role("reader", "reader")
        self.keystone.domain_role("admin", "admin")
        # As its operator registers it.
        self.openstack("service", "create", "--name", keystone.SERVICE, "--description", "Compute hosts", keystone.SERVICE)
        self.openstack("endpoint", "create", "--region", self.keystone.region, keystone.SERVICE, "public", self.url)
        self.brief_url = lab.run("keystone-brief", str(BRIEF_SECONDS)).strip()
        self.expired = keystone.token(url=self.brief_url)

    def end(self):
        self.proxy.stop()
        lab.run("keystone-brief-end")
        lab.run("keystone-start")
        self.keystone.clean()

    def openstack(self, *args):
        """One command of python-openstackclient; gives its JSON."""
        done = subprocess.run(["openstack", *args, "-f", "json"], capture_output=True, text=True, timeout=120, env=keystone.osc_environment())
        check(done.returncode == 0, f"openstack {' '.join(args)} gave {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout or "null")

    def log(self):
        with open(self.program.log, errors="replace") as f:
            return f.readlines()

    @contextlib.contextmanager
    def restarted(self, **settings):
        """The program with other settings of `[api]`, and afterwards as it was."""
        self.program.stop()
        self.program.configure(**settings)
        try:
            self.program.start()
            yield
        finally:
            self.program.stop()
            self.program.configure()
            self.program.start()


def contract(ctx):
    """Twenty points that clients of OpenStack try, on a real Keystone, and keystoneauth, openstacksdk and openstackclient as they come."""
    c, failed = Contract(ctx), []
    try:
        begun = time.monotonic()
        c.begin()
        ctx.note(f"set up in {time.monotonic() - begun:.1f} s")
        for number, point in POINTS:
            begun, name = time.monotonic(), f"point {number}: {point.__name__.replace('_', ' ')}"
            try:
                point(c)
                ctx.note(f"ok      {name} ({time.monotonic() - begun:.1f} s)")
            except CheckFailed as error:
                failed.append(f"{name}: {error}")
            except Exception:
                failed.append(f"{name}: {traceback.format_exc()}")
            else:
                continue
            ctx.note(f"FAILED  {failed[-1]}")
    finally:
        c.end()
    check(not failed, f"{len(failed)} of {len(POINTS)} fail:\n" + "\n".join(failed))


contract.hosts = 1
contract.guests = 1
SCENARIOS = {"contract": contract}
