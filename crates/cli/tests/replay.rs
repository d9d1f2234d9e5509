//! replay: a recording of a controller, decided again without any server.

mod common;

use common::{Ran, run_with};
use planner::{
    Fact,
    remediation::{HostRow, Input, Observer, PolicyRow, Recorder, pass},
};
use schemas::{Object, ObjectMeta, Time, v1};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Two of four hosts die under a policy that lets one be down; as a controller records it.
fn recorded() -> Vec<String> {
    let host =
        |name: &str| -> Object<v1::Host> { Object { metadata: ObjectMeta::named(name), spec: Default::default(), status: Default::default() } };
    let mut policy: Object<v1::RemediationPolicy> =
        Object { metadata: ObjectMeta::named("default"), spec: Default::default(), status: Default::default() };
    policy.spec.limits.max_down_hosts = 1;
    policy.spec.detection.down_confirmations = 2;
    let start = Time::parse("2026-01-01T00:00:00Z").unwrap();
    let mut input = Input {
        hosts: ["a", "b", "c", "d"].iter().map(|name| HostRow::plain(host(name), Fact::Seen(true, start))).collect(),
        policies: vec![PolicyRow { policy, due: true }],
        domains: Vec::new(),
        observer: Observer { conductor_up: true, computes_up: 2, unread: None },
        now: start,
        led_since: start.plus_seconds(-3_600),
        frozen: false,
        halted: None,
    };
    let (mut recorder, mut lines) = (Recorder::default(), Vec::new());
    for n in 0..6 {
        if n == 2 {
            input.hosts[..2].iter_mut().for_each(|row| row.up = Fact::Seen(false, input.now));
        }
        input.now = input.now.plus_seconds(30);
        let verdicts = pass(&input);
        lines.extend(recorder.line(input.clone(), verdicts.clone()).map(|l| serde_json::to_string(&l).unwrap()));
        for (row, verdict) in input.hosts.iter_mut().zip(verdicts.hosts) {
            row.host.status.availability = Some(verdict.availability);
        }
    }
    lines
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

async fn replay(path: &Path, more: &[&str]) -> Ran {
    let mut words = vec!["replay", path.to_str().unwrap()];
    words.extend(more);
    run_with(&words, "", &[]).await
}

#[tokio::test]
async fn a_recording_is_told_in_the_order_of_time_changes_alone_and_is_decided_as_it_was() {
    let files = Files::new();
    let ran = replay(&files.write("decisions.jsonl", &(recorded().join("\n") + "\n")), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("all of it is decided as it was"), "{ran:?}");
    let of_a: Vec<&str> = ran.out.lines().filter(|l| l.contains("Host a ")).collect();
    assert_eq!(of_a.len(), 3, "{}", ran.out);
    assert!(of_a[0].starts_with("2026-01-01T00:00:30Z Host a (default): Unknown -> Up"), "{of_a:?}");
    assert!(of_a[1].starts_with("2026-01-01T00:01:30Z Host a (default): Up -> Suspect"), "{of_a:?}");
    assert!(of_a[2].starts_with("2026-01-01T00:02:00Z Host a (default): Suspect -> Down; held: StormLimit: "), "{of_a:?}");
    assert!(ran.out.contains("RemediationPolicy default: begins nothing (StormLimit): 2 of 4 hosts are down, the limit is 1"), "{}", ran.out);
    let only = replay(&files.0.path().join("decisions.jsonl"), &["--host", "b", "-o", "json"]).await;
    let told: Vec<Value> = only.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(told.iter().any(|t| t["name"] == "b") && told.iter().all(|t| t["kind"] != "Host" || t["name"] == "b"), "{}", only.out);
}

#[tokio::test]
async fn what_is_decided_otherwise_is_marked_and_ends_with_1() {
    let files = Files::new();
    let text = recorded().join("\n").replace("\"reason\":\"StormLimit\"", "\"reason\":\"Cooldown\"");
    let ran = replay(&files.write("r", &text), &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("    DIFFERS; recorded: Down; Cooldown: "), "{}", ran.out);
    assert!(ran.err.contains("some of it is decided otherwise than it was"), "{ran:?}");
}

#[tokio::test]
async fn another_policy_can_be_laid_over_what_was_recorded() {
    let files = Files::new();
    let recording = files.write("r", &recorded().join("\n"));
    let spec = "spec: {limits: {maxDownHosts: 2}, detection: {downConfirmations: 2}}";
    let policy = files.write("p.yaml", &format!("apiVersion: cloud-manager/v1\nkind: RemediationPolicy\nmetadata: {{name: default}}\n{spec}\n"));
    let ran = replay(&recording, &["--policy", policy.to_str().unwrap()]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    for name in ["a", "b"] {
        let begins = format!("Host {name} (default): Suspect -> Down; begins Evacuation/auto-{name}-1\n    DIFFERS; recorded: Down; StormLimit: ");
        assert!(ran.out.contains(&begins), "{}", ran.out);
    }
    assert!(ran.err.contains("is taken to have stayed as it was"), "{ran:?}");
    let wrong = files
        .write("w.yaml", "apiVersion: cloud-manager/v1\nkind: RemediationPolicy\nmetadata: {name: default}\nspec: {limits: {maxDownHosts: -4}}\n");
    let refused = replay(&recording, &["--policy", wrong.to_str().unwrap()]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("w.yaml, document 1") && refused.err.contains("spec.limits.maxDownHosts"), "{refused:?}");
}

#[tokio::test]
async fn a_line_that_a_crash_cut_off_is_named_and_the_rest_is_replayed() {
    let files = Files::new();
    let lines = recorded();
    let half = &lines[3][..lines[3].len() / 2];
    let ran = replay(&files.write("r", &format!("{}\n{half}", lines[..3].join("\n"))), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("line 4: is cut off, as by a crash") && ran.err.contains("3 passes"), "{ran:?}");
    // The controller that came after begins with a whole line; what has lost its beginning is left out.
    let ran = replay(&files.write("r", &format!("{}\n{half}\n{}\n{}\n", lines[..3].join("\n"), lines[3], lines[0])), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("line 5: goes on from a line that is missing") && ran.err.contains("4 passes"), "{ran:?}");
}

#[tokio::test]
async fn what_is_no_recording_is_told_with_its_line_and_field() {
    let files = Files::new();
    let lines = recorded();
    for (text, told) in [
        ("kind: Host\n".to_string(), "line 1: is no JSON"),
        ("{\"a\": 1}\n".into(), "line 1: format: is missing"),
        (lines[0].replace("\"format\":1", "\"format\":7"), "line 1: format: is 7, and this program reads 1"),
        (format!("{}\n{}", lines[0], lines[1].replace("\"frozen\":false", "\"frozen\":\"no\"")), "line 2: input.frozen: "),
        (lines[1].clone(), "line 1: whole: is false"),
        (String::new(), "holds no recorded pass"),
    ] {
        let ran = replay(&files.write("r", &text), &[]).await;
        assert_eq!(ran.code, 2, "{told}: {ran:?}");
        assert!(ran.err.contains(told), "{told}: {ran:?}");
    }
    let missing = replay(&files.0.path().join("nothing"), &[]).await;
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.err.contains("cannot be read"), "{missing:?}");
}

#[tokio::test]
async fn of_a_directory_both_files_are_read_the_older_first() {
    let files = Files::new();
    let lines = recorded();
    files.write("decisions.1.jsonl", &lines[..2].join("\n"));
    files.write("decisions.jsonl", &lines.join("\n"));
    let ran = replay(files.0.path(), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains(&format!("{} passes", lines.len() + 2)), "{ran:?}");
    let empty = Files::new();
    let ran = replay(empty.0.path(), &[]).await;
    assert!(ran.code == 2 && ran.err.contains("record_decisions_mb"), "{ran:?}");
}
