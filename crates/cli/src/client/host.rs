//! What is about to happen to a host, told before it is asked for.

use super::text;
use ::client::Client;
use schemas::DynObject;
use serde_json::Value;

/// The guests of a host as far as they can be told. Not known is never none.
pub struct Guests(Result<Vec<Value>, String>);

impl Guests {
    /// Asks the API.
    pub async fn of(client: &Client, host: &str) -> Guests {
        Guests(match client.guests(host).await {
            Ok(view) => view["guests"].as_array().cloned().ok_or_else(|| "the answer has no list".into()),
            Err(e) => Err(e.to_string()),
        })
    }

    /// As if there were none.
    #[cfg(test)]
    pub fn none() -> Guests {
        Guests(Ok(Vec::new()))
    }

    /// `5 guests (4 active, 1 stopped)`.
    pub fn counted(&self) -> String {
        let guests = match &self.0 {
            Ok(guests) => guests,
            Err(why) => return format!("an unknown number of guests ({why})"),
        };
        let mut states: Vec<(String, usize)> = Vec::new();
        for guest in guests {
            let state = guest["vmState"].as_str().unwrap_or("unknown");
            match states.iter_mut().find(|(s, _)| s == state) {
                Some((_, count)) => *count += 1,
                None => states.push((state.into(), 1)),
            }
        }
        let parts: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        match guests.len() {
            0 => "no guests".into(),
            1 => format!("1 guest ({})", parts.join(", ")),
            n => format!("{n} guests ({})", parts.join(", ")),
        }
    }

    /// Names of guests that were not started from a volume; at most ten.
    pub fn on_image(&self) -> String {
        let guests = match &self.0 {
            Ok(guests) => guests,
            Err(_) => return "not known which".into(),
        };
        let names: Vec<&str> = guests.iter().filter(|g| g["bootFromVolume"] != true).map(|g| text(&g["name"])).collect();
        match names.len() {
            0 => "none".into(),
            n if n > 10 => format!("{} and {} more", names[..10].join(", "), n - 10),
            _ => names.join(", "),
        }
    }
}

/// The power links of a host and what they read, as `c1-bmc (On, verified)`.
pub fn links(host: &DynObject) -> String {
    let links = host.status["power"]["links"].as_array().into_iter().flatten();
    let told: Vec<String> = links
        .map(|l| {
            let verified = if l["verified"] == true { "verified" } else { "not verified" };
            format!("{} ({}, {verified})", text(&l["name"]), text(&l["state"]))
        })
        .collect();
    if told.is_empty() { "no power link".into() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn guests_are_counted_by_state_and_not_known_is_never_none() {
        let guest = |name: &str, state: &str, volume: bool| json!({"name": name, "vmState": state, "bootFromVolume": volume});
        let some = Guests(Ok(vec![guest("a", "active", true), guest("b", "active", false), guest("c", "stopped", false)]));
        assert_eq!(some.counted(), "3 guests (2 active, 1 stopped)");
        assert_eq!(some.on_image(), "b, c");
        assert_eq!(Guests(Ok(vec![])).counted(), "no guests");
        let unknown = Guests(Err("Nova answered 500".into()));
        assert_eq!(unknown.counted(), "an unknown number of guests (Nova answered 500)");
        assert_eq!(unknown.on_image(), "not known which");
    }
}
