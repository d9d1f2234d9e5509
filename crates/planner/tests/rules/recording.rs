//! Passes are recorded as what is new in them, and decided again from that.

use crate::{
    common::at,
    remediation::{host, input},
};
use planner::{
    Fact,
    remediation::{Input, LaidOver, Line, Recorder, Replay, Told, Verdicts, pass, policy_from},
};
use schemas::v1::{Observation, Says};
use serde_json::{Value, json};

/// A cloud that is looked at every ten seconds, and its recording.
struct Cloud {
    input: Input,
    recorder: Recorder,
    lines: Vec<String>,
}

impl Cloud {
    fn new(hosts: &[&str], max_down_hosts: i64) -> Cloud {
        Cloud { input: input(hosts.iter().map(|h| host(h, true)).collect(), max_down_hosts), recorder: Recorder::default(), lines: Vec::new() }
    }

    /// One look; what it leads to is done. Gives what was decided, and whether it was recorded.
    fn look(&mut self) -> (Verdicts, bool) {
        self.input.now = self.input.now.plus_seconds(10);
        let now = self.input.now;
        self.input.hosts.iter_mut().for_each(|row| {
            if let Fact::Seen(up, _) = row.up {
                row.up = Fact::Seen(up, now);
            }
        });
        let verdicts = pass(&self.input);
        let line = self.recorder.line(self.input.clone(), verdicts.clone());
        let recorded = line.is_some();
        self.lines.extend(line.map(|l| serde_json::to_string(&l).expect("it can be written")));
        for (row, verdict) in self.input.hosts.iter_mut().zip(&verdicts.hosts) {
            let begun = verdict.begin.map(|b| verdict.clone().begun(b, now).availability);
            row.host.status.availability = Some(begun.unwrap_or(verdict.availability.clone()));
        }
        for (row, verdict) in self.input.policies.iter_mut().zip(&verdicts.policies) {
            (row.policy.status.begins, row.policy.status.storms) = (verdict.begins.clone(), verdict.storms.clone());
        }
        (verdicts, recorded)
    }

    fn looks(&mut self, times: usize) {
        (0..times).for_each(|_| drop(self.look()));
    }

    fn is(&mut self, name: &str, up: Fact<bool>) {
        let row = self.input.hosts.iter_mut().find(|row| row.host.metadata.name == name);
        row.expect("a host of this name").up = up;
    }

    fn replayed(&self, over: Vec<LaidOver>) -> Vec<Told> {
        let mut replay = Replay::under(over);
        self.lines.iter().flat_map(|line| replay.next(line_of(line)).expect("it follows")).collect()
    }
}

fn line_of(text: &str) -> Line {
    serde_json::from_str(text).expect("it can be read")
}

fn under(limits: Value) -> Vec<LaidOver> {
    let spec = json!({"limits": limits, "detection": {"downConfirmations": 2, "quietSeconds": 0}});
    vec![policy_from("", &json!({"metadata": {"name": "default"}, "spec": spec})).expect("a policy")]
}

fn of_host<'a>(told: &'a [Told], name: &str) -> Vec<&'a str> {
    told.iter().filter(|t| t.kind == "Host" && t.name == name).map(|t| t.decided.as_str()).collect()
}

/// Everything that there is to decide happens, and time passes.
fn eventful() -> Cloud {
    let mut cloud = Cloud::new(&["a", "b", "c", "d", "e"], 1);
    cloud.looks(2);
    cloud.is("a", Fact::Seen(false, at(0)));
    cloud.looks(3);
    cloud.is("b", Fact::Seen(false, at(0)));
    cloud.looks(3);
    cloud.is("c", Fact::Unknown("its cell did not answer".into()));
    cloud.looks(2);
    cloud.input.hosts[0].ended = Some("Succeeded".into());
    cloud.looks(2);
    cloud.input.frozen = true;
    cloud.looks(2);
    cloud.input.frozen = false;
    cloud.is("c", Fact::Absent(at(0)));
    let heard = Observation {
        host: "b".into(),
        channel: "storage".into(),
        says: Says::Alive,
        observed_at: cloud.input.now,
        received_at: cloud.input.now,
        ttl_seconds: 45,
        by: "probe".into(),
        detail: String::new(),
    };
    cloud.input.hosts[1].heard.observations.push(heard);
    cloud.looks(8);
    cloud.input.hosts.remove(4);
    cloud.looks(2);
    cloud
}

