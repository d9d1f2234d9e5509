//! Which hosts fail together.

use schemas::{
    Object,
    v1::{FailureDomain, FailureDomainType, HostSpec},
};
use std::collections::{BTreeMap, BTreeSet};

/// Hosts of a domain, and of those that are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// All.
    pub hosts: i64,
    /// Of these, hosts that are silent, being recovered, held down, or not heard.
    pub down: i64,
    /// Of these, hosts of which that is known.
    pub known: i64,
    /// Hosts that should report, and of which none is held down by us.
    pub expected: i64,
    /// Of these, hosts that Nova calls up.
    pub heard: i64,
}

/// Domains and those that they are in, each once, inner first.
pub(super) type Chain<'a> = Vec<&'a Object<FailureDomain>>;

/// All domains, with their hosts.
pub(super) struct Domains<'a> {
    chains: BTreeMap<&'a str, Result<Chain<'a>, String>>,
    counts: BTreeMap<&'a str, Count>,
}

impl<'a> Domains<'a> {
    /// Of these domains, with no host yet.
    pub fn of(domains: &'a [Object<FailureDomain>]) -> Self {
        let by_name: BTreeMap<&str, &Object<FailureDomain>> = domains.iter().map(|d| (d.metadata.name.as_str(), d)).collect();
        let chains = by_name.keys().map(|name| (*name, chain(&by_name, name))).collect();
        Domains { chains, counts: BTreeMap::new() }
    }

    /// The domains that a host names and those that these are in; `None`: it names none. `Err` says what is wrong with them.
    pub fn of_host(&self, host: &HostSpec) -> Option<Result<Chain<'a>, String>> {
        let mut all: Option<Chain> = None;
        for name in host.named_domains() {
            let chain = match self.chains.get(name) {
                Some(Ok(chain)) => chain,
                Some(Err(why)) => return Some(Err(why.clone())),
                None => {
                    let message = format!("there is no FailureDomain {name}; make it, or change spec.failureDomain or spec.failureDomains");
                    return Some(Err(message));
                }
            };
            let all = all.get_or_insert_default();
            for domain in chain {
                if all.iter().all(|known| known.metadata.name != domain.metadata.name) {
                    all.push(domain);
                }
            }
        }
        all.map(Ok)
    }

    /// Counts a host.
    pub fn count(&mut self, of: &HostSpec, host: Count) {
        let mut names: BTreeSet<&'a str> = BTreeSet::new();
        for name in of.named_domains() {
            let Some((name, chain)) = self.chains.get_key_value(name) else { continue };
            // Of a broken chain, the domain itself can be told.
            names.insert(name);
            names.extend(chain.iter().flatten().map(|d| d.metadata.name.as_str()));
        }
        for name in names {
            let count = self.counts.entry(name).or_default();
            count.hosts += host.hosts;
            count.down += host.down;
            count.known += host.known;
            count.expected += host.expected;
            count.heard += host.heard;
        }
    }

    /// The cell of a chain of which no host is heard: then nobody can tell the cell's silence from its hosts' (I5). Of a single
    /// host that says nothing.
    pub fn silent_cell(&self, chain: &Chain<'a>) -> Option<&'a str> {
        of_type(chain, FailureDomainType::Cell).find(|cell| {
            let Count { expected, heard, .. } = self.of_domain(cell);
            expected >= 2 && heard == 0
        })
    }

    /// Its hosts.
    pub fn of_domain(&self, name: &str) -> Count {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Names of the domains, and what is wrong with each, in order.
    pub fn all(&self) -> impl Iterator<Item = (&'a str, Option<&String>)> {
        self.chains.iter().map(|(name, chain)| (*name, chain.as_ref().err()))
    }
}

fn chain<'a>(domains: &BTreeMap<&'a str, &'a Object<FailureDomain>>, name: &str) -> Result<Chain<'a>, String> {
    let mut chain: Chain = Vec::new();
    let mut next = Some(name.to_string());
    while let Some(name) = next {
        if chain.iter().any(|d| d.metadata.name == name) {
            return Err(format!("FailureDomain {name} is in itself; change its spec.parentRef"));
        }
        let Some(domain) = domains.get(name.as_str()) else {
            let child = chain.last().map(|d| d.metadata.name.as_str()).unwrap_or_default();
            return Err(format!("there is no FailureDomain {name}; make it, or change spec.parentRef of FailureDomain {child}"));
        };
        chain.push(domain);
        next = domain.spec.parent_ref.as_ref().map(|parent| parent.name.clone());
    }
    Ok(chain)
}

/// Those of a chain that are of a type.
pub(super) fn of_type<'a, 'b>(chain: &'b Chain<'a>, wanted: FailureDomainType) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
    chain.iter().filter(move |d| d.spec.r#type == wanted).map(|d| d.metadata.name.as_str())
}
