//! A directory of 200 objects that is kept in Git, on each database: applied, changed, drifted, pruned, and the server killed in the
//! middle of it.

mod site;

use serde_json::Value;
use site::{LIMIT, Server, Site, said, until};
use std::{
    path::PathBuf,
    process::{Command, Output},
    time::Instant,
};
use test_databases::{Kind, shared};

const ROOMS: usize = 10;
const RACKS: usize = 150;
const POLICIES: usize = 40;
const ALL: usize = ROOMS + RACKS + POLICIES;

/// A repository with manifests.
struct Repository {
    folder: PathBuf,
}

impl Repository {
    fn new(folder: PathBuf) -> Repository {
        std::fs::create_dir_all(&folder).unwrap();
        let repository = Repository { folder };
        repository.git(&["init", "-q"]);
        repository
    }

    fn path(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    fn git(&self, words: &[&str]) -> String {
        let who = ["-c", "user.name=ops", "-c", "user.email=ops@example.org"];
        let out = Command::new("git").arg("-C").arg(&self.folder).args(who).args(words).output().unwrap();
        assert!(out.status.success(), "git {words:?}: {}", said(&out));
        String::from_utf8(out.stdout).unwrap().trim().to_string()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.join(file), text).unwrap();
    }

    fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "as it is to be"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// 200 objects in 21 files; fewer with fewer racks.
    fn fill(&self, racks: usize) {
        let domain =
            |name: &str, spec: &str| format!("---\napiVersion: cloud-manager/v1\nkind: FailureDomain\nmetadata: {{name: {name}}}\nspec: {spec}\n");
        let rooms: String = (0..ROOMS).map(|n| domain(&format!("room-{n}"), "{type: Room}")).collect();
        self.write("rooms.yaml", &rooms);
        for room in 0..ROOMS {
            let own = (0..racks).filter(|rack| rack % ROOMS == room);
            let text: String =
                own.map(|rack| domain(&format!("rack-{rack:03}"), &format!("{{type: Rack, parentRef: {{name: room-{room}}}}}"))).collect();
            self.write(&format!("racks-{room}.yaml"), if text.is_empty() { "# none\n" } else { &text });
        }
        for file in 0..ROOMS {
            let own = (0..POLICIES).filter(|policy| policy % ROOMS == file);
            self.write(&format!("policies-{file}.yaml"), &own.map(|policy| guest_policy(policy, 5)).collect::<String>());
        }
    }
}

fn guest_policy(number: usize, priority: usize) -> String {
    format!(
        "---\napiVersion: cloud-manager/v1\nkind: GuestPolicy\nmetadata: {{name: policy-{number:02}}}\n\
         spec: {{selector: {{metadata: tier=t{number}}}, priority: {priority}}}\n"
    )
}

/// Runs a test on SQLite, PostgreSQL and MariaDB, one after the other.
async fn on_each_database(test: fn(&Site, &Repository, Server)) {
    let urls = [Kind::Postgres, Kind::Mariadb].into_iter().filter_map(shared).map(|server| Some(server.url(&server.create_database())));
    for url in [None].into_iter().chain(urls) {
        let site = Site::over(1_000, url).await;
        let repository = Repository::new(site.path("repository"));
        site.ok(&["db", "migrate"]);
        let server = site.start();
        test(&site, &repository, server);
    }
}

const SET: [&str; 2] = ["--applyset", "site"];
/// Another one than who edits by hand.
const BY: [&str; 4] = ["--applyset", "site", "--field-manager", "git"];

fn words<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, &BY, more].concat()
}

/// How many lines say so.
fn count(text: &str, word: &str) -> usize {
    text.lines().filter(|line| line.ends_with(word)).count()
}

fn set(site: &Site) -> Value {
    serde_json::from_str(&site.ok(&["get", "applyset", "site", "-o", "json"])).unwrap()
}