#[test]
fn what_was_recorded_is_decided_again_as_it_was() {
    let cloud = eventful();
    let told = cloud.replayed(Vec::new());
    assert!(told.iter().all(|t| t.recorded.is_none()), "{told:#?}");
    let of_a = of_host(&told, "a");
    assert_eq!(of_a[..2], ["Unknown -> Up", "Up -> Suspect; WithinLimits: RemediationPolicy default holds"]);
    assert_eq!(of_a[2], "Suspect -> Down; begins Evacuation/auto-a-1");
    assert!(of_a.iter().any(|t| t.starts_with("Recovering -> Recovered; held: RecoveryEnded: ")), "{of_a:#?}");
    assert!(of_host(&told, "b").iter().any(|t| t.starts_with("Suspect -> Down; held: StormLimit: ")), "{told:#?}");
    assert!(of_host(&told, "b").iter().any(|t| t.contains("held: FrozenByCluster: ")), "{told:#?}");
    assert!(of_host(&told, "d").len() <= 1, "nothing is told of one that stays up: {told:#?}");
    let times: Vec<_> = told.iter().map(|t| t.at).collect();
    assert!(times.is_sorted());
}

#[test]
fn an_input_decides_the_same_after_it_was_written_and_read() {
    let mut cloud = Cloud::new(&["a", "b", "c"], 1);
    for n in 0..30 {
        let name = ["a", "b", "c"][n % 3];
        cloud.is(name, [Fact::Seen(false, at(0)), Fact::Unknown("500".into()), Fact::Absent(at(0)), Fact::Seen(true, at(0))][n * 7 % 4].clone());
        cloud.look();
        let text = serde_json::to_string(&cloud.input).expect("it can be written");
        let read: Input = serde_json::from_str(&text).expect("it can be read");
        let decided = |input: &Input| serde_json::to_value(pass(input)).expect("it can be written");
        assert_eq!(decided(&cloud.input), decided(&read));
    }
}

#[test]
fn a_pass_with_nothing_new_but_times_is_not_recorded_except_every_ten_minutes() {
    let mut cloud = Cloud::new(&["a", "b"], 1);
    let heard = |cloud: &mut Cloud| {
        let now = cloud.input.now;
        cloud.input.hosts[0].heard.observations = vec![Observation {
            host: "a".into(),
            channel: "storage".into(),
            says: Says::Alive,
            observed_at: now,
            received_at: now,
            ttl_seconds: 60,
            by: "probe".into(),
            detail: String::new(),
        }];
    };
    heard(&mut cloud);
    // The first look is news, and so is what it made of the hosts.
    assert_eq!((cloud.look().1, cloud.look().1), (true, true));
    let quiet = (0..59).filter(|_| {
        heard(&mut cloud);
        cloud.look().1
    });
    assert_eq!(quiet.count(), 0);
    assert!(cloud.look().1, "ten minutes have passed");
    cloud.is("b", Fact::Seen(false, at(0)));
    assert!(cloud.look().1);
    let last = line_of(cloud.lines.last().expect("it was recorded"));
    let hosts: Vec<&str> = last.input.hosts.iter().map(|row| row.host.metadata.name.as_str()).collect();
    assert_eq!((last.whole, hosts), (false, vec!["b"]), "only what is new is in it");
}

#[test]
fn what_was_decided_otherwise_is_told_with_what_was_recorded() {
    let cloud = eventful();
    let mut replay = Replay::default();
    let mut differs = Vec::new();
    for text in &cloud.lines {
        let mut line = line_of(text);
        for verdict in line.verdicts["hosts"].as_array_mut().expect("verdicts").iter_mut().filter(|v| v["begin"] == "Evacuate") {
            verdict["begin"] = Value::Null;
            verdict["allowed"] = json!({"status": "False", "reason": "StormLimit", "message": "as it was then"});
        }
        differs.extend(replay.next(line).expect("it follows").into_iter().filter(|t| t.recorded.is_some()));
    }
    assert_eq!(differs[0].decided, "Suspect -> Down; begins Evacuation/auto-a-1");
    assert_eq!(differs[0].recorded.as_deref(), Some("Down; StormLimit: as it was then"));
}

#[test]
fn under_a_policy_that_allows_more_a_host_that_was_held_is_begun_once_and_stays_begun() {
    let mut cloud = Cloud::new(&["a", "b", "c", "d"], 1);
    cloud.looks(2);
    ["a", "b"].iter().for_each(|h| cloud.is(h, Fact::Seen(false, at(0))));
    cloud.looks(8);
    let held = cloud.replayed(Vec::new());
    assert!(["a", "b"].iter().all(|h| of_host(&held, h).iter().all(|t| !t.contains("begins"))), "{held:#?}");
    let told = cloud.replayed(under(json!({"maxDownHosts": 2})));
    for name in ["a", "b"] {
        let begun: Vec<_> = of_host(&told, name).into_iter().filter(|t| t.contains("begins")).collect();
        assert_eq!(begun, [format!("Suspect -> Down; begins Evacuation/auto-{name}-1")], "{told:#?}");
    }
    assert!(told.iter().any(|t| t.name == "a" && t.recorded.as_deref().is_some_and(|r| r.starts_with("Down; StormLimit: "))), "{told:#?}");
}

#[test]
fn under_a_policy_that_allows_less_a_host_that_was_evacuated_stays_where_it_was_and_is_told_why() {
    let mut cloud = Cloud::new(&["a", "b", "c"], 1);
    cloud.looks(2);
    cloud.is("a", Fact::Seen(false, at(0)));
    cloud.looks(3);
    // It was recovered, and came back.
    cloud.input.hosts[0].ended = Some("Succeeded".into());
    cloud.looks(2);
    let told = cloud.replayed(under(json!({"maxDownHosts": 0})));
    let of_a = of_host(&told, "a");
    assert!(of_a.last().is_some_and(|t| t.contains("held: NeverEvacuate: ")) && of_a.iter().all(|t| !t.contains("begins")), "{of_a:#?}");
    // A limit that is counted by what is begun is counted by what would have been.
    let mut storm = Cloud::new(&["a", "b", "c", "d"], 0);
    storm.looks(2);
    ["a", "b"].iter().for_each(|h| storm.is(h, Fact::Seen(false, at(0))));
    storm.looks(8);
    let told = storm.replayed(under(json!({"maxDownHosts": 4, "maxBeginsPerHour": 1})));
    assert_eq!(told.iter().filter(|t| t.decided.contains("begins Evacuation")).count(), 1, "{told:#?}");
    assert!(of_host(&told, "b").iter().any(|t| t.contains("RateLimit")), "{told:#?}");
}

#[test]
fn a_recording_without_its_beginning_or_of_another_format_is_named() {
    let cloud = eventful();
    let error = Replay::default().next(line_of(&cloud.lines[1])).expect_err("it is not whole");
    assert!(error.contains("the beginning is missing"), "{error}");
    let other = Line { format: 2, ..line_of(&cloud.lines[0]) };
    assert!(Replay::default().next(other).expect_err("another format").contains("format: is 2"));
    // After an interruption it goes on with the next whole line.
    let mut replay = Replay::default();
    replay.next(line_of(&cloud.lines[0])).expect("it is whole");
    replay.interrupted();
    assert!(replay.next(line_of(&cloud.lines[1])).is_err());
    replay.next(line_of(&cloud.lines[0])).expect("it is whole");
}

#[test]
fn a_policy_to_try_out_is_checked_like_one_that_is_written() {
    let errors = |value: Value| policy_from("policies[0]", &value).expect_err("it is wrong").into_iter().map(|e| e.field).collect::<Vec<_>>();
    assert_eq!(errors(json!({"spec": {}})), ["policies[0].metadata.name"]);
    assert_eq!(errors(json!({"kind": "Host", "metadata": {"name": "a"}})), ["policies[0].kind"]);
    assert_eq!(errors(json!({"metadata": {"name": "a"}, "spec": {"limits": {"maxDownHosts": -1}}})), ["policies[0].spec.limits.maxDownHosts"]);
    let wrong = errors(json!({"metadata": {"name": "a"}, "spec": {"limit": {}}}));
    assert!(wrong[0].starts_with("policies[0].spec"), "{wrong:?}");
}

#[test]
fn hosts_that_are_gone_are_forgotten() {
    let cloud = eventful();
    let gone: Vec<String> = cloud.lines.iter().flat_map(|l| line_of(l).gone).collect();
    assert_eq!(gone, ["e"]);
    // The input of the last pass is whole, without it.
    assert!(cloud.replayed(Vec::new()).iter().filter(|t| t.name == "e").all(|t| t.decided == "Unknown -> Up"));
}