fn names(site: &Site, kind: &str) -> Vec<String> {
    site.ok(&["get", kind, "-o", "name"]).lines().map(String::from).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_200_objects_ends_as_it_is_declared() {
    on_each_database(|site, repository, _server| {
        let dir = repository.path();
        repository.fill(RACKS);
        let apply = words(&["apply", "-f", dir], &["--prune", "--yes"]);
        let first = repository.commit();
        assert_eq!(count(&site.ok(&apply), " created"), ALL);
        assert_eq!(count(&site.ok(&apply), " unchanged"), ALL);
        assert_eq!((set(site)["status"]["total"].as_u64(), set(site)["status"]["revision"].as_str()), (Some(ALL as u64), Some(first.as_str())));
        site.ok(&words(&["diff", "-f", dir], &["--prune"]));

        // Changed.
        repository.write("policies-0.yaml", &(0..POLICIES).step_by(ROOMS).map(|n| guest_policy(n, if n == 0 { 7 } else { 5 })).collect::<String>());
        let differs = site.fails(1, &words(&["diff", "-f", dir], &[]));
        assert!(differs.contains("-  priority: 5\n+  priority: 7"), "{differs}");
        let second = repository.commit();
        let said = site.ok(&apply);
        assert_eq!((count(&said, " configured"), count(&said, " unchanged")), (1, ALL - 1));
        assert_eq!(set(site)["status"]["revision"], second);

        // Drifted: somebody changed by hand what the directory declares.
        let edited = site.edit("sed -i 's/priority: 7/priority: 9/'", &["edit", "guestpolicy", "policy-00"]);
        assert!(edited.status.success(), "{}", self::said(&edited));
        for command in [&words(&["diff", "-f", dir], &[]), &apply] {
            let said = site.fails(5, command);
            assert!(said.contains("policies-0.yaml, document 1, line 2: guestpolicy/policy-00: spec.priority"), "{said}");
        }
        assert_eq!(count(&site.ok(&[&apply[..], &["--force-conflicts"]].concat()), " configured"), 1);

        // Two managers.
        let other = site.path("other.yaml");
        std::fs::write(&other, guest_policy(0, 3)).unwrap();
        let by_other = ["apply", "-f", other.to_str().unwrap(), "--field-manager", "other"];
        let said = site.fails(5, &by_other);
        assert!(said.contains("spec.priority") && said.contains("\"git\"") && said.contains("--force-conflicts"), "{said}");
        std::fs::write(&other, guest_policy(0, 7)).unwrap();
        site.ok(&by_other);

        // Declared no longer.
        std::fs::remove_file(repository.folder.join("racks-0.yaml")).unwrap();
        repository.commit();
        let few = words(&["apply", "-f", dir], &["--prune"]);
        assert!(site.fails(2, &few).contains("failuredomain/rack-000"), "it asks first");
        assert_eq!(count(&site.ok(&apply), " deleted"), RACKS / ROOMS);
        repository.fill(0);
        repository.git(&["checkout", "-q", "HEAD", "--", "policies-0.yaml"]);
        repository.commit();
        let said = site.fails(5, &apply);
        assert!(said.contains("would lose 135 of 185 objects") && said.contains("--max-deletes 135"), "{said}");
        assert_eq!(set(site)["status"]["total"], 185);

        // Nothing is no reason to delete all; what is older is not applied.
        let empty = site.path("empty");
        std::fs::create_dir(&empty).unwrap();
        assert!(site.fails(2, &words(&["apply", "-f", empty.to_str().unwrap()], &["--prune", "--yes"])).contains("holds no"));
        repository.git(&["checkout", "-q", &first]);
        let said = site.fails(5, &apply);
        assert!(said.contains("is older than") && said.contains("--any-revision"), "{said}");
        let back = site.ok(&[&apply[..], &["--any-revision", "--force-conflicts"]].concat());
        assert_eq!((count(&back, " created"), set(site)["status"]["revision"].as_str()), (RACKS / ROOMS, Some(first.as_str())));
    })
    .await;
}

/// Starts a command, kills the server once `there` says so, and gives what the command said.
fn killed_while(site: &Site, server: Server, command: &[&str], there: impl Fn() -> bool) -> Output {
    let child = site.spawn(command);
    let deadline = Instant::now() + LIMIT;
    while !there() {
        assert!(Instant::now() < deadline, "never in the middle");
    }
    server.kill();
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_of_a_batch_or_a_prune_leaves_nothing_behind_that_the_next_apply_does_not_end() {
    on_each_database(|site, repository, mut server| {
        let (mut in_batch, mut in_prune) = (false, false);
        let dir = repository.path();
        let most = RACKS.to_string();
        let apply = words(&["apply", "-f", dir], &["--prune", "--yes", "--max-deletes", &most]);
        let racks = |site: &Site| names(site, "failuredomains").iter().filter(|n| n.contains("/rack-")).count();
        for attempt in 0.. {
            assert!(attempt < 10, "the server was never killed in the middle: batch {in_batch}, prune {in_prune}");
            repository.fill(RACKS);
            repository.commit();
            let broken = killed_while(site, server, &apply, || racks(site) > 0);
            server = site.start();
            let there = racks(site);
            if (1..RACKS).contains(&there) {
                in_batch = true;
                assert!(!broken.status.success(), "{}", said(&broken));
                let held = set(site)["status"]["members"].to_string();
                assert!(names(site, "failuredomains").iter().all(|n| held.contains(n.split('/').next_back().unwrap())), "{held}");
            }
            site.ok(&apply);
            assert_eq!((racks(site), set(site)["status"]["total"].as_u64()), (RACKS, Some(ALL as u64)));

            repository.fill(1);
            repository.commit();
            let broken = killed_while(site, server, &apply, || racks(site) < RACKS);
            server = site.start();
            if (2..RACKS).contains(&racks(site)) {
                in_prune = true;
                assert!(!broken.status.success(), "{}", said(&broken));
            }
            site.ok(&apply);
            assert_eq!((racks(site), set(site)["status"]["total"].as_u64()), (1, Some((ALL - RACKS + 1) as u64)));
            if in_batch && in_prune {
                break;
            }
        }
    })
    .await;
}

/// Status and message of a condition of the set.
fn condition(site: &Site, kind: &str) -> (String, String) {
    let out = site.run(&["get", "applyset", "site", "-o", "json"]);
    let set: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
    let found = set["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind).cloned().unwrap_or_default();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_string();
    (text("status"), text("message"))
}

fn is(site: &Site, kind: &str, status: &str, message: &str) {
    until(&format!("{kind} is {status} because of {message:?}"), || {
        let (now, said) = condition(site, kind);
        (now == status && said.contains(message)).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_followed_is_applied_at_each_commit_and_what_differs_is_told() {
    let site = Site::new(1_000).await;
    let _server = site.start();
    let repository = Repository::new(site.path("repository"));
    repository.write("a.yaml", &guest_policy(1, 5));
    let first = repository.commit();
    let follow = [&["apply", "--prune", "--watch", repository.path(), "--interval", "1s"][..], &SET].concat();
    let mut follower = site.spawn(&follow);
    is(&site, "Applied", "True", "");
    assert_eq!(set(&site)["spec"]["manager"], "gitops");
    assert_eq!(set(&site)["status"]["revision"], first);

    repository.write("b.yaml", &guest_policy(2, 5));
    repository.write("c.yaml", "apiVersion: cloud-manager/v1\nkind: GuestPolicy\nmetadata: {name: c}\nspec:\n  priorty: 5\n");
    let wrong = repository.commit();
    is(&site, "Applied", "False", "c.yaml, document 1, line 1: guestpolicy/c: ");
    assert!(condition(&site, "Applied").1.contains("priorty") && names(&site, "guestpolicies").len() == 1, "nothing of it is applied");
    assert_ne!(set(&site)["status"]["revision"], wrong);
    repository.write("c.yaml", "{{ not yaml");
    repository.commit();
    is(&site, "Applied", "False", "c.yaml, document 1, line 1");
    let once = "apiVersion: cloud-manager/v1\nkind: HostOperation\nmetadata: {name: c}\nspec: {hostRef: {name: compute-01}, type: Disable}\n";
    repository.write("c.yaml", once);
    repository.commit();
    is(&site, "Applied", "False", "HostOperation");
    std::fs::remove_file(repository.folder.join("c.yaml")).unwrap();
    let right = repository.commit();
    is(&site, "Applied", "True", "");
    until("the commit is noted", || (set(&site)["status"]["revision"] == right).then_some(()));
    is(&site, "InSync", "True", "");

    // Somebody changes it by hand, and back; what is not committed is not applied.
    let edit = |from: &str, to: &str| {
        let out = site.edit(&format!("sed -i 's/priority: {from}/priority: {to}/'"), &["edit", "guestpolicy", "policy-01"]);
        assert!(out.status.success(), "{}", said(&out));
    };
    edit("5", "9");
    is(&site, "InSync", "False", "spec.priority");
    edit("9", "5");
    is(&site, "InSync", "True", "");
    repository.write("a.yaml", &guest_policy(1, 8));
    is(&site, "Applied", "False", "not as it was committed");
    repository.git(&["checkout", "-q", "."]);
    is(&site, "Applied", "True", "");

    // Back in time: refused until it is committed as the newest.
    repository.git(&["checkout", "-q", &first]);
    is(&site, "Applied", "False", "is older than");
    repository.git(&["checkout", "-q", &right]);
    is(&site, "Applied", "True", "");
    std::fs::remove_file(repository.folder.join("b.yaml")).unwrap();
    repository.commit();
    until("what is declared no longer is gone", || (names(&site, "guestpolicies").len() == 1).then_some(()));
    assert!(Command::new("kill").arg(follower.id().to_string()).status().unwrap().success());
    assert!(follower.wait().unwrap().success());
}
